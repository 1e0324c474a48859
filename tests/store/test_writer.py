"""Group commit, seen from its callers."""

import asyncio  # noqa: TID251 -- callers that are not anyio's cancel their tasks so
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.store.examples import hold, intent, key_row, outcome

from dynaroute_mcp.errors import InvalidRequest, StoreUnavailable
from dynaroute_mcp.store import files, writer
from dynaroute_mcp.store.link import Opened, open_for_writing
from dynaroute_mcp.store.sqlite import SqliteStore
from dynaroute_mcp.store.writer import Transaction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dynaroute.db"


async def test_jobs_that_come_together_share_a_transaction(path: Path) -> None:
    seen: list[int] = []

    def note(transaction: Transaction) -> None:
        seen.append(id(transaction))
        kept.append(transaction)

    kept: list[Transaction] = []
    async with SqliteStore(path) as store, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(store._writer.submit, note)

    assert len(seen) == 20
    assert len(set(seen)) <= 2


async def test_a_batch_has_an_end_and_the_rest_follows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH", 3)
    sizes: dict[int, int] = {}
    kept: list[Transaction] = []

    def note(transaction: Transaction) -> None:
        kept.append(transaction)
        sizes[id(transaction)] = sizes.get(id(transaction), 0) + 1

    async with SqliteStore(path) as store, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(store._writer.submit, note)

    assert sum(sizes.values()) == 20
    assert max(sizes.values()) == 3


async def test_who_comes_to_a_full_queue_waits_and_is_served(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", 2)
    async with SqliteStore(path) as store:
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(store.begin, intent(f"req_{number}"), [])

        assert await store.find_call("req_9") is not None


async def test_a_job_that_fails_fails_alone(path: Path) -> None:
    def broken(_transaction: Transaction) -> None:
        raise ZeroDivisionError

    failures: list[type[Exception]] = []

    async with SqliteStore(path) as store:

        async def fail() -> None:
            try:
                await store._writer.submit(broken)
            except ZeroDivisionError as error:
                failures.append(type(error))

        async def repeat() -> None:
            try:
                await store.add_key(key_row())
            except InvalidRequest as error:
                failures.append(type(error))

        await store.add_key(key_row())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            tasks.start_soon(repeat)
            tasks.start_soon(store.begin, intent(), [])

        assert await store.find_call("req_1") is not None
    assert set(failures) == {ZeroDivisionError, InvalidRequest}


async def test_a_row_that_breaks_a_rule_of_the_schema_is_refused_alone(path: Path) -> None:
    errors: list[str] = []

    async with SqliteStore(path) as store:

        async def begin_without_confidence() -> None:
            try:
                await store.begin(replace(intent("odd"), confidence=float("nan")), [hold()])
            except InvalidRequest as error:
                errors.append(str(error))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin_without_confidence)
            tasks.start_soon(store.begin, intent("fine"), [])

        assert await store.find_call("fine") is not None
        assert await store.counters(["owner:alice"]) == []
    assert errors == ["the database refuses this row: NOT NULL constraint failed: calls.confidence"]


async def test_what_the_disk_refuses_is_refused_to_every_caller_of_the_batch(path: Path) -> None:
    refusals: list[StoreUnavailable] = []

    def no_disk(_path: Path) -> Opened:
        raise OSError(5, "Input/output error")

    async with SqliteStore(path, opener=no_disk) as store:

        async def begin(name: str) -> None:
            try:
                await store.begin(intent(name), [])
            except StoreUnavailable as error:
                refusals.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(begin, f"req_{number}")

    assert len({id(error) for error in refusals}) == 5
    assert all("Input/output error" in str(error) for error in refusals)


async def test_a_crash_of_the_writer_is_no_acknowledgement_and_the_next_batch_is_written(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    openers = [_out_of_memory, open_for_writing]

    async with SqliteStore(path, opener=lambda path: openers.pop(0)(path)) as store:
        with pytest.raises(StoreUnavailable, match="not recorded; the log says why"):
            await store.begin(intent("lost"), [])
        await store.begin(intent("kept"), [])

        assert await store.find_call("lost") is None
        assert await store.find_call("kept") is not None
    assert "MemoryError" in caplog.text


def _out_of_memory(_path: Path) -> Opened:
    raise MemoryError


async def test_a_closed_store_takes_nothing_and_still_answers(path: Path) -> None:
    store = SqliteStore(path)
    async with store:
        await store.begin(intent(), [])

    with pytest.raises(StoreUnavailable, match="being closed"):
        await store.begin(intent("late"), [])
    assert await store.find_call("req_1") is not None
    assert await store.find_call("late") is None


async def test_entering_and_leaving_touch_no_disk(path: Path) -> None:
    async with SqliteStore(path):
        pass

    assert files.identity(path) is None


@pytest.mark.parametrize("room", [writer.MAX_WAITING, 1])
async def test_a_task_that_is_cancelled_stays_until_its_row_is_decided_and_ends_cancelled(
    path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(writer, "MAX_WAITING", room)
    async with SqliteStore(path) as store:
        tasks = [asyncio.create_task(store.begin(intent(f"req_{number}"), [])) for number in range(3)]
        while not store._writer._gathering.jobs:
            await anyio.lowlevel.checkpoint()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        found = [await store.find_call(f"req_{number}") for number in range(3)]

    assert all(task.cancelled() for task in tasks)
    assert [row is not None for row in found] == [True, room > 1, room > 1]


async def test_a_native_timeout_ends_while_the_row_is_written(path: Path) -> None:
    async with SqliteStore(path) as store:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await store.begin(intent(), [])
        found = await store.find_call("req_1")

    assert found is not None


async def test_a_cancelled_server_still_writes_what_was_waiting(path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with SqliteStore(path) as store, anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(store.begin, intent(f"req_{number}"), [])
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    async with SqliteStore(path, opener=open_for_writing) as store:
        assert await store.find_call("req_4") is not None


async def test_an_error_inside_the_store_comes_out_as_it_is(path: Path) -> None:
    async def fail() -> None:
        async with SqliteStore(path) as store:
            await store.begin(intent(), [])
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await fail()


async def test_an_intent_and_its_completion_are_each_forced_to_the_disk(path: Path) -> None:
    said: list[str] = []

    def traced(where: Path) -> Opened:
        opened = open_for_writing(where)
        opened.connection.set_trace_callback(said.append)
        return opened

    async with SqliteStore(path, opener=traced) as store:
        await store.add_key(key_row())
        await store.begin(intent(), [hold()])
        await store.settle(outcome(), 1)

    assert said.count("COMMIT") == 3
    assert not [each for each in said if "synchronous" in each]  # as the connection was opened: FULL


async def test_a_connection_forces_every_commit_to_the_disk(path: Path) -> None:
    connection = open_for_writing(path).connection
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    connection.close()

    assert synchronous == 2  # FULL
