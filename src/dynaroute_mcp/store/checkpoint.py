"""Moving the write-ahead log into the database, by one process at a time.

Only `wal_checkpoint(TRUNCATE)` is used, which holds the write lock, and only under an advisory lock on a file
beside the database: so no checkpoint starts behind another and no commit resets the log under one, which is
what SQLite's WAL-reset bug needs (see `driver.py`). The system drops the lock when its process dies.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.driver import BUSY_TIMEOUT_S
from dynaroute_mcp.store.files import wal_bytes
from dynaroute_mcp.store.link import Link

THRESHOLD_BYTES = 4 * 1024 * 1024
"""Size of the log from which it is moved."""
_PATIENCE_MS = 50
"""How long a checkpoint waits for readers and writers before it gives way."""


class Checkpointer:
    """Checkpoints for one writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next_bytes = THRESHOLD_BYTES

    def after_commit(self, link: Link) -> None:
        """Move the log if it has grown; one that could not be moved is tried again when it has grown more."""
        size = wal_bytes(self._path)
        if size < self._next_bytes:
            return
        self._next_bytes = THRESHOLD_BYTES if self._moved(link) else size + THRESHOLD_BYTES

    def _moved(self, link: Link) -> bool:
        try:
            return checkpoint(self._path, link)
        except StoreUnavailable:
            return False


def checkpoint(path: Path, link: Link) -> bool:
    """Move the whole log into the database and empty it, unless somebody is in the way.

    Raises:
        StoreUnavailable: the database can't be used.
    """
    with _alone(path) as alone, link.use() as connection:
        if not alone:
            return False
        connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000:.0f}")
        return not busy


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the advisory lock, or tell that another process has it."""
    handle = os.open(f"{path}.checkpoint-lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        yield _try_lock(handle)
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
