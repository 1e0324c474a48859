"""Which SQLite runs here, how it is opened, and what its failures mean to a caller.

SQLite 3.7.0 to 3.51.2 can damage a database when two processes checkpoint one WAL at the wrong moment
(sqlite.org/wal.html#walresetbug, read 2026-11-21; fixed in 3.51.3, backported to 3.50.7 and 3.44.6). Two
safeguards stand against it: a fixed library when PyPI `pysqlite3` brings one, and, whatever the library, no
automatic checkpoints: `checkpoint.py` makes them under the lock of `lock.py`.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal, cast

from dynaroute_mcp.errors import StoreCorrupt, StoreUnavailable

Version = tuple[int, int, int]
Params = tuple[object, ...]

BUSY_TIMEOUT_S = 10.0
"""How long a statement waits for another process's lock."""

_FIRST_AFFECTED: Version = (3, 7, 0)
_FIRST_FIXED: Version = (3, 51, 3)
_BACKPORTS: dict[tuple[int, int], Version] = {(3, 44): (3, 44, 6), (3, 50): (3, 50, 7)}

_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA mmap_size = 0",
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteReport:
    """What `doctor` says about the database library."""

    library: str
    """`sqlite3` or `pysqlite3`."""
    version: str
    affected: bool
    """This version has the WAL-reset bug."""
    safeguard: str


def has_wal_reset_bug(version: Version) -> bool:
    """Tell whether this SQLite can damage a WAL that several processes share."""
    fixed = _BACKPORTS.get(version[:2], _FIRST_FIXED)
    return _FIRST_AFFECTED <= version < fixed


@cache
def library() -> ModuleType:
    """Import the SQLite to use: the standard library's, unless that is affected and `pysqlite3` is there."""
    if not has_wal_reset_bug(sqlite3.sqlite_version_info):
        return sqlite3
    try:
        return import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def sqlite_report() -> SqliteReport:
    """Describe the library in use and what protects its users from the WAL-reset bug."""
    used = library()
    affected = has_wal_reset_bug(used.sqlite_version_info)
    return SqliteReport(
        library=used.__name__.partition(".")[0],
        version=used.sqlite_version,
        affected=affected,
        safeguard="checkpoints by one process at a time; `pip install pysqlite3` brings a fixed SQLite"
        if affected
        else "this SQLite is fixed; checkpoints by one process at a time all the same",
    )


def connect(path: Path, mode: Literal["rw", "ro", "immutable"] = "rw") -> sqlite3.Connection:
    """Open an existing file; transactions are written out by hand.

    Args:
        path: Absolute or relative; the file is never created here.
        mode: `immutable` reads a file whose folder takes no `-shm`, and sees no `-wal`.
    """
    query = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    connection = library().connect(
        f"{path.absolute().as_uri()}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    return cast("sqlite3.Connection", connection)


def failures() -> tuple[type[Exception], ...]:
    """List the roots of what goes wrong with a file: the errors of either library, the system's, and names in it.

    Python raises the last itself, for an error whose text quotes a damaged schema.
    """
    return (sqlite3.Error, library().Error, OSError, UnicodeDecodeError)


def refusals() -> tuple[type[Exception], ...]:
    """List what either library raises for a row that breaks a rule of the schema: only that statement is undone."""
    return (sqlite3.IntegrityError, library().IntegrityError)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours.

    Raises:
        StoreCorrupt: the file is damaged or not a database.
        StoreUnavailable: anything else.
    """
    try:
        yield
    except failures() as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: Exception) -> StoreUnavailable:
    system = _SYSTEM_ERRORS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    name = str(getattr(error, "sqlite_errorname", system))
    if isinstance(error, UnicodeDecodeError) or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return corrupt(path, str(error))
    for prefix, reason in _REASONS:
        if name.startswith(prefix):
            return StoreUnavailable(f"database {path}: {reason}", public=f"the server's database: {reason}")
    return StoreUnavailable(f"database {path}: {error}; run `dynaroute db check`")


def corrupt(path: Path, reason: str) -> StoreCorrupt:
    """Say which file is damaged and what to do about it."""
    return StoreCorrupt(
        f"database {path} is damaged or not a database ({reason}); {how_to_restore(path)}",
        public="the server's database is damaged or not a database; its log says what to do",
    )


def how_to_restore(path: Path) -> str:
    """Say what to do about a damaged file; a log that is left behind would be read into the copy."""
    return (
        f"stop every DynaRoute process, move {path}, and {path}-wal and -shm where there are some, aside and put"
        " back a copy made by `dynaroute db backup`, or start afresh"
    )


_SYSTEM_ERRORS = {
    errno.EACCES: "SQLITE_READONLY",
    errno.EPERM: "SQLITE_READONLY",
    errno.EROFS: "SQLITE_READONLY",
    errno.ENOSPC: "SQLITE_FULL",
    errno.ENOENT: "SQLITE_CANTOPEN",
    errno.ENOTDIR: "SQLITE_CANTOPEN",
    errno.EEXIST: "SQLITE_CANTOPEN",  # a file where the folder should be
}
"""What SQLite would call the system's own errors."""

_REASONS = (
    ("SQLITE_FULL", "the disk is full; free some space, it is tried again with the next request"),
    ("SQLITE_READONLY", "it is read-only; make the file and its folder writable for this user"),
    ("SQLITE_CANTOPEN", "it can't be opened; check that its folder exists and is writable for this user"),
    ("SQLITE_PERM", "this user may not open it; check who owns the file"),
    ("SQLITE_BUSY", f"another process kept it locked for {BUSY_TIMEOUT_S:.0f} s; try again"),
    ("SQLITE_IOERR", "the disk or file system reports an error; check both, then `dynaroute db check`"),
)
