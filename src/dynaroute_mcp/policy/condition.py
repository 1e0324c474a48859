"""What the condition of models means for a choice: failing ones cost more, and among near equals the faster is first.

The snapshot in the situation decides, so that the same situation gives the same choice.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from dynaroute_mcp.health import Condition
from dynaroute_mcp.policy.estimate import Contender
from dynaroute_mcp.policy.situation import Situation
from dynaroute_mcp.pricing import units_of

_WORTH: Final = 0.8
"""A near equal goes first when it takes at most this share of the time: less would be within what calls differ."""

Impairment = Callable[[Contender], tuple[int, float]]
"""What a contender's failures are expected to cost: units for the lost tries and their time, and quality."""


def condition_of(situation: Situation, contender: Contender) -> Condition | None:
    """How a contender did lately; one that nobody asked is judged by its provider, if that fails as a whole."""
    known = situation.conditions.get(contender.model_id)
    return known if known is not None else situation.conditions.get(contender.provider)


def handicap(situation: Situation) -> Impairment:
    """How contenders are set back by what is known of their failures."""
    ladder = situation.catalog.ladder

    def of(contender: Contender) -> tuple[int, float]:
        found = condition_of(situation, contender)
        if found is None or not found.degraded:
            return 0, 0.0
        lost_tries = Decimal(found.error_rate / (1 - found.error_rate))
        lost_s = found.lost_s + situation.settings.calls.backoff_s
        lost_usd = (contender.usd or 0) + Decimal(lost_s) * ladder.lost_second_usd
        return units_of(lost_tries * lost_usd), found.error_rate * ladder.failing_quality

    return of if any(each.degraded for each in situation.conditions.values()) else unimpaired


def unimpaired(_contender: Contender) -> tuple[int, float]:
    """Nothing is known against anybody."""
    return 0, 0.0


def faster(
    situation: Situation, good: Sequence[Contender], turn: Callable[[Contender], int]
) -> Contender | None:
    """Who should go before the first of contenders in order of cost: clearly faster, and as cheap for all we know.

    Prices closer than the estimate of tokens is exact are equal. Who is preferred is not passed over.
    """
    if len(good) < 2 or not situation.conditions:  # noqa: PLR2004 -- a first and another
        return None
    first = good[0]
    first_s = answer_s(situation, first)
    if first_s is None or first.cost is None:
        return None
    ceiling = first.cost * (1 + situation.catalog.ladder.near_cost)
    near: list[tuple[float, Contender]] = []
    for each in good[1:]:
        if each.cost is None or each.cost > ceiling:
            break
        took_s = answer_s(situation, each)
        if took_s is not None and took_s <= _WORTH * first_s and turn(each) <= turn(first):
            near.append((took_s, each))
    return min(near, key=lambda pair: pair[0])[1] if near else None


def answer_s(situation: Situation, contender: Contender) -> float | None:
    """Seconds that the expected answer would take; `None` when nobody measured it, or it fails too often to count."""
    found = situation.conditions.get(contender.model_id)
    return None if found is None or found.degraded else found.answer_s(contender.output_tokens)


def ailment(situation: Situation, contender: Contender) -> str | None:
    """Say how a contender is degraded; `None` when it is not."""
    found = condition_of(situation, contender)
    if found is None or not found.degraded:
        return None
    if not found.failures:
        return f"degraded: {found.error_rate:.0%} of its provider's recent calls failed"
    return f"degraded: {found.failures / found.calls:.0%} of the last {found.calls} calls failed"
