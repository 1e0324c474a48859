"""The keys themselves: how one is made, and how a mistyped one is told without a look-up. Pure."""

import binascii
import hashlib
import re
from collections.abc import Callable
from typing import Final

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARACTERS: Final = 37
_CHECK_CHARACTERS: Final = 6
_SHAPE: Final = re.compile(r"dr_(test_)?[0-9A-Za-z]{43}")


def new_secret(randbelow: Callable[[int], int], *, sandbox: bool = False) -> str:
    """Make a key: 220 random bits and their checksum.

    Args:
        randbelow: a cryptographic source, such as `secrets.randbelow`.
        sandbox: make a `dr_test_` key.
    """
    body = "dr_test_" if sandbox else "dr_"
    body += "".join(_BASE62[randbelow(62)] for _ in range(_RANDOM_CHARACTERS))
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Tell whether the shape and the checksum are right, without a look-up."""
    return (
        _SHAPE.fullmatch(key) is not None and _checksum(key[:-_CHECK_CHARACTERS]) == key[-_CHECK_CHARACTERS:]
    )


def digest(key: str) -> bytes:
    """SHA-256 of a key: what is stored, and what is looked up."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def _checksum(body: str) -> str:
    number = binascii.crc32(body.encode("ascii"))
    characters = []
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, 62)
        characters.append(_BASE62[digit])
    return "".join(characters)
