"""The order of the contenders that are left, and whether a conversation stays where it is."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from dynaroute_mcp.catalog import Catalog, Model
from dynaroute_mcp.policy.condition import Impairment, faster, handicap, unimpaired
from dynaroute_mcp.policy.estimate import Contender, Terms, call_cost
from dynaroute_mcp.policy.filters import ids_of
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.pricing import dollars_of
from dynaroute_mcp.taxonomy import Strategy

CostKey = tuple[bool, int, int, float, str]
"""Unknown cost last, then the cost, then what is preferred, then the better one, then by name."""

_NEITHER: Final = 2
"""Whose turn it is after what the caller's key and the operator prefer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Contenders in order of choice."""

    good: tuple[Contender, ...]
    """Those that meet the demand, the first choice first."""
    weak: tuple[Contender, ...]
    """The others, best first."""
    crowded: tuple[Contender, ...] = ()
    """Those whose thinking is expected to leave too little room for an answer, where others are left; best first."""
    heedless: tuple[Contender, ...] = ()
    """The last of the good ones: they would leave the caller's `stop` out, and others of them would not."""
    overtaken: Contender | None = None
    """Who would be first by cost alone, where a near equal that is faster goes before it."""

    @property
    def order(self) -> tuple[Contender, ...]:
        """All of them."""
        return self.able + self.crowded

    @property
    def able(self) -> tuple[Contender, ...]:
        """Those that are expected to answer."""
        return self.good + self.weak


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A contender that goes before the first choice, and why; or only why none does."""

    contender: Contender | None
    note: str | None = None


def rank(situation: Situation, contenders: Iterable[Contender], demanded: float) -> Ranking:
    """Order contenders: those that meet the demand by the strategy, then the others by quality.

    Of those that meet the demand the ones that take the caller's `stop` come first.
    Behind all others stand those that are expected to use `max_tokens` up before they answer.
    """
    impaired = handicap(situation)
    by_cost = cost_key(situation, impaired)

    def by_quality(contender: Contender) -> tuple[float, CostKey]:
        return impaired(contender)[1] - contender.quality, by_cost(contender)

    everyone = tuple(contenders)
    crowded = [contender for contender in everyone if contender.crowded]
    if crowded and len(crowded) < len(everyone):
        everyone = tuple(contender for contender in everyone if not contender.crowded)
        crowded.sort(key=by_quality)
    else:
        crowded = []
    good = [contender for contender in everyone if contender.quality >= demanded]
    weak = [contender for contender in everyone if contender.quality < demanded]
    if situation.strategy is Strategy.BEST:
        good.sort(key=by_quality)
    else:
        good.sort(key=by_cost)
    weak.sort(key=by_quality)
    heeding = heedful(situation, good)
    heedless = tuple(each for each in good if each not in heeding) if len(heeding) < len(good) else ()
    first = None if situation.strategy is Strategy.BEST else faster(situation, heeding, liking(situation))
    rest = heeding if first is None else [first, *[each for each in heeding if each is not first]]
    return Ranking(
        good=(*rest, *heedless),
        weak=tuple(weak),
        crowded=tuple(crowded),
        heedless=heedless,
        overtaken=None if first is None else heeding[0],
    )


def heedful(situation: Situation, contenders: Sequence[Contender]) -> Sequence[Contender]:
    """Those that take the caller's `stop`; all where none is asked, or nobody takes it."""
    if not situation.request.parameters.stop:
        return contenders
    models = situation.catalog.by_id
    return [each for each in contenders if models[each.model_id].constraints.stop_sequences] or contenders


def cost_key(situation: Situation, impaired: Impairment | None = None) -> Callable[[Contender], CostKey]:
    """How contenders that are good enough compare; what failures are expected to cost counts as cost."""
    turn, impaired = liking(situation), impaired or handicap(situation)
    if turn is _anybody and impaired is unimpaired:
        return _by_cost_alone

    def key(contender: Contender) -> CostKey:
        cost, lost = contender.cost, impaired(contender)[0]
        return cost is None, (cost or 0) + lost, turn(contender), -contender.quality, contender.model_id

    return key


def _by_cost_alone(contender: Contender) -> CostKey:
    cost = contender.cost
    return cost is None, cost or 0, _NEITHER, -contender.quality, contender.model_id


def liking(situation: Situation) -> Callable[[Contender], int]:
    """Whose turn it is among equals: 0 what the caller's key prefers, 1 what the operator prefers, 2 the others."""
    if not (situation.preferences.prefer or situation.settings.prefer):
        return _anybody
    by_key = _ids(situation.catalog, situation.preferences.prefer)
    by_operator = _ids(situation.catalog, situation.settings.prefer)

    def turn(contender: Contender) -> int:
        if contender.model_id in by_key or contender.provider in by_key:
            return 0
        return 1 if contender.model_id in by_operator or contender.provider in by_operator else _NEITHER

    return turn


