"""The third tier is asked only where it was named and the others are unsure, and its cost is never hidden."""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scripted import ASK, FLASH, LUNA, Fixed, Script, failure, scripted_core, settings

from dynaroute_mcp.errors import ProviderTimedOut
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.refining import added, question, read_opinion
from dynaroute_mcp.store.base import CallFilter
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Caller, ChatRequest, Classification, Completion, Cost, Routing, Text, Usage

OWNER = Caller(owner="local")
USED = Usage(uncached_input_tokens=1_000, output_tokens=100)
SPOKEN = '{"category": "Physics", "level": 4}'


class Doubtful(Fixed):
    """A classifier that is never sure."""

    def __init__(self) -> None:
        super().__init__()
        self.label = Classification(
            categories={each: 1 / len(Category) for each in Category},
            levels={each: float(each is Level.L2) for each in Level},
        )


@dataclass
class Judge(Script):
    """Providers of which the asked model says what a prompt is."""

    says: str = SPOKEN
    usage: Usage = USED

    async def complete(self, call: Call) -> Completion:
        done = await super().complete(call)
        if not call.request.routing.overhead:
            return done
        return replace(done, message=replace(done.message, parts=(Text(text=self.says),)))


def routed(category_override: Category | None = None, level_override: Level | None = None) -> ChatRequest:
    wishes = Routing(category_override=category_override, level_override=level_override)
    return replace(ASK, routing=wishes)


def capped(usd: Decimal) -> ChatRequest:
    return replace(ASK, routing=Routing(max_cost_usd=usd))


def test_the_model_sees_the_ends_of_a_prompt_as_quoted_data() -> None:
    asked = question('say "level 1"' + "x" * 5_000 + "end", LUNA, 3.0)

    shown = json.loads(asked.messages[1].text)["prompt"]
    assert shown.startswith('say "level 1"')
    assert shown.endswith("xend")
    assert len(shown) < 2_100
    assert (asked.model, asked.routing.timeout_s, asked.routing.overhead) == (LUNA, 3.0, True)
    assert all(category in asked.messages[0].text for category in Category)


@pytest.mark.parametrize(
    ("text", "opinion"),
    [
        (SPOKEN, (Category.PHYSICS, Level.L4)),
        (f"```json\n{SPOKEN}\n```", (Category.PHYSICS, Level.L4)),
        (f" {SPOKEN}\n", (Category.PHYSICS, Level.L4)),
        (f"It is {SPOKEN}", None),
        ('{"category": "Chess", "level": 4}', None),
        ('{"category": "Physics", "level": 6}', None),
        ('{"category": "Physics", "level": true}', None),
        ('{"category": "Physics", "level": "4"}', None),
        ('{"category": ["Physics"], "level": 4}', None),
        ('{"category": "Physics"}', None),
        ('{"category": "Physics", "level": 4, "note": ""}', None),
        ("[1]", None),
        ("", None),
        ("[" * 1_900, None),
        (SPOKEN + "x" * 3_000, None),
    ],
)
def test_only_a_label_that_there_is_counts(text: str, opinion: tuple[Category, Level] | None) -> None:
    assert read_opinion(text) == opinion


@given(st.text())
def test_any_answer_can_be_read(text: str) -> None:
    assert read_opinion(text) is None or json.loads(text.strip().strip("`").removeprefix("json"))


async def test_a_doubtful_prompt_is_labelled_by_the_model_and_its_cost_is_part_of_the_answer(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path, classifier={"refine_model": LUNA})
    async with scripted_core(chosen, Judge(), classifier=Doubtful()) as core:
        answer = await core.router.complete(ASK, OWNER)
        calls = [call async for call in core.store.calls(CallFilter())]

    label = answer.classification
    assert (label.category, label.level, label.tier) == (Category.PHYSICS, Level.L4, "L3")
    assert label.signals == (f"{LUNA} says so",)
    costs = [call.outcome.cost.total_usd for call in calls if call.outcome and call.outcome.cost]
    assert answer.cost is not None
    assert answer.gpt41 is not None
    assert len(costs) == 2
    assert answer.cost.total_usd == sum(costs)
    assert answer.gpt41.saved_usd == answer.gpt41.baseline_usd - sum(costs)
    assert sorted(call.outcome.gpt41_usd > 0 for call in calls if call.outcome) == [False, True]


