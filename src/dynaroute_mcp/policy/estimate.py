"""What each model is expected to cost, and what it can cost at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from math import ceil
from typing import Final

from dynaroute_mcp.overcount import HONEST
from dynaroute_mcp.policy.demand import Entrant
from dynaroute_mcp.policy.filters import Objection
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.pricing import Step, Tariff, dollars_of, expected_cost, maximum_cost, tariff_at, units_of
from dynaroute_mcp.types import CacheTtl, Candidate, Effort

_MILLION: Final = 1_000_000


@dataclass(slots=True, eq=False)
class Contender:
    """A model that could answer, with what a ranking needs of it. Two are the same only if they are one.

    Not frozen, since it is made for every model and every request, and a frozen one takes thrice the time to
    make.
    """

    model_id: str
    provider: str
    quality: float
    """Fitness for the category, in [0, 1]."""
    cost: int | None
    """Expected, in units of `pricing`; `None` when the model has no known price."""
    output_tokens: int
    """Answer and hidden reasoning behind `cost`."""
    bound: int
    """Most output tokens."""
    effort: Effort | None
    """To be asked for, so that thinking leaves room for the answer; `None` leaves it to the request."""
    crowded: int
    """Thinking tokens, where they are expected to leave too little of the caller's `max_tokens` to the answer; else 0."""

    @property
    def usd(self) -> Decimal | None:
        """The expected cost in dollars."""
        return None if self.cost is None else dollars_of(self.cost)


@dataclass(slots=True, eq=False)
class Length:
    """How long an answer is expected to be. Not frozen, as `Contender`."""

    output_tokens: int
    """Reasoning included."""
    effort: Effort | None = None
    """See `Contender`."""
    crowded: int = 0
    """See `Contender`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What money looks like in a situation, worked out once for all models."""

    steps: Mapping[str, Step]
    """What each model charges now, for this prompt."""
    billed: tuple[Tariff, ...]
    """Of now, and of the deadline where that is another."""
    ceiling: int | None
    """What the request may cost, in units."""
    input_tokens: int
    """Upper bound of the prompt: the estimate and a margin."""
    output_tokens: int
    """Bound on the output, before a model's own."""
    cache_ttls: frozenset[CacheTtl]
    """How long parts of the prompt are to be cached."""


def terms(situation: Situation) -> Terms:
    """Look up what holds for every model."""
    total_s = situation.request.routing.timeout_s or situation.settings.calls.total_s
    now = tariff_at(situation.catalog, situation.at)
    later = tariff_at(situation.catalog, situation.at + timedelta(seconds=total_s))
    asked, ceiling_usd = situation.request.parameters.max_tokens, situation.ceiling_usd
    return Terms(
        steps=now.at_size(situation.input_tokens),
        billed=(now,) if later is now else (now, later),
        ceiling=None if ceiling_usd is None else units_of(ceiling_usd),
        input_tokens=ceil(situation.input_tokens * situation.catalog.ladder.input_margin),
        output_tokens=situation.settings.calls.max_output_tokens if asked is None else asked,
        cache_ttls=situation.request.cache_ttls,
    )


def appraise(
    situation: Situation, money: Terms, each: Entrant, quality: float, length: Length
) -> Contender | Objection:
    """Put a price on a model; out when even the bounded answer could pass the request's ceiling.

    Where the caller set no `max_tokens`, the bound is lowered to what the ceiling can pay for, as long as the
    expected answer still fits in.

    Args:
        situation: the request and its world.
        money: its terms.
        each: passed the filters.
        quality: its fitness.
        length: of its answer.
    """
    room = each.context_tokens - situation.input_tokens
    bound = min(money.output_tokens, each.most_output)
    bound = bound if bound < room else max(room, 1)
    if money.ceiling is not None or situation.priced_only:
        paid = _paid_bound(situation, money, each.model_id, bound, length.output_tokens)
        if isinstance(paid, Objection):
            return paid
        bound = paid
    tokens = min(bound, length.output_tokens)
    cost = call_cost(situation, money, each, tokens)
    effort, crowded = length.effort, length.crowded
    return Contender(each.model_id, each.provider, quality, cost, tokens, bound, effort, crowded)


