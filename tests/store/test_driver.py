"""Which SQLite runs, and what its errors become."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.examples import hold, intent, outcome

from dynaroute_mcp.errors import StoreCorrupt, StoreUnavailable
from dynaroute_mcp.store import driver
from dynaroute_mcp.store.driver import Version, has_wal_reset_bug, library, sqlite_report, translated
from dynaroute_mcp.store.sqlite import open_store

PATH = Path("/data/dynaroute.db")


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 4), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version: Version, affected: bool) -> None:
    assert has_wal_reset_bug(version) is affected


def test_a_fixed_standard_library_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 53, 0))

    assert library() is sqlite3


def test_an_affected_library_without_a_substitute_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.40.1")
    monkeypatch.setattr(driver, "import_module", missing)
    report = sqlite_report()

    assert (report.library, report.version, report.affected) == ("sqlite3", "3.40.1", True)
    assert "pip install pysqlite3" in report.safeguard


def test_a_substitute_is_taken_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    monkeypatch.setattr(driver, "import_module", lambda _name: sqlite3)

    assert library() is sqlite3


async def test_the_standard_library_serves_where_nothing_better_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "library", lambda: sqlite3)
    async with open_store(tmp_path / "dynaroute.db") as store:
        await store.begin(intent(), [hold()])
        await store.settle(outcome(), 1)
        found = await store.find_call("req_1")

    assert found is not None
    assert found.outcome == outcome()


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("SQLITE_CORRUPT_INDEX", StoreCorrupt, "/data/dynaroute.db-wal and -shm where there are some, aside"),
        ("SQLITE_NOTADB", StoreCorrupt, "not a database"),
        ("SQLITE_FULL", StoreUnavailable, "disk is full"),
        ("SQLITE_READONLY_DIRECTORY", StoreUnavailable, "read-only"),
        ("SQLITE_CANTOPEN", StoreUnavailable, "can't be opened"),
        ("SQLITE_BUSY_SNAPSHOT", StoreUnavailable, "another process kept it locked"),
        ("SQLITE_IOERR_FSYNC", StoreUnavailable, "disk or file system"),
        ("SQLITE_PERM", StoreUnavailable, "may not open it"),
        ("SQLITE_ERROR", StoreUnavailable, "dynaroute db check"),
        ("", StoreUnavailable, "dynaroute db check"),
    ],
)
def test_an_error_of_sqlite_names_the_file_and_the_next_step(
    name: str, kind: type[StoreUnavailable], words: str
) -> None:
    error = sqlite3.OperationalError("it went wrong")
    if name:
        error.sqlite_errorname = name
    with pytest.raises(StoreUnavailable) as caught, translated(PATH):
        raise error

    assert type(caught.value) is kind
    assert str(PATH) in str(caught.value)
    assert words in str(caught.value)
    assert str(PATH) not in caught.value.public


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, "Input/output")],
)
def test_an_error_of_the_system_is_told_in_the_same_words(number: int, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words), translated(PATH):
        raise OSError(number, os.strerror(number))
