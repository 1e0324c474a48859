"""The order of the candidates that are left, and whether a conversation stays where it is."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import nsmallest

from dynaroute_mcp.catalog import Catalog, Model
from dynaroute_mcp.policy.condition import Impairment, faster, handicap
from dynaroute_mcp.policy.estimate import call_usd
from dynaroute_mcp.policy.filters import ids_of
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.pricing import Tariff
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import Candidate

CostKey = tuple[bool, Decimal, int, float, str]
"""Unknown cost last, then the cost, then what is preferred, then the better one, then by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Candidates in order of choice."""

    good: tuple[Candidate, ...]
    """Those that meet the demand, the first choice first."""
    weak: tuple[Candidate, ...]
    """The others, best first."""
    overtaken: Candidate | None = None
    """Who would be first by cost alone, where a near equal that is faster goes before it."""

    @property
    def order(self) -> tuple[Candidate, ...]:
        """All of them."""
        return self.good + self.weak


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A candidate that goes before the first choice, and why; or only why none does."""

    candidate: Candidate | None
    note: str | None = None


def rank(situation: Situation, candidates: Iterable[Candidate], demanded: float) -> Ranking:
    """Order candidates: those that meet the demand by the strategy, then the others by quality."""
    impaired = handicap(situation)
    by_cost = cost_key(situation, impaired)

    def by_quality(candidate: Candidate) -> tuple[float, CostKey]:
        return impaired(candidate)[1] - candidate.quality, by_cost(candidate)

    everyone = tuple(candidates)
    good = [candidate for candidate in everyone if candidate.quality >= demanded]
    weak = [candidate for candidate in everyone if candidate.quality < demanded]
    if situation.strategy is Strategy.BEST:
        good.sort(key=by_quality)
    else:
        good.sort(key=by_cost)
    weak.sort(key=by_quality)
    first = None if situation.strategy is Strategy.BEST else faster(situation, good, liking(situation))
    if first is None:
        return Ranking(good=tuple(good), weak=tuple(weak))
    rest = (each for each in good if each is not first)
    return Ranking(good=(first, *rest), weak=tuple(weak), overtaken=good[0])


def cost_key(situation: Situation, impaired: Impairment | None = None) -> Callable[[Candidate], CostKey]:
    """How candidates that are good enough compare; what failures are expected to cost counts as cost."""
    turn, impaired = liking(situation), impaired or handicap(situation)

    def key(candidate: Candidate) -> CostKey:
        usd, lost_usd = candidate.expected_usd, impaired(candidate)[0]
        dear = (usd or Decimal(0)) + lost_usd if lost_usd else usd or Decimal(0)
        return usd is None, dear, turn(candidate), -candidate.quality, candidate.model_id

    return key


def liking(situation: Situation) -> Callable[[Candidate], int]:
    """Whose turn it is among equals: 0 what the caller's key prefers, 1 what the operator prefers, 2 the others."""
    by_key = _ids(situation.catalog, situation.preferences.prefer)
    by_operator = _ids(situation.catalog, situation.settings.prefer)

    def turn(candidate: Candidate) -> int:
        if candidate.model_id in by_key or candidate.provider in by_key:
            return 0
        return 1 if candidate.model_id in by_operator or candidate.provider in by_operator else 2

    return turn


def _ids(catalog: Catalog, names: Iterable[str]) -> frozenset[str]:
    if not names:
        return frozenset()
    return frozenset[str]().union(*(ids_of(catalog, name) for name in names))


def chain_from(winner: Candidate, ranking: Ranking, fallbacks: int) -> tuple[Candidate, ...]:
    """The winner, then the next best, another provider first: what broke one may have broken its siblings."""
    seen = Counter([winner.provider])
    rest: list[Candidate] = []
    for group in (ranking.good, ranking.weak):
        if len(rest) >= fallbacks:
            break
        numbered = []
        for candidate in group:
            if candidate is not winner:
                numbered.append((seen[candidate.provider], candidate))
                seen[candidate.provider] += 1
        rest += [candidate for _, candidate in nsmallest(fallbacks, numbered, key=lambda pair: pair[0])]
    return (winner, *rest[:fallbacks])


def cheaper_than(winner: Candidate, order: Sequence[Candidate]) -> Candidate | None:
    """The best of those that are expected to cost less."""
    usd = winner.expected_usd
    if usd is None:
        return None
    less = [(c.expected_usd, c) for c in order if c.expected_usd is not None and c.expected_usd < usd]
    return min(less, key=lambda pair: (-pair[1].quality, pair[0], pair[1].model_id))[1] if less else None


def better_than(winner: Candidate, order: Sequence[Candidate]) -> Candidate | None:
    """The cheapest of those that are fitter."""
    fitter = [(c.expected_usd, c) for c in order if c.expected_usd is not None and c.quality > winner.quality]
    return min(fitter, key=lambda pair: (pair[0], -pair[1].quality, pair[1].model_id))[1] if fitter else None


def rule_lead(situation: Situation, order: Sequence[Candidate]) -> Lead | None:
    """The model that the first matching rule names, if it passed every filter: the key's rules, then the operator's."""
    category = situation.classification.category
    rules = (
        *(("this key's rule", rule.category, rule.model) for rule in situation.preferences.rules),
        *(("the rule", rule.category, rule.model) for rule in situation.settings.rules),
    )
    for whose, wanted, name in rules:
        if wanted in {category, "*"}:
            found = _find(order, situation.catalog.find_model(name))
            note = f"{whose} for {wanted} names " + ("it" if found else f"{name}, which is out")
            return Lead(candidate=found, note=note)
    return None


def conversation_lead(situation: Situation, tariff: Tariff, ranking: Ranking) -> Lead | None:
    """The model that the conversation is on, while its cache is warm and moving is neither needed nor cheaper."""
    pin = situation.pin
    if pin is None or pin.warm_tokens <= 0:
        return None
    here = _find(ranking.order, situation.catalog.find_model(pin.model_id))
    if here is None:
        return Lead(candidate=None, note=f"the conversation leaves {pin.model_id}, which is out")
    if ranking.good and here not in ranking.good:
        return Lead(candidate=None, note=f"the conversation moves up from {here.model_id}")
    first = ranking.order[0]
    if first is here or situation.strategy is Strategy.BEST:
        return Lead(candidate=here)
    saved = _saved_by_moving(situation, tariff, here, first)
    if saved is not None and saved > 0:
        note = f"the conversation moves from {here.model_id}: {dollars(saved)} less even with a cold cache"
        return Lead(candidate=None, note=note)
    return Lead(candidate=here, note=f"its cache holds {pin.warm_tokens:,} tokens of this conversation")


def _saved_by_moving(
    situation: Situation, tariff: Tariff, here: Candidate, there: Candidate
) -> Decimal | None:
    """What staying costs over the expected turns, less a cold start elsewhere and the same turns there."""
    turns, prefix = situation.catalog.ladder.expected_turns, situation.pin.warm_tokens if situation.pin else 0

    def turn(candidate: Candidate, warm_tokens: int) -> Decimal | None:
        tokens = candidate.expected_output_tokens
        return call_usd(situation, tariff, candidate.model_id, tokens, warm_tokens=warm_tokens)

    stay, cold, warm = turn(here, prefix), turn(there, 0), turn(there, prefix)
    if stay is None or cold is None or warm is None:
        return None
    return turns * stay - (cold + turns * warm)


def _find(order: Sequence[Candidate], model: Model | None) -> Candidate | None:
    return next((each for each in order if model is not None and each.model_id == model.id), None)
