"""What the store does when its file, its disk or its neighbours fail: a clear error, and back to work."""

import logging
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.store.examples import hold, intent, key_row, outcome

from dynaroute_mcp.errors import StoreCorrupt, StoreUnavailable
from dynaroute_mcp.store import checkpoint, driver, lock, upkeep
from dynaroute_mcp.store.base import CallFilter, Store
from dynaroute_mcp.store.driver import connect
from dynaroute_mcp.store.files import wal_bytes
from dynaroute_mcp.store.link import Opened, open_for_writing
from dynaroute_mcp.store.sqlite import SqliteStore, open_store
from dynaroute_mcp.store.writer import Transaction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dynaroute.db"


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def read(path: Path) -> bytes:
    return path.read_bytes()


async def begin_many(store: Store, prefix: str, count: int) -> None:
    for number in range(count):
        await store.begin(intent(f"{prefix}_{number}"), [])


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize("content", [b"Dear diary, " * 500, b"SQLite format 3\x00" + b"\xff" * 8_000])
async def test_a_file_that_is_no_database_is_named_and_kept(path: Path, content: bytes) -> None:
    write(path, content)
    async with open_store(path) as store:
        with pytest.raises(StoreCorrupt, match=rf"{path} is damaged or not a database.*dynaroute db backup"):
            await store.find_key(b"")
        with pytest.raises(StoreCorrupt):
            await store.begin(intent(), [])

    assert read(path) == content


@pytest.mark.parametrize("packed", ["not JSON", "[1]", '[["a","b","c","d"]]', "{}x"])
async def test_a_call_whose_reservation_is_damaged_is_settled_all_the_same(
    path: Path, packed: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(path) as store:
        await store.begin(intent(), [hold(1)])
    with closing(sqlite3.connect(path)) as damaging, damaging:
        damaging.execute("UPDATE calls SET holds = ?", (packed,))
    async with open_store(path) as store:
        await store.settle(outcome(), 1_550_000)
        row = await store.find_call("req_1")

    assert row is not None
    assert (row.status, row.outcome) == ("ok", outcome())
    assert "db check" in caplog.text


async def fill(path: Path, calls: int) -> None:
    async with open_store(path) as store:
        await store.add_key(key_row())
        await begin_many(store, "req", calls)


async def test_a_corrupt_page_is_told_and_what_it_does_not_hold_is_still_read(path: Path) -> None:
    await fill(path, 100)
    with closing(connect(path)) as connection:
        root: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'calls'").fetchone()[
            0
        ]
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xa5" * 4096)

    async with open_store(path) as store:
        with pytest.raises(StoreCorrupt, match=str(path)):
            await store.find_call("req_1")
        with pytest.raises(StoreCorrupt):
            await store.begin(intent("new"), [])
        assert await store.find_key(key_row().digest) == key_row()


async def test_a_damaged_name_in_the_schema_is_damage_and_not_a_crash(path: Path) -> None:
    await fill(path, 1)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = read(path)
    assert content.count(b"tablecallscalls") == 1
    write(path, content.replace(b"tablecallscalls", b"tablec\xf7llscalls"))

    async with open_store(path) as store:
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match=str(path)):
                await store.begin(intent("new"), [])
        with pytest.raises(StoreCorrupt, match=str(path)):
            await store.find_call("req_0")


