"""How figures are put into words."""

from decimal import Decimal
from typing import Final

_FINE: Final = Decimal("0.0001")
_EASY, _HARD = 0.15, 0.3
"""Difficulty of the median and of the hardest sixth of public chat prompts (see ladder.yaml)."""


def dollars(usd: Decimal) -> str:
    """A dollar amount at four decimals, or at six when it is too small for that."""
    return f"${usd:.6f}" if 0 < abs(usd) < _FINE else f"${usd:.4f}"
