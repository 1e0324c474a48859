"""The condition of models in the choice: a failing one costs more, a faster one goes first among near equals."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.policy_examples import NOW, model, price_row, situation, world

from dynaroute_mcp.health import Condition, Health, Try
from dynaroute_mcp.policy import Situation, choose
from dynaroute_mcp.settings import BreakerSettings, Settings
from dynaroute_mcp.taxonomy import Strategy

CHEAP, NEAR, DEAR = "ant/cheap", "bee/near", "cat/dear"
WORLD = world(
    [model(CHEAP, 0.5), model(NEAR, 0.5), model(DEAR, 0.6)],
    [price_row(CHEAP, "1.00", "4"), price_row(NEAR, "1.02", "4.08"), price_row(DEAR, "1.5", "6")],
)


def doing(
    error_rate: float = 0.0, *, calls: int = 40, first_token_s: float | None = None, token_s: float = 0.01
) -> Condition:
    return Condition(
        error_rate=error_rate,
        lost_s=2.0,
        calls=calls,
        failures=round(error_rate * calls),
        first_token_s=first_token_s,
        token_s=token_s if first_token_s is not None else None,
    )


def where(conditions: dict[str, Condition], strategy: Strategy = Strategy.BALANCED) -> Situation:
    return replace(situation(WORLD, strategy=strategy), conditions=conditions)


def reason(seen: Situation, model_id: str) -> str:
    return next(loser.reason for loser in choose(seen).losers if loser.model_id == model_id)


def test_a_failing_model_gives_way_to_one_that_costs_little_more() -> None:
    seen = where({CHEAP: doing(0.3)})

    assert choose(where({})).winner.model_id == CHEAP
    assert choose(seen).winner.model_id == NEAR
    assert reason(seen, CHEAP).endswith("but degraded: 30% of the last 40 calls failed")


def test_everyday_failures_change_nothing() -> None:
    assert choose(where({CHEAP: doing(0.05)})).winner.model_id == CHEAP


def test_a_failing_model_stays_first_where_the_others_cost_far_more() -> None:
    far = world(
        [model(CHEAP, 0.5), model(DEAR, 0.6)], [price_row(CHEAP, "1", "4"), price_row(DEAR, "100", "400")]
    )
    seen = replace(situation(far), conditions={CHEAP: doing(0.3)})

    assert choose(seen).winner.model_id == CHEAP
    assert f"{CHEAP} is degraded: 30% of the last 40 calls failed" in choose(seen).notes


def test_best_gives_up_a_little_quality_for_a_model_that_answers() -> None:
    assert choose(where({DEAR: doing(0.3)}, Strategy.BEST)).winner.model_id == DEAR

    close = world(
        [model(CHEAP, 0.58), model(DEAR, 0.6)], [price_row(CHEAP, "1", "4"), price_row(DEAR, "1", "4")]
    )
    seen = replace(situation(close, strategy=Strategy.BEST), conditions={DEAR: doing(0.3)})
    assert choose(seen).winner.model_id == CHEAP
    assert reason(seen, DEAR) == "costs the same, degraded: 30% of the last 40 calls failed"


def test_a_provider_that_fails_as_a_whole_speaks_against_a_model_that_nobody_asked() -> None:
    whole = doing(0.4, calls=0)
    seen = where({"ant": whole})

    assert choose(seen).winner.model_id == NEAR
    assert reason(seen, CHEAP).endswith("degraded: 40% of its provider's recent calls failed")
    assert choose(where({"ant": whole, CHEAP: doing()})).winner.model_id == CHEAP


def test_among_near_equals_the_faster_goes_first_and_the_answer_says_so() -> None:
    seen = where({CHEAP: doing(first_token_s=3.0), NEAR: doing(first_token_s=0.9)})
    choice = choose(seen)

    assert choice.winner.model_id == NEAR
    assert "is the fastest that costs as little as any of 3" in choice.reason
    assert reason(seen, CHEAP).endswith("but slower by 2.1 s")
    assert [each.model_id for each in choice.chain] == [NEAR, CHEAP, DEAR]


@pytest.mark.parametrize(
    "conditions",
    [
        {CHEAP: doing(first_token_s=3.0)},
        {NEAR: doing(first_token_s=0.1)},
        {CHEAP: doing(first_token_s=3.0), NEAR: doing(first_token_s=2.9)},
        {CHEAP: doing(first_token_s=9.0), DEAR: doing(first_token_s=0.1, token_s=0.001)},
        {CHEAP: doing(first_token_s=9.0), NEAR: doing(0.09, first_token_s=9.0)},
    ],
    ids=["only the first is known", "the first is unknown", "hardly faster", "much dearer", "as slow"],
)
def test_speed_alone_moves_nobody_else_to_the_front(conditions: dict[str, Condition]) -> None:
    assert choose(where(conditions)).winner.model_id == CHEAP


def test_who_is_preferred_is_not_overtaken() -> None:
    fast = {CHEAP: doing(first_token_s=9.0), NEAR: doing(first_token_s=0.1)}
    liked = replace(where(fast), settings=Settings(prefer=("ant",)))

    assert choose(liked).winner.model_id == CHEAP
    assert choose(replace(liked, settings=Settings(prefer=("bee",)))).winner.model_id == NEAR


def test_a_free_model_that_fails_at_once_stands_behind_a_free_one_that_answers() -> None:
    free = world(
        [model(CHEAP, 0.5, free=True), model(NEAR, 0.5, free=True)],
        [price_row(CHEAP, "0", "0"), price_row(NEAR, "0", "0")],
    )
    failing = replace(doing(0.5), lost_s=0.0)

    assert choose(replace(situation(free), conditions={CHEAP: failing})).winner.model_id == NEAR


def test_health_and_choice_fit_together() -> None:
    health = Health(BreakerSettings())
    health.recall((CHEAP, "ant", Try(at=NOW, ok=number % 2 > 0, took_s=1.0)) for number in range(20))
    choice = choose(replace(situation(WORLD), conditions=health.conditions(NOW)))

    assert choice.winner.model_id == NEAR
    assert choice.winner.expected_usd > Decimal(0)  # type: ignore[operator]  # it has a price
