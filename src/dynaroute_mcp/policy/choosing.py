"""The choice: sift, price, rank. Pure: the same situation gives the same choice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import mul
from typing import Final

from dynaroute_mcp.policy.demand import (
    Entrant,
    Weights,
    demanded_level,
    demanded_quality,
    expectation,
    skill_weights,
)
from dynaroute_mcp.policy.estimate import Contender, Length, Terms, appraise, call_cost, candidate, terms
from dynaroute_mcp.policy.explain import notes, praise, refusal
from dynaroute_mcp.policy.filters import Objection, Screen, cooling, exclusions, screen, window
from dynaroute_mcp.policy.rank import Lead, Ranking, chain_from, conversation_lead, rank, rule_lead
from dynaroute_mcp.policy.situation import Expectation, Situation, needs
from dynaroute_mcp.policy.verdict import Verdict
from dynaroute_mcp.policy.why import Why
from dynaroute_mcp.pricing import dollars_of
from dynaroute_mcp.types import ChatRequest, Choice

_DIGITS: Final = 6
"""Qualities are compared at this many digits, so that the order of a sum of floats cannot decide."""
_PARTS: Final = 10.0**_DIGITS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sieve:
    """What a model has to pass, worked out once for all models."""

    weights: Weights
    expected: Expectation
    money: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sifted:
    """The models that can be asked, parted."""

    ready: Mapping[str, Contender]
    resting: Mapping[str, Contender]
    """To be probed when nobody else is left."""
    out: Mapping[str, Objection]
    """Why the others can't answer; who rests is among them."""


def choose(situation: Situation) -> Choice:
    """Choose the model for a request and the fallbacks behind it.

    Hard filters come first, and an exclusion always wins. Of what is left, `balanced` takes the lowest
    expected cost that meets the demanded quality, `cheapest` the same with the demand one step lower, `best`
    the highest quality. A model that the caller names is taken alone, a rule's or a conversation's before the
    first choice.

    Raises:
        UnknownName: the request names a model that does not exist.
        ContextTooLong: no model that could be asked has a window for it.
        NoCandidate: no model passes every hard filter; the message says why and what to do.
    """
    ladder, label = situation.catalog.ladder, situation.classification
    level = demanded_level(label.levels, ladder.quantile[situation.strategy])
    difficulty = None if label.level_overridden else label.difficulty
    demanded = round(demanded_quality(ladder, level, situation.strategy, difficulty), _DIGITS)
    excluded, money = exclusions(situation), terms(situation)
    screened = screen(situation, needs(situation.request), excluded)
    sifted = _sift(situation, screened, money)
    ranking = rank(situation, sifted.ready.values(), demanded)
    lead = _lead(situation, money, ranking)
    verdict = Verdict(
        winner=lead.contender or ranking.order[0],
        ranking=ranking,
        lead=lead,
        screened=screened,
        out=sifted.out,
        level=level,
        demanded=demanded,
        unknown_exclusions=excluded.unknown,
    )
    return _choice(situation, money, verdict, sifted.resting.values())


def _choice(situation: Situation, money: Terms, verdict: Verdict, resting: Iterable[Contender]) -> Choice:
    winner, fallbacks = verdict.winner, situation.catalog.ladder.fallbacks
    chain = chain_from(winner, verdict.ranking, fallbacks)
    if resting:
        chain = (*chain, *rank(situation, resting, verdict.demanded).order)[: fallbacks + 1]
    least = call_cost(situation, money, winner, 0)
    return Choice(
        chain=tuple([candidate(situation, money, each) for each in chain]),
        reason=praise(situation, verdict),
        strategy=situation.strategy,
        demanded_level=verdict.level,
        demanded_quality=verdict.demanded,
        meets_demand=winner.quality >= verdict.demanded,
        expected_output_tokens=winner.output_tokens,
        input_tokens=situation.input_tokens,
        min_usd=None if least is None else dollars_of(least),
        dearest_id=max(verdict.ranking.order, key=lambda each: (each.cost or 0, each.model_id)).model_id,
        notes=notes(situation, verdict),
        explanation=Why(situation, money, verdict),
    )


def _sift(situation: Situation, screened: Screen, money: Terms) -> _Sifted:
    """Part the models that can be asked into those that can answer, those that rest, and those that cannot, and why.

    Where all that could answer rest, they count as ready: somebody must be asked. Else a resting one stands
    behind all others, to be probed when nobody else is left.
    """
    sieve = _Sieve(
        weights=skill_weights(situation.catalog, situation.classification.categories),
        expected=expectation(situation),
        money=money,
    )
    ready: dict[str, Contender] = {}
    resting: dict[str, Contender] = {}
    out: dict[str, Objection] = {}
    for each in screened.open:
        model, verdict = each.model, _examine(situation, sieve, each)
        if isinstance(verdict, Objection):
            out[model.id] = verdict
        elif (wait := cooling(situation, model)) is not None:
            resting[model.id] = verdict
            out[model.id] = wait
        else:
            ready[model.id] = verdict
    if not ready and not resting:
        raise refusal(situation, {**screened.barred, **out})
    if ready:
        return _Sifted(ready=ready, resting=resting, out=out)
    rest = {key: objection for key, objection in out.items() if key not in resting}
    return _Sifted(ready=resting, resting={}, out=rest)


def _examine(situation: Situation, sieve: _Sieve, each: Entrant) -> Contender | Objection:
    expected, prompt = sieve.expected, situation.input_tokens
    length = _length(situation.request, expected, each, min(sieve.money.output_tokens, each.most_output))
    if prompt > each.prompt_room or prompt + length.output_tokens > each.room:
        return window(prompt, each, length.output_tokens)
    fitness = each.unrated if each.ratings is None else sum(map(mul, each.ratings, sieve.weights))
    rounded = int(fitness * _PARTS + 0.5) / _PARTS  # as `round` has it, in a third of its time
    return appraise(situation, sieve.money, each, rounded, length)


def _length(request: ChatRequest, expected: Expectation, each: Entrant, most: int) -> Length:
    """How long a model's answer will be, of at most so many tokens.

    Thinking counts as output: where it is expected to take more than half of the caller's `max_tokens` and to cut
    the answer off, less of it is asked for. A model that the caller names, or gives an effort, is left as asked.
    """
    visible = expected.visible_tokens
    if not each.thinking:
        return Length(min(visible, most))
    thought = round(expected.reasoning_tokens * each.thinking)
    half, beside = most // 2, most - visible
    if thought <= half or thought <= beside or request.parameters.max_tokens is None:
        return Length(min(visible + thought, most))
    effort = None
    for share, effort in each.calmer if request.model is None else ():
        thought = round(expected.reasoning_tokens * share)
        if thought <= half or thought <= beside:
            return Length(min(visible + thought, most), effort)
    return Length(most, effort, thought)


def _lead(situation: Situation, money: Terms, ranking: Ranking) -> Lead:
    if situation.request.model:
        return Lead(contender=ranking.order[0], note="the request names it")
    rule = rule_lead(situation, ranking.order)
    if rule is not None and rule.contender is not None:
        return rule
    return conversation_lead(situation, money, ranking) or rule or Lead(contender=None)
