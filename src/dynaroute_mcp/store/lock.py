"""One process at a time: an advisory lock on a file beside the database.

Every batch and every checkpoint of ours runs under it. So no checkpoint meets a commit, which SQLite's
WAL-reset bug needs. Who waits first takes the turn, a second lock, and only who has the turn looks for the
lock, often; the others look for the turn, seldom. So a busy process can't shut the others out, and the lock
is handed on within a fraction of a millisecond where SQLite would sleep up to 100. The system drops both when
a process dies. Other programs are kept out by SQLite's own locks.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.driver import BUSY_TIMEOUT_S

_NAP_FOR_LOCK_S = 0.000_2
_NAP_FOR_TURN_S = 0.003


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the database's lock. A thread that holds it must not ask again.

    The files that are locked stay empty and are never deleted.

    Raises:
        StoreUnavailable: another process kept it for `BUSY_TIMEOUT_S`.
        OSError: a lock file can't be made.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    turn = _locked(path, "turn", _NAP_FOR_TURN_S, deadline)
    try:
        held = _locked(path, "lock", _NAP_FOR_LOCK_S, deadline)
    finally:
        os.close(turn)
    try:
        yield
    finally:
        os.close(held)


def _locked(path: Path, name: str, nap_s: float, deadline: float) -> int:
    """Wait for a lock; to close the handle that is returned drops it."""
    handle = os.open(f"{path}-{name}", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _wait_for(handle, path, nap_s, deadline)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _wait_for(handle: int, path: Path, nap_s: float, deadline: float) -> None:
    while not _try_lock(handle):
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"database {path}: another process kept it locked for {BUSY_TIMEOUT_S:.0f} s; look for a"
                " DynaRoute process that hangs"
            )
        time.sleep(nap_s)  # a file's lock tells nobody when it is free


if sys.platform == "win32":  # pragma: no cover  # the tests run on Linux
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
