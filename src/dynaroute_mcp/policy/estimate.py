"""What each candidate is expected to cost, and what it can cost at most."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from math import ceil
from typing import Final

from dynaroute_mcp.catalog import Model
from dynaroute_mcp.overcount import HONEST
from dynaroute_mcp.policy.filters import Objection
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.pricing import Tariff, expected_usd, maximum_usd, tariff_at
from dynaroute_mcp.types import Candidate

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What money looks like in a situation, worked out once for all models."""

    now: Tariff
    billed: tuple[Tariff, ...]
    """Of now, and of the deadline where that is another."""
    ceiling_usd: Decimal | None
    input_tokens: int
    """Upper bound of the prompt: the estimate and a margin."""
    output_tokens: int
    """Bound on the output, before a model's own."""


def terms(situation: Situation) -> Terms:
    """Look up what holds for every model."""
    total_s = situation.request.routing.timeout_s or situation.settings.calls.total_s
    now = tariff_at(situation.catalog, situation.at)
    later = tariff_at(situation.catalog, situation.at + timedelta(seconds=total_s))
    asked = situation.request.parameters.max_tokens
    return Terms(
        now=now,
        billed=(now,) if later is now else (now, later),
        ceiling_usd=situation.ceiling_usd,
        input_tokens=ceil(situation.input_tokens * situation.catalog.ladder.input_margin),
        output_tokens=situation.settings.calls.max_output_tokens if asked is None else asked,
    )


def appraise(
    situation: Situation, money: Terms, model: Model, quality: float, output_tokens: int
) -> Candidate | Objection:
    """Put a price on a model; out when even the bounded answer could pass the request's ceiling.

    Where the caller set no `max_tokens`, the bound is lowered to what the ceiling can pay for, as long as the
    expected answer still fits in.

    Args:
        situation: the request and its world.
        money: its terms.
        model: passed the filters.
        quality: its fitness.
        output_tokens: expected, reasoning included.
    """
    ceiling, room = money.ceiling_usd, model.context_tokens - situation.input_tokens
    bound = max(1, min(money.output_tokens, model.max_output_tokens, room))
    max_usd = _most_usd(situation, money, model, bound)
    if ceiling is not None and max_usd is not None and max_usd > ceiling:
        bound = _affordable(situation, money, model, bound, output_tokens)
        if not bound:
            reason = f"over budget: up to {dollars(max_usd)}"
            return Objection(kind="budget", reason=reason, needed_usd=max_usd)
        max_usd = _most_usd(situation, money, model, bound)
    if max_usd is None and (ceiling is not None or situation.priced_only):
        return Objection(kind="price", reason="no known price, and a budget is set")
    output_tokens = min(output_tokens, bound)
    return Candidate(
        model_id=model.id,
        provider=model.provider,
        quality=quality,
        expected_usd=call_usd(situation, money.now, model.id, output_tokens),
        max_usd=max_usd,
        max_output_tokens=bound,
        expected_output_tokens=output_tokens,
    )


def call_usd(
    situation: Situation, tariff: Tariff, model_id: str, output_tokens: int, *, warm_tokens: int | None = None
) -> Decimal | None:
    """What a call is expected to cost; a conversation's own model finds its prefix in the cache.

    `warm_tokens` asks what it would be with that much of the prompt cached.
    """
    step = tariff.find(model_id, situation.input_tokens)
    if step is None:
        return None
    pin = situation.pin
    if warm_tokens is None:
        warm_tokens = pin.warm_tokens if pin is not None and pin.model_id == model_id else 0
    warm = min(warm_tokens, situation.input_tokens)
    return expected_usd(step, situation.input_tokens - warm, warm, output_tokens)


def _most_usd(situation: Situation, money: Terms, model: Model, output_tokens: int) -> Decimal | None:
    """What a call can cost at most, by what its provider was seen to count."""
    over = situation.overcounts.get(model.id, HONEST)
    return maximum_usd(
        money.billed, model.id, over.input_bound(money.input_tokens), over.output_bound(output_tokens)
    )


def _affordable(situation: Situation, money: Terms, model: Model, bound: int, output_tokens: int) -> int:
    """Output tokens that the ceiling pays for; 0 when the answer would not fit, or the caller set the bound."""
    ceiling = money.ceiling_usd
    prompt_usd = _most_usd(situation, money, model, 0)
    with_million_usd = _most_usd(situation, money, model, _MILLION)
    if situation.request.parameters.max_tokens is not None or ceiling is None:
        return 0
    if prompt_usd is None or with_million_usd is None or prompt_usd > ceiling:
        return 0
    tokens = ((ceiling - prompt_usd) * _MILLION / (with_million_usd - prompt_usd)).to_integral_value(
        ROUND_FLOOR
    )
    return min(bound, int(tokens)) if tokens >= output_tokens else 0