def call_cost(
    situation: Situation,
    money: Terms,
    each: Entrant | Contender,
    output_tokens: int,
    *,
    warm_tokens: int | None = None,
) -> int | None:
    """What a call is expected to cost, in units; a conversation's own model finds its prefix in the cache.

    Where a provider caches what is marked, all of that which is not in its cache yet is written into it.
    `warm_tokens` asks what it would be with that much of the prompt cached.
    """
    step, pin, prompt = money.steps.get(each.model_id), situation.pin, situation.input_tokens
    if step is None:
        return None
    stays = pin is not None and pin.model_id == each.model_id
    if warm_tokens is None:
        if not stays and not situation.marked_tokens:
            return prompt * step.input + output_tokens * step.output
        warm_tokens = pin.warm_tokens if pin is not None and stays else 0
    on_demand = situation.catalog.providers[each.provider].caches_on_demand
    marked = _marked(situation, each) if on_demand else 0
    cached = marked if on_demand and (marked or not stays) else prompt
    warm = min(warm_tokens, cached)
    written = max(marked - warm, 0)
    # Of both kinds, the marks of five minutes stand last: where a conversation grows, they are what is written.
    hour = "5m" not in money.cache_ttls
    return expected_cost(
        step, prompt - warm - written, warm, output_tokens, written_tokens=written, hour=hour
    )


def _marked(situation: Situation, each: Entrant | Contender) -> int:
    """How much of the prompt a model that caches what is marked does cache."""
    least = situation.catalog.by_id[each.model_id].constraints.min_cacheable_tokens or 0
    return situation.marked_tokens if situation.marked_tokens >= least else 0


def candidate(situation: Situation, money: Terms, found: Contender) -> Candidate:
    """Say of a contender in dollars what it is expected to cost, and what it can cost at most."""
    most = _most(situation, money, found.model_id, found.bound)
    return Candidate(
        model_id=found.model_id,
        provider=found.provider,
        quality=found.quality,
        expected_usd=found.usd,
        max_usd=None if most is None else dollars_of(most),
        max_output_tokens=found.bound,
        expected_output_tokens=found.output_tokens,
        effort=found.effort,
    )


def _paid_bound(
    situation: Situation, money: Terms, model_id: str, bound: int, output_tokens: int
) -> int | Objection:
    """The output that the ceiling pays for, at most the bound."""
    most = _most(situation, money, model_id, bound)
    if most is None:
        return Objection(kind="price", reason="no known price, and a budget is set")
    if money.ceiling is None or most <= money.ceiling:
        return bound
    affordable = _affordable(situation, money, model_id, bound, output_tokens)
    if affordable:
        return affordable
    needed_usd = dollars_of(most)
    return Objection(kind="budget", reason=f"over budget: up to {dollars(needed_usd)}", needed_usd=needed_usd)


def _most(situation: Situation, money: Terms, model_id: str, output_tokens: int) -> int | None:
    """What a call can cost at most, by what its provider was seen to count."""
    over = situation.overcounts.get(model_id, HONEST)
    prompt, answer = over.input_bound(money.input_tokens), over.output_bound(output_tokens)
    return maximum_cost(money.billed, model_id, prompt, answer, hour="1h" in money.cache_ttls)


def _affordable(situation: Situation, money: Terms, model_id: str, bound: int, output_tokens: int) -> int:
    """Output tokens that the ceiling pays for; 0 when the answer would not fit, or the caller set the bound."""
    ceiling = money.ceiling
    prompt, with_million = (_most(situation, money, model_id, tokens) for tokens in (0, _MILLION))
    if situation.request.parameters.max_tokens is not None or ceiling is None:
        return 0
    if prompt is None or with_million is None or prompt > ceiling:
        return 0
    tokens = (ceiling - prompt) * _MILLION // (with_million - prompt)
    if (_most(situation, money, model_id, tokens) or 0) > ceiling:
        tokens -= 1  # an overcount is rounded up to a whole token
    return min(bound, tokens) if tokens >= output_tokens else 0
