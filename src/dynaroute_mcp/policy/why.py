"""Why the others were not chosen, and what would have changed the choice: worked out when somebody asks.

What is written down of it are facts, from which `retold` makes the same words again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any, Final

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.policy.condition import ailment, answer_s
from dynaroute_mcp.policy.demand import demanded_quality
from dynaroute_mcp.policy.estimate import Contender, Terms, candidate
from dynaroute_mcp.policy.filters import Objection, Screen
from dynaroute_mcp.policy.rank import better_than, cheaper_than, cost_key, crowding, heedful, liking
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.verdict import Verdict
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.pricing import dollars_of, units_of
from dynaroute_mcp.taxonomy import Level, Strategy
from dynaroute_mcp.types import Candidate, Loser

KEPT_LOSERS: Final = 20
"""Nearest losers that a recorded decision keeps."""
_SCREENS: Final = 256

_Rival = tuple[str, float, int | None, str | None]
"""Model, quality, expected cost in units, and what else speaks against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What every loser is held against."""

    quality: float
    cost: int | None
    """Of the winner, in units."""
    demanded: float
    best: bool
    """The strategy is `best`."""
    lead: str | None
    """Why the winner went before the first choice."""


class Why:
    """An `Explanation` of a verdict."""

    def __init__(self, situation: Situation, money: Terms, verdict: Verdict) -> None:
        self._situation = situation
        self._money = money
        self._verdict = verdict

    @cached_property
    def losers(self) -> tuple[Loser, ...]:
        """Why the others lost, nearest first; models without a key are summed up by provider, retired ones left out."""
        verdict = self._verdict
        mark = _Mark(
            quality=verdict.winner.quality,
            cost=verdict.winner.cost,
            demanded=verdict.demanded,
            best=self._situation.strategy is Strategy.BEST,
            lead=verdict.lead.note,
        )
        ranked = [_loser(mark, each) for each in self._rivals(len(verdict.ranking.order))]
        return (*ranked, *self._barred)

    @cached_property
    def turning_points(self) -> tuple[str, ...]:
        """No rule or conversation in the way, and the levels next to the demanded one."""
        situation, winner, first = self._situation, self._verdict.winner, self._verdict.ranking.order[0]
        told = []
        if winner is not first:
            told.append(f"chosen anew it would be {first.model_id}")
        if situation.request.model or situation.strategy is Strategy.BEST:
            return tuple(told)
        for level, other in _neighbouring(situation, self._verdict):
            if other is not winner and other is not first:
                told.append(f"at level {level} it would be {other.model_id}")
        return tuple(told)

    @property
    def cheaper(self) -> Candidate | None:
        """The best of those that are expected to cost less."""
        return self._shown(cheaper_than(self._verdict.winner, self._verdict.ranking.able))

    @property
    def better(self) -> Candidate | None:
        """The cheapest of those that are fitter."""
        return self._shown(better_than(self._verdict.winner, self._verdict.ranking.able))

    @property
    def facts(self) -> Mapping[str, object]:
        """All that `retold` needs, beside what the decision tells anyway."""
        verdict = self._verdict
        winner, able = verdict.winner, verdict.ranking.able
        rivals = self._rivals(KEPT_LOSERS)
        others = self._barred[: KEPT_LOSERS - len(rivals)]
        return {
            "rivals": rivals,
            "others": [(each.model_id, each.reason) for each in others],
            "more": len(verdict.ranking.order) - 1 + len(self._barred) - len(rivals) - len(others),
            "lead": verdict.lead.note,
            "cheaper": _fact(cheaper_than(winner, able)),
            "better": _fact(better_than(winner, able)),
            "turning_points": self.turning_points,
        }

    @cached_property
    def _barred(self) -> Sequence[Loser]:
        """Those that were never ranked."""
        out = self._verdict.out
        barred, keyless = _barred(self._situation.catalog, self._verdict.screened)
        if out:
            barred = sorted([*barred, *_told(out)], key=lambda each: each.model_id)
        return (*barred, *keyless)

    def _rivals(self, most: int) -> list[_Rival]:
        """The nearest of those that were ranked behind the winner."""
        situation, verdict = self._situation, self._verdict
        ailing = any(each.degraded for each in situation.conditions.values())
        ranking = verdict.ranking
        weighed = ailing or ranking.overtaken is not None or bool(ranking.crowded or ranking.heedless)
        favoured = situation.preferences.prefer or situation.settings.prefer
        behind = [each for each in verdict.ranking.order[: most + 1] if each is not verdict.winner][:most]
        if not (weighed or favoured):
            return [(each.model_id, each.quality, each.cost, None) for each in behind]
        return [
            (each.model_id, each.quality, each.cost, _remark(situation, verdict, each, weighed=weighed))
            for each in behind
        ]

    def _shown(self, found: Contender | None) -> Candidate | None:
        return None if found is None else candidate(self._situation, self._money, found)


def retold(decision: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON as it was written down
    """Put the facts of a recorded decision into words; one without facts was recorded in words."""
    facts = decision.get("why")
    if facts is None:
        return decision
    winner = decision["candidates"][0]
    usd = winner["expected_usd"]
    mark = _Mark(
        quality=winner["quality"],
        cost=None if usd is None else units_of(Decimal(usd)),
        demanded=decision["demanded_quality"],
        best=decision["strategy"] == Strategy.BEST,
        lead=facts["lead"],
    )
    losers = [_loser(mark, tuple(rival)) for rival in facts["rivals"]]
    losers += [Loser(model_id=model_id, reason=reason) for model_id, reason in facts["others"]]
    return {
        **{name: value for name, value in decision.items() if name != "why"},
        "cheaper": _neighbour(facts["cheaper"]),
        "better": _neighbour(facts["better"]),
        "losers": [{"model": each.model_id, "reason": each.reason} for each in losers],
        "more_losers": facts["more"],
        "turning_points": facts["turning_points"],
    }


def _fact(found: Contender | None) -> tuple[str, float, int | None] | None:
    return None if found is None else (found.model_id, found.quality, found.cost)


def _neighbour(fact: tuple[str, float, int | None] | None) -> dict[str, object] | None:
    if fact is None:
        return None
    model_id, quality, cost = fact
    usd = None if cost is None else str(dollars_of(cost).normalize())
    return {"model": model_id, "quality": quality, "expected_usd": usd}


@lru_cache(maxsize=_SCREENS)  # of a screen, which is remembered itself and lives as long
def _barred(catalog: Catalog, screened: Screen) -> tuple[Sequence[Loser], Sequence[Loser]]:
    """Tell of those that were never asked: one by one, and those without a key by provider."""
    told = {key: each for key, each in screened.barred.items() if each.kind not in {"key", "retired"}}
    return sorted(_told(told), key=lambda each: each.model_id), _keyless(catalog, screened.barred)


forget = _barred.cache_clear


def _told(out: Mapping[str, Objection]) -> list[Loser]:
    return [Loser(model_id=model_id, reason=objection.reason) for model_id, objection in out.items()]


def _keyless(catalog: Catalog, out: Mapping[str, Objection]) -> list[Loser]:
    models = catalog.by_id
    reasons = {models[key].provider: each.reason for key, each in out.items() if each.kind == "key"}
    counts = Counter(models[key].provider for key, each in out.items() if each.kind == "key")
    return [
        Loser(model_id=f"{provider}/*", reason=f"{reasons[provider]} ({counts[provider]} models)")
        for provider in sorted(counts)
    ]


def _loser(mark: _Mark, rival: _Rival) -> Loser:
    model_id, quality, cost, remark = rival
    return Loser(model_id=model_id, reason=_behind(mark, quality, cost, remark))


def _behind(mark: _Mark, quality: float, cost: int | None, remark: str | None) -> str:
    if quality < mark.demanded:
        return f"quality {quality:.2f} < {mark.demanded:.2f} demanded"
    if mark.best and quality < mark.quality:
        return f"quality {quality:.2f} < {mark.quality:.2f}"
    if cost is None or mark.cost is None:
        return "price unknown" if cost is None else "not the model asked for"
    more = dollars_of(abs(cost - mark.cost))
    if cost > mark.cost:
        return f"dearer by {dollars(more)}" + (f"; {remark}" if remark else "")
    if cost < mark.cost:
        return f"cheaper by {dollars(more)}, but {mark.lead or remark or 'less fit'}"
    lesser = "lower quality" if quality < mark.quality else None
    return ", ".join(filter(None, ("costs the same", remark or lesser)))


def _remark(situation: Situation, verdict: Verdict, loser: Contender, *, weighed: bool) -> str | None:
    """What speaks against a contender beside its price and quality."""
    drawback = _drawback(situation, verdict, loser) if weighed else None
    if drawback or loser.cost != verdict.winner.cost:
        return drawback
    turn = liking(situation)
    return "less preferred" if turn(loser) > turn(verdict.winner) else None


def _drawback(situation: Situation, verdict: Verdict, loser: Contender) -> str | None:
    """What speaks against a candidate beside its price: that it fails, can't answer for thinking, or is slower."""
    if ill := ailment(situation, loser):
        return ill
    if loser.crowded and verdict.ranking.crowded:
        return crowding(loser)
    if loser in verdict.ranking.heedless and verdict.winner not in verdict.ranking.heedless:
        return "it leaves `stop` out"
    if verdict.ranking.overtaken is None:
        return None
    mine, theirs = answer_s(situation, verdict.winner), answer_s(situation, loser)
    if mine is None or theirs is None or theirs <= mine:
        return None
    return f"slower by {theirs - mine:.1f} s"


def _neighbouring(situation: Situation, verdict: Verdict) -> Iterator[tuple[Level, Contender]]:
    """What would be chosen one level lower and one higher."""
    ranking, level = verdict.ranking, verdict.level

    def demanded(at: Level) -> float:
        label = situation.classification
        difficulty = None if label.level_overridden else label.difficulty
        return demanded_quality(situation.catalog.ladder, at, situation.strategy, difficulty)

    if level > Level.L1:
        lower = Level(level - 1)
        least = demanded(lower)
        enough = [*ranking.good[:1], *(each for each in ranking.weak if each.quality >= least)]
        near = heedful(situation, enough)
        yield lower, min(near, key=cost_key(situation)) if near else ranking.order[0]
    if level < Level.L5:
        higher = Level(level + 1)
        least = demanded(higher)
        best = max(ranking.able, key=lambda each: each.quality)
        yield higher, next((each for each in ranking.good if each.quality >= least), best)
