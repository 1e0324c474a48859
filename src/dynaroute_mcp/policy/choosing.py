"""The choice: sift, price, rank, and say why. Pure: the same situation gives the same choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dynaroute_mcp.policy.demand import (
    Entrant,
    Weights,
    demanded_level,
    demanded_quality,
    expectation,
    fitness,
    skill_weights,
)
from dynaroute_mcp.policy.estimate import Terms, appraise, call_usd, terms
from dynaroute_mcp.policy.explain import Verdict, losers, notes, praise, refusal, turning_points
from dynaroute_mcp.policy.filters import Objection, Screen, cooling, exclusions, screen, window
from dynaroute_mcp.policy.rank import (
    Lead,
    Ranking,
    better_than,
    chain_from,
    cheaper_than,
    conversation_lead,
    rank,
    rule_lead,
)
from dynaroute_mcp.policy.situation import Expectation, Situation, needs
from dynaroute_mcp.types import Candidate, Choice

_DIGITS: Final = 6
"""Qualities are compared at this many digits, so that the order of a sum of floats cannot decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sieve:
    """What a model has to pass, worked out once for all models."""

    weights: Weights
    expected: Expectation
    money: Terms


def choose(situation: Situation) -> Choice:
    """Choose the model for a request and the fallbacks behind it.

    Hard filters come first, and an exclusion always wins. Of what is left, `balanced` takes the lowest expected cost
    that meets the demanded quality, `cheapest` the same with the demand one step lower, `best` the highest
    quality. A model that the caller names is taken alone, a rule's or a conversation's before the first choice.

    Raises:
        UnknownName: the request names a model that does not exist.
        ContextTooLong: no model that could be asked has a window for it.
        NoCandidate: no model passes every hard filter; the message says why and what to do.
    """
    ladder, label = situation.catalog.ladder, situation.classification
    level = demanded_level(label.levels, ladder.quantile[situation.strategy])
    difficulty = None if label.level_overridden else label.difficulty
    demanded = round(demanded_quality(ladder, level, situation.strategy, difficulty), _DIGITS)
    excluded, money, asked = exclusions(situation), terms(situation), needs(situation.request)
    screened = screen(situation, asked, excluded)
    ready, resting, out = _sift(situation, screened, money)
    ranking = rank(situation, ready.values(), demanded)
    lead = _lead(situation, money, ranking)
    winner = lead.candidate or ranking.order[0]
    chain = chain_from(winner, ranking, ladder.fallbacks)
    verdict = Verdict(
        winner=winner,
        ranking=ranking,
        lead=lead,
        screened=screened,
        out=out,
        level=level,
        demanded=demanded,
        unknown_exclusions=excluded.unknown,
    )
    if resting:
        chain = (*chain, *rank(situation, resting.values(), demanded).order)[: ladder.fallbacks + 1]
    return Choice(
        chain=chain,
        reason=praise(situation, verdict),
        losers=losers(situation, verdict),
        strategy=situation.strategy,
        demanded_level=level,
        demanded_quality=demanded,
        meets_demand=winner.quality >= demanded,
        expected_output_tokens=winner.expected_output_tokens,
        input_tokens=situation.input_tokens,
        min_usd=call_usd(situation, money.now, winner.model_id, 0),
        cheaper=cheaper_than(winner, ranking.order),
        better=better_than(winner, ranking.order),
        dearest=max(ranking.order, key=lambda each: (each.expected_usd or Decimal(0), each.model_id)),
        notes=notes(situation, verdict),
        turning_points=turning_points(situation, verdict),
    )


def _sift(
    situation: Situation, screened: Screen, money: Terms
) -> tuple[Mapping[str, Candidate], Mapping[str, Candidate], Mapping[str, Objection]]:
    """Part the models that can be asked into those that can answer, those that rest, and those that cannot, and why.

    Where all that could answer rest, they count as ready: somebody must be asked. Else a resting one stands behind
    all others, to be probed when nobody else is left.
    """
    sieve = _Sieve(
        weights=skill_weights(situation.catalog, situation.classification.categories),
        expected=expectation(situation),
        money=money,
    )
    ready: dict[str, Candidate] = {}
    resting: dict[str, Candidate] = {}
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
        return ready, resting, out
    return resting, {}, {key: objection for key, objection in out.items() if key not in resting}


def _examine(situation: Situation, sieve: _Sieve, each: Entrant) -> Candidate | Objection:
    expected = sieve.expected
    output_tokens = expected.visible_tokens + round(expected.reasoning_tokens * each.thinking)
    objection = window(situation, each.model, output_tokens)
    if objection is not None:
        return objection
    quality = round(fitness(each.ratings, sieve.weights, each.unrated), _DIGITS)
    return appraise(situation, sieve.money, each.model, quality, output_tokens)


def _lead(situation: Situation, money: Terms, ranking: Ranking) -> Lead:
    if situation.request.model:
        return Lead(candidate=ranking.order[0], note="the request names it")
    nobody = Lead(candidate=None)
    rule = rule_lead(situation, ranking.order)
    if rule is not None and rule.candidate is not None:
        return rule
    return conversation_lead(situation, money.now, ranking) or rule or nobody
