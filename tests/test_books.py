"""The books as a teacher: how long answers were so far, read beside the requests; and what a decision keeps."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from tests.scripted import ASK, FLASH, Script, scripted_core, settings

from dynaroute_mcp import books
from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.books import Decision, Ending, Experience
from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.policy import Pin, retold
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.store.base import Lengths
from dynaroute_mcp.store.lock import exclusive
from dynaroute_mcp.store.sqlite import SqliteStore
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Cost, Usage

USED = Usage(uncached_input_tokens=10, output_tokens=1_077, reasoning_tokens=1_000)
LENGTHS = Lengths(
    category=Category.HISTORY,
    level=Level.L2,
    calls=30,
    visible_tokens=77,
    thinking_calls=20,
    reasoning_tokens=900,
)


class Teaching(SqliteStore):
    """A store whose rows are told, or can't be read."""

    reads = 0
    broken = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.margins: list[float] = []

    async def lengths(self, newest: int) -> tuple[Lengths, ...]:
        self.reads += 1
        if self.broken:
            raise StoreUnavailable("it is locked")
        return (LENGTHS,)

    async def overcounts(self, newest: int, *, margin: float, least: int) -> dict[str, float]:
        self.margins.append(margin)
        return {}


async def test_own_calls_teach_how_long_answers_are(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path), Script(usage=USED)) as core:
        named = replace(ASK, model=FLASH)
        before = await core.router.choose(named, LOCAL)
        for _ in range(20):
            await core.router.complete(named, LOCAL)
        await core.router._books.experience.read()
        after = await core.router.choose(named, LOCAL)

    assert before.choice.expected_output_tokens != after.choice.expected_output_tokens == 1_077


async def test_books_are_read_only_when_somebody_asked_and_at_most_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Teaching(tmp_path / "x.db")
    experience = Experience(store, 1.15)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(experience.keep)
        await anyio.wait_all_tasks_blocked()
        unasked = store.reads
        first = experience.learnt()
        await anyio.wait_all_tasks_blocked()
        second = experience.learnt()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert (unasked, store.reads) == (0, 1)
    assert first == {}
    assert second[Category.HISTORY, Level.L2].visible_tokens == 77


async def test_books_that_were_read_are_read_again_when_the_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "_LEARN_EVERY_S", 0.0)
    store = Teaching(tmp_path / "x.db")
    experience = Experience(store, 1.15)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(experience.keep)
        for _ in range(2):
            experience.learnt()
            await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    assert store.reads == 2


async def test_books_that_can_not_be_read_teach_nothing(tmp_path: Path) -> None:
    store = Teaching(tmp_path / "x.db")
    experience = Experience(store, 1.15)
    await experience.read()
    known = experience.learnt()
    store.broken = True
    await experience.read()

    assert known
    assert experience.learnt() == {}


async def test_a_recorded_decision_keeps_the_nearest_losers_and_the_neighbours(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        answer = await core.router.complete(ASK, LOCAL)
        row = await core.reports.call(answer.request_id)
    told = retold(json.loads(row.intent.decision))
    nearest = [{"model": each.model_id, "reason": each.reason} for each in answer.choice.losers[:20]]

    assert told["losers"] == nearest
    assert told["more_losers"] == len(answer.choice.losers) - 20
    assert answer.choice.better is not None
    assert told["better"]["model"] == answer.choice.better.model_id
    assert Decimal(told["min_usd"]) == answer.choice.min_usd
    assert told["turning_points"] == list(answer.choice.turning_points)
    assert len(row.intent.decision) < 3_500


async def decided(core: Core) -> Decision:
    return await core.router.choose(ASK, LOCAL)


def ended_well(decision: Decision) -> Ending:
    winner = decision.choice.winner
    used = Usage(uncached_input_tokens=1_000, output_tokens=100)
    return Ending(status="ok", model_id=winner.model_id, provider=winner.provider, usage=used)


async def test_the_maximum_is_unknown_where_a_fallback_has_no_price(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        decision = await decided(core)
        winner, second, *_ = decision.choice.chain
        chain = (winner, replace(second, max_usd=None))
        unsure = replace(decision, choice=replace(decision.choice, chain=chain))
        await core.router._books.reserve(unsure)
        row = await core.reports.call(unsure.request_id)

    assert winner.max_usd is not None
    assert row.intent.reserved_usd is None


async def test_a_baseline_has_a_warm_cache_only_where_the_conversation_left_its_model(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        decision = await decided(core)
        ending = ended_well(decision)
        found = [
            await core.router._books.settle(replace(decision, pin=pin), ending, reserved=False)
            for pin in (
                None,
                Pin(model_id=ending.model_id, warm_tokens=800),
                Pin(model_id="x/y", warm_tokens=800),
            )
        ]

    first, stayed, moved = [bill.gpt41_usd for bill in found]
    assert first == stayed
    assert first - moved == 800 * Decimal("0.0000015"), "GPT-4.1 reads its cache at a quarter of $2"


async def test_what_classifying_cost_is_in_every_saving(tmp_path: Path) -> None:
    asked = Cost(input_usd=Decimal("0.001"), output_usd=Decimal(0), basis="test")
    async with scripted_core(settings(tmp_path)) as core:
        decision = await decided(core)
        settle, ending = core.router._books.settle, ended_well(decision)
        plain = await settle(decision, ending, reserved=False)
        dearer = await settle(replace(decision, classifying=asked), ending, reserved=False)

    assert plain.gpt41 is not None
    assert dearer.gpt41 is not None
    assert plain.gpt41.saved_usd - dearer.gpt41.saved_usd == asked.total_usd
    assert plain.versus_highest_pct is not None
    assert dearer.versus_highest_pct is not None
    assert dearer.versus_highest_pct < plain.versus_highest_pct


async def test_an_answer_stands_where_its_intent_is_in_the_file_no_more(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        decision = await decided(core)
        bill = await core.router._books.settle(decision, ended_well(decision), reserved=True)

    assert not bill.recorded
    assert bill.cost is not None


async def test_counts_are_held_against_the_bound_that_was_reserved(tmp_path: Path) -> None:
    store = Teaching(tmp_path / "x.db")
    await Experience(store, 1.15).read()

    assert store.margins == [1.15]


async def test_a_paid_answer_does_not_wait_for_a_database_that_others_keep_and_is_recorded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "_SETTLE_S", 0.05)
    async with scripted_core(settings(tmp_path)) as core:
        decision = await decided(core)
        assert await core.router._books.reserve(decision)
        with exclusive(core.settings.database), anyio.fail_after(8):
            bill = await core.router._books.settle(decision, ended_well(decision), reserved=True)
        await core.store.set_plan("bob", "free", decision.started_at)  # a later job: what came before is done
        row = await core.reports.call(decision.request_id)

    assert not bill.recorded
    assert row.status == "ok"
