"""What an operator does to the database file: check it, copy it, shrink it. Blocking; for commands, not for requests."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store import files
from dynaroute_mcp.store.checkpoint import checkpoint
from dynaroute_mcp.store.driver import SqliteReport, sqlite_report
from dynaroute_mcp.store.ledger import unpacked
from dynaroute_mcp.store.link import Link, Opener, open_for_reading, open_for_writing
from dynaroute_mcp.store.lock import exclusive
from dynaroute_mcp.store.migrations import copy_database

_SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """The state of a database file."""

    path: Path
    problems: tuple[str, ...]
    """Damage to the file, at most ten lines, else counters that disagree with the calls; empty when sound."""
    calls: int
    keys: int
    file_bytes: int
    log_bytes: int
    """Size of the write-ahead log beside the file."""
    network_file_system: str | None
    """SQLite's write-ahead log works within one machine only."""
    sqlite: SqliteReport


def check(path: Path) -> Checkup:
    """Read the whole file and say whether it is sound; a file that is missing is made.

    Raises:
        StoreCorrupt: it is so damaged that it can't be read.
        StoreUnavailable: it can't be opened.
    """
    with _opened(path, open_for_reading) as connection:
        return Checkup(
            path=path,
            problems=find_problems(connection, thorough=True),
            calls=connection.execute("SELECT count(*) FROM calls").fetchone()[0],
            keys=connection.execute("SELECT count(*) FROM keys").fetchone()[0],
            file_bytes=path.stat().st_size,
            log_bytes=files.wal_bytes(path),
            network_file_system=files.network_file_system(path),
            sqlite=sqlite_report(),
        )


def backup(path: Path, target: Path) -> None:
    """Write a consistent copy while others go on writing; it is readable by its owner only.

    Raises:
        StoreUnavailable: the database can't be read, or the target exists or can't be written.
    """
    _must_exist(path)
    with _opened(path, open_for_reading) as connection:
        try:
            copy_database(connection, target)
        except OSError as error:
            raise StoreUnavailable(
                f"{target} can't be written ({error.strerror}); name another file"
            ) from error


def vacuum(path: Path) -> tuple[int, int]:
    """Give back the space of deleted rows; others wait meanwhile.

    Returns:
        Size of the file before and after, in bytes, its log included.

    Raises:
        StoreUnavailable: the database can't be written.
    """
    _must_exist(path)
    before = path.stat().st_size + files.wal_bytes(path)
    with _opened(path, open_for_writing) as connection, exclusive(path):
        connection.execute("VACUUM")
        checkpoint(connection)
    return before, path.stat().st_size + files.wal_bytes(path)


def find_problems(connection: sqlite3.Connection, *, thorough: bool) -> tuple[str, ...]:
    """List damage to the file, or else counters that disagree with the calls; nothing when all is well.

    `thorough` also compares every index with its table, which takes several times as long.
    """
    pragma = "integrity_check" if thorough else "quick_check"
    found = connection.execute(f"PRAGMA {pragma}({_SHOWN_PROBLEMS})").fetchall()
    damage = tuple(str(line) for (line,) in found if line != "ok")
    return damage or _find_wrong_reservations(connection)


def _find_wrong_reservations(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Compare what counters say is reserved with what running calls hold."""
    held: Counter[tuple[str, str, str]] = Counter()
    connection.execute("BEGIN")
    try:
        for (packed,) in connection.execute("SELECT holds FROM calls WHERE status = 'in_flight'"):
            for scope, metric, window, amount in unpacked(packed):
                held[scope, metric, window] += amount
        rows = connection.execute("SELECT scope, metric, window, reserved FROM counters").fetchall()
    finally:
        connection.execute("ROLLBACK")
    reserved = Counter({(scope, metric, window): amount for scope, metric, window, amount in rows})
    return tuple(
        f"counter {' '.join(key)}: {reserved[key]} reserved, but running calls hold {held[key]}"
        for key in sorted(held.keys() | reserved.keys())
        if held[key] != reserved[key]
    )


@contextmanager
def _opened(path: Path, opener: Opener) -> Iterator[sqlite3.Connection]:
    link = Link(path, opener)
    try:
        with link.use() as connection:
            yield connection
    finally:
        link.close()


def _must_exist(path: Path) -> None:
    if files.identity(path) is None:
        raise StoreUnavailable(f"database {path} does not exist yet; it is made by the first call")
