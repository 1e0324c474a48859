"""How often categories and levels occur: in real use, and in the text that we train on.

The corpus has nearly as many prompts of every category, and harder ones than people send. A model fitted with
`logits + log(share in its source / share in use)` learns logits that are right for use.
"""

from collections import Counter
from typing import Final

import numpy as np

from training.data import CATEGORIES, Row

LEVELS_IN_USE: Final = np.array([0.30, 0.53, 0.145, 0.022, 0.003])
"""Shares of the levels in public real prompts, July to November 2026; the last two from very few."""
_FLATTEN: Final = 0.5
"""Exponent on the shares of categories: rare ones must still be found when they come."""


def shares(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed shares of the 31 categories and, of all readings, of the five levels."""
    categories = Counter(row.category for row in rows)
    c = np.array([categories[number] + 5.0 for number in range(len(CATEGORIES))])
    hard = np.full(5, 2.0)
    for row in rows:
        read = [row.level, *(each.level for each in row.later)]
        hard += np.bincount(read, minlength=5) / len(read)
    return c / c.sum(), hard / hard.sum()


def importance(levels: np.ndarray) -> np.ndarray:
    """Weight of each row, given its level (0 to 4), so that together they are as hard as real use; the mean is 1."""
    share = np.bincount(levels, minlength=len(LEVELS_IN_USE)) / len(levels)
    weight = LEVELS_IN_USE[levels] / share[levels]
    return weight / weight.mean()


def offsets(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the logits of each row while fitting: (rows, 31) and (rows, 5)."""
    own = [row for row in rows if row.source == "corpus"]
    public = [row for row in rows if row.source not in {"corpus", "exams"}]
    c, hard = np.zeros((len(rows), len(CATEGORIES))), np.zeros((len(rows), 5))
    use = shares(public)[0] ** _FLATTEN if public else np.ones(len(CATEGORIES))
    use = use / use.sum()
    for part in (own, public):
        if not part:
            continue
        share_c = shares(part)[0]
        share_l = shares([row for row in part if row.graded])[1]
        names = {row.source for row in part}
        mask = np.array([row.source in names for row in rows])
        c[mask] = np.log(share_c / use)
        hard[mask] = np.log(share_l / LEVELS_IN_USE)
    return c, hard
