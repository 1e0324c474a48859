"""Daily work: old calls become sums without changing them, and a wrong clock does little harm."""

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.store.examples import NOW, hold, intent, outcome

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store import retention, upkeep
from dynaroute_mcp.store.base import CallFilter, Totals
from dynaroute_mcp.store.driver import connect
from dynaroute_mcp.store.retention import MAX_CLOCK_STEP, DailyReport, next_slice
from dynaroute_mcp.store.sqlite import SqliteStore, open_store
from dynaroute_mcp.store.totals import Grouping
from dynaroute_mcp.taxonomy import Category

DAY = timedelta(days=1)
YEAR = timedelta(days=365)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dynaroute.db"


async def record(
    store: SqliteStore,
    name: str,
    started_at: datetime,
    *,
    owner: str = "alice",
    key_id: str | None = None,
    category: Category = Category.LOGIC,
    model_id: str = "gemini-2.5-flash",
) -> None:
    await store.begin(intent(name, started_at=started_at, owner=owner, key_id=key_id, category=category), [])
    await store.settle(outcome(name, model_id=model_id), 1_550_000)


async def every_sum(store: SqliteStore) -> list[list[Totals]]:
    filters = (
        CallFilter(),
        CallFilter(owner="bob"),
        CallFilter(key_id="key_1"),
        CallFilter(since=NOW - 2 * DAY),
    )
    groupings: tuple[Grouping, ...] = ("all", "model", "category", "day")
    return [list(await store.totals(which, by=by)) for which in filters for by in groupings]


async def test_folding_changes_no_sum_and_takes_only_days_that_are_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_FIRST_SLICE", 2)
    async with open_store(path) as store:
        for number in range(12):
            await record(store, f"old_{number}", NOW - (number % 4) * DAY)
        await record(store, "bobs", NOW - 3 * DAY, owner="bob", category=Category.LAW)
        await record(store, "keyed", NOW - 3 * DAY, key_id="key_1", model_id="gpt-4.1")
        await store.begin(intent("running", started_at=NOW - 3 * DAY), [])
        before = await every_sum(store)
        folded = await store.retention.fold(2 * DAY, NOW)
        after = await every_sum(store)
        left = {row.intent.request_id async for row in store.calls(CallFilter())}

    assert folded == 5
    assert after == before
    assert left == {f"old_{number}" for number in range(12) if number % 4 < 3} | {"running"}


async def test_a_call_that_ends_after_its_day_was_folded_is_added_to_it(path: Path) -> None:
    async with open_store(path) as store:
        await record(store, "first", NOW - 3 * DAY)
        await store.begin(intent("late", started_at=NOW - 3 * DAY), [])
        await store.retention.fold(DAY, NOW)
        await store.settle(outcome("late"), 1_550_000)
        before = await every_sum(store)
        await store.retention.fold(DAY, NOW)

        assert await every_sum(store) == before
        assert before[0][0].requests == 2


async def test_a_folded_day_counts_whole_when_a_part_of_it_is_asked_for(path: Path) -> None:
    async with open_store(path) as store:
        await record(store, "old", NOW - 3 * DAY)
        await store.retention.fold(DAY, NOW)
        midday = (NOW - 3 * DAY).replace(hour=12)

        async def requests(which: CallFilter) -> int:
            (total,) = await store.totals(which, by="all")
            return total.requests

        assert await requests(CallFilter(since=midday)) == 1
        assert await requests(CallFilter(until=midday)) == 1
        assert await requests(CallFilter(since=NOW - 2 * DAY)) == 0
        assert (
            await requests(CallFilter(until=midday.replace(hour=0, minute=0, second=0, microsecond=0))) == 0
        )


async def test_a_clock_that_leaps_forward_folds_two_days_at_most(path: Path) -> None:
    async with open_store(path) as store:
        await store.retention.fold(30 * DAY, NOW)
        await record(store, "recent", NOW - 5 * DAY)
        folded = await store.retention.fold(30 * DAY, NOW + 10 * YEAR)

        assert folded == 0
        assert await store.find_call("recent") is not None


async def test_a_clock_that_was_set_back_is_believed_at_once(path: Path) -> None:
    async with open_store(path) as store:
        await store.retention.fold(DAY, NOW)
        await store.retention.fold(DAY, NOW - YEAR)
        await record(store, "today", NOW - 3 * DAY)
        await store.retention.fold(DAY, NOW)

        assert await store.find_call("today") is not None
        assert timedelta(days=2) == MAX_CLOCK_STEP


