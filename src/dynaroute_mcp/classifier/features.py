"""From a text to the numbers of its features, the same way for fitting and for use. Pure.

A feature is a slot in [0, `SLOTS`): those below `HASHED` for words and pieces of words, the others for cues and
shape. Four groups, which the model scales differently:
`marks` (cues, shape, first and last words), `words` (words and pairs at the head and the tail), `grams`
(pieces of words at the head and the tail), `body` (words between them).
"""

import re
import struct
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from zlib import crc32

from dynaroute_mcp.classifier.cues import find_cues

SLOTS: Final = 1 << 18
HASHED: Final = 261_101
"""A prime, so that the remainders of hashes spread evenly."""
GROUPS: Final = ("marks", "words", "grams", "body")

_HEAD_CHARS, _MIDDLE_CHARS, _TAIL_CHARS = 2400, 600, 1000
_HEAD_WORDS, _TAIL_WORDS = 64, 32
_CUE_HEAD, _CUE_TAIL, _SAMPLE_CHARS = 600, 300, 1600
_GRAM_HEAD, _GRAM_TAIL = 420, 180

_PAIR, _BODY = 3_571, 130_363
"""What keeps two neighbours, and words of the middle, apart from others."""

_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]+|\d+|[^\w\s]{{1,3}}")


@dataclass(frozen=True, slots=True)
class Features:
    """What was seen in one prompt."""

    groups: tuple[list[int], list[int], list[int], list[int]]
    """Slots in the order of `GROUPS`, each group without repeats."""
    cues: list[int]
    """Positions in `CUES` of the cues that were found; their slots come after the hashed ones."""
    words: dict[int, str]
    """The word behind a slot of single words, for showing."""
    tokens: list[str]
    """Words, numbers and signs in order, lower-cased; of a long text those of its head, middle and tail."""


def features(text: str) -> Features:
    """Turn any string into its features; a long one is read at its head, its middle and its tail."""
    clipped = _clip(text)
    tokens = _TOKEN.findall(clipped.lower())
    hashes = [crc32(_masked(token).encode("utf-8", "surrogatepass")) % HASHED for token in tokens]
    head, body, tail = _split(hashes)
    near = [*tokens[: len(head)], *tokens[len(tokens) - len(tail) :]]
    cues = _cues(clipped.lower(), near)
    marks = [HASHED + mark for mark in (*cues, *_shape(clipped, len(text), tokens))]
    marks += [value % HASHED for value in _edges(hashes)]
    singles = [*head, *tail]
    pairs = [(one * _PAIR + two) % HASHED for part in (head, tail) for one, two in pairwise(part)]
    grams = _grams(" ".join(near[: len(head)])[:_GRAM_HEAD])
    if tail:
        grams |= _grams(" ".join(near[len(head) :])[-_GRAM_TAIL:])
    return Features(
        (
            marks,
            list({*singles, *pairs}),
            list(grams),
            list({(value + _BODY) % HASHED for value in body}),
        ),
        cues,
        dict(zip(singles, near, strict=True)),
        tokens,
    )


def _clip(text: str) -> str:
    if len(text) <= _HEAD_CHARS + _MIDDLE_CHARS + _TAIL_CHARS:
        return text
    middle = len(text) // 2
    pieces = (text[:_HEAD_CHARS], text[middle : middle + _MIDDLE_CHARS], text[-_TAIL_CHARS:])
    return "\n".join(pieces)


def _masked(token: str) -> str:
    """A number keeps only how long it is."""
    return "0" * min(len(token), 4) if token[0].isdecimal() else token


def _split(hashes: list[int]) -> tuple[list[int], list[int], list[int]]:
    if len(hashes) <= _HEAD_WORDS + _TAIL_WORDS:
        return hashes, [], []
    return hashes[:_HEAD_WORDS], hashes[_HEAD_WORDS:-_TAIL_WORDS], hashes[-_TAIL_WORDS:]


