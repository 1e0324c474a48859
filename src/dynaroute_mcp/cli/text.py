"""What may reach a terminal, and how figures are written for people. Pure."""

import re
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MICRO: Final = Decimal("0.000001")


def clean(text: str) -> str:
    """Take out what could steer a terminal or reorder a line: control characters, bidi overrides, surrogates.

    Newlines and tabs stay.
    """
    return _UNSAFE.sub("", text)


def one_line(text: str) -> str:
    """Clean text and put it on one line."""
    return " ".join(clean(text).split())


def escape(document: str) -> str:
    """Write what `clean` would take out as JSON escapes: the document stays the same value and is safe to look at."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", document)


def usd(amount: Decimal | None) -> str:
    """Write dollars: two decimals from a dollar up, below it what is there of six, or of nine for less than a millionth."""
    if amount is None:
        return "unknown"
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size == 0:
        return "$0"
    if size >= 1:
        return f"{sign}${_rounded(size, '0.01'):,}"
    exact = f"{_rounded(size, '0.000001' if size >= _MICRO else '0.000000001'):f}".rstrip("0")
    return f"{sign}${exact}{'0' * max(0, 2 - len(exact.partition('.')[2]))}"


def rate(amount: Decimal | None) -> str:
    """Write a price per million tokens: two decimals, more only where it has more."""
    if amount is None:
        return "?"
    exact = amount.normalize()
    return f"{exact:f}" if -int(exact.as_tuple().exponent) > 2 else f"{amount:.2f}"  # noqa: PLR2004 -- cents


def pct(share: Decimal) -> str:
    """Write percent with two decimals."""
    return f"{_rounded(share, '0.01')} %"


def tokens(count: int | None) -> str:
    """Write a size of a window: 128k, 1.05M."""
    if count is None:
        return "?"
    if count >= 1_000_000:  # noqa: PLR2004
        return f"{count / 1_000_000:.3g}M"
    return f"{count // 1000}k" if count >= 1000 else str(count)  # noqa: PLR2004


def counted(count: int, noun: str) -> str:
    """Write a number of things whose plural ends in s: 1 call, 2 calls."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def when(instant: datetime | None) -> str:
    """Write a time to the second, in UTC."""
    return "never" if instant is None else f"{instant:%Y-%m-%d %H:%M:%SZ}"


def spaced(stamp: str) -> str:
    """Write an ISO time of a result as `when` does."""
    return stamp.replace("T", " ")


def _rounded(amount: Decimal, unit: str) -> Decimal:
    return amount.quantize(Decimal(unit), rounding=ROUND_HALF_EVEN)
