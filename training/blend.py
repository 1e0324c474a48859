"""Finds how the opinions of both tiers become one: the weight of each, and from which doubt on the second is asked."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy.optimize import minimize

from dynaroute_mcp.classifier.model import LocalClassifier
from dynaroute_mcp.classifier.second import Tongue
from training import data
from training.accurate import logits_of
from training.encoder import CATEGORIES
from training.priors import importance
from training.student import softmax

THRESHOLDS: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.01)
_WORTH: Final = 0.0005
"""Right labels a row by which a higher threshold may be ahead of the one that is chosen."""
_EVEN: Final = (0.3, 0.7)
_NO_SHIFT: Final = (0.0,) * 4
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Prompts that neither tier was fitted on the labels of, and what both say."""

    rows: list[data.Row]
    first: np.ndarray
    """The first tier's probabilities, (rows, 36)."""
    logits: np.ndarray
    """The second tier's, (rows, 36)."""

    @classmethod
    def of(cls, rows: list[data.Row], first: LocalClassifier, tongue: Tongue) -> Self:
        """Ask both tiers."""
        labels = [first.classify(row.prompt) for row in rows]
        shares = np.array([[*(x.categories[c] for c in data.CATEGORIES), *x.levels.values()] for x in labels])
        return cls(rows=rows, first=shares, logits=logits_of([row.prompt for row in rows], tongue))

    def right(self, shares: np.ndarray) -> np.ndarray:
        """How many of a row's two labels the larger numbers, (rows, 36), have right."""
        category = np.array([row.category for row in self.rows])
        level = np.array([row.level for row in self.rows])
        graded = np.array([row.graded for row in self.rows])
        hits = shares[:, :CATEGORIES].argmax(1) == category
        return hits.astype(int) + (graded & (shares[:, CATEGORIES:].argmax(1) == level))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Weights of both opinions, and what is added to the levels."""

    category: np.ndarray
    level: np.ndarray
    shift: np.ndarray

    def scores(self, read: Read) -> np.ndarray:
        """Logarithms of the shares of both together, up to a constant of each row, (rows, 36)."""
        said = np.log(np.maximum(read.first, _LEAST))
        split = np.concatenate(
            [np.repeat(self.category[:, None], CATEGORIES, 1), np.repeat(self.level[:, None], 5, 1)], 1
        )
        both = split[0] * said + split[1] * read.logits
        both[:, CATEGORIES:] += self.shift
        return both

    def told(self) -> dict[str, object]:
        """As the head has it."""
        parts = {"category": self.category, "level": self.level, "level_shift": self.shift}
        return {name: [round(float(value), 4) for value in found] for name, found in parts.items()}


def mixture(read: Read) -> Mixture:
    """The likeliest weights, by labels that neither tier was fitted on."""
    right = np.array([row.category for row in read.rows])
    graded = np.array([row.graded for row in read.rows])
    level = np.array([row.level for row in read.rows])[graded]
    weight = importance(level)

    def of(p: np.ndarray) -> Mixture:
        return Mixture(category=p[:2], level=p[2:4], shift=np.array([*p[4:], 0.0]))

    def categories(p: np.ndarray) -> float:
        shares = softmax(of(np.array([*p, *_EVEN, *_NO_SHIFT])).scores(read)[:, :CATEGORIES])
        return -float(np.log(shares[np.arange(len(right)), right] + _LEAST).mean())

    def levels(p: np.ndarray) -> float:
        mixed = of(np.array([*_EVEN, *p]))
        shares = softmax(mixed.scores(read)[graded, CATEGORIES:])[np.arange(len(level)), level]
        return -float((weight * np.log(shares + _LEAST)).mean()) + 0.1 * float((mixed.shift**2).sum())

    options = {"maxiter": 6000, "maxfev": 6000}
    one = minimize(categories, _EVEN, method="Nelder-Mead", options=options).x
    two = minimize(levels, [*_EVEN, *_NO_SHIFT], method="Nelder-Mead", options=options).x
    return of(np.array([*one, *two]))


def head(kept: list[data.Row], foreign: list[data.Row], first: LocalClassifier) -> dict[str, object]:
    """The threshold and the blends of both encoders.

    Args:
        kept: prompts that `first` was not fitted on.
        foreign: others in other languages, with labels that it was not fitted on; `kept` alone has too few.
        first: the first tier.
    """
    reads = {
        "english": Read.of([row for row in kept if not data.is_foreign(row.prompt)], first, "english"),
        "others": Read.of(foreign, first, "others"),
    }
    mixtures = {name: mixture(read) for name, read in reads.items()}
    doubt = np.concatenate([sure(read.first) for read in reads.values()])
    before = np.concatenate([read.right(read.first) for read in reads.values()])
    after = np.concatenate([read.right(mixtures[name].scores(read)) for name, read in reads.items()])
    return {"threshold": threshold(doubt, before, after)} | {name: m.told() for name, m in mixtures.items()}


def sure(first: np.ndarray) -> np.ndarray:
    """How sure the first tier is of the less certain of its two labels, from its probabilities, (rows, 36)."""
    return np.minimum(first[:, :CATEGORIES].max(1), first[:, CATEGORIES:].max(1))


def threshold(sure: np.ndarray, kept: np.ndarray, gained: np.ndarray) -> float:
    """The lowest confidence from which asking the second tier adds next to nothing.

    Args:
        sure: the first tier's confidence in the less certain label of each row.
        kept: how many of a row's two labels the first tier has right.
        gained: how many both tiers have.
    """
    shares = {edge: float(np.where(sure < edge, gained, kept).mean()) for edge in THRESHOLDS}
    for edge, share in shares.items():
        print(
            f"threshold {edge}: asked {np.mean(sure < edge):.3f}, right labels a row {share:.4f}", flush=True
        )
    best = max(shares.values())
    return next(edge for edge, share in shares.items() if share >= best - _WORTH)