async def test_counters_go_when_their_window_is_long_over_and_nothing_is_reserved(path: Path) -> None:
    async with open_store(path) as store:
        await store.begin(intent("done"), [hold(window="minute:old", resets_at=NOW - 3 * DAY)])
        await store.settle(outcome("done"), 0)
        await store.begin(intent("runs"), [hold(window="minute:held", resets_at=NOW - 3 * DAY)])
        await store.begin(intent("new"), [hold(window="day:new", resets_at=NOW)])
        await store.retention.fold(30 * DAY, NOW)
        windows = {row.window for row in await store.counters(["owner:alice"])}

    assert windows == {"minute:held", "day:new"}


async def test_a_daily_run_gives_up_the_dead_and_checks_the_file_once_a_day(path: Path) -> None:
    async with open_store(path) as store:
        await store.begin(intent(started_at=NOW - DAY), [hold()])
        first = await store.retention.daily(NOW, keep=30 * DAY)
        await store.begin(intent("req_2", started_at=NOW), [hold()])
        with closing(connect(path)) as connection:
            connection.execute("UPDATE counters SET reserved = 7")
        second = await store.retention.daily(NOW + DAY / 2, keep=None)
        third = await store.retention.daily(NOW + DAY, keep=None)

    assert first == DailyReport(problems=(), lost=1, folded=0)
    assert second.problems == ()
    assert third.problems == (
        "counter owner:alice requests minute:2026-11-22T01:14Z: 6 reserved, but running calls hold 0",
    )


@pytest.mark.parametrize(
    ("size", "took_s", "expected"),
    [(100, 0.0001, 200), (1_000, 0.0125, 1_000), (1_000, 0.05, 250), (2_000, 0.0, 2_000), (1, 9.0, 1)],
)
def test_slices_grow_and_shrink_to_hold_the_lock_briefly(size: int, took_s: float, expected: int) -> None:
    assert next_slice(size, took_s) == expected


# ---------------------------------------------------------------- what an operator does


async def test_a_backup_taken_while_the_store_is_open_holds_every_row(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    async with open_store(path) as store:
        await record(store, "kept", NOW)
        upkeep.backup(path, target)
        with pytest.raises(StoreUnavailable, match="exists already"):
            upkeep.backup(path, target)
    async with open_store(target) as copy:
        assert await copy.find_call("kept") is not None
    assert target.stat().st_mode & 0o077 == 0


async def test_a_backup_into_a_missing_folder_is_told(path: Path, tmp_path: Path) -> None:
    async with open_store(path) as store:
        await record(store, "kept", NOW)
    with pytest.raises(StoreUnavailable, match="can't be written"):
        upkeep.backup(path, tmp_path / "nowhere" / "copy.db")


def test_a_database_that_does_not_exist_is_not_made_by_a_backup(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist yet"):
        upkeep.backup(path, tmp_path / "copy.db")
    assert not path.exists()


async def test_vacuum_gives_space_back_while_the_store_is_open(path: Path) -> None:
    async with open_store(path) as store:
        for number in range(100):
            await store.begin(replace(intent(f"req_{number}"), decision="x" * 4_000), [])
            await store.settle(outcome(f"req_{number}"), 0)
        await store.retention.fold(DAY, NOW + 5 * DAY)
        before, after = upkeep.vacuum(path)
        await store.begin(intent("after"), [])

        assert await store.find_call("after") is not None
    assert after < before / 2


async def test_a_checkup_counts_what_is_there(path: Path) -> None:
    async with open_store(path) as store:
        await record(store, "one", NOW)
        found = upkeep.check(path)

    assert (found.problems, found.calls, found.keys) == ((), 1, 0)
    assert found.file_bytes > 0
    assert found.log_bytes > 0


async def test_export_gives_the_oldest_call_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynaroute_mcp.store.sqlite._PAGE", 2)
    async with open_store(path) as store:
        for number in range(5):
            await store.begin(intent(f"req_{number}"), [])
        oldest = [row.intent.request_id async for row in store.export(CallFilter())]
        newest = [row.intent.request_id async for row in store.calls(CallFilter())]

    assert oldest == [f"req_{number}" for number in range(5)]
    assert newest == oldest[::-1]
