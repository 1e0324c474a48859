"""What each candidate is expected to cost, and what it can cost at most."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from math import ceil
from typing import Final

from dynaroute_mcp.catalog import Model
from dynaroute_mcp.policy.filters import Objection
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.pricing import maximum_usd, price
from dynaroute_mcp.types import Candidate, Usage

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A model that passed the filters, before money is looked at."""

    model: Model
    quality: float
    output_tokens: int
    """Expected, reasoning included."""


def appraise(situation: Situation, draft: Draft) -> Candidate | Objection:
    """Put a price on a model; out when even the bounded answer could pass the request's ceiling.

    Where the caller set no `max_tokens`, the bound is lowered to what the ceiling can pay for, as long as the
    expected answer still fits in.
    """
    bound = _output_bound(situation, draft.model)
    max_usd = _max_usd(situation, draft.model, bound)
    ceiling = situation.ceiling_usd
    if ceiling is not None and max_usd is not None and max_usd > ceiling:
        bound = _affordable(situation, draft, bound, ceiling)
        if not bound:
            reason = f"over budget: up to {dollars(max_usd)}"
            return Objection(kind="budget", reason=reason, needed_usd=max_usd)
        max_usd = _max_usd(situation, draft.model, bound)
    if ceiling is not None and max_usd is None:
        return Objection(kind="price", reason="no known price, and a budget is set")
    output_tokens = min(draft.output_tokens, bound)
    usage = expected_usage(situation, draft.model, output_tokens)
    cost = price(situation.catalog, draft.model.id, situation.at, usage)
    return Candidate(
        model_id=draft.model.id,
        provider=draft.model.provider,
        quality=draft.quality,
        expected_usd=cost.total_usd if cost else None,
        max_usd=max_usd,
        max_output_tokens=bound,
        expected_output_tokens=output_tokens,
    )


def expected_usage(
    situation: Situation, model: Model, output_tokens: int, *, warm_tokens: int | None = None
) -> Usage:
    """Tokens that a call is expected to use; a conversation's own model finds its prefix in the cache.

    `warm_tokens` asks what it would be with that much of the prompt cached.
    """
    pin = situation.pin
    if warm_tokens is None:
        warm_tokens = pin.warm_tokens if pin is not None and pin.model_id == model.id else 0
    warm = min(warm_tokens, situation.input_tokens)
    return Usage(
        uncached_input_tokens=situation.input_tokens - warm,
        cache_read_tokens=warm,
        output_tokens=output_tokens,
        source="estimated",
    )


def _output_bound(situation: Situation, model: Model) -> int:
    asked = situation.request.parameters.max_tokens
    bound = situation.settings.calls.max_output_tokens if asked is None else asked
    room = model.context_tokens - situation.input_tokens
    return max(1, min(bound, model.max_output_tokens, room))


def _max_usd(situation: Situation, model: Model, output_tokens: int) -> Decimal | None:
    """Bound on the cost, with a margin on the estimated prompt and the dearest minute until the deadline."""
    total_s = situation.request.routing.timeout_s or situation.settings.calls.total_s
    instants = (situation.at, situation.at + timedelta(seconds=total_s))
    input_tokens = ceil(situation.input_tokens * situation.catalog.ladder.input_margin)
    return maximum_usd(situation.catalog, model.id, instants, input_tokens, output_tokens)


def _affordable(situation: Situation, draft: Draft, bound: int, ceiling: Decimal) -> int:
    """Output tokens that the ceiling pays for; 0 when the answer would not fit, or the caller set the bound."""
    if situation.request.parameters.max_tokens is not None:
        return 0
    prompt_usd = _max_usd(situation, draft.model, 0)
    with_million_usd = _max_usd(situation, draft.model, _MILLION)
    if prompt_usd is None or with_million_usd is None or prompt_usd > ceiling:
        return 0
    tokens = ((ceiling - prompt_usd) * _MILLION / (with_million_usd - prompt_usd)).to_integral_value(
        ROUND_FLOOR
    )
    return min(bound, int(tokens)) if tokens >= draft.output_tokens else 0
