"""What is to be learnt from the labels of a prompt: softened, and the mean of all who read it."""

from typing import Final

import numpy as np

from training.data import CATEGORIES, Reading, Row

LEVELS: Final = 5
_SMOOTH, _SECOND, _NEAR = 0.05, 0.2, 0.06
"""Of a reading's target: spread over all categories, given to the second choice, given to each neighbouring level."""


def targets(rows: list[Row]) -> np.ndarray:
    """Probabilities of categories and levels, (rows, 36); zeros for the levels of a row that is not graded."""
    return np.array([np.concatenate([_categories(row), levels(row) * row.graded]) for row in rows])


def levels(row: Row) -> np.ndarray:
    """Probabilities of the five levels."""
    found = np.zeros(LEVELS)
    for level in (row.level, *(each.level for each in row.later)):
        found += _near(level)
    found /= found.sum()
    return found


def _near(level: int) -> np.ndarray:
    found = np.array([{0: 1 - 2 * _NEAR, 1: _NEAR}.get(abs(each - level), 0.0) for each in range(LEVELS)])
    found /= found.sum()
    return found


def _categories(row: Row) -> np.ndarray:
    first = Reading(category=row.category, second=row.second, level=row.level)
    read = [each for each in (first, *row.later) if each.category is not None]
    target = np.full(len(CATEGORIES), _SMOOTH / len(CATEGORIES))
    for each in read:
        target[each.category] += (1 - _SMOOTH - _SECOND * (each.second is not None)) / len(read)
        if each.second is not None:
            target[each.second] += _SECOND / len(read)
    return target
