"""The local classifier: adds up small numbers for what a prompt contains. It knows no model and no network.

It is the first tier: fitted by `python -m training.fit`, pure Python, about a millisecond a prompt.
"""

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Final

from dynaroute_mcp.classifier.cues import CUES
from dynaroute_mcp.classifier.difficulty import difficulty
from dynaroute_mcp.classifier.features import HASHED, Features, features
from dynaroute_mcp.classifier.weights import Weights, parse
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Classification

_CATEGORIES: Final = tuple(Category)
_LEVELS: Final = tuple(Level)
_OUTPUTS: Final = len(_CATEGORIES) + len(_LEVELS)
_LANE: Final = 4
"""Bytes of a lane while rows are added up: the weighted sum of all groups stays far below 2 ** 32."""
_ONE: Final = 1 << 15
"""What a weight of one is in whole numbers, so that groups are weighed with one multiplication for all lanes."""
_ZERO: Final = 128
"""What a byte of a row means nothing by."""
_MAX_SIGNALS: Final = 5
_MIN_CONTRIBUTION: Final = 0.15
_MIN_WORD: Final = 3
_REMEMBERED, _REMEMBERED_CHARS = 256, 2_000
"""How many labels are kept, and of prompts up to which length: about two megabytes at most."""


class LocalClassifier:
    """Labels a prompt from its words and its form. Pure, deterministic and total."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._lanes = weights.head.lanes
        self._unpack = struct.Struct(f"<{self._lanes}I").unpack
        self._steps = [scale / _ONE for scale in weights.head.scale]
        self._rows = [0] * (len(weights.table) // self._lanes)
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._label)

    def classify(self, text: str) -> Classification:
        """Label the last human ask of a conversation.

        An agent sends the same ask again with the result of each tool, so the newest labels are remembered.
        """
        return self._remembered(text) if len(text) <= _REMEMBERED_CHARS else self._label(text)

    def _label(self, text: str) -> Classification:
        seen = features(text)
        outputs = self._outputs(seen)
        head = self._weights.head
        categories = softmax(outputs[: len(_CATEGORIES)], head.category_temperature)
        levels = softmax(
            [
                value + shift
                for value, shift in zip(outputs[len(_CATEGORIES) :], head.level_shift, strict=True)
            ],
            head.level_temperature,
        )
        order = sorted(range(len(_CATEGORIES)), key=categories.__getitem__, reverse=True)
        ranked = {_CATEGORIES[lane]: categories[lane] for lane in order}
        graded = dict(zip(_LEVELS, levels, strict=True))
        return Classification(
            categories=ranked,
            levels=graded,
            signals=self.signals(seen, _CATEGORIES[order[0]]),
            difficulty=difficulty(text, seen, ranked, graded),
        )

    def _outputs(self, seen: Features) -> list[float]:
        head = self._weights.head
        total, weights = 0, 0
        for number, group in enumerate(seen.groups):
            if known := self._known(group):
                weight = _ONE if number == 0 else round(_ONE * len(known) ** -0.5)
                total += weight * sum(known)
                weights += weight * len(known)
        lanes, zero = self._unpack(total.to_bytes(_LANE * self._lanes, "little")), _ZERO * weights
        sums = [
            bias + step * (lane - zero)
            for bias, step, lane in zip(head.bias, self._steps, lanes, strict=True)
        ]
        outputs = sums[:_OUTPUTS]
        for value, adds in zip(sums[_OUTPUTS:], head.mix, strict=False):
            if value > 0:
                outputs = [old + value * add for old, add in zip(outputs, adds, strict=True)]
        return outputs

    def _known(self, slots: Sequence[int]) -> list[int]:
        """Rows of those slots that have one, each as one large number, so that one addition adds all of its lanes."""
        index, rows = self._weights.index, self._rows
        return [rows[row] or self._read(row) for slot in slots if (row := index[slot])]

    def _read(self, row: int) -> int:
        """Widen a row at its first use and keep it: what prompts are made of comes back."""
        wide = bytearray(_LANE * self._lanes)
        wide[::_LANE] = self._weights.table[row * self._lanes : (row + 1) * self._lanes]
        self._rows[row] = value = int.from_bytes(wide, "little")
        return value

    def signals(self, seen: Features, category: Category) -> tuple[str, ...]:
        """What added most to a category, cues before words of equal weight."""
        lane = _CATEGORIES.index(category)
        found = {CUES[number]: self._contribution(HASHED + number, lane) for number in seen.cues}
        weight = max(1, len(seen.groups[1])) ** -0.5
        for slot, word in seen.words.items():
            if len(word) >= _MIN_WORD and word.isalpha():
                found[f'the word "{word}"'] = weight * self._contribution(slot, lane)
        strong = [name for name, value in found.items() if value >= _MIN_CONTRIBUTION]
        return tuple(sorted(strong, key=lambda name: -found[name])[:_MAX_SIGNALS])

    def _contribution(self, slot: int, lane: int) -> float:
        """How much more a feature adds to one category than to the average one."""
        row = self._weights.index[slot]
        lanes = self._weights.table[row * self._lanes : row * self._lanes + len(_CATEGORIES)]
        return self._weights.head.scale[lane] * (lanes[lane] - sum(lanes) / len(_CATEGORIES)) if row else 0.0


def softmax(values: Sequence[float], temperature: float) -> list[float]:
    """Probabilities of logits; a temperature above 1 makes them less sure."""
    top = max(values)
    powers = [math.exp((value - top) / temperature) for value in values]
    total = sum(powers)
    return [power / total for power in powers]


@lru_cache(maxsize=1)
def load_classifier() -> LocalClassifier:
    """The classifier with the weights of this package, read once; takes a few milliseconds."""
    return LocalClassifier(parse((files(__package__) / "weights.bin").read_bytes()))
