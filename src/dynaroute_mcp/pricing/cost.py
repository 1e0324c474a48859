"""What tokens cost, by the row in force at an instant."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

from dynaroute_mcp.catalog import Calendar, Catalog, Price, UsdPerMtok
from dynaroute_mcp.types import Attempt, Cost, Usage

Processing = Literal["standard", "batch"]

ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
NOTHING: Final = Cost(input_usd=ZERO, output_usd=ZERO, basis="nothing was used")
"""What a call costs that no provider answered."""

PER_MILLION: Final = -6
_ANY: Final = -1
_SHEETS: Final = 512
"""Days' prices of a model that are remembered."""
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
    at = at.astimezone(UTC)
    sheet = _sheet(catalog, model_id, at.date(), processing)
    return None if sheet is None else cost_at(sheet.rates(usage.input_tokens, at), usage, sheet.basis)


def lost(catalog: Catalog, attempts: Iterable[Attempt], at: datetime) -> Cost | None:
    """What failed tries cost all the same, as far as their providers told and prices are known; `None` is nothing."""
    found = [price(catalog, each.model_id, at, each.usage) for each in attempts if each.usage is not None]
    costs = [cost for cost in found if cost is not None]
    if not costs:
        return None
    return Cost(
        input_usd=sum((cost.input_usd for cost in costs), ZERO),
        output_usd=sum((cost.output_usd for cost in costs), ZERO),
        basis=" + ".join(dict.fromkeys(f"{cost.basis} for failed tries" for cost in costs)),
    )


def both(cost: Cost, more: Cost | None) -> Cost:
    """Two costs in one."""
    if more is None:
        return cost
    return Cost(
        input_usd=cost.input_usd + more.input_usd,
        output_usd=cost.output_usd + more.output_usd,
        basis=f"{cost.basis} + {more.basis}",
    )


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
    at = at.astimezone(UTC)
    sheet = _sheet(catalog, model_id, at.date(), processing)
    return None if sheet is None else sheet.rates(input_tokens, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """What a model charges on a day."""

    sizes: tuple[tuple[int, Rates], ...]
    """Rates for prompts above so many tokens, by falling size; the last ones hold for any."""
    calendar: Calendar | None
    basis: str

    def rates(self, input_tokens: int, at: datetime) -> Rates:
        """What it charges at an instant, in UTC, for a prompt of this size."""
        rates = next(rates for above, rates in self.sizes if input_tokens > above)
        dear = self.calendar is not None and at_peak(self.calendar, at)
        return rates.scaled(self.calendar.multiplier) if self.calendar is not None and dear else rates


@lru_cache(maxsize=_SHEETS)
def _sheet(catalog: Catalog, model_id: str, day: date, processing: Processing) -> _Sheet | None:
    basis = f"{model_id}@{{}}#{catalog.digest}"
    model = catalog.by_id.get(model_id)
    if model is not None and model.free:
        return _Sheet(sizes=((_ANY, FREE),), calendar=None, basis=basis.format("free"))
    row = catalog.find_price(model_id, datetime.combine(day, time(), tzinfo=UTC))
    table = row.batch if row is not None and processing == "batch" else row
    if row is None or table is None:
        return None
    tables = [(_ANY, table.usd_per_mtok), *((tier.above_tokens, tier.usd_per_mtok) for tier in table.tiers)]
    return _Sheet(
        sizes=tuple((above, resolved(rates)) for above, rates in reversed(tables)),
        calendar=None if row.calendar is None else catalog.calendars[row.calendar],
        basis=basis.format(row.valid_from),
    )


forget = _sheet.cache_clear


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
    return (tokens * usd_per_mtok).scaleb(PER_MILLION) if tokens else ZERO


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
