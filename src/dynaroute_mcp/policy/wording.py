"""How figures are put into words."""

from decimal import Decimal
from typing import Final

_FINE: Final = Decimal("0.0001")
_EASY, _HARD = 0.15, 0.3
"""Difficulty of the median and of the hardest sixth of public chat prompts (see ladder.yaml)."""


def dollars(usd: Decimal) -> str:
    """A dollar amount at four decimals, or at six when it is too small for that."""
    if usd >= _FINE or not usd or usd <= -_FINE:
        return f"${usd:.4f}"
    return f"${usd:.6f}"


def small_model(difficulty: float) -> str:
    """What to expect of a small model, with the chance that it falls short where a frontier model would not."""
    if difficulty < _EASY:
        return f"a small model would likely do: {difficulty:.2f}"
    if difficulty < _HARD:
        return f"a small model may do: {difficulty:.2f}"
    return f"a small model may well fall short: {difficulty:.2f}"
