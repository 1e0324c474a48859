"""What the condition of models means for a choice: failing ones cost more, and among near equals the faster is first.

The snapshot in the situation decides, so that the same situation gives the same choice.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from dynaroute_mcp.health import Condition
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.types import Candidate

_WORTH: Final = 0.8
"""A near equal goes first when it takes at most this share of the time: less would be within what calls differ."""
_NOTHING: Final = Decimal(0)

Impairment = Callable[[Candidate], tuple[Decimal, float]]
"""What a candidate's failures are expected to cost: dollars for the lost tries and their time, and quality."""


def condition_of(situation: Situation, candidate: Candidate) -> Condition | None:
    """How a candidate did lately; one that nobody asked is judged by its provider, if that fails as a whole."""
    known = situation.conditions.get(candidate.model_id)
    return known if known is not None else situation.conditions.get(candidate.provider)


def handicap(situation: Situation) -> Impairment:
    """How candidates are set back by what is known of their failures."""
    ladder = situation.catalog.ladder
    ill = {key: each for key, each in situation.conditions.items() if each.degraded}

    def of(candidate: Candidate) -> tuple[Decimal, float]:
        found = condition_of(situation, candidate)
        if found is None or not found.degraded:
            return _NOTHING, 0.0
        lost_tries = Decimal(found.error_rate / (1 - found.error_rate))
        lost_s = found.lost_s + situation.settings.calls.backoff_s
        lost_usd = (candidate.expected_usd or _NOTHING) + Decimal(lost_s) * ladder.lost_second_usd
        return lost_tries * lost_usd, found.error_rate * ladder.failing_quality

    return of if ill else _unimpaired


def _unimpaired(_candidate: Candidate) -> tuple[Decimal, float]:
    return _NOTHING, 0.0


def faster(
    situation: Situation, good: Sequence[Candidate], turn: Callable[[Candidate], int]
) -> Candidate | None:
    """Who should go before the first of candidates in order of cost: clearly faster, and as cheap for all we know.

    Prices closer than the estimate of tokens is exact are equal. Who is preferred is not passed over.
    """
    if len(good) < 2 or not situation.conditions:  # noqa: PLR2004 -- a first and another
        return None
    first = good[0]
    first_s = answer_s(situation, first)
    if first_s is None or first.expected_usd is None:
        return None
    ceiling = first.expected_usd * (1 + Decimal(str(situation.catalog.ladder.near_cost)))
    near: list[tuple[float, Candidate]] = []
    for each in good[1:]:
        if each.expected_usd is None or each.expected_usd > ceiling:
            break
        took_s = answer_s(situation, each)
        if took_s is not None and took_s <= _WORTH * first_s and turn(each) <= turn(first):
            near.append((took_s, each))
    return min(near, key=lambda pair: pair[0])[1] if near else None


def answer_s(situation: Situation, candidate: Candidate) -> float | None:
    """Seconds that the expected answer would take; `None` when nobody measured it, or it fails too often to count."""
    found = situation.conditions.get(candidate.model_id)
    return None if found is None or found.degraded else found.answer_s(candidate.expected_output_tokens)


def ailment(situation: Situation, candidate: Candidate) -> str | None:
    """Say how a candidate is degraded; `None` when it is not."""
    found = condition_of(situation, candidate)
    if found is None or not found.degraded:
        return None
    if not found.failures:
        return f"degraded: {found.error_rate:.0%} of its provider's recent calls failed"
    return f"degraded: {found.failures / found.calls:.0%} of the last {found.calls} calls failed"
