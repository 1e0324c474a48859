"""One process at a time: an advisory lock on a file beside the database.

Every batch and every checkpoint of ours runs under it. So no checkpoint meets a commit, which SQLite's
WAL-reset bug needs, and waiting processes take turns within a millisecond where SQLite would sleep up to 100.
The system drops the lock when its process dies. Other programs are kept out by SQLite's own locks.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.driver import BUSY_TIMEOUT_S

_FIRST_NAP_S = 0.000_2
_LONGEST_NAP_S = 0.005


def lock_path(path: Path) -> Path:
    """Name the file that is locked; it stays empty and is never deleted."""
    return Path(f"{path}-lock")


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the database's lock. A thread that holds it must not ask again.

    Raises:
        StoreUnavailable: another process kept it for `BUSY_TIMEOUT_S`.
        OSError: the lock file can't be made.
    """
    handle = os.open(lock_path(path), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _wait_for(handle, path)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, path: Path) -> None:
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    nap_s = _FIRST_NAP_S
    while not _try_lock(handle):
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"database {path}: another process kept it locked for {BUSY_TIMEOUT_S:.0f} s; look for a DynaRoute"
                " process that hangs"
            )
        time.sleep(nap_s)
        nap_s = min(_LONGEST_NAP_S, nap_s * 2)


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
