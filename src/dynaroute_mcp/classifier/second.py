"""The second tier: small transformers, one for English and one for other languages, asked where the first tier is unsure.

Their weights and the library that runs them come with the distribution `dynaroute-accurate`, which
`pip install 'dynaroute-mcp[accurate]'` brings. Without it the first tier decides alone, and nothing here is loaded.
"""

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Literal, Protocol

from dynaroute_mcp.classifier import unigram, wordpiece
from dynaroute_mcp.classifier.difficulty import difficulty
from dynaroute_mcp.classifier.features import features
from dynaroute_mcp.classifier.model import LocalClassifier, softmax
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Classification

logger = logging.getLogger(__name__)

PACKAGE: Final = "dynaroute_accurate"
Tongue = Literal["english", "others"]
_TONGUES: Final[tuple[Tongue, ...]] = ("english", "others")
_CATEGORIES: Final = tuple(Category)
_LEVELS: Final = tuple(Level)
_LEAST: Final = 1e-9
_TRIED: Final = ("", "\u4f60\u597d")


class Encoder(Protocol):
    """The transformer: numbers of pieces in, 36 logits out."""

    def logits(self, ids: Sequence[int]) -> Sequence[float]:
        """Judge one text: 31 categories, then five levels."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """How two opinions become one: logarithms of the first's probabilities and the second's logits, weighted."""

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
class Head:
    """The few numbers beside the weights."""

    threshold: float
    """The second tier is asked where the first one is less sure than this of its category or of its level."""
    blends: Mapping[Tongue, Blend]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A transformer that is loaded, and how it reads."""

    encoder: Encoder
    cut: Callable[[str], Sequence[int]]
    """A text's pieces, as numbers."""
    blend: Blend


class Extra(Protocol):
    """What the package of weights offers. What loads takes some hundred milliseconds and checks a file's hash."""

    def head(self) -> Mapping[str, object]:
        """The fields of `Head`, the blends by their names."""
        ...

    def encoder(self, tongue: Tongue) -> Encoder:
        """Load one transformer."""
        ...

    def words(self) -> Mapping[str, int]:
        """Numbers of the English one's pieces."""
        ...

    def pieces(self) -> Mapping[str, unigram.Piece]:
        """Numbers and scores of the other one's pieces."""
        ...


class SecondTier:
    """Asks the transformer of a text's language, loaded by the first call that needs it. Safe for any number of threads."""

    def __init__(self, extra: Extra, first: LocalClassifier) -> None:
        """Read the head only.

        Raises:
            ValueError, KeyError, TypeError, OSError: the extra is damaged.
        """
        self._extra = extra
        self._first = first
        self._head = read_head(extra.head())
        self._words: Mapping[str, int] | None = None
        self._readers: dict[Tongue, Reader] = {}
        self._broken = False
        self._loading = threading.Lock()

    def classify(self, text: str) -> Classification:
        """Label by the first tier alone."""
        return self._first.classify(text)

    def wanted(self, label: Classification) -> bool:
        """Whether a label is doubtful enough to ask."""
        sure = min(label.confidence, label.levels[label.level])
        return not self._broken and sure < self._head.threshold

    def refine(self, text: str, label: Classification) -> Classification:
        """Put what the transformer thinks together with a label; weights that fail leave the label as it is."""
        try:
            reader = self._reader(text)
            logits = reader.encoder.logits(reader.cut(text))
        except Exception:  # a foreign library on a file that may be damaged; the first tier stands
            self._broken = True
            logger.warning(
                "the accurate classifier failed and is left out; reinstall `dynaroute-mcp[accurate]`",
                exc_info=True,
            )
            return label
        return self._blended(text, label, logits, reader.blend)

    def _reader(self, text: str) -> Reader:
        with self._loading:
            if self._words is None:
                self._words = self._extra.words()
            tongue: Tongue = "others" if wordpiece.is_foreign(text, self._words) else "english"
            if tongue not in self._readers:
                self._readers[tongue] = self._load(tongue, self._words)
            return self._readers[tongue]

    def _load(self, tongue: Tongue, words: Mapping[str, int]) -> Reader:
        cut: Callable[[str], Sequence[int]] = partial(wordpiece.pieces, vocabulary=words)
        if tongue == "others":
            cut = partial(unigram.pieces, vocabulary=self._extra.pieces())
        return Reader(encoder=self._extra.encoder(tongue), cut=cut, blend=self._head.blends[tongue])

    def _blended(
        self, text: str, label: Classification, logits: Sequence[float], blend: Blend
    ) -> Classification:
        first = [label.categories[category] for category in _CATEGORIES]
        shares = blend.categories(first, logits[: len(_CATEGORIES)])
        levels = blend.levels(list(label.levels.values()), logits[len(_CATEGORIES) :])
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


def read_head(head: Mapping[str, object]) -> Head:
    """Check and take the numbers beside the weights.

    Raises:
        ValueError, KeyError, TypeError: they are not what they should be.
    """
    (threshold,) = _floats(head["threshold"])
    return Head(threshold=threshold, blends={tongue: _blend(head[tongue]) for tongue in _TONGUES})


def _blend(found: object) -> Blend:
    if not isinstance(found, Mapping):
        raise TypeError(f"the head of {PACKAGE} holds {found!r} for a blend")
    values = {name: _floats(found[name]) for name in ("category", "level", "level_shift")}
    sizes = {name: len(numbers) for name, numbers in values.items()}
    if sizes != {"category": 2, "level": 2, "level_shift": len(_LEVELS)}:
        raise ValueError(f"the head of {PACKAGE} has the wrong shape: {sizes}")
    category, level = values["category"], values["level"]
    return Blend(
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
    """Try the second tier out: loads its weights and judges an empty text and one that is not English."""
    if find_spec(PACKAGE) is None:
        return "absent"
    tier = find_second_tier(first)
    tried = tier is not None and all(tier.refine(text, tier.classify(text)).tier == "L2" for text in _TRIED)
    return "ready" if tried else "broken"
