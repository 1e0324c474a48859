"""The ranks that an exact token count needs: where they lie, whether they are whole, how they get there.

tiktoken would download them by itself, without a time-out, in the middle of a call. So it is asked only once
the file is there and its hash is right; `dynaroute tokens install` is what puts it there.
"""

import hashlib
import os
import ssl
import tempfile
import urllib.request
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Final, NamedTuple

from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.settings import HOME

__all__ = [
    "CACHE_VARIABLE",
    "RANKS",
    "Ranks",
    "fetch_ranks",
    "find_ranks",
    "install_ranks",
    "ranks_path",
    "read_ranks",
]


class Ranks(NamedTuple):
    """Where the ranks of an encoding come from, their SHA-256 and which models count with them."""

    url: str
    sha256: str
    models: str


RANKS: Final = {
    "o200k_base": Ranks(
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "GPT-4o and later",
    ),
    "cl100k_base": Ranks(
        "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        "GPT-4, GPT-3.5 and the embedding models",
    ),
}
"""The encodings that can be counted exactly; address and hash as tiktoken 0.14 states both."""

CACHE_VARIABLE: Final = "TIKTOKEN_CACHE_DIR"
"""The environment variable by which tiktoken finds its files."""

_MAX_BYTES: Final = 16 * 1024 * 1024
"""Over four times the largest of `RANKS`; what sends more is not it."""
_PATIENCE_S: Final = 20.0
"""How long the server may be silent."""


def ranks_path(encoding: str) -> Path:
    """Where the ranks of one of `RANKS` are looked for: the folder that tiktoken's variables name, else our own."""
    folder = os.environ.get(CACHE_VARIABLE) or os.environ.get("DATA_GYM_CACHE_DIR") or HOME / "tokens"
    name = hashlib.sha1(RANKS[encoding].url.encode(), usedforsecurity=False).hexdigest()
    return Path(folder) / name


def find_ranks(encoding: str) -> Path | None:
    """The file with the ranks of an encoding if it is on disk and whole, else `None`."""
    if encoding not in RANKS:
        return None
    path = ranks_path(encoding)
    try:
        stat = path.stat()
        whole = _whole(path, stat.st_size, stat.st_mtime_ns, RANKS[encoding].sha256)
    except OSError:
        return None
    return path if whole else None


@lru_cache(maxsize=8)
def _whole(path: Path, _size: int, _mtime_ns: int, sha256: str) -> bool:
    """Whether the file has this hash; read again only when its size or date changed."""
    return hashlib.sha256(_read(path)).hexdigest() == sha256


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES + 1)


def fetch_ranks(encoding: str) -> bytes:
    """Download the ranks of one of `RANKS` from where OpenAI publishes them; blocks.

    Raises:
        ConfigurationInvalid: they could not be had; says how else.
    """
    url = RANKS[encoding].url
    try:
        # The address is one of ours, https, and the hash is checked before the bytes are used.
        with urllib.request.urlopen(url, timeout=_PATIENCE_S, context=ssl.create_default_context()) as answer:  # noqa: S310
            content: bytes = answer.read(_MAX_BYTES + 1)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigurationInvalid(
            f"the ranks of {encoding} could not be fetched from {url}: {reason}; "
            "fetch that file on another machine and pass it with --file"
        ) from error
    return content


def read_ranks(file: Path) -> bytes:
    """Read ranks that were fetched elsewhere, no more than can be any.

    Raises:
        ConfigurationInvalid: the file can't be read.
    """
    try:
        return _read(file)
    except OSError as error:
        raise ConfigurationInvalid(f"{str(file)!r} can't be read: {error.strerror}") from error


def install_ranks(encoding: str, content: bytes) -> Path:
    """Put the ranks of one of `RANKS` where `find_ranks` looks, whole or not at all.

    Raises:
        ConfigurationInvalid: the content is not what its hash says, or the folder can't be written.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != RANKS[encoding].sha256:
        raise ConfigurationInvalid(
            f"these are not the ranks of {encoding}: {len(content):,} bytes with SHA-256 {found[:16]}..., "
            f"expected {RANKS[encoding].sha256[:16]}...; nothing was installed"
        )
    target = ranks_path(encoding)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as part:
            whole = Path(part) / target.name
            whole.write_bytes(content)
            whole.replace(target)
    except OSError as error:
        raise ConfigurationInvalid(
            f"the ranks can't be written to {str(target.parent)!r}: {error.strerror}; "
            f"name another folder in {CACHE_VARIABLE}"
        ) from error
    return target
