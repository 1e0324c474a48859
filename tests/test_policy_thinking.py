"""Thinking and `max_tokens`: a model that would think the whole of it away gives no answer at all."""

from dataclasses import replace
from typing import Literal

import pytest
from tests.policy_examples import SHIPPED, asking, labelled, model, price_row, situation, world
from tests.scripted import ASK, LUNA, Script
from tests.test_calling import calling, choice

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.policy import Pin, Situation, choose
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import Effort, Parameters

THINKER, PLAIN = "ant/thinker", "bee/plain"


def two(
    *efforts: Effort,
    max_tokens: int | None,
    thinking: Literal["none", "effort", "budget", "adaptive"] = "effort",
    effort: Effort | None = None,
    named: str | None = None,
) -> Situation:
    """A cheap model that thinks, about 500 tokens for an answer of 450, and a dear one that does not."""
    limits = Constraints(thinking=thinking, thinking_by_default=True, efforts=efforts)
    catalog = world(
        [model(THINKER, 0.5, constraints=limits), model(PLAIN, 0.5)],
        [price_row(THINKER, "0.1", "0.4"), price_row(PLAIN, "2", "8")],
    )
    parameters = Parameters(max_tokens=max_tokens, reasoning_effort=effort)
    return situation(catalog, request=asking(parameters=parameters, named=named))


@pytest.mark.parametrize(
    ("max_tokens", "winner"), [(None, THINKER), (950, THINKER), (949, PLAIN), (300, PLAIN), (1, PLAIN)]
)
def test_a_model_that_would_think_max_tokens_away_is_passed_over(max_tokens: int | None, winner: str) -> None:
    made = choose(two(max_tokens=max_tokens))

    assert made.winner.model_id == winner
    assert made.winner.effort is None
    if winner == PLAIN:
        assert made.chain[1].model_id == THINKER
        assert made.cheaper is None
        (reason,) = (each.reason for each in made.losers if each.model_id == THINKER)
        assert reason.endswith("but about 500 tokens of thinking crowd the answer out of max_tokens")


@pytest.mark.parametrize(
    ("max_tokens", "effort", "output_tokens"),
    [(950, None, 950), (900, "low", 650), (500, "low", 500), (300, "minimal", 300), (90, "none", 90)],
)
def test_a_model_that_can_think_less_is_asked_to(
    max_tokens: int, effort: Effort | None, output_tokens: int
) -> None:
    made = choose(two("none", "minimal", "low", "medium", "high", max_tokens=max_tokens))

    assert (made.winner.model_id, made.winner.effort) == (THINKER, effort)
    assert made.expected_output_tokens == output_tokens
    told = f"reasoning_effort {effort}, so that thinking leaves room for an answer in max_tokens"
    assert made.notes == ((told,) if effort else ())


def test_a_budget_of_thinking_has_a_floor_so_only_none_is_less() -> None:
    where = two("none", "low", "medium", max_tokens=900, thinking="budget")
    own = where.catalog.providers["ant"].model_copy(update={"dialect": "gemini"})
    gemini = replace(where, catalog=where.catalog.with_models([own], []))

    assert choose(where).winner.model_id == PLAIN  # an API like OpenAI's has no word for a budget
    assert choose(gemini).winner.effort == "none"


def test_what_the_caller_asks_for_is_left_as_it_is() -> None:
    assert choose(two("none", "high", max_tokens=300, effort="high")).winner.model_id == PLAIN
    named = choose(two("none", "high", max_tokens=300, named=THINKER))

    assert named.winner.effort is None
    assert named.notes == ("about 500 tokens of thinking crowd the answer out of max_tokens; raise it",)


def test_where_every_model_is_crowded_the_choice_is_as_ever_and_said() -> None:
    alone = replace(two("low", "high", max_tokens=100), usable=frozenset({"ant"}))
    made = choose(alone)

    assert (made.winner.effort, made.meets_demand) == ("low", True)
    assert made.notes[-1] == "about 200 tokens of thinking crowd the answer out of max_tokens; raise it"


def test_a_conversation_leaves_a_model_that_would_not_get_to_answer() -> None:
    pinned = replace(two(max_tokens=300), pin=Pin(model_id=THINKER, warm_tokens=1_000))
    made = choose(pinned)

    assert made.winner.model_id == PLAIN
    assert made.notes[0].startswith(f"the conversation leaves {THINKER}: about 500 tokens of thinking")


@pytest.mark.parametrize("level", list(Level))
def test_the_documented_150_tokens_go_to_a_model_that_gets_to_answer(level: Level) -> None:
    request = asking(parameters=Parameters(max_tokens=150))
    where = situation(SHIPPED, label=labelled(level=level), request=request)
    for provider in ("openai", "anthropic", "google"):
        made = choose(replace(where, usable=frozenset({provider})))
        flags = SHIPPED.by_id[made.winner.model_id].constraints

        assert made.winner.effort is not None or not flags.thinking_by_default
        assert not any("crowd" in note for note in made.notes)


async def test_the_effort_that_was_chosen_is_sent_to_its_candidate_alone() -> None:
    script = Script()
    made = choice(LUNA)
    calmed = replace(made, chain=(replace(made.winner, effort="low"),))
    for each in (calmed, made):
        await calling(script).complete(ASK, each)

    assert [call.request.parameters.reasoning_effort for call in script.calls] == ["low", None]
