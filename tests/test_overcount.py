"""Providers that count more than was thought possible: learnt, reserved for, and never past a budget unseen."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scripted import LUNA, Script, scripted_core, settings
from tests.store.examples import NOW, OpenStore, intent, outcome

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.books import Experience
from dynaroute_mcp.errors import LimitExceeded
from dynaroute_mcp.overcount import HONEST, MOST, SMALL_PROMPT_TOKENS, Overcount, Overcounts
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.sqlite import open_store
from dynaroute_mcp.types import ChatRequest, Completion, Message, Parameters, Routing, Text, Usage

BUDGET = Decimal("0.10")
LONG = ChatRequest(
    messages=(Message(role="user", parts=(Text(text="word " * 4_000),)),),
    model=LUNA,
    parameters=Parameters(max_tokens=1_000),
    routing=Routing(),
)


def used(inputs: int, outputs: int = 0, **facts: str) -> Usage:
    return Usage(uncached_input_tokens=inputs, output_tokens=outputs, **facts)  # type: ignore[arg-type]


def test_who_counts_what_was_thought_possible_is_not_known() -> None:
    overcounts = Overcounts()
    overcounts.seen("m", used(1_150, 100), input_bound=1_150, output_bound=100)

    assert overcounts.known() == {}


def test_an_excess_is_learnt_at_once_apart_for_prompt_and_answer() -> None:
    overcounts = Overcounts()
    overcounts.seen("m", used(2_000, 100), input_bound=1_000, output_bound=100)
    overcounts.seen("n", used(1_000, 300), input_bound=1_000, output_bound=100)

    assert overcounts.known() == {"m": Overcount(input=2.0), "n": Overcount(output=3.0)}
    assert overcounts.known()["m"].input_bound(1_000) == 2_000
    assert overcounts.known()["n"].output_bound(50) == 150


def test_what_a_provider_adds_to_a_tiny_prompt_is_no_share_of_it() -> None:
    overcounts = Overcounts()
    overcounts.seen("m", used(200), input_bound=5, output_bound=10)

    assert overcounts.known() == {}
    assert Overcount(input=2.0).input_bound(5) == 2 * SMALL_PROMPT_TOKENS
    assert HONEST.input_bound(5) == 5


def test_an_excess_fades_with_honest_calls_and_is_forgotten() -> None:
    overcounts = Overcounts()
    overcounts.seen("m", used(2_000), input_bound=1_000, output_bound=10)
    factors = [2.0]
    for _ in range(800):
        overcounts.seen("m", used(1_000), input_bound=1_000, output_bound=10)
        factors.append(overcounts.known().get("m", HONEST).input)

    assert factors == sorted(factors, reverse=True)
    assert 1.4 < factors[70] < 1.6
    assert factors[-1] == 1.0


def test_an_estimate_teaches_nothing_and_one_absurd_count_does_not_shut_a_model_out() -> None:
    overcounts = Overcounts()
    overcounts.seen("e", used(9_000, source="estimated"), input_bound=1_000, output_bound=10)
    overcounts.seen("c", used(10**9, source="clamped"), input_bound=1_000, output_bound=10)

    assert overcounts.known() == {"c": Overcount(input=MOST)}


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=20))
def test_factors_stay_in_range_whatever_is_counted(counts: list[tuple[int, int]]) -> None:
    overcounts = Overcounts()
    for inputs, outputs in counts:
        overcounts.seen("m", used(inputs, outputs), input_bound=0, output_bound=0)

    for each in overcounts.known().values():
        assert 1 <= each.input <= MOST
        assert 1 <= each.output <= MOST


def test_what_the_books_tell_joins_what_was_seen() -> None:
    overcounts = Overcounts()
    overcounts.seen("m", used(1_500), input_bound=1_000, output_bound=10)
    overcounts.recall({"m": 2.0, "n": 99.0})

    assert overcounts.known() == {"m": Overcount(input=2.0), "n": Overcount(input=MOST)}
    overcounts.recall({})
    assert overcounts.known() == {"m": Overcount(input=1.5)}


# ---------------------------------------------------------------- a budget and a liar


class Liar(Script):
    """Counts twice the prompt that there is, and twice the answer that was allowed."""

    async def complete(self, call: Call) -> Completion:
        answer = await super().complete(call)
        await anyio.lowlevel.checkpoint()
        return replace(answer, usage=used(2 * call.input_tokens, 2 * call.max_output_tokens))


async def spend(core: Core, at_once: int) -> tuple[Decimal, Decimal]:
    """Ask until nothing more is allowed; return what was spent, and the dearest call."""
    costs: list[Decimal] = []
    refused = False

    async def one() -> None:
        nonlocal refused
        try:
            answer = await core.router.complete(LONG, LOCAL)
        except LimitExceeded:
            refused = True
        else:
            assert answer.cost is not None
            costs.append(answer.cost.total_usd)

    while not refused:
        async with anyio.create_task_group() as tasks:
            for _ in range(at_once):
                tasks.start_soon(one)
    return sum(costs, Decimal(0)), max(costs)


async def test_after_one_call_of_a_liar_the_budget_holds_to_the_last_cent(tmp_path: Path) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": str(BUDGET)}], budget_action="refuse")
    async with scripted_core(chosen, Liar()) as core:
        spent, dearest = await spend(core, at_once=1)

    assert BUDGET - dearest < spent <= BUDGET


@pytest.mark.parametrize("at_once", [4, 64])
async def test_a_liar_overruns_a_budget_by_at_most_the_excess_of_the_calls_in_flight(
    tmp_path: Path, at_once: int
) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": str(BUDGET)}], budget_action="refuse")
    async with scripted_core(chosen, Liar()) as core:
        spent, dearest = await spend(core, at_once)

    assert spent <= BUDGET + at_once * dearest / 2


async def test_another_process_learns_it_from_the_books(tmp_path: Path) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": str(BUDGET)}], budget_action="refuse")
    async with scripted_core(chosen, Liar()) as core:
        await core.router.complete(LONG, LOCAL)
        plain = await core.router.choose(replace(LONG, model="claude-haiku-5-5"), LOCAL)
    async with scripted_core(chosen, Script()) as other:
        before = (await other.router.choose(LONG, LOCAL)).choice.winner.max_usd
        await other.router._books.experience.read()
        after = (await other.router.choose(LONG, LOCAL)).choice.winner.max_usd
        same = await other.router.choose(replace(LONG, model="claude-haiku-5-5"), LOCAL)

    assert before is not None
    assert after is not None
    assert after > before
    assert plain.choice.winner.max_usd == same.choice.winner.max_usd


async def test_simulated_calls_teach_nothing(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, variables={}), Liar()) as core:
        await core.router.complete(LONG, LOCAL)

        assert core.router._books.experience.overcounts.known() == {}


# ---------------------------------------------------------------- the books


async def shares(store: Store, newest: int = 100) -> dict[str, float]:
    return dict(await store.overcounts(newest, margin=1.25, least=256))


async def test_the_books_tell_the_highest_share_of_the_newest_real_calls(tmp_path: Path) -> None:
    open_store_here: OpenStore = lambda: open_store(tmp_path / "x.db")  # noqa: E731 -- as the suite opens it
    async with open_store_here() as store:
        assert await shares(store) == {}
        cases = [
            ("a", 5_000, False, "provider"),
            ("b", 1_250, False, "provider"),
            ("c", 9_000, True, "provider"),
        ]
        cases += [("d", 9_000, False, "estimated"), ("a", 2_500, False, "clamped")]
        for number, (model, tokens, sandbox, source) in enumerate(cases):
            begun = intent(f"req_{number}", model_id=model, sandbox=sandbox, started_at=NOW)
            await store.begin(begun, [])
            usage = used(tokens, source=source)
            await store.settle(replace(outcome(f"req_{number}"), model_id=model, usage=usage), None)

        assert await shares(store) == {"a": 4.0}
        assert await shares(store, newest=1) == {"a": 2.0}


async def test_books_that_cannot_be_read_tell_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database")
    async with open_store(tmp_path / "x.db") as store:
        experience = Experience(store, 1.15)
        await experience.read()

    assert experience.overcounts.known() == {}
