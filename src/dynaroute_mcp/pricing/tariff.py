"""All prices of an instant at once: what choosing among a hundred models looks up, worked out once for many requests.

A tariff holds as long as no announced day begins and no provider's hours change. What it says is what `price`
says.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property, lru_cache
from typing import Final

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.pricing.cost import FREE, Rates, at_peak, resolved

_KEPT: Final = 8
"""Tariffs that are remembered: today's and tomorrow's, in and out of peak hours, before and after a reload."""
_ANY: Final = -1
_DIGITS: Final = 15
"""Whole numbers add up faster than decimals: amounts are counted in units of 10^-15 dollars."""
_MTOK_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a model charges for prompts longer than a size, in units per token."""

    above_tokens: int
    input: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    dearest_input: int
    """The highest of the plain, the cached and the five-minute write rate."""
    output: int


@dataclass(frozen=True)
class Tariff:
    """What every model with a known price charges."""

    steps: Mapping[str, tuple[Step, ...]]
    """By model id; each model's by falling size, the last one for any prompt."""

    def at_size(self, input_tokens: int) -> Mapping[str, Step]:
        """What each model charges for a prompt of this size; one whose price is unknown is not in it."""
        return self._sizes[bisect_left(self._bounds, input_tokens)]

    @cached_property
    def _bounds(self) -> tuple[int, ...]:
        """Sizes above which some model charges something else."""
        return tuple(sorted({step.above_tokens for steps in self.steps.values() for step in steps[:-1]}))

    @cached_property
    def _sizes(self) -> tuple[Mapping[str, Step], ...]:
        """What holds up to each bound, and above the last."""
        sizes = (*self._bounds, self._bounds[-1] + 1 if self._bounds else 0)
        return tuple(
            {
                model_id: next(step for step in steps if size > step.above_tokens)
                for model_id, steps in self.steps.items()
            }
            for size in sizes
        )


def tariff_at(catalog: Catalog, at: datetime) -> Tariff:
    """All prices of an instant."""
    at = at.astimezone(UTC)
    peaks = frozenset(name for name, calendar in catalog.calendars.items() if at_peak(calendar, at))
    return _tariff(catalog, at.date(), peaks)


def dollars_of(units: int) -> Decimal:
    """Turn units into dollars, exactly."""
    return Decimal(units).scaleb(-_DIGITS)


def units_of(usd: Decimal) -> int:
    """Turn dollars into units, rounded half to even."""
    return int(usd.scaleb(_DIGITS).to_integral_value(ROUND_HALF_EVEN))


def expected_cost(
    step: Step,
    uncached_tokens: int,
    cache_read_tokens: int,
    output_tokens: int,
    *,
    written_tokens: int = 0,
    hour: bool = False,
) -> int:
    """Price of a call, in units; what it writes into a cache stays there for an hour, or for five minutes."""
    plain = uncached_tokens * step.input + cache_read_tokens * step.cache_read + output_tokens * step.output
    return plain + written_tokens * (step.cache_write_1h if hour else step.cache_write_5m)


def maximum_cost(
    tariffs: Sequence[Tariff], model_id: str, input_tokens: int, output_tokens: int, *, hour: bool = False
) -> int | None:
    """The most that a call can cost, in units: every input token at its dearest bucket, every output token used.

    Args:
        tariffs: of the first and the last moment at which the call may be billed; the dearest counts.
        model_id: canonical id.
        input_tokens: an upper bound.
        output_tokens: the bound that is sent to the provider, reasoning included.
        hour: the request asks to cache for an hour, the dearest of all where a provider sells it.

    Returns:
        `None` when the model has no known price at one of the moments.
    """
    dearest = 0
    for tariff in tariffs:
        step = tariff.at_size(input_tokens).get(model_id)
        if step is None:
            return None
        rate = max(step.dearest_input, step.cache_write_1h) if hour else step.dearest_input
        dearest = max(dearest, input_tokens * rate + output_tokens * step.output)
    return dearest


@lru_cache(maxsize=_KEPT)
def _tariff(catalog: Catalog, day: date, peaks: frozenset[str]) -> Tariff:
    priced = {model_id: _steps(catalog, model_id, day, peaks) for model_id in catalog.prices}
    free = {row.id: (_step(_ANY, FREE),) for row in catalog.models if row.free}
    return Tariff({model_id: steps for model_id, steps in (priced | free).items() if steps})


forget = _tariff.cache_clear


def _steps(catalog: Catalog, model_id: str, day: date, peaks: frozenset[str]) -> tuple[Step, ...]:
    row = catalog.find_price(model_id, datetime.combine(day, time(), tzinfo=UTC))
    if row is None:
        return ()
    factor = catalog.calendars[row.calendar].multiplier if row.calendar in peaks else Decimal(1)
    tables = [(_ANY, row.usd_per_mtok), *((tier.above_tokens, tier.usd_per_mtok) for tier in row.tiers)]
    return tuple(_step(above, resolved(rates).scaled(factor)) for above, rates in reversed(tables))


def _step(above_tokens: int, rates: Rates) -> Step:
    plain, cached, written, written_1h = (
        units_of(usd.scaleb(-_MTOK_DIGITS))
        for usd in (
            rates.input_usd_per_mtok,
            rates.cache_read_usd_per_mtok,
            rates.cache_write_5m_usd_per_mtok,
            rates.cache_write_1h_usd_per_mtok,
        )
    )
    return Step(
        above_tokens=above_tokens,
        input=plain,
        cache_read=cached,
        cache_write_5m=written,
        cache_write_1h=written_1h,
        dearest_input=max(plain, cached, written),
        output=units_of(rates.output_usd_per_mtok.scaleb(-_MTOK_DIGITS)),
    )
