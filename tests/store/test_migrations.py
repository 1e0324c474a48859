"""The schema's steps: once, together, or not at all."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.store.examples import EVERYTHING, NOW, intent, key_row, outcome

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.driver import connect
from dynaroute_mcp.store.link import open_for_writing
from dynaroute_mcp.store.migrations import MIGRATIONS, copy_database, migrate
from dynaroute_mcp.store.sqlite import open_store
from dynaroute_mcp.types import Attempt, Usage

NEXT = (*MIGRATIONS, ("ALTER TABLE keys ADD COLUMN note TEXT", "UPDATE keys SET note = owner"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "dynaroute.db"

    async def fill() -> None:
        async with open_store(path) as store:
            await store.add_key(key_row())

    anyio.run(fill)
    return path


def test_a_migration_keeps_the_rows_and_a_copy_of_how_they_were(database: Path) -> None:
    copy = database.with_name("dynaroute.db.v5.backup")
    with closing(connect(database)) as connection:
        migrate(connection, database, NEXT)
        migrate(connection, database, NEXT)

        assert connection.execute("SELECT key_id, note FROM keys").fetchall() == [("key_1", "alice")]
    with closing(connect(copy)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (5,)
        assert old.execute("SELECT key_id FROM keys").fetchall() == [("key_1",)]
    assert copy.stat().st_mode & 0o077 == 0


def test_a_copy_of_another_state_is_kept_and_the_new_one_gets_the_next_number(database: Path) -> None:
    for number in ("", ".2"):
        database.with_name(f"dynaroute.db.v5{number}.backup").write_text(f"state {number}")
    with closing(connect(database)) as connection:
        migrate(connection, database, NEXT)

    found = sorted(path.name for path in database.parent.glob("*.backup"))
    assert found == ["dynaroute.db.v5.2.backup", "dynaroute.db.v5.3.backup", "dynaroute.db.v5.backup"]
    assert database.with_name("dynaroute.db.v5.backup").read_text() == "state "
    assert database.with_name("dynaroute.db.v5.2.backup").read_text() == "state .2"
    with closing(connect(database.with_name("dynaroute.db.v5.3.backup"))) as old:
        assert old.execute("SELECT key_id FROM keys").fetchall() == [("key_1",)]


def test_a_step_that_fails_leaves_the_file_as_it_was(database: Path) -> None:
    broken = (*MIGRATIONS, ("ALTER TABLE keys ADD COLUMN note TEXT", "UPDATE absent SET note = 1"))
    with closing(connect(database)) as connection:
        with pytest.raises(Exception, match="no such table: absent"):
            migrate(connection, database, broken)

        assert connection.execute("PRAGMA user_version").fetchone() == (5,)
        assert connection.execute("SELECT * FROM keys").description[-1][0] == "provider_keys"


def test_tries_that_fail_leave_one_copy_however_many_they_are(database: Path) -> None:
    broken = (*MIGRATIONS, ("UPDATE absent SET note = 1",))
    for _ in range(3):
        with (
            closing(connect(database)) as connection,
            pytest.raises(Exception, match="no such table: absent"),
        ):
            migrate(connection, database, broken)

    assert [path.name for path in database.parent.glob("*.backup")] == ["dynaroute.db.v5.backup"]


async def test_a_newer_database_refuses_older_code_and_says_what_to_do(database: Path) -> None:
    with closing(connect(database)) as connection:
        migrate(connection, database, NEXT)
    async with open_store(database) as store:
        with pytest.raises(StoreUnavailable, match=r"has schema 6, this DynaRoute knows 5.*pip install -U"):
            await store.find_key(key_row().digest)
        with pytest.raises(StoreUnavailable, match="has schema 6"):
            await store.add_key(key_row("2"))


async def test_a_running_process_stops_writing_when_a_newer_one_migrates_under_it(database: Path) -> None:
    async with open_store(database) as store:
        await store.add_key(key_row("2"))
        with closing(connect(database)) as connection:
            migrate(connection, database, NEXT)
        with pytest.raises(StoreUnavailable, match="a newer version wrote it"):
            await store.add_key(key_row("3"))


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (name TEXT)")
    before = path.read_bytes()
    async with open_store(path) as store:
        with pytest.raises(StoreUnavailable, match="belongs to another program"):
            await store.add_key(key_row())

    assert path.read_bytes() == before


def test_a_process_that_comes_second_finds_the_steps_done(database: Path) -> None:
    """The version is read again under the lock; here the other process was quicker between the two reads."""
    with closing(connect(database)) as first, closing(connect(database)) as second:
        migrate(first, database, NEXT)
        migrate(second, database, NEXT)

        assert second.execute("SELECT note FROM keys").fetchall() == [("alice",)]


def test_a_copy_never_replaces_a_file(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with (
        closing(open_for_writing(database).connection) as connection,
        pytest.raises(StoreUnavailable, match="exists already"),
    ):
        copy_database(connection, target)

    assert target.read_text() == "precious"


async def test_a_file_of_the_first_version_gets_the_new_columns_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    path.touch()
    with closing(connect(path)) as old:
        migrate(old, path, MIGRATIONS[:1])
        old.execute(
            "INSERT INTO keys VALUES (1, 'key_1', x'01', 'dr_AbCdE', 'wxyz', 'alice', 'free', 0, NULL, 0, NULL, NULL, NULL, 7)"
        )
    async with open_store(path) as store:
        await store.set_plan("alice", "pro", NOW)
        (row,) = await store.list_keys("alice")

    assert (row.plan, row.total_requests, row.usd_per_month, row.tokens_per_month) == ("pro", 7, None, None)


async def test_calls_of_before_have_what_their_failed_tries_took_in_the_sums(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    taken = Usage(uncached_input_tokens=70, cache_read_tokens=1, cache_write_5m_tokens=5, output_tokens=7)
    failed = Attempt(model_id="a", provider="b", outcome="garbled", status=200, latency_ms=3, usage=taken)
    good = replace(failed, outcome="ok", usage=None)
    async with open_store(path) as store:
        for name, attempts in {"lost": (failed, failed, good), "plain": (good,), "damaged": ()}.items():
            await store.begin(intent(name), ())
            await store.settle(replace(outcome(name), attempts=attempts), None)
        await store.begin(intent("running"), ())
        (before,) = await store.totals(EVERYTHING, by="all")
    with closing(connect(path)) as old:
        old.execute("ALTER TABLE calls DROP COLUMN lost_input_tokens")
        old.execute("ALTER TABLE calls DROP COLUMN lost_output_tokens")
        old.execute("UPDATE calls SET attempts = '{no' WHERE request_id = 'damaged'")
        old.execute("PRAGMA user_version = 4")
    async with open_store(path) as store:
        (after,) = await store.totals(EVERYTHING, by="all")

    assert (after.input_tokens, after.output_tokens) == (3 * 1_000 + 2 * 76, 3 * 500 + 2 * 7)
    assert after == before
