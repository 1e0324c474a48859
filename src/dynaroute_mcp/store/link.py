"""A connection that opens on first use, notices when its file was replaced, and comes back after a failure."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store import files
from dynaroute_mcp.store.driver import connect, failures, translated
from dynaroute_mcp.store.migrations import check_schema, migrate

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A fresh connection."""

    connection: sqlite3.Connection
    lasting: bool = True
    """False for a makeshift: it is closed after one use, so that a repaired database is noticed."""


Opener = Callable[[Path], Opened]


class Link:
    """One connection, used by one thread at a time."""

    def __init__(self, path: Path, opener: Opener) -> None:
        self._path = path
        self._opener = opener
        self._opened: Opened | None = None
        self._identity: files.Identity | None = None

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection; a failure undoes and closes it, and the next use opens a new one.

        Raises:
            StoreCorrupt: the file is damaged.
            StoreUnavailable: it can't be used.
        """
        try:
            with translated(self._path):
                opened = self._open()
                yield opened.connection
        except BaseException:
            self.close()
            raise
        if not opened.lasting:
            self.close()

    @property
    def ready(self) -> sqlite3.Connection | None:
        """The connection, if there is one to the file that stands at the path; who finds it broken closes this."""
        return None if self._opened is None or self._is_stale() else self._opened.connection

    def verify(self) -> None:
        """Make sure that what was just written is in the file that stands at the path.

        Raises:
            StoreUnavailable: it is not; nothing may be acknowledged.
        """
        if self._is_stale():
            raise StoreUnavailable(
                f"database {self._path} was moved, replaced or deleted while it was written to; try again"
            )

    def close(self) -> None:
        """Close the connection if there is one, undoing what was not committed."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.connection.close()

    def _open(self) -> Opened:
        if self._opened is not None and self._is_stale():
            _log.warning("database file was replaced; opening the new one", extra={"path": str(self._path)})
            self.close()
        if self._opened is None:
            self._opened = self._opener(self._path)
            self._identity = files.identity(self._path)
        return self._opened

    def _is_stale(self) -> bool:
        return files.identity(self._path) != self._identity


def open_for_writing(path: Path) -> Opened:
    """Open the database, made and migrated if need be.

    Raises:
        StoreUnavailable: it is newer than this code, another program's, or a path that is refused.
        sqlite3.Error, OSError: it can't be made or opened.
    """
    files.prepare(path)
    if kind := files.network_file_system(path):
        _log.warning(
            "database on a network file system; SQLite needs a local disk, set DYNAROUTE_DATABASE",
            extra={"path": str(path), "kind": kind},
        )
    connection = connect(path)
    try:
        migrate(connection, path)
        files.keep_private(path)
    except BaseException:
        connection.close()
        raise
    return Opened(connection=connection)


def open_for_reading(path: Path) -> Opened:
    """Open the database for queries, also where nothing can be written; raises as `open_for_writing`."""
    try:
        opened = open_for_writing(path)
    except failures():
        if not path.is_file():
            raise
        opened = _open_read_only(path)
    opened.connection.execute("PRAGMA query_only = ON")
    return opened


def _open_read_only(path: Path) -> Opened:
    try:
        connection = connect(path, "ro")
        check_schema(connection, path)
    except failures():
        if files.wal_bytes(path):
            raise
        connection = connect(path, "immutable")
        check_schema(connection, path)
    return Opened(connection=connection, lasting=False)
