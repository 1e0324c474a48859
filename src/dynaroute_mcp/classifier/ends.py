"""What an encoder reads of a text: all of a short one, both ends of a long one."""

from collections.abc import Callable, Iterator
from typing import Final

HEAD, TAIL = 80, 46
"""Pieces that are read at both ends of a longer text; with the two marks 128 in all."""
_HEAD_CHARS: Final = 1200
_TAIL_CHARS: Final = 700
"""Characters that surely hold that many pieces of ordinary text."""


def both_ends(text: str, numbers: Callable[[str], Iterator[int]]) -> list[int]:
    """Numbers of the pieces that are read, in order.

    Args:
        text: of any length.
        numbers: cuts a part of it.
    """
    if len(text) > _HEAD_CHARS + _TAIL_CHARS:
        head = list(numbers(text[:_HEAD_CHARS]))[:HEAD]
        return head + list(numbers(text[-_TAIL_CHARS:]))[-TAIL:]
    ids = list(numbers(text))
    return ids if len(ids) <= HEAD + TAIL else ids[:HEAD] + ids[-TAIL:]
