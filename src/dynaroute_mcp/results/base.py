"""What every result is made of: the base class, and how figures, times and strings leave.

Dollars are floats rounded to six decimals, percentages to two, times ISO-8601 in UTC with a `Z`. An unknown
figure is `null`, never 0; a field that does not apply is left out (`payload` dumps what was set). Every
string can be encoded: a lone surrogate, which no JSON wire carries, becomes U+FFFD on the way in.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, model_validator

_MICRO: Final = Decimal("1e-6")
_HUNDREDTH: Final = Decimal("0.01")


class Result(BaseModel):
    """One answer, or a part of one."""

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _clean(cls, values: Any) -> Any:  # Any: whatever pydantic was given
        return encodable(values)

    def payload(self) -> dict[str, Any]:
        """Return the JSON object: the fields that were set, and nothing else."""
        return self.model_dump(mode="json", exclude_unset=True)


def usd(amount: Decimal | None) -> float | None:
    """Dollars as they leave: six decimals, half-even; unknown stays unknown."""
    return None if amount is None else dollars(amount)


def dollars(amount: Decimal) -> float:
    """Dollars that are known."""
    return float(amount.quantize(_MICRO, ROUND_HALF_EVEN))


def pct(share: Decimal) -> float:
    """A percentage as it leaves: two decimals."""
    return float(share.quantize(_HUNDREDTH, ROUND_HALF_EVEN))


def share_pct(part: Decimal, whole: Decimal) -> float:
    """A part in percent of the whole; 0 of nothing."""
    return pct(part / whole * 100) if whole else 0.0


def iso(at: datetime) -> str:
    """A time as it leaves: whole seconds in UTC, with a `Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(model_id: str) -> str:
    """A model's name without its provider."""
    return model_id.partition("/")[2] or model_id


def encodable(value: Any) -> Any:  # Any: JSON-like, of any depth
    """Replace lone surrogates in every string: they have no UTF-8, and one would lose the whole answer."""
    if isinstance(value, str):
        return (
            value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value


def is_crowded(value: object, most: int) -> bool:
    """Tell whether a JSON value holds more than so many others; it is read no further than that."""
    left_over, unread = most, [value]
    while unread:
        here = unread.pop()
        inner = here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()
        left_over -= len(inner)
        if left_over < 0:
            return True
        unread += [each for each in inner if isinstance(each, dict | list)]
    return False


def when(at: datetime | None) -> str | None:
    """A time that may not have come."""
    return None if at is None else iso(at)


def left(limit: int | None, used: int) -> int | None:
    """What a limit leaves, at least 0; without a limit no number."""
    return None if limit is None else max(0, limit - used)


def probability(value: float) -> float:
    """A probability or a rating as it leaves: four decimals."""
    return round(value, 4)
