"""What every answer tells in words: why the winner won, what to know beside, and what to do when nobody is left."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from dynaroute_mcp.errors import ContextTooLong, DynarouteError, NoCandidate
from dynaroute_mcp.policy.condition import ailment
from dynaroute_mcp.policy.demand import shortfall
from dynaroute_mcp.policy.estimate import Contender
from dynaroute_mcp.policy.filters import Kind, Objection
from dynaroute_mcp.policy.rank import crowding, liking
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.policy.verdict import Verdict
from dynaroute_mcp.policy.wording import dollars, small_model
from dynaroute_mcp.pricing import time_factor
from dynaroute_mcp.taxonomy import Strategy

_ADVICE: Final[dict[Kind, str]] = {
    "budget": "raise {ceiling}, or set a lower max_tokens",
    "capability": "leave the part out that no model takes, or add a provider",
    "excluded": "take a model out of the exclusions",
    "price": "add a price in the catalog overlay, or lift the budget",
    "retired": "name a current model",
    "window": "shorten the prompt, or ask for a smaller max_tokens",
    "wire": "change the tools, tool_choice or reasoning_effort, end with a user's message, or add a provider",
}
_MAX_KEYS_NAMED: Final = 4


def praise(situation: Situation, verdict: Verdict) -> str:
    """Why the winner won."""
    winner, label = verdict.winner, situation.classification
    usd = winner.usd
    about = f"quality {winner.quality:.2f}, " + (
        f"about {dollars(usd)}" if usd is not None else "price unknown"
    )
    if situation.preferences.prefer and liking(situation)(winner) == 0:
        about += ", preferred by this key"
    if verdict.lead.contender is not None and verdict.lead.note:
        return f"{winner.model_id} ({about}): {verdict.lead.note}"
    demand = f"{label.category} at level {verdict.level} (quality {verdict.demanded:.2f})"
    hint = _hint(situation, winner)
    heedless = verdict.ranking.heedless
    count = len(verdict.ranking.good) - len(heedless)
    if heedless:
        demand += " and take `stop`"
    if not count:
        return f"{winner.model_id} ({about}) comes closest to {demand}; no model at hand meets it{hint}"
    how = "the best" if situation.strategy is Strategy.BEST else "the cheapest"
    how = "the fastest that costs as little as any" if verdict.ranking.overtaken is not None else how
    return f"{winner.model_id} ({about}) is {how} of {count} that meet {demand}{hint}"


def _hint(situation: Situation, winner: Contender) -> str:
    """How far a small model would carry, and the winner; the caller's own level has the last word."""
    label = situation.classification
    if label.difficulty is None or label.level_overridden:
        return ""
    left = shortfall(situation.catalog.ladder, winner.quality, label.difficulty)
    return f"; {small_model(label.difficulty, left)}"


def notes(situation: Situation, verdict: Verdict) -> tuple[str, ...]:
    """What a caller should know beside the choice."""
    label, winner = situation.classification, verdict.winner
    told = []
    if verdict.level != label.level:
        told.append(
            f"level {label.level} is the most likely; {situation.strategy} asks for level {verdict.level}"
        )
    if verdict.lead.contender is None and verdict.lead.note:
        told.append(verdict.lead.note)
    if winner.quality < verdict.demanded:
        told.append(
            f"quality {winner.quality:.2f} is below the {verdict.demanded:.2f} that level {verdict.level} asks"
        )
    if situation.cooling.get(winner.model_id) or situation.cooling.get(winner.provider):
        told.append("every model that could answer is cooling down; this call probes one")
    elif ill := ailment(situation, winner):
        told.append(f"{winner.model_id} is {ill}")
    if winner.effort is not None:
        told.append(
            f"reasoning_effort {winner.effort}, so that thinking leaves room for an answer in max_tokens"
        )
    if winner.crowded:
        told.append(f"{crowding(winner)}; raise it")
    if winner.cost is None:
        told.append(f"the price of {winner.model_id} is unknown")
    told += _cliffs(situation, winner)
    told += [
        f"excluded name {name!r} is neither a model nor a provider here"
        for name in verdict.unknown_exclusions
    ]
    return tuple(told)


def _cliffs(situation: Situation, winner: Contender) -> list[str]:
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
        advice = "" if objection.kind == "key" else _advice(situation, kinds)
        why = f"{model_id} can't take this request: {objection.reason}{advice}"
        return ContextTooLong(why) if objection.kind == "window" else _nobody(situation, kinds, why)
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
    why = f"no model can take this request: {listed or 'the catalog is empty'}{_advice(situation, kinds)}"
    return _nobody(situation, kinds, why)


def _nobody(situation: Situation, kinds: Mapping[Kind, int], why: str) -> NoCandidate:
    own = situation.request.routing.max_cost_usd
    return NoCandidate(why, over_budget=own is not None and bool(kinds.get("budget")))


def _advice(situation: Situation, kinds: Mapping[Kind, int]) -> str:
    """What to do, for the kind of objection that stands nearest to an answer."""
    nearest: tuple[Kind, ...] = ("budget", "price", "window", "wire", "capability", "excluded")
    for kind in nearest:
        if kinds.get(kind):
            return f"; {_ADVICE[kind].format(ceiling=_ceiling(situation))}"
    if kinds.get("key"):
        rows = situation.catalog.providers.values()
        names = [row.key_env[0] for row in rows if row.id not in situation.usable and row.key_env]
        return f"; set one of {', '.join(names[:_MAX_KEYS_NAMED])} or another provider's key"
    return f"; {_ADVICE['retired']}"


def _ceiling(situation: Situation) -> str:
    """What limits the price of this request, in the words of whoever asks."""
    own, named = situation.request.routing, list[str]()
    if own.max_cost_usd is not None:
        named.append(own.max_cost_name)
    if situation.usd_left is not None or not named:
        named.append("the budget")
    return " or ".join(named)
