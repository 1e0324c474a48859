"""`stop` ends an answer where a caller's program expects it: models that take it go first, where they are good enough."""

from dataclasses import replace

import pytest
from tests.policy_examples import asking, labelled, model, price_row, situation, world

from dynaroute_mcp.catalog import Catalog, Constraints
from dynaroute_mcp.policy import choose
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Level, Strategy
from dynaroute_mcp.types import Parameters

CHEAP, SIBLING, STOPS, OTHER = "ant/cheap", "bee/cheap", "cat/stops", "cat/other"
DEAF = Constraints(stop_sequences=False)
STOP = Parameters(stop=("END",))


def catalog(quality: float = 0.5) -> Catalog:
    """Two cheap models that leave `stop` out, and two dear ones that take it, of this quality."""
    return world(
        [
            model(CHEAP, 0.55, constraints=DEAF),
            model(SIBLING, 0.6, constraints=DEAF),
            model(STOPS, quality),
            model(OTHER, quality),
        ],
        [
            price_row(CHEAP, "0.1", "0.4"),
            price_row(SIBLING, "0.2", "0.8"),
            price_row(STOPS, "1", "4"),
            price_row(OTHER, "2", "8"),
        ],
    )


@pytest.mark.parametrize("strategy", [Strategy.BALANCED, Strategy.CHEAPEST, Strategy.BEST])
def test_a_model_that_takes_stop_goes_before_cheaper_and_better_ones_that_do_not(strategy: Strategy) -> None:
    without = choose(situation(catalog(), strategy=strategy))
    made = choose(situation(catalog(), strategy=strategy, request=asking(parameters=STOP)))

    assert without.winner.model_id == (SIBLING if strategy is Strategy.BEST else CHEAP)
    assert [each.model_id for each in made.chain][:2] == [STOPS, OTHER]
    assert {each.model_id for each in made.chain} == {STOPS, OTHER, CHEAP, SIBLING}


def test_the_reasons_say_that_stop_decided() -> None:
    made = choose(situation(catalog(), request=asking(parameters=STOP)))

    assert "is the cheapest of 2 that meet" in made.reason
    assert "and take `stop`" in made.reason
    reasons = {each.model_id: each.reason for each in made.losers}
    assert reasons[CHEAP].endswith("but it leaves `stop` out")
    assert "stop" not in reasons[OTHER]


def test_a_model_that_falls_short_is_not_taken_for_stop() -> None:
    made = choose(
        situation(catalog(quality=0.1), label=labelled(level=Level.L2), request=asking(parameters=STOP))
    )

    assert made.winner.model_id == CHEAP
    assert "stop" not in made.reason


@pytest.mark.parametrize("named", [True, False])
def test_who_is_named_or_nobody_else_is_there_is_asked_without_stop(named: bool) -> None:
    request = asking(parameters=STOP, named=CHEAP if named else None)
    alone = Settings() if named else Settings(exclude=("cat",))

    assert choose(situation(catalog(), request=request, settings=alone)).winner.model_id == CHEAP


def test_the_level_below_would_go_to_one_that_takes_stop_too() -> None:
    there = catalog(quality=0.45)
    harder = situation(there, label=labelled(level=Level.L3), request=asking(parameters=STOP))
    made = choose(harder)
    below = choose(replace(harder, classification=labelled(level=Level.L2)))

    assert (made.winner.model_id, below.winner.model_id) == (CHEAP, STOPS)
    assert f"at level 2 it would be {STOPS}" in made.turning_points
