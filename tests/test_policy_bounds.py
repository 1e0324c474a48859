"""Bounds of a choice at their edges: what is reserved, what a ceiling pays for, how long chains and lists get."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from tests.policy_examples import (
    LADDER_WORLD,
    LARGE,
    MIDDLE,
    SMALL,
    asking,
    labelled,
    model,
    price_row,
    situation,
    world,
)

from dynaroute_mcp.catalog import UsdPerMtok
from dynaroute_mcp.errors import NoCandidate
from dynaroute_mcp.policy import Pin, choose
from dynaroute_mcp.policy.why import KEPT_LOSERS
from dynaroute_mcp.pricing.cost import resolved
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import CacheTtl, Parameters, Routing, Text

MANY = world(
    [model(f"ant/m{number:02}", 0.6) for number in range(25)],
    [price_row(f"ant/m{number:02}", "1", str(number + 1)) for number in range(25)],
)


@pytest.mark.parametrize(("today", "tomorrow"), [("2", "8"), ("8", "2")])
def test_what_is_reserved_covers_a_price_that_changes_while_the_call_runs(today: str, tomorrow: str) -> None:
    later = price_row(SMALL, "0.1", tomorrow).model_copy(update={"valid_from": date(2026, 11, 23)})
    catalog = replace(
        LADDER_WORLD, prices={**LADDER_WORLD.prices, SMALL: (price_row(SMALL, "0.1", today), later)}
    )
    request = asking(parameters=Parameters(max_tokens=1_000_000), named=SMALL)
    late = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)

    found = choose(replace(situation(catalog, request=request, input_tokens=10), at=late)).winner

    assert found.max_usd is not None
    assert found.max_usd >= found.max_output_tokens * Decimal("0.000008")


def test_what_is_reserved_covers_a_cache_that_is_dearer_to_read_than_the_prompt() -> None:
    dear = world([model(SMALL, 0.6)], [price_row(SMALL, "1", "1", cache_read="3")])
    request = asking(parameters=Parameters(max_tokens=1))

    found = choose(situation(dear, request=request, input_tokens=1_000_000 // 10)).winner

    assert found.max_usd is not None
    assert found.max_usd >= Decimal("0.3")


@pytest.mark.parametrize(("mark", "reserved"), [(None, "0.125"), ("5m", "0.125"), ("1h", "0.2")])
def test_what_is_reserved_covers_the_cache_that_the_request_asks_for(
    mark: CacheTtl | None, reserved: str
) -> None:
    row = price_row(SMALL, "1", "0")
    rates = row.usd_per_mtok.model_copy(
        update={"cache_write_5m": Decimal("1.25"), "cache_write_1h": Decimal(2)}
    )
    marked = world([model(SMALL, 0.6)], [row.model_copy(update={"usd_per_mtok": rates})])
    margin = marked.ladder.input_margin

    found = choose(situation(marked, request=asking(Text(text="?", cache_ttl=mark)), input_tokens=100_000))

    assert found.winner.max_usd == Decimal(reserved) * Decimal(str(margin))


def test_an_hours_cache_write_costs_as_a_short_one_where_the_list_gives_it_no_price() -> None:
    rates = resolved(UsdPerMtok(input=Decimal(1), output=Decimal(2), cache_write_5m=Decimal("1.25")))

    assert rates.cache_write_1h_usd_per_mtok == Decimal("1.25")


def test_a_prompt_shorter_than_what_is_warm_is_read_from_the_cache_once() -> None:
    def cost(warm_tokens: int) -> Decimal | None:
        pin = Pin(model_id=MIDDLE, warm_tokens=warm_tokens)
        request = asking(named=MIDDLE)
        return choose(replace(situation(request=request, input_tokens=1_000), pin=pin)).winner.expected_usd

    assert cost(50_000) == cost(1_000)


def test_a_ceiling_that_pays_for_the_expected_answer_and_no_more_is_enough() -> None:
    expected = choose(situation(request=asking(named=SMALL))).expected_output_tokens
    bounded = asking(named=SMALL, parameters=Parameters(max_tokens=expected))
    needed = choose(situation(request=bounded)).winner.max_usd

    found = choose(situation(request=asking(named=SMALL, routing=Routing(max_cost_usd=needed)))).winner

    assert (found.max_output_tokens, found.max_usd) == (expected, needed)


def test_a_chain_is_no_longer_for_models_that_rest() -> None:
    most = MANY.ladder.fallbacks + 1
    resting = {f"ant/m{number:02}": 9.0 for number in range(2, 25)}

    chain = choose(replace(situation(MANY), cooling=resting)).chain

    assert [each.model_id for each in chain[:2]] == ["ant/m00", "ant/m01"]
    assert len(chain) == most < 25


def test_the_nearest_losers_that_are_written_down_are_as_many_as_may_be() -> None:
    facts = choose(situation(MANY)).explanation.facts

    assert facts is not None
    rivals, more = facts["rivals"], facts["more"]
    assert isinstance(rivals, list)
    assert (len(rivals), more) == (KEPT_LOSERS, 24 - KEPT_LOSERS)


def test_a_fitter_model_without_a_price_is_not_offered_as_the_better_one() -> None:
    unpriced = replace(
        LADDER_WORLD, prices={SMALL: LADDER_WORLD.prices[SMALL], LARGE: LADDER_WORLD.prices[LARGE]}
    )

    found = choose(situation(unpriced, label=labelled(level=Level.L1))).better

    assert found is not None
    assert found.model_id == LARGE


def test_money_is_named_before_the_window_where_either_stands_in_the_way() -> None:
    catalog = world(
        [model("ant/short", 0.6, context=1_500), model("bee/long", 0.6)],
        [price_row("ant/short", "1", "1"), price_row("bee/long", "1", "1")],
    )
    request = asking(routing=Routing(max_cost_usd=Decimal("0.0000001")))

    with pytest.raises(NoCandidate, match="raise max_cost_usd") as refused:
        choose(situation(catalog, request=request, input_tokens=1_400))

    assert refused.value.over_budget
