"""The reasons in words: the winner's, each loser's, and what to do when nobody is left."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.errors import ContextTooLong, DynarouteError, NoCandidate
from dynaroute_mcp.policy.condition import ailment, answer_s
from dynaroute_mcp.policy.demand import demanded_quality, shortfall
from dynaroute_mcp.policy.filters import Kind, Objection, Screen
from dynaroute_mcp.policy.rank import Lead, Ranking, cost_key, liking
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.wording import dollars, small_model
from dynaroute_mcp.pricing import time_factor
from dynaroute_mcp.taxonomy import Level, Strategy
from dynaroute_mcp.types import Candidate, Loser

_ADVICE: Final[dict[Kind, str]] = {
    "budget": "raise max_cost_usd or the budget, or set a lower max_tokens",
    "capability": "leave the part out that no model takes, or add a provider",
    "excluded": "take a model out of the exclusions",
    "price": "add a price in the catalog overlay, or lift the budget",
    "retired": "name a current model",
    "window": "shorten the prompt, or ask for a smaller max_tokens",
    "wire": "change the tools, tool_choice or reasoning_effort, or add a provider",
}
_MAX_KEYS_NAMED: Final = 4
_SCREENS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided, before it is put into words."""

    winner: Candidate
    ranking: Ranking
    lead: Lead
    screened: Screen
    out: Mapping[str, Objection]
    """Why models that passed the screen can't answer this request now."""
    level: Level
    demanded: float
    unknown_exclusions: tuple[str, ...]


def praise(situation: Situation, verdict: Verdict) -> str:
    """Why the winner won."""
    winner, label = verdict.winner, situation.classification
    usd = winner.expected_usd
    about = f"quality {winner.quality:.2f}, " + (
        f"about {dollars(usd)}" if usd is not None else "price unknown"
    )
    if situation.preferences.prefer and liking(situation)(winner) == 0:
        about += ", preferred by this key"
    if verdict.lead.candidate is not None and verdict.lead.note:
        return f"{winner.model_id} ({about}): {verdict.lead.note}"
    demand = f"{label.category} at level {verdict.level} (quality {verdict.demanded:.2f})"
    hint = _hint(situation, winner)
    count = len(verdict.ranking.good)
    if not count:
        return f"{winner.model_id} ({about}) comes closest to {demand}; no model at hand meets it{hint}"
    how = "the best" if situation.strategy is Strategy.BEST else "the cheapest"
    how = "the fastest that costs as little as any" if verdict.ranking.overtaken is not None else how
    return f"{winner.model_id} ({about}) is {how} of {count} that meet {demand}{hint}"


def _hint(situation: Situation, winner: Candidate) -> str:
    """How far a small model would carry, and the winner; the caller's own level has the last word."""
    label = situation.classification
    if label.difficulty is None or label.level_overridden:
        return ""
    left = shortfall(situation.catalog.ladder, winner.quality, label.difficulty)
    return f"; {small_model(label.difficulty)} (this one: {left:.2f})"


def losers(situation: Situation, verdict: Verdict) -> tuple[Loser, ...]:
    """Why the others lost, nearest first; models without a key are summed up by provider, retired ones left out."""
    ailing = any(each.degraded for each in situation.conditions.values())
    weighed = ailing or verdict.ranking.overtaken is not None
    ranked = [
        Loser(model_id=each.model_id, reason=_behind(situation, verdict, each, weighed=weighed))
        for each in verdict.ranking.order
        if each is not verdict.winner
    ]
    barred, keyless = _barred(situation.catalog, verdict.screened)
    if verdict.out:
        barred = sorted([*barred, *_told(verdict.out)], key=lambda each: each.model_id)
    return (*ranked, *barred, *keyless)


@lru_cache(maxsize=_SCREENS)  # of a screen, which is remembered itself and lives as long
def _barred(catalog: Catalog, screened: Screen) -> tuple[Sequence[Loser], Sequence[Loser]]:
    """Tell of those that were never asked: one by one, and those without a key by provider."""
    told = {key: each for key, each in screened.barred.items() if each.kind not in {"key", "retired"}}
    return sorted(_told(told), key=lambda each: each.model_id), _keyless(catalog, screened.barred)


def _told(out: Mapping[str, Objection]) -> list[Loser]:
    return [Loser(model_id=model_id, reason=objection.reason) for model_id, objection in out.items()]


def _behind(situation: Situation, verdict: Verdict, loser: Candidate, *, weighed: bool) -> str:
    winner = verdict.winner
    if loser.quality < verdict.demanded:
        return f"quality {loser.quality:.2f} < {verdict.demanded:.2f} demanded"
    if situation.strategy is Strategy.BEST and loser.quality < winner.quality:
        return f"quality {loser.quality:.2f} < {winner.quality:.2f}"
    if loser.expected_usd is None or winner.expected_usd is None:
        return "price unknown" if loser.expected_usd is None else "not the model asked for"
    more = loser.expected_usd - winner.expected_usd
    drawback = _drawback(situation, verdict, loser) if weighed else None
    if more > 0:
        return f"dearer by {dollars(more)}" + (f"; {drawback}" if drawback else "")
    if more < 0:
        return f"cheaper by {dollars(-more)}, but {verdict.lead.note or drawback or 'less fit'}"
    return "costs the same" + (f", {drawback}" if drawback else _lesser(situation, winner, loser))


def _drawback(situation: Situation, verdict: Verdict, loser: Candidate) -> str | None:
    """What speaks against a candidate beside its price: that it fails, or that it was passed over as slower."""
    if ill := ailment(situation, loser):
        return ill
    if verdict.ranking.overtaken is None:
        return None
    mine, theirs = answer_s(situation, verdict.winner), answer_s(situation, loser)
    if mine is None or theirs is None or theirs <= mine:
        return None
    return f"slower by {theirs - mine:.1f} s"


