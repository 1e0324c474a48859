"""How the many spellings of a model's name become one."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Final

_SEPARATORS: Final = re.compile(r"[^a-z0-9/]+")
_SNAPSHOT: Final = re.compile(r"-(?:20\d{6}|20\d\d-\d\d-\d\d|latest)$")
_WORDS: Final = re.compile("[-/]")
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
    """Find what a name stands for; a dated snapshot stands for its model when it has no row of its own.

    `provider:model` is LangChain's and pydantic-ai's way to write `provider/model`, `models/` Gemini's way to list.
    """
    for spelt in (name, name.replace(":", "/", 1), name.removeprefix("models/")):
        key = normalise(spelt)
        if found := index.get(key) or index.get(_SNAPSHOT.sub("", key)):
            return found
    return None


def nearest(name: str, index: Mapping[str, str]) -> tuple[str, ...]:
    """The three ids with the name most alike, best first; the same ones for the same index in any order.

    Whole words that are there count beside the letters: `gpt-6` is nearer to `gpt-6-luna` than to `gpt-5`.
    """
    key = normalise(name)
    words = set(_WORDS.split(key))
    scores: dict[str, float] = {}
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(key)
    for known, target in index.items():
        matcher.set_seq1(known)
        shared = len(words.intersection(_WORDS.split(known))) / len(words)
        if shared + matcher.real_quick_ratio() > scores.get(target, 0):
            scores[target] = max(scores.get(target, 0), shared + matcher.ratio())
    return tuple(sorted(scores, key=lambda target: (-scores[target], target))[:_NEAREST])
