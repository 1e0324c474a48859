"""What the same tokens would have cost elsewhere: signed, with caching counted on both sides."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.pricing.cost import ZERO, Rates, cost_at, price, resolved
from dynaroute_mcp.types import Cost, Saving, Usage

_GPT41: Final = "gpt-4.1"
_BASELINES: Final = 16


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
    cost = _baseline_cost(catalog, baseline, _with_warm_cache(usage, warm_tokens), at)
    if cost is None:
        return None
    baseline_usd = cost.total_usd
    return Saving(
        baseline=baseline,
        baseline_usd=baseline_usd,
        output_usd=cost.output_usd,
        saved_usd=baseline_usd - total_usd,
        saved_pct=saving_pct(baseline_usd, total_usd),
    )


def gpt41_saving(catalog: Catalog, cost: Cost, usage: Usage) -> Saving | None:
    """Compare a cost with the frozen price of GPT-4.1, whatever the day."""
    return saving(catalog, _GPT41, usage, cost.total_usd, datetime.min.replace(tzinfo=UTC))


def saving_pct(baseline_usd: Decimal, total_usd: Decimal) -> Decimal:
    """Saved share of the baseline in percent, unrounded and signed; 0 when the baseline costs nothing."""
    return (baseline_usd - total_usd) * 100 / baseline_usd if baseline_usd else ZERO


def _baseline_cost(catalog: Catalog, name: str, usage: Usage, at: datetime) -> Cost | None:
    frozen = _frozen(catalog, name)
    if frozen is not None:
        return cost_at(frozen, usage, name)
    model = catalog.find_model(name)
    return price(catalog, model.id, at, usage) if model else None


@lru_cache(maxsize=_BASELINES)  # by catalog and name as configured: a reload brings a new catalog
def _frozen(catalog: Catalog, name: str) -> Rates | None:
    found = catalog.find_baseline(name)
    return None if found is None else resolved(found.usd_per_mtok)


forget = _frozen.cache_clear


def _with_warm_cache(usage: Usage, warm_tokens: int) -> Usage:
    """The same usage with at least `warm_tokens` of its prompt read from the cache, as far as it has so many."""
    moved_uncached = min(max(warm_tokens - usage.cache_read_tokens, 0), usage.uncached_input_tokens)
    if not moved_uncached:
        return usage
    return replace(
        usage,
        uncached_input_tokens=usage.uncached_input_tokens - moved_uncached,
        cache_read_tokens=usage.cache_read_tokens + moved_uncached,
    )