async def test_figures_that_nobody_wrote_are_damage_and_not_a_crash(path: Path) -> None:
    everything = CallFilter()
    async with open_store(path) as store:
        for name in ("req_1", "req_2"):
            await store.begin(intent(name), [])
            await store.settle(outcome(name), 1)
        with closing(connect(path)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("UPDATE calls SET latency_ms = x'00' WHERE request_id = 'req_1'")
            connection.execute("UPDATE calls SET started_at = 1 << 62 WHERE request_id = 'req_2'")

        with pytest.raises(StoreCorrupt, match=str(path)):
            [row async for row in store.calls(everything)]
        with pytest.raises(StoreCorrupt, match=str(path)):
            await store.totals(everything, by="day")
        with pytest.raises(StoreCorrupt, match=str(path)):
            await store.waits(everything, newest=9)


async def test_a_checkup_lists_the_damage(path: Path) -> None:
    await fill(path, 3)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'calls_by_time'")
    problems = upkeep.check(path).problems

    assert len(problems) == 1
    assert "never used" in problems[0]


async def test_a_row_that_we_never_wrote_is_damage_too(path: Path) -> None:
    await fill(path, 1)
    with closing(connect(path)) as connection:
        connection.execute("UPDATE calls SET category = 'Alchemy'")
    async with open_store(path) as store:
        with pytest.raises(StoreCorrupt, match="Alchemy"):
            await store.find_call("req_0")


# ---------------------------------------------------------------- files that come and go


async def test_a_deleted_database_is_noticed_and_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with open_store(path) as store:
        await store.begin(intent("before"), [])
        assert await store.find_call("before") is not None
        for file in path.parent.glob("dynaroute.db*"):
            file.unlink()
        await store.begin(intent("after"), [])

        assert await store.find_call("before") is None
        assert await store.find_call("after") is not None
    assert "database file was replaced" in caplog.text


async def test_a_replaced_database_is_read_from_then_on(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    await fill(other, 3)
    async with open_store(path) as store:
        await store.begin(intent("before"), [])
        for file in path.parent.glob("dynaroute.db-*"):
            file.unlink()
        other.replace(path)

        assert len([row async for row in store.calls(CallFilter())]) == 3


async def test_nothing_is_acknowledged_that_went_into_a_file_which_is_gone(path: Path) -> None:
    async with SqliteStore(path) as store:

        def pull_the_rug(transaction: Transaction) -> None:
            path.unlink()

        with pytest.raises(StoreUnavailable, match="moved, replaced or deleted"):
            await store._writer.submit(pull_the_rug)
        await store.begin(intent(), [])

        assert await store.find_call("req_1") is not None


async def test_a_log_left_behind_by_a_dead_process_is_read(path: Path, tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    async with open_store(path) as store:
        await store.begin(intent(), [hold()])
        await store.settle(outcome(), 1)
        for file in path.parent.glob("dynaroute.db*"):
            shutil.copy(file, crashed)
    assert wal_bytes(crashed / path.name) > 0

    async with open_store(crashed / path.name) as store:
        found = await store.find_call("req_1")
        assert found is not None
        assert found.outcome == outcome()


# ---------------------------------------------------------------- disks that refuse


class Disk:
    """An opener whose database may not grow beyond some pages."""

    def __init__(self) -> None:
        self.pages: int | None = None

    def open(self, path: Path) -> Opened:
        opened = open_for_writing(path)
        if self.pages is not None:
            opened.connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return opened


async def test_a_full_disk_is_told_reads_go_on_and_writes_return_with_the_space(path: Path) -> None:
    await fill(path, 1)
    disk = Disk()
    disk.pages = 1
    async with SqliteStore(path, opener=disk.open) as store:
        with pytest.raises(StoreUnavailable, match="disk is full") as full:
            await begin_many(store, "big", 200)
        rows = [row.intent.request_id async for row in store.calls(CallFilter())]
        assert await store.find_key(key_row().digest) == key_row()
        disk.pages = None
        await store.begin(intent("later"), [])

        assert await store.find_call("later") is not None
    assert rows[-1] == "req_0"
    assert full.value.public.startswith("the server's database: the disk is full")
    assert upkeep.check(path).problems == ()


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that this process can look into but not write to; root becomes nobody for the test's time."""
    folder = Path(tempfile.mkdtemp(prefix="dynaroute-"))
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def lock_folder(folder: Path) -> None:
    folder.chmod(0o555)
    for file in folder.iterdir():
        file.chmod(0o444)
    if os.geteuid() == 0:
        os.seteuid(65534)


def unlock_folder(folder: Path) -> None:
    if os.getuid() == 0:
        os.seteuid(0)
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o600)


async def test_a_read_only_folder_can_be_read_and_is_written_as_soon_as_it_can_be(
    locked_folder: Path,
) -> None:
    path = locked_folder / "dynaroute.db"
    await fill(path, 1)
    lock_folder(locked_folder)
    async with open_store(path) as store:
        assert await store.find_key(key_row().digest) == key_row()
        with pytest.raises(StoreUnavailable, match=f"{path}: it is read-only"):
            await store.begin(intent("refused"), [])
        unlock_folder(locked_folder)
        await store.begin(intent("accepted"), [])

        assert await store.find_call("accepted") is not None
        assert await store.find_call("refused") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_read_only_folder_with_a_log_left_behind_is_not_read_without_the_log(
    locked_folder: Path,
) -> None:
    path, crashed = locked_folder / "dynaroute.db", locked_folder / "crashed.db"
    async with open_store(path) as store:
        await store.begin(intent(), [])
        shutil.copy(path, crashed)
        shutil.copy(f"{path}-wal", f"{crashed}-wal")
    lock_folder(locked_folder)
    async with open_store(crashed) as store:
        with pytest.raises(StoreUnavailable, match=str(crashed)):
            await store.find_call("req_1")


async def test_a_folder_without_a_database_that_can_not_be_written_is_told(locked_folder: Path) -> None:
    lock_folder(locked_folder)
    async with open_store(locked_folder / "dynaroute.db") as store:
        with pytest.raises(StoreUnavailable, match="it is read-only; make the file and its folder writable"):
            await store.find_key(b"")


async def test_an_old_database_that_can_not_be_migrated_is_told(locked_folder: Path) -> None:
    path = locked_folder / "dynaroute.db"
    path.touch()
    lock_folder(locked_folder)
    async with open_store(path) as store:
        with pytest.raises(StoreUnavailable, match="older than this DynaRoute and can't be written"):
            await store.find_key(b"")


# ---------------------------------------------------------------- neighbours


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "BUSY_TIMEOUT_S", 0.02)
    monkeypatch.setattr(lock, "BUSY_TIMEOUT_S", 0.02)


@pytest.mark.usefixtures("impatient")
async def test_a_foreign_program_that_keeps_the_database_locked_is_waited_for_and_told(path: Path) -> None:
    await fill(path, 1)
    with closing(driver.library().connect(path, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        async with open_store(path) as store:
            with pytest.raises(StoreUnavailable, match="another process kept it locked"):
                await store.begin(intent(), [])
            assert await store.find_call("req_0") is not None
            foreign.execute("ROLLBACK")
            await store.begin(intent(), [])


@pytest.mark.usefixtures("impatient")
async def test_a_process_of_ours_that_hangs_with_the_lock_is_told(path: Path) -> None:
    await fill(path, 1)
    async with open_store(path) as store:
        with (
            lock.exclusive(path),
            pytest.raises(StoreUnavailable, match="look for a DynaRoute process that hangs"),
        ):
            await store.begin(intent(), [])
        await store.begin(intent(), [])


async def test_the_log_is_moved_into_the_database_as_it_grows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "THRESHOLD_BYTES", 100_000)
    async with open_store(path) as store:
        sizes = []
        for number in range(60):
            await store.begin(intent(f"req_{number}"), [])
            sizes.append(wal_bytes(path))

    assert 0 in sizes[10:]
    assert max(sizes) < 120_000


async def test_a_reader_that_stays_keeps_the_log_and_a_later_commit_moves_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "THRESHOLD_BYTES", 50_000)
    monkeypatch.setattr(checkpoint, "_PATIENCE_MS", 1)
    async with open_store(path) as store:
        await store.begin(intent("first"), [])
        with closing(connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM calls").fetchone()
            for number in range(20):
                await store.begin(intent(f"req_{number}"), [])
            kept = wal_bytes(path)
        for number in range(20, 40):
            await store.begin(intent(f"req_{number}"), [])
            if not wal_bytes(path):
                break

        assert kept > 50_000
        assert wal_bytes(path) == 0


async def test_a_checkpoint_that_fails_fails_no_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_connection: sqlite3.Connection) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(checkpoint, "THRESHOLD_BYTES", 0)
    monkeypatch.setattr(checkpoint, "checkpoint", broken)
    async with open_store(path) as store:
        await store.begin(intent(), [])

        assert await store.find_call("req_1") is not None
    assert "log not moved" in caplog.text
