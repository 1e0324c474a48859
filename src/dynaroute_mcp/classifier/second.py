"""The second tier: a small transformer that is asked where the first tier is unsure.

Its weights and the library that runs them come with the distribution `dynaroute-accurate`, which
`pip install 'dynaroute-mcp[accurate]'` brings. Without it the first tier decides alone, and nothing here is loaded.
"""

import logging
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Literal, Protocol

from dynaroute_mcp.classifier.difficulty import difficulty
from dynaroute_mcp.classifier.features import features
from dynaroute_mcp.classifier.model import LocalClassifier, softmax
from dynaroute_mcp.classifier.wordpiece import pieces
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Classification

logger = logging.getLogger(__name__)

PACKAGE: Final = "dynaroute_accurate"
_CATEGORIES: Final = tuple(Category)
_LEVELS: Final = tuple(Level)
_LEAST: Final = 1e-9


class Encoder(Protocol):
    """The transformer: numbers of pieces in, 36 logits out."""

    def logits(self, ids: Sequence[int]) -> Sequence[float]:
        """Judge one text: 31 categories, then five levels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """How two opinions become one: logarithms of the first's probabilities and the second's logits, weighted."""

    threshold: float
    """The second tier is asked where the first one is less sure than this of its category or of its level."""
    category: tuple[float, float]
    level: tuple[float, float]
    level_shift: tuple[float, ...]

    def categories(self, first: Sequence[float], logits: Sequence[float]) -> list[float]:
        """Probabilities of both together."""
        return softmax(_weighted(first, logits, self.category), 1.0)

    def levels(self, first: Sequence[float], logits: Sequence[float]) -> list[float]:
        """Probabilities of both together."""
        both = _weighted(first, logits, self.level)
        return softmax([value + shift for value, shift in zip(both, self.level_shift, strict=True)], 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the extra holds, read."""

    encoder: Encoder
    vocabulary: Mapping[str, int]
    blend: Blend


class Extra(Protocol):
    """What the package of weights offers."""

    def head(self) -> Mapping[str, object]:
        """The few numbers beside the weights: `Blend`'s fields."""
        ...

    def load(self) -> tuple[Encoder, Mapping[str, int]]:
        """Check the files against their hashes and load them; takes some hundred milliseconds."""
        ...


class SecondTier:
    """Asks the transformer, which is loaded by the first call that needs it. Safe for any number of threads."""

    def __init__(self, extra: Extra, first: LocalClassifier) -> None:
        """Read the blend only.

        Raises:
            ValueError, KeyError, TypeError, OSError: the extra is damaged.
        """
        self._extra = extra
        self._first = first
        self._blend = read_blend(extra.head())
        self._parts: Parts | None = None
        self._broken = False
        self._loading = threading.Lock()

    def classify(self, text: str) -> Classification:
        """Label by the first tier alone."""
        return self._first.classify(text)

    def wanted(self, label: Classification) -> bool:
        """Whether a label is doubtful enough to ask."""
        sure = min(label.confidence, label.levels[label.level])
        return not self._broken and sure < self._blend.threshold

    def refine(self, text: str, label: Classification) -> Classification:
        """Put what the transformer thinks together with a label; weights that fail leave the label as it is."""
        try:
            parts = self._parts or self._load()
            logits = parts.encoder.logits(pieces(text, parts.vocabulary))
        except Exception:  # a foreign library on a file that may be damaged; the first tier stands
            self._broken = True
            logger.warning(
                "the accurate classifier failed and is left out; reinstall `dynaroute-mcp[accurate]`",
                exc_info=True,
            )
            return label
        return self._blended(text, label, logits)

    def _load(self) -> Parts:
        with self._loading:
            if self._parts is None:
                encoder, vocabulary = self._extra.load()
                self._parts = Parts(encoder=encoder, vocabulary=vocabulary, blend=self._blend)
            return self._parts

    def _blended(self, text: str, label: Classification, logits: Sequence[float]) -> Classification:
        first = [label.categories[category] for category in _CATEGORIES]
        shares = self._blend.categories(first, logits[: len(_CATEGORIES)])
        levels = self._blend.levels(list(label.levels.values()), logits[len(_CATEGORIES) :])
        order = sorted(range(len(_CATEGORIES)), key=lambda lane: -shares[lane])
        ranked = {_CATEGORIES[lane]: shares[lane] for lane in order}
        graded = dict(zip(_LEVELS, levels, strict=True))
        seen = features(text)
        return replace(
            label,
            categories=ranked,
            levels=graded,
            signals=self._first.signals(seen, _CATEGORIES[order[0]]),
            tier="L2",
            difficulty=difficulty(text, seen, ranked, graded),
        )


def read_blend(head: Mapping[str, object]) -> Blend:
    """Check and take the numbers beside the weights.

    Raises:
        ValueError, KeyError, TypeError: they are not what they should be.
    """
    values = {name: _floats(head[name]) for name in ("threshold", "category", "level", "level_shift")}
    sizes = {name: len(numbers) for name, numbers in values.items()}
    if sizes != {"threshold": 1, "category": 2, "level": 2, "level_shift": len(_LEVELS)}:
        raise ValueError(f"the head of {PACKAGE} has the wrong shape: {sizes}")
    category, level = values["category"], values["level"]
    return Blend(
        threshold=values["threshold"][0],
        category=(category[0], category[1]),
        level=(level[0], level[1]),
        level_shift=tuple(values["level_shift"]),
    )


def _floats(value: object) -> list[float]:
    numbers = [float(str(each)) for each in (value if isinstance(value, list) else [value])]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"the head of {PACKAGE} holds {numbers!r}")
    return numbers


def _weighted(first: Sequence[float], logits: Sequence[float], weights: tuple[float, float]) -> list[float]:
    one, two = weights
    return [
        one * math.log(max(share, _LEAST)) + two * logit for share, logit in zip(first, logits, strict=True)
    ]


def find_second_tier(first: LocalClassifier) -> SecondTier | None:
    """The second tier, where its extra is installed and sound. Loads no weights."""
    if find_spec(PACKAGE) is None:
        return None
    try:
        return SecondTier(import_module(PACKAGE), first)
    except Exception:  # whatever is wrong with an extra, the product works without it
        logger.warning(
            "the accurate classifier can't be read; reinstall `dynaroute-mcp[accurate]`", exc_info=True
        )
        return None


def examine(first: LocalClassifier) -> Literal["absent", "broken", "ready"]:
    """Try the second tier out: loads its weights and judges an empty text."""
    if find_spec(PACKAGE) is None:
        return "absent"
    tier = find_second_tier(first)
    return "ready" if tier is not None and tier.refine("", tier.classify("")).tier == "L2" else "broken"
