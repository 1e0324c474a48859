"""All prices of an instant at once: what choosing among a hundred models looks up, worked out once for many requests.

A tariff holds as long as no announced day begins and no provider's hours change. What it says is what `price` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Final

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.pricing.cost import FREE, PER_MILLION, ZERO, Rates, at_peak, resolved

_KEPT: Final = 8
"""Tariffs that are remembered: today's and tomorrow's, in and out of peak hours, before and after a reload."""
_ANY: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a model charges for prompts longer than a size, in dollars per token."""

    above_tokens: int
    input_usd: Decimal
    cache_read_usd: Decimal
    dearest_input_usd: Decimal
    """The highest of the plain, the cached and the five-minute write rate."""
    output_usd: Decimal


@dataclass(frozen=True, slots=True)
class Tariff:
    """What every model with a known price charges."""

    steps: Mapping[str, tuple[Step, ...]]
    """By model id; each model's by falling size, the last one for any prompt."""

    def find(self, model_id: str, input_tokens: int) -> Step | None:
        """What a model charges for a prompt of this size; `None` when that is unknown."""
        for step in self.steps.get(model_id, ()):
            if input_tokens > step.above_tokens:
                return step
        return None


def tariff_at(catalog: Catalog, at: datetime) -> Tariff:
    """All prices of an instant."""
    at = at.astimezone(UTC)
    peaks = frozenset(name for name, calendar in catalog.calendars.items() if at_peak(calendar, at))
    return _tariff(catalog, at.date(), peaks)


def expected_usd(step: Step, uncached_tokens: int, cache_read_tokens: int, output_tokens: int) -> Decimal:
    """Price of a call that writes nothing into a cache."""
    usd = uncached_tokens * step.input_usd + output_tokens * step.output_usd
    return usd + cache_read_tokens * step.cache_read_usd if cache_read_tokens else usd


def maximum_usd(
    tariffs: Sequence[Tariff], model_id: str, input_tokens: int, output_tokens: int
) -> Decimal | None:
    """The most that a call can cost: every input token at its dearest bucket, every output token used.

    Args:
        tariffs: of the first and the last moment at which the call may be billed; the dearest counts.
        model_id: canonical id.
        input_tokens: an upper bound.
        output_tokens: the bound that is sent to the provider, reasoning included.

    Returns:
        `None` when the model has no known price at one of the moments.
    """
    dearest = ZERO
    for tariff in tariffs:
        step = tariff.find(model_id, input_tokens)
        if step is None:
            return None
        dearest = max(dearest, input_tokens * step.dearest_input_usd + output_tokens * step.output_usd)
    return dearest


@lru_cache(maxsize=_KEPT)
def _tariff(catalog: Catalog, day: date, peaks: frozenset[str]) -> Tariff:
    priced = {model_id: _steps(catalog, model_id, day, peaks) for model_id in catalog.prices}
    free = {row.id: (_step(_ANY, FREE),) for row in catalog.models if row.free}
    return Tariff(priced | free)


def _steps(catalog: Catalog, model_id: str, day: date, peaks: frozenset[str]) -> tuple[Step, ...]:
    row = catalog.find_price(model_id, datetime.combine(day, time(), tzinfo=UTC))
    if row is None:
        return ()
    factor = catalog.calendars[row.calendar].multiplier if row.calendar in peaks else Decimal(1)
    tables = [(_ANY, row.usd_per_mtok), *((tier.above_tokens, tier.usd_per_mtok) for tier in row.tiers)]
    return tuple(_step(above, resolved(rates).scaled(factor)) for above, rates in reversed(tables))


def _step(above_tokens: int, rates: Rates) -> Step:
    per_token = rates.scaled(Decimal(1).scaleb(PER_MILLION))
    return Step(
        above_tokens=above_tokens,
        input_usd=per_token.input_usd_per_mtok,
        cache_read_usd=per_token.cache_read_usd_per_mtok,
        dearest_input_usd=max(
            per_token.input_usd_per_mtok,
            per_token.cache_read_usd_per_mtok,
            per_token.cache_write_5m_usd_per_mtok,
        ),
        output_usd=per_token.output_usd_per_mtok,
    )
