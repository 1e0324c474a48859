"""How figures are put into words."""

from decimal import Decimal
from typing import Final

_FINE: Final = Decimal("0.0001")


def dollars(usd: Decimal) -> str:
    """A dollar amount at four decimals, or at six when it is too small for that."""
    return f"${usd:.6f}" if 0 < abs(usd) < _FINE else f"${usd:.4f}"