def _lesser(situation: Situation, winner: Candidate, loser: Candidate) -> str:
    turn = liking(situation)
    if turn(loser) > turn(winner):
        return ", less preferred"
    return ", lower quality" if loser.quality < winner.quality else ""


def _keyless(catalog: Catalog, out: Mapping[str, Objection]) -> list[Loser]:
    models = catalog.by_id
    reasons = {models[key].provider: each.reason for key, each in out.items() if each.kind == "key"}
    counts = Counter(models[key].provider for key, each in out.items() if each.kind == "key")
    return [
        Loser(model_id=f"{provider}/*", reason=f"{reasons[provider]} ({counts[provider]} models)")
        for provider in sorted(counts)
    ]


def notes(situation: Situation, verdict: Verdict) -> tuple[str, ...]:
    """What a caller should know beside the choice."""
    label, winner = situation.classification, verdict.winner
    told = []
    if verdict.level != label.level:
        told.append(f"most likely level {label.level}, hedged to {verdict.level} ({situation.strategy})")
    if verdict.lead.candidate is None and verdict.lead.note:
        told.append(verdict.lead.note)
    if winner.quality < verdict.demanded:
        told.append(
            f"quality {winner.quality:.2f} is below the {verdict.demanded:.2f} that level {verdict.level} asks"
        )
    if situation.cooling.get(winner.model_id) or situation.cooling.get(winner.provider):
        told.append("every model that could answer is cooling down; this call probes one")
    elif ill := ailment(situation, winner):
        told.append(f"{winner.model_id} is {ill}")
    if winner.expected_usd is None:
        told.append(f"the price of {winner.model_id} is unknown")
    told += _cliffs(situation, winner)
    told += [
        f"excluded name {name!r} is neither a model nor a provider here"
        for name in verdict.unknown_exclusions
    ]
    return tuple(told)


def turning_points(situation: Situation, verdict: Verdict) -> tuple[str, ...]:
    """What would change the decision: no rule or conversation in the way, and the levels next to the demanded one."""
    winner, first = verdict.winner, verdict.ranking.order[0]
    told = []
    if winner is not first:
        told.append(f"chosen anew it would be {first.model_id}")
    if situation.request.model or situation.strategy is Strategy.BEST:
        return tuple(told)
    for level, other in _neighbouring(situation, verdict):
        if other is not winner and other is not first:
            told.append(f"at level {level} it would be {other.model_id}")
    return tuple(told)


def _neighbouring(situation: Situation, verdict: Verdict) -> Iterator[tuple[Level, Candidate]]:
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
        yield lower, min(enough, key=cost_key(situation)) if enough else ranking.order[0]
    if level < Level.L5:
        higher = Level(level + 1)
        least = demanded(higher)
        best = max(ranking.order, key=lambda each: each.quality)
        yield higher, next((each for each in ranking.good if each.quality >= least), best)


def _cliffs(situation: Situation, winner: Candidate) -> list[str]:
    """Say when the price is not the plain one: a long prompt, or an hour at which it is a multiple."""
    row = situation.catalog.find_price(winner.model_id, situation.at)
    if row is None:
        return []
    passed = [tier.above_tokens for tier in row.tiers if situation.input_tokens > tier.above_tokens]
    told = [f"a prompt above {passed[-1]:,} tokens is billed at the long-context rate"] if passed else []
    factor = time_factor(situation.catalog, row, situation.at)
    if factor != 1:
        told.append(f"it is a peak hour of {winner.provider}: {factor} times its usual price")
    return told


def refusal(situation: Situation, out: Mapping[str, Objection]) -> DynarouteError:
    """The error when nobody can answer: why, by reason, and what would help."""
    named = situation.request.model
    kinds = Counter(objection.kind for objection in out.values())
    if named:
        ((model_id, objection),) = out.items()
        kind = ContextTooLong if objection.kind == "window" else NoCandidate
        advice = "" if objection.kind == "key" else _advice(situation, kinds)
        return kind(f"{model_id} can't take this request: {objection.reason}{advice}")
    if kinds["window"] and not kinds["budget"]:
        return ContextTooLong(
            f"no model that can be called has room for {situation.input_tokens:,} prompt tokens and the answer"
            f"; {_ADVICE['window']}"
        )
    contenders = {key: each for key, each in out.items() if each.kind != "retired"}
    reasons = Counter(each.reason.split(":")[0] for each in contenders.values())
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    needed = [each.needed_usd for each in contenders.values() if each.needed_usd is not None]
    listed += f"; the cheapest needs up to {dollars(min(needed))}" if needed else ""
    return NoCandidate(
        f"no model can take this request: {listed or 'the catalog is empty'}{_advice(situation, kinds)}"
    )


def _advice(situation: Situation, kinds: Mapping[Kind, int]) -> str:
    """What to do, for the kind of objection that stands nearest to an answer."""
    nearest: tuple[Kind, ...] = ("budget", "price", "window", "wire", "capability", "excluded")
    for kind in nearest:
        if kinds.get(kind):
            return f"; {_ADVICE[kind]}"
    if kinds.get("key"):
        rows = situation.catalog.providers.values()
        names = [row.key_env[0] for row in rows if row.id not in situation.usable and row.key_env]
        return f"; set one of {', '.join(names[:_MAX_KEYS_NAMED])} or another provider's key"
    return f"; {_ADVICE['retired']}"
