"""Prices, use and savings as JSON."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from dynaroute_mcp.results.base import Result, dollars, pct, share_pct, usd
from dynaroute_mcp.results.keys import SubscriptionInfo

if TYPE_CHECKING:
    from dynaroute_mcp.accounts import Subscription
    from dynaroute_mcp.reports import Listing, Quote, Summary

SHOWN_GROUPS = 20
"""Most models or categories in a summary, the dearest."""


class ModelRow(Result):
    """One model of the catalog; a short row ends with `available`."""

    name: str
    litellm_id: str
    provider: str
    input_cost_per_million: float | None
    output_cost_per_million: float | None
    available: bool
    """It can be called right now."""
    cached_input_cost_per_million: float | None = None
    context_window: int = 0
    max_output_tokens: int = 0
    capabilities: tuple[str, ...] = ()
    levels: tuple[int, ...] = ()
    """Levels whose demand it meets on average."""
    status: str = ""
    retires_at: str | None = None

    @classmethod
    def of(cls, listing: "Listing", *, full: bool) -> Self:
        """Show a model in one line, or with all that is known."""
        model, rates = listing.model, listing.rates
        row: dict[str, object] = {
            "name": model.name,
            "litellm_id": model.id,
            "provider": model.provider,
            "input_cost_per_million": usd(rates.input_usd_per_mtok) if rates else None,
            "output_cost_per_million": usd(rates.output_usd_per_mtok) if rates else None,
            "available": listing.available,
        }
        if full:
            row |= {
                "cached_input_cost_per_million": usd(rates.cache_read_usd_per_mtok) if rates else None,
                "context_window": model.context_tokens,
                "max_output_tokens": model.max_output_tokens,
                "capabilities": ["text_generation", *sorted(model.capabilities)],
                "levels": [int(level) for level in listing.levels],
                "status": listing.standing,
                "retires_at": model.retires_at.isoformat() if model.retires_at else None,
            }
        return cls.model_validate(row)


class ModelList(Result):
    """Models with their prices."""

    count: int
    total: int
    """How many passed the filters; more than `count` when the list was cut."""
    currency: str
    unit: str
    models: tuple[ModelRow, ...]

    @classmethod
    def of(cls, listings: "Sequence[Listing]", *, limit: int, full: bool) -> Self:
        """Show the first models of a listing."""
        rows = [ModelRow.of(listing, full=full) for listing in listings[:limit]]
        return cls(count=len(rows), total=len(listings), currency="USD", unit="per_1m_tokens", models=rows)


class CostQuote(Result):
    """What a number of tokens costs on a model; costs are `null` when its price is unknown."""

    model_name: str
    litellm_id: str
    prompt_tokens: int
    completion_tokens: int
    input_cost: float | None
    output_cost: float | None
    total_cost: float | None
    gpt41_equivalent_cost: float | None
    savings: float | None
    savings_percentage: float | None
    currency: str

    @classmethod
    def of(cls, quote: "Quote", asked: str) -> Self:
        """Show a quote under the name that the caller used."""
        cost, gpt41 = quote.cost, quote.gpt41
        return cls(
            model_name=asked,
            litellm_id=quote.model.id,
            prompt_tokens=quote.usage.input_tokens,
            completion_tokens=quote.usage.output_tokens,
            input_cost=usd(cost.input_usd) if cost else None,
            output_cost=usd(cost.output_usd) if cost else None,
            total_cost=usd(cost.total_usd) if cost else None,
            gpt41_equivalent_cost=usd(gpt41.baseline_usd) if gpt41 else None,
            savings=usd(gpt41.saved_usd) if gpt41 else None,
            savings_percentage=pct(gpt41.saved_pct) if gpt41 else None,
            currency="USD",
        )


class GroupUse(Result):
    """The calls of one model or one category."""

    name: str
    requests: int
    total_tokens: int
    cost: float


class UsageSummary(Result):
    """What a caller used, with what the same tokens would have cost on GPT-4.1."""

    period: str
    total_requests: int
    successful_requests: int
    total_prompt_tokens: int
    total_completion_tokens: int
    total_tokens: int
    total_cost: float
    gpt41_equivalent_cost: float
    total_savings: float
    savings_percentage: float
    unpriced_requests: int
    """Calls whose price is unknown, or whose process died during them; they are in no sum of dollars."""
    estimated_requests: int
    """Calls whose tokens are estimates."""
    sandbox: bool
    """All of it was simulated: by a `dr_test_` key, or because no provider can be called."""
    simulated_requests: int
    """Calls that the sandbox answered instead; they are in no other figure."""
    by_model: tuple[GroupUse, ...]
    by_category: tuple[GroupUse, ...]
    subscription: SubscriptionInfo

    @classmethod
    def of(cls, summary: "Summary", subscription: "Subscription", simulated: int = 0) -> Self:
        """Show a summary beside the plan, and how many calls the sandbox answered where they are known."""
        total = summary.total
        saved = total.gpt41_usd - total.cost_usd

        by_model, by_category = (
            [
                GroupUse(
                    name=row.group,
                    requests=row.requests,
                    total_tokens=row.input_tokens + row.output_tokens,
                    cost=dollars(row.cost_usd),
                )
                for row in rows[:SHOWN_GROUPS]
            ]
            for rows in (summary.by_model, summary.by_category)
        )
        return cls(
            period=summary.period,
            total_requests=total.requests,
            successful_requests=total.successful,
            total_prompt_tokens=total.input_tokens,
            total_completion_tokens=total.output_tokens,
            total_tokens=total.input_tokens + total.output_tokens,
            total_cost=dollars(total.cost_usd),
            gpt41_equivalent_cost=dollars(total.gpt41_usd),
            total_savings=dollars(saved),
            savings_percentage=share_pct(saved, total.gpt41_usd),
            unpriced_requests=total.unpriced,
            estimated_requests=total.estimated,
            sandbox=summary.sandbox,
            simulated_requests=0 if summary.sandbox else simulated,
            by_model=by_model,
            by_category=by_category,
            subscription=SubscriptionInfo.of(subscription),
        )


class Cumulative(Result):
    """All that a key has saved until now."""

    total_requests: int
    actual_cost: float
    gpt41_equivalent_cost: float
    savings: float
    savings_percentage: float


class CostSavings(Result):
    """What a number of tokens saves against GPT-4.1; negative when the model is dearer."""

    model_used: str
    litellm_id: str
    prompt_tokens: int
    completion_tokens: int
    actual_cost: float | None
    gpt41_equivalent_cost: float | None
    savings: float | None
    savings_percentage: float | None
    cumulative: Cumulative | None
    """`null` without a DynaRoute key."""

    @classmethod
    def of(cls, quote: "Quote", asked: str, summary: "Summary | None") -> Self:
        """Show a quote's saving, and the key's sum."""
        priced = CostQuote.of(quote, asked)
        total = summary.total if summary else None
        saved = total.gpt41_usd - total.cost_usd if total else Decimal(0)
        return cls(
            model_used=asked,
            litellm_id=priced.litellm_id,
            prompt_tokens=priced.prompt_tokens,
            completion_tokens=priced.completion_tokens,
            actual_cost=priced.total_cost,
            gpt41_equivalent_cost=priced.gpt41_equivalent_cost,
            savings=priced.savings,
            savings_percentage=priced.savings_percentage,
            cumulative=Cumulative(
                total_requests=total.requests,
                actual_cost=dollars(total.cost_usd),
                gpt41_equivalent_cost=dollars(total.gpt41_usd),
                savings=dollars(saved),
                savings_percentage=share_pct(saved, total.gpt41_usd),
            )
            if total
            else None,
        )