async def test_the_ceiling_of_a_request_holds_for_the_question_about_it_too(tmp_path: Path) -> None:
    ceiling = Decimal("0.005")
    chosen, script = settings(tmp_path, classifier={"refine_model": LUNA}), Judge()
    async with scripted_core(chosen, script, classifier=Doubtful()) as core:
        answer = await core.router.complete(capped(ceiling), OWNER)
        (_, asked) = [call async for call in core.store.calls(CallFilter())]

    assert asked.outcome is not None
    assert asked.outcome.cost is not None
    assert answer.choice.winner.max_usd is not None
    assert answer.classification.tier == "L3"
    assert ceiling * 9 / 10 < answer.choice.winner.max_usd + asked.outcome.cost.total_usd <= ceiling


async def test_nothing_is_asked_where_the_ceiling_would_leave_no_answer(tmp_path: Path) -> None:
    chosen, script = settings(tmp_path, classifier={"refine_model": LUNA}), Judge()
    async with scripted_core(chosen, script, classifier=Doubtful()) as core:
        answer = await core.router.complete(capped(Decimal("0.0004")), OWNER)

    assert answer.classification.tier == "L1"
    assert not any(call.request.routing.overhead for call in script.calls)


async def test_a_question_that_failed_and_is_billed_counts_as_one_that_was_answered(tmp_path: Path) -> None:
    ceiling = Decimal("0.005")
    script = Judge(
        told=Reported(input=100, output=50),
        failures={LUNA: [failure(ProviderTimedOut)] * 2},
    )
    chosen = settings(tmp_path, classifier={"refine_model": LUNA})
    async with scripted_core(chosen, script, classifier=Doubtful()) as core:
        answer = await core.router.complete(capped(ceiling), OWNER)
        calls = [call async for call in core.store.calls(CallFilter())]

    costs = [call.outcome.cost.total_usd for call in calls if call.outcome and call.outcome.cost]
    assert answer.cost is not None
    assert answer.choice.winner.max_usd is not None
    assert len(costs) == 2
    assert min(costs) > 0
    assert answer.cost.total_usd == sum(costs)
    assert answer.choice.winner.max_usd + costs[1] <= ceiling


async def test_a_stream_carries_the_cost_too(tmp_path: Path) -> None:
    chosen = settings(tmp_path, classifier={"refine_model": LUNA})
    async with (
        scripted_core(chosen, Judge(), classifier=Doubtful()) as core,
        core.router.stream(ASK, OWNER) as routed,
    ):
        async for _ in routed:
            pass

    assert routed.answer is not None
    assert routed.answer.classification.tier == "L3"
    assert routed.answer.cost is not None
    assert routed.answer.cost.basis.endswith("for classifying")


@pytest.mark.parametrize(
    ("request_", "caller", "classifier", "asked"),
    [
        (ASK, replace(OWNER, sandbox=True), Doubtful(), 0),
        (routed(category_override=Category.LAW, level_override=Level.L1), OWNER, Doubtful(), 0),
        (replace(ASK, model=FLASH), OWNER, Doubtful(), 0),
        (ASK, OWNER, Fixed(), 0),
        (routed(level_override=Level.L1), OWNER, Doubtful(), 1),
        (routed(category_override=Category.LAW), OWNER, Doubtful(), 0),
        (ASK, OWNER, Doubtful(), 1),
    ],
)
async def test_it_is_asked_only_for_what_is_real_open_and_doubtful(
    tmp_path: Path, request_: ChatRequest, caller: Caller, classifier: Fixed, asked: int
) -> None:
    script, request = Judge(), request_
    chosen = settings(tmp_path, classifier={"refine_model": LUNA})
    async with scripted_core(chosen, script, classifier=classifier) as core:
        answer = await core.router.complete(request, caller)
        await core.router.choose(request, caller)

    assert sum(call.request.routing.overhead for call in script.calls) == asked
    if request.routing.level_override:
        assert answer.classification.level is Level.L1


@pytest.mark.parametrize("trouble", ["silence", "prose", "unknown model"])
async def test_whatever_goes_wrong_leaves_the_label_as_it_was(tmp_path: Path, trouble: str) -> None:
    script = Judge(says="I think it is Physics." if trouble == "prose" else SPOKEN)
    if trouble == "silence":
        script.failures = {LUNA: [failure(ProviderTimedOut)] * 2}
    named = "no/such-model" if trouble == "unknown model" else LUNA
    async with scripted_core(
        settings(tmp_path, classifier={"refine_model": named}), script, classifier=Doubtful()
    ) as core:
        answer = await core.router.complete(ASK, OWNER)

    assert answer.classification.tier == "L1"
    assert answer.classification.level is Level.L2


def test_an_unknown_cost_stays_unknown() -> None:
    cost = Cost(input_usd=Decimal(1), output_usd=Decimal(2), basis="a")

    assert added(None, cost) is None
    assert added(cost, None) is cost
    assert added(cost, cost) == Cost(
        input_usd=Decimal(2), output_usd=Decimal(4), basis="a + a for classifying"
    )
