"""Look-ups on the event loop's own connection, and what is left to threads."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from tests.store.examples import NOW, intent, key_row

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.base import CallFilter
from dynaroute_mcp.store.driver import connect
from dynaroute_mcp.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dynaroute.db"


async def _no_thread(*args: object, **options: object) -> None:
    raise StoreUnavailable("a thread was asked")


async def test_a_key_is_looked_up_without_a_thread_once_the_file_is_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = key_row()
    async with SqliteStore(path) as store:
        await store.add_key(row)
        await store.find_key(row.digest)
        with monkeypatch.context() as patched:
            patched.setattr(to_thread, "run_sync", _no_thread)
            assert await store.find_key(row.digest) == row
            assert await store.counters(["owner:nobody"]) == []


async def test_what_another_process_writes_is_seen_by_the_next_look_up(path: Path) -> None:
    row = key_row()
    async with SqliteStore(path) as store, SqliteStore(path) as other:
        assert await store.find_key(row.digest) is None
        await other.add_key(row)
        assert await store.find_key(row.digest) == row
        await other.revoke_key(row.digest, row.created_at)
        found = await store.find_key(row.digest)

    assert found is not None
    assert found.revoked_at == row.created_at


async def test_what_the_event_loop_can_not_do_at_once_a_thread_does(path: Path) -> None:
    row = key_row()
    async with SqliteStore(path) as store:
        await store.add_key(row)
        await store.find_key(row.digest)
        near = store._reader._near
        assert near is not None
        with near.use() as connection:
            connection.close()  # as good as any other fault

        assert await store.find_key(row.digest) == row
        assert await store.find_key(row.digest) == row

        assert store._reader._near is not near


async def test_the_event_loop_s_connection_goes_with_its_file(path: Path) -> None:
    row = key_row()
    async with SqliteStore(path) as store:
        await store.add_key(row)
        await store.find_key(row.digest)
        await anyio.Path(path).rename(path.with_suffix(".old"))

        assert await store.find_key(row.digest) is None


async def test_a_database_that_can_not_be_opened_says_so_at_every_look_up(path: Path) -> None:
    await anyio.Path(path).mkdir()
    async with SqliteStore(path) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="directory"):
                await store.find_key(b"x" * 32)


def multiply_calls(path: Path, count: int) -> None:
    """Make many copies of the only call, each under an id of its own."""
    with closing(connect(path)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(calls)")]
        others = ", ".join(name for name in names if name not in {"id", "request_id"})
        connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
            f" INSERT INTO calls (request_id, {others}) SELECT 'copy_' || i, {others} FROM calls, n"
        )


async def test_the_newest_calls_are_found_without_reading_the_older_ones(path: Path) -> None:
    hour, steps = timedelta(hours=1), list[int]()

    def count_steps(connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(lambda: steps.append(100), 100)

    async with SqliteStore(path) as store:
        await store.begin(intent("old"), [])
        multiply_calls(path, 3_000)
        await store.begin(intent("new", started_at=NOW + hour), [])
        await store._reader.use(count_steps)
        newest = [row.intent.request_id async for row in store.calls(CallFilter(since=NOW + hour))]
        none = [row async for row in store.export(CallFilter(since=NOW + 2 * hour))]

    assert newest == ["new"]
    assert none == []
    assert sum(steps) < 3_000
