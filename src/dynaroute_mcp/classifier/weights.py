"""The file of numbers behind the local classifier: its layout, reading and writing.

Layout, little-endian: `DRW1`, length of the head (uint32), the head as JSON, for each slot the number of its
row (uint16, 0 is none), then the rows from number 1 on, one unsigned byte a lane, 128 standing for zero.
"""

import json
import struct
import sys
from array import array
from dataclasses import asdict, dataclass
from typing import Final

from dynaroute_mcp.classifier.features import SLOTS

_MAGIC: Final = b"DRW1"
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The few numbers that are not in the table."""

    lanes: int
    """Bytes a row: 31 categories, five levels, then the hidden layer's inputs."""
    scale: list[float]
    """What one step of a lane's byte is worth."""
    bias: list[float]
    mix: list[list[float]]
    """For each hidden unit, what it adds to the 36 outputs."""
    category_temperature: float
    level_temperature: float
    level_shift: list[float]


@dataclass(frozen=True, slots=True)
class Weights:
    """A fitted model."""

    head: Head
    index: "array[int]"
    table: bytes
    """Starts with a row of zeros, so that row n lies at n * lanes."""


def dump(weights: Weights) -> bytes:
    """The file's bytes."""
    head = json.dumps(asdict(weights.head), separators=(",", ":")).encode()
    index = array("H", weights.index)
    if sys.byteorder == "big":  # pragma: no cover - the file is little-endian everywhere
        index.byteswap()
    return _MAGIC + _LENGTH.pack(len(head)) + head + index.tobytes() + weights.table[weights.head.lanes :]


def parse(data: bytes) -> Weights:
    """Read what `dump` wrote.

    Raises:
        ValueError: the bytes are not such a file, or are cut short.
    """
    if data[:4] != _MAGIC:
        raise ValueError("not a weights file; reinstall the package")
    start = 8 + _LENGTH.unpack_from(data, 4)[0]
    head = Head(**json.loads(data[8:start]))
    index = array("H")
    index.frombytes(data[start : start + 2 * SLOTS])
    if sys.byteorder == "big":  # pragma: no cover - the file is little-endian everywhere
        index.byteswap()
    table = bytes([128]) * head.lanes + data[start + 2 * SLOTS :]
    if len(index) != SLOTS or len(table) != head.lanes * (max(index) + 1):
        raise ValueError("the weights file is cut short; reinstall the package")
    return Weights(head, index, table)
