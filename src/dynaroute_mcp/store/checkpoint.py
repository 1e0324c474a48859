"""Moving the write-ahead log into the database, under the same lock as every commit.

Only `wal_checkpoint(TRUNCATE)` is used: it leaves an empty log, so that there is nothing for a later commit
to reset while a foreign program makes a checkpoint, which is what SQLite's WAL-reset bug needs (see
`driver.py`).
"""

import logging
import sqlite3
from pathlib import Path

from dynaroute_mcp.store.driver import BUSY_TIMEOUT_S, failures
from dynaroute_mcp.store.files import wal_bytes

THRESHOLD_BYTES = 4 * 1024 * 1024
"""Size of the log from which it is moved."""

_PATIENCE_MS = 50
"""How long a checkpoint waits for readers before it gives way."""


_log = logging.getLogger(__name__)


class Checkpointer:
    """Checkpoints for one writer, which holds the lock whenever it calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_bytes = THRESHOLD_BYTES

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Move the log if it has grown; one that could not be moved is tried again when it has grown more."""
        size = wal_bytes(self._path)
        if size < self._next_bytes:
            return
        try:
            moved = checkpoint(connection)
        except failures() as error:
            _log.warning("log not moved into the database", extra={"reason": str(error)})
            moved = False
        self._next_bytes = THRESHOLD_BYTES if moved else size + THRESHOLD_BYTES


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Move the whole log into the database, and tell whether nobody was in the way. Needs the lock."""
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    try:
        busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
    return not busy