def _edges(hashes: list[int]) -> list[int]:
    """Hashes of the first four and the last three words with their places, and of the first three together."""
    first = [value * 31 + 101 + place for place, value in enumerate(hashes[:4])]
    last = [value * 37 + 211 + place for place, value in enumerate(reversed(hashes[-3:]))]
    opening = [(hashes[0] * 41 + hashes[1]) * 43 + hashes[2]] if len(hashes) > 2 else []  # noqa: PLR2004 - three words
    return [*first, *last, *opening]


def _grams(text: str) -> set[int]:
    """Slots of all pieces of four bytes, the text's bounds counting as spaces."""
    data = f" {text} ".encode("utf-8", "surrogatepass")
    return {piece % HASHED for start in range(min(4, len(data) - 3)) for piece in _pieces(data, start)}


def _pieces(data: bytes, start: int) -> tuple[int, ...]:
    """Every fourth place's four bytes as a number, from a place on."""
    return struct.unpack_from(f"<{(len(data) - start) // 4}I", data, start)


def _cues(lowered: str, near: list[str]) -> list[int]:
    seen = (
        lowered if len(lowered) <= _CUE_HEAD + _CUE_TAIL else f"{lowered[:_CUE_HEAD]}\n{lowered[-_CUE_TAIL:]}"
    )
    words = [token for token in near if token[0].isalpha()]
    return find_cues(seen, words, wide=_WIDE.search(seen) is not None)


_STEPS: Final = (1, 2, 3, 5, 8, 12, 18, 26, 40, 60, 90, 140, 220, 400, 800, 2000)
_RATIOS: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6)
_SHAPE_MARKS: Final = 128
"""Marks below are cues."""
_SHAPE_WIDTH: Final = 20


def _bin(value: float, steps: tuple[float, ...]) -> int:
    return bisect_right(steps, value)


def _shape(text: str, length: int, tokens: list[str]) -> list[int]:
    """One slot for each measure: how long, how many lines, how much code, digits, which script."""
    sample = text[:_SAMPLE_CHARS]
    size = max(1, len(sample))
    end = text.rstrip()[-1:]
    words = sum(token[0].isalpha() for token in tokens)
    measures = (
        _bin(len(tokens) * max(1.0, length / max(1, len(text))), _STEPS),
        _bin(text.count("\n") + 1, _STEPS),
        _bin(len(_SYMBOL.findall(sample)) / size, _RATIOS),
        _bin(len(_DIGIT.findall(sample)) / size, _RATIOS),
        _bin(len(_UPPER.findall(sample)) / size, _RATIOS),
        _bin(len(_WIDE.findall(sample)) / size, _RATIOS),
        _bin(len(_ACCENT.findall(sample)) / size, _RATIOS),
        _bin(text.count("?"), (1, 2, 3, 5)),
        '?.:!\u3002\uff1f"`})'.find(end) + 1 if end else 0,
        int("```" in text) + 2 * ("\n    " in text or "\n\t" in text),
        _bin(len(_BULLET.findall(text)), (1, 3, 5, 8, 12)),
        _bin(sum(map(len, tokens)) / max(1, words), (2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0)),
        int(text[:1].isupper()) + 2 * text[:1].isalpha(),
        _bin(len(_SENTENCE.findall(text)), (1, 2, 3, 5, 8, 12, 20)),
        _bin(len(_QUANTITY.findall(sample)), (1, 2, 3, 5, 8, 12)),
    )
    return [_SHAPE_MARKS + number * _SHAPE_WIDTH + value for number, value in enumerate(measures)]


_DIGIT: Final = re.compile(r"\d")
_UPPER: Final = re.compile("[A-Z\u00c0-\u00de\u0410-\u042f]")
_SYMBOL: Final = re.compile(r"[{}()\[\];=<>_/\\|&*#]")
_WIDE: Final = re.compile(rf"[{_CJK}]")
_ACCENT: Final = re.compile("[\u00c0-\u024f\u0370-\u07ff\u0900-\u0fff]")
_BULLET: Final = re.compile(r"(?m)^ {0,4}(?:[-*•]|\d{1,2}[.)])\s")
_SENTENCE: Final = re.compile(r"[.!?]\s|[\u3002\uff01\uff1f]")
_QUANTITY: Final = re.compile(r"\d+(?:\.\d+)?")
