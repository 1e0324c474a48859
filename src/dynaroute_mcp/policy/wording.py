"""How figures are put into words."""

from decimal import Decimal
from typing import Final

_FINE: Final = Decimal("0.0001")


def dollars(usd: Decimal) -> str:
    """A dollar amount at four decimals, or at six when it is too small for that."""
    if usd >= _FINE or not usd or usd <= -_FINE:
        return f"${usd:.4f}"
    return f"${usd:.6f}"


def small_model(difficulty: float, chosen: float) -> str:
    """The chance that a small model falls short where a frontier model would not, and that of the chosen one."""
    return f"risk of falling short: {difficulty:.2f} for a small model, {chosen:.2f} for this one"
