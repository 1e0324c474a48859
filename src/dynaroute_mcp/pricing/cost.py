"""What tokens cost, by the row in force at an instant."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from dynaroute_mcp.catalog import Calendar, Catalog, Price, UsdPerMtok
from dynaroute_mcp.types import Cost, Usage

Processing = Literal["standard", "batch"]

ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
NOTHING: Final = Cost(input_usd=ZERO, output_usd=ZERO, basis="nothing was used")
"""What a call costs that no provider answered."""

PER_MILLION: Final = -6
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What a model charges for each bucket at one instant and prompt size, in dollars per million tokens."""

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal
    cache_read_usd_per_mtok: Decimal
    """The plain input rate where the provider gives no discount; the same holds for writes."""
    cache_write_5m_usd_per_mtok: Decimal
    cache_write_1h_usd_per_mtok: Decimal

    def scaled(self, factor: Decimal) -> "Rates":
        """All rates times a factor."""
        return Rates(
            input_usd_per_mtok=self.input_usd_per_mtok * factor,
            output_usd_per_mtok=self.output_usd_per_mtok * factor,
            cache_read_usd_per_mtok=self.cache_read_usd_per_mtok * factor,
            cache_write_5m_usd_per_mtok=self.cache_write_5m_usd_per_mtok * factor,
            cache_write_1h_usd_per_mtok=self.cache_write_1h_usd_per_mtok * factor,
        )


FREE: Final = Rates(
    input_usd_per_mtok=ZERO,
    output_usd_per_mtok=ZERO,
    cache_read_usd_per_mtok=ZERO,
    cache_write_5m_usd_per_mtok=ZERO,
    cache_write_1h_usd_per_mtok=ZERO,
)
"""Of a model that says that it costs nothing."""


def price(
    catalog: Catalog, model_id: str, at: datetime, usage: Usage, *, processing: Processing = "standard"
) -> Cost | None:
    """Price one call by the row in force at `at`, exactly; `None` when the model has no known price then."""
    rates = current_rates(catalog, model_id, at, input_tokens=usage.input_tokens, processing=processing)
    if rates is None:
        return None
    return cost_at(rates, usage, _basis(catalog, model_id, at))


def quote(
    catalog: Catalog, model_id: str, at: datetime, prompt_tokens: int, completion_tokens: int
) -> Cost | None:
    """Price a number of tokens without any cache."""
    usage = Usage(uncached_input_tokens=prompt_tokens, output_tokens=completion_tokens)
    return price(catalog, model_id, at, usage)


def current_rates(
    catalog: Catalog,
    model_id: str,
    at: datetime,
    *,
    input_tokens: int = 0,
    processing: Processing = "standard",
) -> Rates | None:
    """What a model charges at an instant for a prompt of this size; `None` when that is unknown."""
    model = catalog.by_id.get(model_id)
    if model is not None and model.free:
        return FREE
    row = catalog.find_price(model_id, at)
    if row is None:
        return None
    table = row.batch if processing == "batch" else row
    if table is None:
        return None
    rates, factor = resolved(table.at_size(input_tokens)), time_factor(catalog, row, at)
    return rates if factor == _ONE else rates.scaled(factor)


def cost_at(rates: Rates, usage: Usage, basis: str) -> Cost:
    """Apply rates to the disjoint buckets of a usage."""
    input_usd = (
        _usd(usage.uncached_input_tokens, rates.input_usd_per_mtok)
        + _usd(usage.cache_read_tokens, rates.cache_read_usd_per_mtok)
        + _usd(usage.cache_write_5m_tokens, rates.cache_write_5m_usd_per_mtok)
        + _usd(usage.cache_write_1h_tokens, rates.cache_write_1h_usd_per_mtok)
    )
    return Cost(
        input_usd=input_usd, output_usd=_usd(usage.output_tokens, rates.output_usd_per_mtok), basis=basis
    )


def _usd(tokens: int, usd_per_mtok: Decimal) -> Decimal:
    return (tokens * usd_per_mtok).scaleb(PER_MILLION)


def _basis(catalog: Catalog, model_id: str, at: datetime) -> str:
    row = catalog.find_price(model_id, at)
    return f"{model_id}@{row.valid_from if row else 'free'}#{catalog.digest}"


def resolved(rates: UsdPerMtok) -> Rates:
    """Give every bucket a rate: a read without a discount and a write without a surcharge are plain input."""
    write_5m = rates.input if rates.cache_write_5m is None else rates.cache_write_5m
    return Rates(
        input_usd_per_mtok=rates.input,
        output_usd_per_mtok=rates.output,
        cache_read_usd_per_mtok=rates.input if rates.cache_read is None else rates.cache_read,
        cache_write_5m_usd_per_mtok=write_5m,
        cache_write_1h_usd_per_mtok=write_5m if rates.cache_write_1h is None else rates.cache_write_1h,
    )


def time_factor(catalog: Catalog, row: Price, at: datetime) -> Decimal:
    """What the hour makes of a row's rates: more than 1 at a provider's peak."""
    if row.calendar is None:
        return _ONE
    calendar = catalog.calendars[row.calendar]
    return calendar.multiplier if at_peak(calendar, at.astimezone(UTC)) else _ONE


def at_peak(calendar: Calendar, at: datetime) -> bool:
    """Tell whether a provider charges its multiple at an instant, which is in UTC."""
    if _WEEKDAYS[at.weekday()] not in calendar.days or at.date() in calendar.except_dates:
        return False
    return any(start <= at.time() < end for start, end in calendar.hours_utc)
