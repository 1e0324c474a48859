"""The choice, example by example: demand, cost, filters, money, rules, conversations, and the words for it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

import pytest
from tests.policy_examples import (
    FRONTIER,
    LADDER_WORLD,
    LARGE,
    MIDDLE,
    PROVIDERS,
    SHIPPED,
    SMALL,
    asking,
    labelled,
    model,
    price_row,
    situation,
    world,
)

from dynaroute_mcp.catalog import Capability, Constraints
from dynaroute_mcp.errors import ContextTooLong, NoCandidate, UnknownName
from dynaroute_mcp.overcount import Overcount
from dynaroute_mcp.policy import Expectation, Pin, Situation, choose, levels_served, needs
from dynaroute_mcp.policy.demand import demanded_level, demanded_quality
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.settings import Rule, Settings
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import (
    CacheTtl,
    ChatRequest,
    Choice,
    Document,
    Image,
    Message,
    Parameters,
    Part,
    ResponseFormat,
    Routing,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

TOOL = Tool(name="look_up")


def winner_of(where: Situation) -> str:
    return choose(where).winner.model_id


def reason_of(choice: Choice, model_id: str) -> str:
    return next(loser.reason for loser in choice.losers if loser.model_id == model_id)


# ---------------------------------------------------------------- demand


@pytest.mark.parametrize(
    ("level", "strategy", "expected"),
    [
        (Level.L1, Strategy.CHEAPEST, SMALL),
        (Level.L1, Strategy.BALANCED, SMALL),
        (Level.L2, Strategy.CHEAPEST, SMALL),
        (Level.L2, Strategy.BALANCED, MIDDLE),
        (Level.L3, Strategy.BALANCED, LARGE),
        (Level.L4, Strategy.CHEAPEST, LARGE),
        (Level.L4, Strategy.BALANCED, FRONTIER),
        (Level.L1, Strategy.BEST, FRONTIER),
    ],
)
def test_each_level_takes_the_cheapest_model_that_is_good_enough(
    level: Level, strategy: Strategy, expected: str
) -> None:
    assert winner_of(situation(label=labelled(level=level), strategy=strategy)) == expected


@pytest.mark.parametrize(
    ("strategy", "level", "expected"),
    [
        (Strategy.CHEAPEST, Level.L1, SMALL),
        (Strategy.BALANCED, Level.L2, MIDDLE),
        (Strategy.BEST, Level.L3, FRONTIER),
    ],
)
def test_uncertainty_is_hedged_by_the_strategys_quantile(
    strategy: Strategy, level: Level, expected: str
) -> None:
    unsure = labelled(levels={Level.L1: 0.55, Level.L2: 0.3, Level.L3: 0.15})
    choice = choose(situation(label=unsure, strategy=strategy))

    assert (choice.demanded_level, choice.winner.model_id) == (level, expected)
    assert any("is the most likely; " in note for note in choice.notes) == (level is not Level.L1)


def test_the_demanded_level_is_the_quantile_of_the_distribution() -> None:
    even = dict.fromkeys(Level, 0.2)

    assert [demanded_level(even, q) for q in (0.2, 0.5, 0.7, 0.9, 1.0)] == [
        Level.L1,
        Level.L3,
        Level.L4,
        Level.L5,
        Level.L5,
    ]
    assert demanded_level({Level.L1: 0.5}, 0.9) is Level.L5


def test_difficulty_moves_the_demand_by_at_most_half_a_step_and_only_where_it_is_calibrated() -> None:
    ladder = SHIPPED.ladder.model_copy(
        update={"neutral_difficulty": {Level.L2: 0.4, Level.L5: 0.5}, "hardest_difficulty": 0.8}
    )
    plain = demanded_quality(ladder, Level.L2, Strategy.BALANCED, None)
    hardest = demanded_quality(ladder, Level.L2, Strategy.BALANCED, 0.8)
    easiest = demanded_quality(ladder, Level.L2, Strategy.BALANCED, 0.0)

    assert plain == demanded_quality(ladder, Level.L2, Strategy.BALANCED, 0.4) == ladder.demand[Level.L2]
    assert hardest == pytest.approx((ladder.demand[Level.L2] + ladder.demand[Level.L3]) / 2)
    assert demanded_quality(ladder, Level.L2, Strategy.BALANCED, 1.0) == hardest
    assert easiest == pytest.approx((ladder.demand[Level.L1] + ladder.demand[Level.L2]) / 2)
    assert demanded_quality(ladder, Level.L3, Strategy.BALANCED, 1.0) == ladder.demand[Level.L3]
    assert demanded_quality(ladder, Level.L5, Strategy.BALANCED, 1.0) == ladder.demand[Level.L5]


def test_when_nobody_is_good_enough_the_best_one_is_taken_and_that_is_said() -> None:
    choice = choose(replace(situation(label=labelled(level=Level.L5)), usable=frozenset({"ant", "bee"})))

    assert choice.winner.model_id == LARGE
    assert not choice.meets_demand
    assert "comes closest" in choice.reason
    assert any("below the" in note for note in choice.notes)


def test_levels_served_are_those_whose_demand_a_model_meets() -> None:
    assert levels_served(SHIPPED, SHIPPED.get_model("gpt-4.1"))[-1] is Level.L3
    assert levels_served(SHIPPED, SHIPPED.get_model("gemini-4-argon"))[-1] is Level.L5
    assert levels_served(SHIPPED, SHIPPED.get_model("codestral")) == ()
    assert levels_served(SHIPPED, model("ant/local", None, free=True)) == (Level.L1,)


@pytest.mark.parametrize("category", list(Category))
@pytest.mark.parametrize("level", list(Level))
def test_the_shipped_catalog_has_an_answer_for_every_label(category: Category, level: Level) -> None:
    where = replace(
        situation(SHIPPED, label=labelled(category, level)), usable=frozenset(SHIPPED.providers) - {"sandbox"}
    )

    assert choose(where).meets_demand


# ---------------------------------------------------------------- cost


def test_expected_cost_counts_the_reasoning_that_a_model_does_unasked() -> None:
    thinker = Constraints(thinking_by_default=True, thinking="effort", efforts=("none", "low", "high"))
    catalog = world(
        [model("ant/thinks", 0.5, constraints=thinker), model("bee/plain", 0.5)],
        [price_row("ant/thinks", "1", "4"), price_row("bee/plain", "1", "6")],
    )

    assert winner_of(situation(catalog)) == "bee/plain"
    assert (
        winner_of(situation(catalog, request=asking(parameters=Parameters(reasoning_effort="none"))))
        == "ant/thinks"
    )


def test_tools_that_switch_reasoning_off_make_it_cost_nothing() -> None:
    limits = Constraints(thinking_by_default=True, tools_need_effort_none=True, efforts=("none", "high"))
    catalog = world([model("ant/thinks", 0.5, constraints=limits)], [price_row("ant/thinks", "1", "4")])
    plain = choose(situation(catalog))
    with_tools = choose(situation(catalog, request=replace(asking(), tools=(TOOL,))))

    assert plain.expected_output_tokens > with_tools.expected_output_tokens == 450


def test_what_own_calls_took_replaces_the_prior_once_there_are_enough() -> None:
    label = (Category.HISTORY, Level.L2)

    def expected(calls: int) -> int:
        learnt = {label: Expectation(visible_tokens=77, reasoning_tokens=0, calls=calls, thinking_calls=0)}
        return choose(replace(situation(), learnt=learnt)).expected_output_tokens

    assert (expected(19), expected(20)) == (450, 77)


def test_reasoning_is_learnt_from_models_that_thought_only() -> None:
    thinker = model("ant/thinker", 0.5, constraints=Constraints(thinking_by_default=True))
    where = situation(world([thinker], [price_row("ant/thinker", "1", "4")]))
    prior = choose(where).expected_output_tokens - 450

    def expected(thinking_calls: int) -> int:
        learnt = Expectation(visible_tokens=77, reasoning_tokens=9, calls=30, thinking_calls=thinking_calls)
        return choose(replace(where, learnt={(Category.HISTORY, Level.L2): learnt})).expected_output_tokens

    assert (expected(19), expected(20)) == (77 + prior, 86)


def test_a_decision_says_what_would_change_it() -> None:
    assert choose(situation()).turning_points == (
        f"at level 1 it would be {SMALL}",
        f"at level 3 it would be {LARGE}",
    )
    assert choose(situation(label=labelled(level=Level.L1))).turning_points == (
        f"at level 2 it would be {MIDDLE}",
    )
    assert choose(situation(label=labelled(level=Level.L5))).turning_points == ()
    assert choose(situation(strategy=Strategy.BEST)).turning_points == ()
    assert choose(situation(request=asking(named=LARGE))).turning_points == ()


def test_a_decision_by_a_rule_says_what_would_be_chosen_without_it() -> None:
    ruled = Settings(rules=(Rule(category=Category.HISTORY, model=FRONTIER),))

    assert choose(situation(settings=ruled)).turning_points[0] == f"chosen anew it would be {MIDDLE}"


def test_a_price_cliff_is_seen_before_choosing() -> None:
    haiku, luna = SHIPPED.get_model("claude-haiku-5-5"), SHIPPED.get_model("gpt-6-luna")
    where = replace(situation(SHIPPED), usable=frozenset({"anthropic", "openai"}))
    short, long = replace(where, input_tokens=90_000), replace(where, input_tokens=110_000)

    usd = {c.model_id: c.expected_usd or Decimal(0) for c in choose(short).chain}
    assert usd[haiku.id] < usd[luna.id]
    usd = {c.model_id: c.expected_usd or Decimal(0) for c in choose(long).chain}
    assert usd[haiku.id] > 4 * usd[luna.id]


def test_a_prompt_beyond_a_tier_is_pointed_out() -> None:
    request = asking(named="claude-haiku-5-5")
    where = replace(situation(SHIPPED, request=request), usable=frozenset({"anthropic"}))

    assert any("above 100,000" in note for note in choose(replace(where, input_tokens=120_000)).notes)
    assert choose(where).notes == ()


def test_a_peak_hour_is_pointed_out_and_a_quiet_one_is_not() -> None:
    request = asking(named="deepseek-flash")
    sunday = replace(situation(SHIPPED, request=request), usable=frozenset({"deepseek"}))
    tuesday = replace(sunday, at=datetime(2026, 11, 24, 2, tzinfo=UTC))

    assert choose(sunday).notes == ()
    assert choose(tuesday).notes == ("it is a peak hour of deepseek: 2 times its usual price",)


def test_a_model_of_unknown_price_is_never_the_cheapest() -> None:
    catalog = world(
        [model("ant/priced", 0.5), model("bee/unpriced", 0.6)], [price_row("ant/priced", "100", "400")]
    )
    choice = choose(situation(catalog))
    best = choose(situation(catalog, strategy=Strategy.BEST))

    assert choice.winner.model_id == "ant/priced"
    assert reason_of(choice, "bee/unpriced") == "price unknown"
    assert best.winner.expected_usd is None
    assert best.min_usd is None
    assert best.cheaper is None
    assert "price unknown" in best.reason
    assert any("price of bee/unpriced is unknown" in note for note in best.notes)
    assert reason_of(best, "ant/priced") == "quality 0.50 < 0.60"


def test_a_free_local_model_answers_the_simplest_level_only() -> None:
    catalog = world(
        [model("ant/local", None, free=True), model(MIDDLE, 0.45)], [price_row(MIDDLE, "0.5", "2")]
    )

    assert winner_of(situation(catalog, label=labelled(level=Level.L1))) == "ant/local"
    assert winner_of(situation(catalog)) == MIDDLE


def test_what_is_preferred_wins_where_the_cost_is_the_same() -> None:
    catalog = world(
        [model("ant/one", 0.5), model("bee/one", 0.5)],
        [price_row("ant/one", "1", "4"), price_row("bee/one", "1", "4")],
    )

    assert winner_of(situation(catalog)) == "ant/one"
    assert winner_of(situation(catalog, settings=Settings(prefer=("bee",)))) == "bee/one"
    assert winner_of(situation(catalog, settings=Settings(prefer=("nobody", "bee/one")))) == "bee/one"


def test_a_dry_run_knows_the_range_and_the_neighbours() -> None:
    choice = choose(situation(label=labelled(level=Level.L3)))

    assert choice.winner.model_id == LARGE
    assert choice.min_usd == Decimal("0.002")
    assert choice.winner.max_usd == Decimal(1150) * 2 / 1_000_000 + Decimal(16_384) * 8 / 1_000_000
    assert choice.cheaper is not None
    assert choice.cheaper.model_id == MIDDLE
    assert choice.better is not None
    assert choice.better.model_id == FRONTIER
    assert choice.dearest_id == choice.better.model_id


# ---------------------------------------------------------------- filters


def image() -> Image:
    return Image(url="https://example.test/x.png")


@pytest.mark.parametrize(
    ("parts", "missing", "reason"),
    [
        ((image(),), "vision", "no vision"),
        ((ToolResult(call_id="1", parts=(image(),)),), "vision", "no vision"),
        ((Document(media_type="application/pdf", data="x"),), "pdf", "no documents"),
        ((ToolCall(id="1", name="f", arguments="{}"),), "tools", "no tools"),
    ],
)
def test_a_part_that_a_model_cannot_take_keeps_it_out(
    parts: tuple[Part, ...], missing: Capability, reason: str
) -> None:
    able = model(LARGE, 0.5)
    blind = model(SMALL, 0.5, capabilities=able.capabilities - {missing})
    catalog = world([able, blind], [price_row(LARGE, "2", "8"), price_row(SMALL, "1", "4")])
    choice = choose(situation(catalog, request=asking(*parts)))

    assert choice.winner.model_id == LARGE
    assert reason_of(choice, SMALL) == reason


@pytest.mark.parametrize(
    ("kind", "capability"), [("json", "json_mode"), ("schema", "json_schema"), ("text", None)]
)
def test_the_form_of_the_answer_is_a_need(
    kind: Literal["text", "json", "schema"], capability: Capability | None
) -> None:
    wanted = ResponseFormat(kind=kind)

    assert needs(replace(asking(), response_format=wanted)).capabilities == frozenset(
        {capability} if capability else ()
    )


@pytest.mark.parametrize(
    ("constraints", "request_", "reason"),
    [
        (
            Constraints(tools_need_effort_none=True),
            replace(asking(parameters=Parameters(reasoning_effort="high")), tools=(TOOL,)),
            "takes tools only without reasoning",
        ),
        (
            Constraints(forced_tool_choice=False),
            replace(asking(), tools=(TOOL,), tool_choice=ToolChoice(mode="required")),
            "can't be forced to call a tool",
        ),
        (
            Constraints(prefill=False),
            ChatRequest(
                messages=(*asking().messages, Message(role="assistant", parts=(Text(text="Because"),)))
            ),
            "can't continue an assistant message",
        ),
    ],
)
def test_what_would_be_a_400_keeps_a_model_out(
    constraints: Constraints, request_: ChatRequest, reason: str
) -> None:
    catalog = world(
        [model(SMALL, 0.5, constraints=constraints), model(LARGE, 0.5)],
        [price_row(SMALL, "1", "4"), price_row(LARGE, "2", "8")],
    )
    choice = choose(situation(catalog, request=request_))

    assert choice.winner.model_id == LARGE
    assert reason_of(choice, SMALL) == reason
    assert winner_of(situation(catalog, request=replace(asking(), tool_choice=ToolChoice(mode="auto")))) in {
        SMALL,
        LARGE,
    }


def test_who_ends_with_an_answer_that_no_model_continues_is_told_to_end_with_a_question() -> None:
    catalog = world([model(SMALL, 0.5, constraints=Constraints(prefill=False))], [price_row(SMALL, "1", "4")])
    answered = (*asking().messages, Message(role="assistant", parts=(Text(text="Paris"),)))

    with pytest.raises(NoCandidate, match="end with a user's message"):
        choose(situation(catalog, request=ChatRequest(messages=answered)))


def test_prompt_and_answer_must_fit_with_room_for_the_estimate() -> None:
    catalog = world(
        [model(SMALL, 0.5, context=8_192), model(LARGE, 0.5, context=128_000)],
        [price_row(SMALL, "1", "4"), price_row(LARGE, "2", "8")],
    )

    assert winner_of(situation(catalog, input_tokens=7_300)) == SMALL
    choice = choose(situation(catalog, input_tokens=7_400))
    assert choice.winner.model_id == LARGE
    assert reason_of(choice, SMALL) == "window 8,192 < 7,850 tokens"


def test_an_answer_that_is_bounded_takes_no_more_of_the_window_than_its_bound() -> None:
    catalog = world([model(SMALL, 0.5, context=4_096)], [price_row(SMALL, "1", "4")])
    where = situation(catalog, label=labelled(level=Level.L3), input_tokens=3_000)
    bounded = replace(where, request=asking(parameters=Parameters(max_tokens=200)))
    terse = model(SMALL, 0.5, context=4_096).model_copy(update={"max_output_tokens": 500})

    with pytest.raises(ContextTooLong, match="ask for a smaller max_tokens"):
        choose(where)
    assert winner_of(bounded) == SMALL
    assert winner_of(replace(where, catalog=catalog.with_models([], [terse]))) == SMALL


def test_a_prompt_has_a_window_of_its_own_where_the_provider_sets_one() -> None:
    narrow = model(SMALL, 0.5).model_copy(update={"max_input_tokens": 10_000})
    catalog = world([narrow], [price_row(SMALL, "1", "4")])

    with pytest.raises(ContextTooLong, match="has room for 9,600 prompt tokens"):
        choose(situation(catalog, input_tokens=9_600))


def test_a_retired_model_is_never_chosen_from_its_day_on() -> None:
    catalog = world(
        [model(SMALL, 0.5, retires_at=date(2026, 11, 22)), model(LARGE, 0.5)],
        [price_row(SMALL, "1", "4"), price_row(LARGE, "2", "8")],
    )
    choice = choose(situation(catalog))

    assert choice.winner.model_id == LARGE
    assert all(loser.model_id != SMALL for loser in choice.losers)
    with pytest.raises(NoCandidate, match="retired 2026-11-22; name a current model"):
        choose(situation(catalog, request=asking(named=SMALL)))
    with pytest.raises(NoCandidate, match="retired 2026-06-15, use anthropic/claude-opus-5-5"):
        choose(situation(SHIPPED, request=asking(named="Claude Opus 4")))


def test_without_any_key_the_error_names_the_variables_to_set() -> None:
    with pytest.raises(NoCandidate, match="set one of ANT_API_KEY, BEE_API_KEY, CAT_API_KEY or another"):
        choose(replace(situation(), usable=frozenset()))


def test_models_without_a_key_are_summed_up_by_provider() -> None:
    choice = choose(replace(situation(), usable=frozenset({"bee"})))

    assert reason_of(choice, "ant/*") == "no key: set ANT_API_KEY (2 models)"
    assert reason_of(choice, "cat/*") == "no key: set CAT_API_KEY (1 models)"


def test_a_provider_without_a_key_variable_cannot_be_reached() -> None:
    keyless = PROVIDERS["ant"].model_copy(update={"key_env": ()})
    catalog = replace(LADDER_WORLD, providers={**LADDER_WORLD.providers, "ant": keyless})

    with pytest.raises(NoCandidate, match="ant can't be reached"):
        choose(replace(situation(catalog, request=asking(named=SMALL)), usable=frozenset()))


def test_nothing_in_the_catalog_is_said_so() -> None:
    with pytest.raises(NoCandidate, match="the catalog is empty; name a current model"):
        choose(situation(world([], [])))


# ---------------------------------------------------------------- health


def test_a_cooling_model_is_passed_over_and_the_seconds_are_told() -> None:
    choice = choose(replace(situation(), cooling={MIDDLE: 41.2}))

    assert choice.winner.model_id == LARGE
    assert reason_of(choice, MIDDLE) == "cooling 41 s"


def test_a_cooling_model_stands_behind_all_that_are_ready() -> None:
    choice = choose(replace(situation(), cooling={MIDDLE: 41.2}))

    names = [candidate.model_id for candidate in choice.chain]
    assert names[-1] == MIDDLE
    assert names.count(MIDDLE) == 1


def test_a_cooling_provider_takes_all_its_models_with_it() -> None:
    assert winner_of(replace(situation(), cooling={"bee": 9.0, "ant": 9.0})) == FRONTIER


def test_the_only_candidates_left_are_probed_and_not_cooled() -> None:
    choice = choose(replace(situation(), usable=frozenset({"bee"}), cooling={MIDDLE: 41.0}))

    assert choice.winner.model_id == MIDDLE
    assert any("probes one" in note for note in choice.notes)


# ---------------------------------------------------------------- money


def test_a_ceiling_keeps_out_what_could_pass_it() -> None:
    bounded = Parameters(max_tokens=1_000)
    request = asking(parameters=bounded, routing=Routing(max_cost_usd=Decimal("0.004")))
    choice = choose(situation(label=labelled(level=Level.L3), request=request))

    assert choice.winner.model_id == MIDDLE
    assert not choice.meets_demand
    assert reason_of(choice, LARGE) == "over budget: up to $0.0103"
    assert all(c.max_usd is not None and c.max_usd <= Decimal("0.004") for c in choice.chain)


def test_without_a_bound_of_the_callers_the_answers_bound_is_cut_to_what_the_ceiling_pays_for() -> None:
    request = asking(routing=Routing(max_cost_usd=Decimal("0.015")))
    choice = choose(situation(label=labelled(level=Level.L3), request=request))

    assert choice.winner.model_id == LARGE
    assert choice.winner.max_output_tokens == 1_587
    assert choice.winner.max_usd == Decimal("0.014996")


@pytest.mark.parametrize("counted", [1.0, 1.3, 2.5, 7.9])
def test_a_cut_bound_stays_below_the_ceiling_whatever_the_provider_counts(counted: float) -> None:
    over = Overcount(output=counted)
    for millionths in range(2_000, 2_040):
        ceiling = Decimal(millionths) / 1_000_000
        request = asking(routing=Routing(max_cost_usd=ceiling))
        where = situation(request=request, input_tokens=10)

        choice = choose(replace(where, overcounts=dict.fromkeys(LADDER_WORLD.by_id, over)))

        assert all(each.max_usd is not None and each.max_usd <= ceiling for each in choice.chain)


def test_the_tighter_of_ceiling_and_budget_counts() -> None:
    request = asking(routing=Routing(max_cost_usd=Decimal(1)))
    where = replace(situation(label=labelled(level=Level.L3), request=request), usd_left=Decimal("0.004"))

    assert winner_of(where) == MIDDLE


def test_when_nothing_is_affordable_the_error_says_what_the_cheapest_needs() -> None:
    request = asking(routing=Routing(max_cost_usd=Decimal("0.0000001")))

    with pytest.raises(
        NoCandidate,
        match=r"over budget \(4\); the cheapest needs up to \$0\.0067; raise max_cost_usd, or set",
    ):
        choose(situation(request=request))


def test_who_runs_out_of_budget_is_told_what_to_raise_in_the_words_of_the_face() -> None:
    own = asking(routing=Routing(max_cost_usd=Decimal("0.0000001"), max_cost_name="budget_dollars"))
    scant = Decimal("0.0000001")

    for request, left, advice, over in (
        (own, None, "raise budget_dollars, or set", True),
        (own, scant, "raise budget_dollars or the budget, or set", True),
        (asking(), scant, "raise the budget, or set", False),
    ):
        with pytest.raises(NoCandidate, match=advice) as raised:
            choose(replace(situation(request=request), usd_left=left))
        assert raised.value.over_budget is over


def test_a_model_of_unknown_price_is_refused_under_a_budget() -> None:
    catalog = world([model(SMALL, 0.5)], [])

    for where in (
        replace(situation(catalog), priced_only=True),
        replace(situation(catalog), usd_left=Decimal(100)),
    ):
        with pytest.raises(NoCandidate, match="no known price, and a budget is set"):
            choose(where)


# ---------------------------------------------------------------- names, rules, exclusions


def test_a_named_model_is_taken_alone_under_any_of_its_names() -> None:
    choice = choose(situation(request=asking(named="FRONTIER")))

    assert [c.model_id for c in choice.chain] == [FRONTIER]
    assert choice.losers == ()
    assert choice.reason.endswith("the request names it")


def test_a_named_model_that_cannot_answer_says_why() -> None:
    with pytest.raises(UnknownName):
        choose(situation(request=asking(named="frontal")))
    with pytest.raises(NoCandidate, match=r"no key: set CAT_API_KEY$"):
        choose(replace(situation(request=asking(named=FRONTIER)), usable=frozenset({"ant"})))
    with pytest.raises(ContextTooLong, match="window 128,000"):
        choose(situation(request=asking(named=FRONTIER), input_tokens=128_000))


def test_a_rule_sends_its_category_to_its_model() -> None:
    rules = (Rule(category=Category.LAW, model=LARGE), Rule(category="*", model="frontier"))
    choice = choose(situation(settings=Settings(rules=rules)))

    assert choice.winner.model_id == FRONTIER
    assert choice.reason.endswith("the rule for * names it")
    assert "cheaper by" in reason_of(choice, MIDDLE)
    assert winner_of(situation(label=labelled(Category.LAW), settings=Settings(rules=rules))) == LARGE


def test_a_rule_may_name_a_provider_whose_first_choice_it_takes() -> None:
    first_of_ant = winner_of(situation(settings=Settings(exclude=("bee", "cat"))))
    choice = choose(situation(settings=Settings(rules=(Rule(category="*", model="ant"),))))

    assert choice.winner.model_id == first_of_ant != winner_of(situation())
    assert choice.reason.endswith("the rule for * names ant")
    nobody = Settings(rules=(Rule(category="*", model="ant"),), exclude=("ant",))
    assert choose(situation(settings=nobody)).notes == ("the rule for * names ant, which is out",)


def test_a_rule_whose_model_is_out_is_noted_and_passed_over() -> None:
    settings = Settings(rules=(Rule(category="*", model=FRONTIER),), exclude=("cat",))
    choice = choose(situation(settings=settings))

    assert choice.winner.model_id == MIDDLE
    assert choice.notes == ("the rule for * names cat/frontier, which is out",)
    assert reason_of(choice, FRONTIER) == "excluded"


def test_an_exclusion_wins_over_a_name_and_an_unknown_one_is_pointed_out() -> None:
    request = asking(named=FRONTIER, routing=Routing(exclude=frozenset({"Cat"})))

    with pytest.raises(NoCandidate, match="excluded; take a model out of the exclusions"):
        choose(situation(request=request))
    choice = choose(situation(settings=Settings(exclude=("dog",))))
    assert choice.notes == ("excluded name 'dog' is neither a model nor a provider here",)


# ---------------------------------------------------------------- conversations


def on(model_id: str, warm_tokens: int = 50_000, **changes: Level) -> Situation:
    where = situation(label=labelled(level=changes.get("level", Level.L2)), input_tokens=50_500)
    return replace(where, pin=Pin(model_id=model_id, warm_tokens=warm_tokens))


def test_a_conversation_stays_sideways_while_its_cache_is_warm() -> None:
    catalog = world(
        [model("ant/one", 0.5), model("bee/one", 0.5)],
        [price_row("ant/one", "1", "4", "0.1"), price_row("bee/one", "0.9", "3.6", "0.09")],
    )
    choice = choose(replace(on("ant/one"), catalog=catalog))

    assert choice.winner.model_id == "ant/one"
    assert choice.winner.expected_usd == Decimal("0.0073")
    assert winner_of(replace(on("ant/one", 0), catalog=catalog)) == "bee/one"


def on_demand(warm_tokens: int | None, marked_tokens: int, mark: CacheTtl | None) -> Situation:
    """A prompt of 50,000 tokens for a Claude of two models, which caches nothing below 1,024."""
    rates = {"cache_write_5m": Decimal("1.25"), "cache_write_1h": Decimal(2)}
    claude = price_row("ant/one", "1", "0", "0.1")
    claude = claude.model_copy(update={"usd_per_mtok": claude.usd_per_mtok.model_copy(update=rates)})
    least = Constraints(min_cacheable_tokens=1_024)
    catalog = world(
        [model("ant/one", 0.5, constraints=least), model("bee/one", 0.5)],
        [claude, price_row("bee/one", "0.95", "0", "0.095")],
    )
    ant = catalog.providers["ant"].model_copy(update={"dialect": "anthropic"})
    return replace(
        situation(request=asking(Text(text="?", cache_ttl=mark)), input_tokens=50_000),
        catalog=replace(catalog, providers={**catalog.providers, "ant": ant}),
        pin=None if warm_tokens is None else Pin(model_id="ant/one", warm_tokens=warm_tokens),
        marked_tokens=marked_tokens,
    )


@pytest.mark.parametrize(
    ("warm", "marked", "mark", "usd"),
    [
        (None, 0, None, "0.05"),
        (None, 40_000, "5m", "0.06"),  # 40,000 written, 10,000 plain
        (None, 40_000, "1h", "0.09"),
        (None, 1_000, "5m", "0.05"),  # too few to be cached
        (30_000, 40_000, "5m", "0.0255"),  # 30,000 read, 10,000 written, 10,000 plain
        (90_000, 40_000, "5m", "0.014"),
        (30_000, 0, None, "0.023"),  # counted as cached without a mark
    ],
)
def test_what_a_request_marks_is_written_where_it_is_not_warm(
    warm: int | None, marked: int, mark: CacheTtl | None, usd: str
) -> None:
    where = on_demand(warm, marked, mark)
    only_claude = replace(where, settings=Settings(exclude=("bee",)))
    only_other = replace(where, pin=None, settings=Settings(exclude=("ant",)))

    assert choose(only_claude).winner.expected_usd == Decimal(usd)
    assert choose(only_other).winner.expected_usd == Decimal("0.0475")


def test_a_marked_conversation_stays_where_it_is_cached() -> None:
    assert winner_of(on_demand(None, 50_000, "5m")) == "bee/one"
    assert winner_of(on_demand(45_000, 50_000, "5m")) == "ant/one"


@pytest.mark.parametrize(("marked", "mark", "winner"), [(0, None, "bee/one"), (50_000, "5m", "ant/one")])
def test_a_conversation_moves_to_a_cache_only_where_one_is_asked_for(
    marked: int, mark: CacheTtl | None, winner: str
) -> None:
    where = on_demand(None, marked, mark)
    dearer = price_row("bee/one", "1.3", "0", "1.2")
    catalog = replace(where.catalog, prices={**where.catalog.prices, "bee/one": (dearer,)})

    pinned = replace(where, catalog=catalog, pin=Pin(model_id="bee/one", warm_tokens=20_000))

    assert winner_of(pinned) == winner


def test_a_conversation_is_not_moved_for_one_cheap_turn() -> None:
    catalog = world(
        [model("ant/one", 0.5), model("bee/uncached", 0.5)],
        [price_row("ant/one", "1", "4", "0.1"), price_row("bee/uncached", "0.12", "0.48")],
    )
    choice = choose(replace(on("ant/one"), catalog=catalog))

    assert choice.winner.model_id == "ant/one"
    assert choice.reason.endswith("its cache holds 50,000 tokens of this conversation")
    assert "cheaper by $0.0010" in reason_of(choice, "bee/uncached")


def test_a_conversation_moves_down_when_that_is_cheaper_even_cold() -> None:
    choice = choose(on(FRONTIER))

    assert choice.winner.model_id == MIDDLE
    assert any("less even with a cold cache" in note for note in choice.notes)


def test_a_conversation_moves_up_only_when_it_must() -> None:
    choice = choose(on(SMALL, level=Level.L3))

    assert choice.winner.model_id == LARGE
    assert choice.notes == (f"the conversation moves up from {SMALL}",)
    assert winner_of(on(LARGE, level=Level.L3)) == LARGE


def test_best_keeps_a_conversation_that_is_good_enough_and_calls_it_no_better() -> None:
    choice = choose(replace(on(LARGE), strategy=Strategy.BEST))

    assert choice.winner.model_id == LARGE
    assert choice.reason.endswith("its cache holds 50,000 tokens of this conversation")


def test_a_conversation_leaves_a_model_that_is_out() -> None:
    choice = choose(replace(on(LARGE), settings=Settings(exclude=("ant",))))

    assert choice.winner.model_id == MIDDLE
    assert choice.notes == ("the conversation leaves ant/large, which is out",)


def test_a_conversation_on_a_model_without_a_price_stays() -> None:
    catalog = world([model(SMALL, 0.5), model(LARGE, 0.5)], [price_row(SMALL, "1", "4")])

    choice = choose(replace(on(LARGE), catalog=catalog))
    assert choice.winner.model_id == LARGE
    assert reason_of(choice, SMALL) == "not the model asked for"


# ---------------------------------------------------------------- chain and words


def test_another_provider_stands_next_in_the_chain() -> None:
    names = ("ant/one", "ant/two", "ant/three", "bee/one", "cat/one")
    catalog = world(
        [model(name, 0.5) for name in names],
        [price_row(name, str(usd), str(4 * usd)) for usd, name in enumerate(names, start=1)],
    )

    assert [c.model_id for c in choose(situation(catalog)).chain] == [
        "ant/one",
        "bee/one",
        "cat/one",
        "ant/two",
        "ant/three",
    ]


def test_fallbacks_that_meet_the_demand_come_before_those_that_do_not() -> None:
    chain = choose(situation(label=labelled(level=Level.L3))).chain

    assert [c.model_id for c in chain] == [LARGE, FRONTIER, MIDDLE, SMALL]


def test_every_loser_says_why() -> None:
    choice = choose(situation())

    assert choice.reason == (
        "bee/middle (quality 0.45, about $0.0014) is the cheapest of 3 that meet History at level 2 (quality 0.39)"
    )
    assert reason_of(choice, SMALL) == "quality 0.30 < 0.39 demanded"
    assert reason_of(choice, LARGE) == "dearer by $0.0042"


def test_equal_cost_is_called_equal() -> None:
    catalog = world(
        [model("ant/one", 0.6), model("bee/one", 0.5), model("cat/one", 0.6)],
        [price_row(name, "1", "4") for name in ("ant/one", "bee/one", "cat/one")],
    )
    choice = choose(situation(catalog))

    assert reason_of(choice, "bee/one") == "costs the same, lower quality"
    assert reason_of(choice, "cat/one") == "costs the same"


@pytest.mark.parametrize(("usd", "text"), [("0.0021", "$0.0021"), ("0.00001", "$0.000010"), ("0", "$0.0000")])
def test_small_sums_keep_their_digits(usd: str, text: str) -> None:
    assert dollars(Decimal(usd)) == text


def test_a_model_that_answers_on_the_responses_api_only_is_routed_like_any_other() -> None:
    codex = SHIPPED.get_model("gpt-5.3-codex")
    asked = replace(asking(named=codex.id), tools=(TOOL,))
    here = replace(situation(SHIPPED, request=asked), usable=frozenset({codex.provider}))

    assert codex.constraints.needs_responses
    assert choose(here).winner.model_id == codex.id
