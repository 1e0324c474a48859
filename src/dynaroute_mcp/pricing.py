"""Tokens to dollars, and dollars to savings. Pure, exact, `Decimal` only; rounding is the store's business.

A price is a function of model, instant, prompt size and processing. Unknown is `None` and never 0: only a model
that says it is free costs nothing.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

from dynaroute_mcp.catalog import Calendar, Catalog, Price, UsdPerMtok
from dynaroute_mcp.types import Cost, Saving, Usage

Processing = Literal["standard", "batch"]

ZERO: Final = Decimal(0)
NOTHING: Final = Cost(input_usd=ZERO, output_usd=ZERO, basis="nothing was used")
"""What a call costs that no provider answered."""

_GPT41: Final = "gpt-4.1"
_PER_MILLION: Final = -6
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


_FREE: Final = Rates(
    input_usd_per_mtok=ZERO,
    output_usd_per_mtok=ZERO,
    cache_read_usd_per_mtok=ZERO,
    cache_write_5m_usd_per_mtok=ZERO,
    cache_write_1h_usd_per_mtok=ZERO,
)


def price(
    catalog: Catalog, model_id: str, at: datetime, usage: Usage, *, processing: Processing = "standard"
) -> Cost | None:
    """Price one call by the row in force at `at`, exactly; `None` when the model has no known price then."""
    rates = current_rates(catalog, model_id, at, input_tokens=usage.input_tokens, processing=processing)
    if rates is None:
        return None
    return _cost(rates, usage, _basis(catalog, model_id, at))


def quote(
    catalog: Catalog, model_id: str, at: datetime, prompt_tokens: int, completion_tokens: int
) -> Cost | None:
    """Price a number of tokens without any cache."""
    usage = Usage(uncached_input_tokens=prompt_tokens, output_tokens=completion_tokens)
    return price(catalog, model_id, at, usage)


def maximum_usd(
    catalog: Catalog, model_id: str, instants: tuple[datetime, ...], input_tokens: int, output_tokens: int
) -> Decimal | None:
    """The most that a call can cost: every input token at its dearest bucket, every output token used.

    Args:
        catalog: holds the prices.
        model_id: canonical id.
        instants: first and last moment at which the call may be billed; the dearest counts.
        input_tokens: an upper bound.
        output_tokens: the bound that is sent to the provider, reasoning included.
    """
    totals = []
    for at in instants:
        rates = current_rates(catalog, model_id, at, input_tokens=input_tokens)
        if rates is None:
            return None
        dearest = max(
            rates.input_usd_per_mtok, rates.cache_read_usd_per_mtok, rates.cache_write_5m_usd_per_mtok
        )
        totals.append(_usd(input_tokens, dearest) + _usd(output_tokens, rates.output_usd_per_mtok))
    return max(totals)


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
        return _FREE
    row = catalog.find_price(model_id, at)
    if row is None:
        return None
    factor = _time_factor(catalog, row, at)
    if processing == "batch":
        if row.batch_multiplier is None:
            return None
        factor *= row.batch_multiplier
    return _resolved(_tier(row, input_tokens)).scaled(factor)


def saving(
    catalog: Catalog, baseline: str, usage: Usage, total_usd: Decimal, at: datetime, *, warm_tokens: int = 0
) -> Saving | None:
    """Compare what was paid with the same tokens on a baseline; negative when the call was dearer.

    Args:
        catalog: holds the baselines and the prices.
        baseline: a frozen baseline, or any model, which is then taken at its price of the day.
        usage: what was used. Cached tokens count as cached on the baseline too.
        total_usd: what was paid.
        at: the instant of the call.
        warm_tokens: prompt tokens that the baseline would have had in its cache because the conversation would
            never have left it: moving a conversation is charged to us, not to the baseline.

    Returns:
        `None` when the baseline is unknown or has no price.
    """
    baseline_usd = _baseline_usd(catalog, baseline, _with_warm_cache(usage, warm_tokens), at)
    if baseline_usd is None:
        return None
    return Saving(
        baseline=baseline,
        baseline_usd=baseline_usd,
        saved_usd=baseline_usd - total_usd,
        saved_pct=saving_pct(baseline_usd, total_usd),
    )


def gpt41_saving(catalog: Catalog, cost: Cost, usage: Usage) -> Saving | None:
    """Compare a cost with the frozen price of GPT-4.1, whatever the day."""
    return saving(catalog, _GPT41, usage, cost.total_usd, datetime.min.replace(tzinfo=UTC))


def saving_pct(baseline_usd: Decimal, total_usd: Decimal) -> Decimal:
    """Saved share of the baseline in percent, unrounded and signed; 0 when the baseline costs nothing."""
    return (baseline_usd - total_usd) * 100 / baseline_usd if baseline_usd else ZERO


def _baseline_usd(catalog: Catalog, name: str, usage: Usage, at: datetime) -> Decimal | None:
    frozen = catalog.find_baseline(name)
    if frozen is not None:
        return _cost(_resolved(frozen.usd_per_mtok), usage, frozen.id).total_usd
    model = catalog.find_model(name)
    cost = price(catalog, model.id, at, usage) if model else None
    return cost.total_usd if cost else None


def _with_warm_cache(usage: Usage, warm_tokens: int) -> Usage:
    """The same usage with at least `warm_tokens` of its prompt read from the cache, as far as it has so many."""
    moved_uncached = min(max(warm_tokens - usage.cache_read_tokens, 0), usage.uncached_input_tokens)
    return replace(
        usage,
        uncached_input_tokens=usage.uncached_input_tokens - moved_uncached,
        cache_read_tokens=usage.cache_read_tokens + moved_uncached,
    )


def _cost(rates: Rates, usage: Usage, basis: str) -> Cost:
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
    return (tokens * usd_per_mtok).scaleb(_PER_MILLION)


def _basis(catalog: Catalog, model_id: str, at: datetime) -> str:
    row = catalog.find_price(model_id, at)
    return f"{model_id}@{row.valid_from if row else 'free'}#{catalog.digest}"


def _tier(row: Price, input_tokens: int) -> UsdPerMtok:
    """Rates of the last tier whose bound the whole prompt passes: they hold for all of its tokens."""
    passed = [tier.usd_per_mtok for tier in row.tiers if input_tokens > tier.above_tokens]
    return passed[-1] if passed else row.usd_per_mtok


def _resolved(rates: UsdPerMtok) -> Rates:
    """Give every bucket a rate: a read without a discount and a write without a surcharge are plain input."""
    write_5m = rates.input if rates.cache_write_5m is None else rates.cache_write_5m
    return Rates(
        input_usd_per_mtok=rates.input,
        output_usd_per_mtok=rates.output,
        cache_read_usd_per_mtok=rates.input if rates.cache_read is None else rates.cache_read,
        cache_write_5m_usd_per_mtok=write_5m,
        cache_write_1h_usd_per_mtok=write_5m if rates.cache_write_1h is None else rates.cache_write_1h,
    )


def _time_factor(catalog: Catalog, row: Price, at: datetime) -> Decimal:
    if row.calendar is None:
        return Decimal(1)
    calendar = catalog.calendars[row.calendar]
    return calendar.multiplier if _at_peak(calendar, at.astimezone(UTC)) else Decimal(1)


def _at_peak(calendar: Calendar, at: datetime) -> bool:
    if _WEEKDAYS[at.weekday()] not in calendar.days or at.date() in calendar.except_dates:
        return False
    return any(start <= at.time() < end for start, end in calendar.hours_utc)