def _anybody(_contender: Contender) -> int:
    return _NEITHER


def _ids(catalog: Catalog, names: Iterable[str]) -> frozenset[str]:
    return frozenset[str]().union(*(ids_of(catalog, name) for name in names))


def chain_from(winner: Contender, ranking: Ranking, fallbacks: int) -> tuple[Contender, ...]:
    """The winner, then the next best, another provider first: what broke one may have broken its siblings."""
    seen = defaultdict[str, int](int, {winner.provider: 1})
    rest: list[Contender] = []
    for group in (ranking.good, ranking.weak, ranking.crowded):
        if len(rest) >= fallbacks:
            break
        numbered = []
        for contender in group:
            if contender is not winner:
                numbered.append(((contender in ranking.heedless, seen[contender.provider]), contender))
                seen[contender.provider] += 1
        rest += [contender for _, contender in nsmallest(fallbacks, numbered, key=lambda pair: pair[0])]
    return (winner, *rest[:fallbacks])


def crowding(contender: Contender) -> str:
    """Why a model may use `max_tokens` up before it answers."""
    return f"about {contender.crowded:,} tokens of thinking crowd the answer out of max_tokens"


def cheaper_than(winner: Contender, order: Sequence[Contender]) -> Contender | None:
    """The best of those that are expected to cost less."""
    cost = winner.cost
    less = [each for each in order if cost is not None and each.cost is not None and each.cost < cost]
    return min(less, key=lambda each: (-each.quality, each.cost, each.model_id), default=None)


def better_than(winner: Contender, order: Sequence[Contender]) -> Contender | None:
    """The cheapest of those that are fitter."""
    fitter = [each for each in order if each.cost is not None and each.quality > winner.quality]
    return min(fitter, key=lambda each: (each.cost, -each.quality, each.model_id), default=None)


def rule_lead(situation: Situation, order: Sequence[Contender]) -> Lead | None:
    """The model that the first matching rule names, or the first of the provider that it names, if it passed every filter.

    The key's rules come before the operator's.
    """
    category = situation.classification.category
    rules = (
        *(("this key's rule", rule.category, rule.model) for rule in situation.preferences.rules),
        *(("the rule", rule.category, rule.model) for rule in situation.settings.rules),
    )
    for whose, wanted, name in rules:
        if wanted in {category, "*"}:
            provider = situation.catalog.find_provider(name)
            if provider is None:
                found, what = _find(order, situation.catalog.find_model(name)), "it"
            else:
                found, what = next((each for each in order if each.provider == provider.id), None), name
            note = f"{whose} for {wanted} names " + (what if found else f"{name}, which is out")
            return Lead(contender=found, note=note)
    return None


def conversation_lead(situation: Situation, money: Terms, ranking: Ranking) -> Lead | None:
    """The model that the conversation is on, while its cache is warm and moving is neither needed nor cheaper."""
    pin = situation.pin
    if pin is None or pin.warm_tokens <= 0:
        return None
    here = _find(ranking.order, situation.catalog.find_model(pin.model_id))
    if here is None or here in ranking.crowded:
        why = ", which is out" if here is None else f": {crowding(here)}"
        return Lead(contender=None, note=f"the conversation leaves {pin.model_id}{why}")
    if ranking.good and here not in ranking.good:
        return Lead(contender=None, note=f"the conversation moves up from {here.model_id}")
    first = ranking.order[0]
    if first is here:
        return Lead(contender=here)
    best = situation.strategy is Strategy.BEST
    saved = None if best else _saved_by_moving(situation, money, here, first)
    if saved is not None and saved > 0:
        less = dollars(dollars_of(saved))
        note = f"the conversation moves from {here.model_id}: {less} less even with a cold cache"
        return Lead(contender=None, note=note)
    return Lead(contender=here, note=f"its cache holds {pin.warm_tokens:,} tokens of this conversation")


def _saved_by_moving(situation: Situation, money: Terms, here: Contender, there: Contender) -> int | None:
    """What staying costs over the expected turns, less a cold start elsewhere and the same turns there."""
    turns, prefix = situation.catalog.ladder.expected_turns, situation.pin.warm_tokens if situation.pin else 0

    def turn(contender: Contender, warm_tokens: int) -> int | None:
        tokens = contender.output_tokens
        return call_cost(situation, money, contender, tokens, warm_tokens=warm_tokens)

    stay, cold, warm = turn(here, prefix), turn(there, 0), turn(there, prefix)
    if stay is None or cold is None or warm is None:
        return None
    return turns * stay - (cold + turns * warm)


def _find(order: Sequence[Contender], model: Model | None) -> Contender | None:
    return next((each for each in order if model is not None and each.model_id == model.id), None)
