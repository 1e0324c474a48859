"""How the many spellings of a model's name become one."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Final

_SEPARATORS: Final = re.compile(r"[^a-z0-9/]+")
_SNAPSHOT: Final = re.compile(r"-(?:20\d{6}|20\d\d-\d\d-\d\d|latest)$")
_MAX_NAME: Final = 200
_NEAREST: Final = 3


def normalise(name: str) -> str:
    """Fold case and separators: `Claude Sonnet 4.5` and `claude-sonnet-4-5` are the same name."""
    return _SEPARATORS.sub("-", name[:_MAX_NAME].casefold().replace("+", "-plus")).strip("-")


def spellings(name: str) -> frozenset[str]:
    """A name as it is and without its date, both normalised; `models/` before it is Gemini's way to list."""
    key = normalise(name.removeprefix("models/"))
    return frozenset({key, _SNAPSHOT.sub("", key)})


def resolve(name: str, index: Mapping[str, str]) -> str | None:
    """Find what a name stands for; a dated snapshot stands for its model when it has no row of its own."""
    key = normalise(name)
    return index.get(key) or index.get(_SNAPSHOT.sub("", key))


def nearest(name: str, index: Mapping[str, str]) -> tuple[str, ...]:
    """The three ids with the name most alike, best first; the same ones for the same index in any order."""
    key = normalise(name)
    scores: dict[str, float] = {}
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(key)
    for known, target in index.items():
        matcher.set_seq1(known)
        if matcher.real_quick_ratio() > scores.get(target, 0):
            scores[target] = max(scores.get(target, 0), matcher.ratio())
    return tuple(sorted(scores, key=lambda target: (-scores[target], target))[:_NEAREST])
