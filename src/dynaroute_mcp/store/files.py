"""The database's place in the file system: who may read it, what is refused, and whether it is still there.

A process must never open and close the database file beside SQLite: POSIX drops all its locks on that file
(sqlite.org/howtocorrupt.html, section 2.2). So a file is opened here only to create it.
"""

import os
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from dynaroute_mcp.errors import StoreUnavailable

Identity = tuple[int, int]

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_NETWORK_TYPES = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "9p", "fuse.sshfs", "ceph"}
)
_MOUNTS = Path("/proc/self/mounts")


def prepare(path: Path) -> None:
    """Make the folder (0700) and the file (0600) unless they exist; a file that does is not touched.

    Raises:
        StoreUnavailable: the path is no file, or a symbolic link that leads out of its folder.
        OSError: the folder or the file can't be made.
    """
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    for ending in ("", "-wal", "-shm", "-lock", "-turn"):
        _refuse_foreign_link(Path(f"{path}{ending}"))
    if path.is_dir():
        raise StoreUnavailable(f"database {path} is a directory; set DYNAROUTE_DATABASE to a file's path")
    if path.exists() and not path.is_file():
        raise StoreUnavailable(f"database {path} is no file; set DYNAROUTE_DATABASE to a file's path")
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE))


def keep_private(path: Path) -> None:
    """Keep others out of the file (0600); only once it is known to be ours."""
    if stat.S_IMODE(path.stat().st_mode) & ~_FILE_MODE:
        with suppress(OSError):
            path.chmod(_FILE_MODE)


def identity(path: Path) -> Identity | None:
    """Tell which file stands at the path (device and inode), or `None` if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 -- each look-up asks, and a path's own way is twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino


@lru_cache(maxsize=16)  # after each commit it is asked for again
def wal_path(path: Path) -> Path:
    """Name the write-ahead log of a database."""
    return Path(f"{path}-wal")


def wal_bytes(path: Path) -> int:
    """Measure the write-ahead log; 0 when there is none."""
    try:
        return wal_path(path).stat().st_size
    except OSError:
        return 0


def network_file_system(path: Path) -> str | None:
    """Name the network file system that holds the path, or `None`: SQLite's WAL works on one host only."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    where = path.absolute().resolve()
    best, found = -1, ""
    for line in mounts.splitlines():
        _, mount_point, kind, *_ = line.split(" ")
        if where.is_relative_to(mount_point) and len(mount_point) > best:
            best, found = len(mount_point), kind
    return found if found in _NETWORK_TYPES else None


def _refuse_foreign_link(path: Path) -> None:
    if not path.is_symlink():
        return
    target = path.resolve()
    if not target.is_relative_to(path.parent.resolve()):
        raise StoreUnavailable(
            f"database {path} is a symbolic link to {target}, outside its folder; name the file itself"
        )
