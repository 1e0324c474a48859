"""From a text to the numbers of its features, the same way for fitting and for use. Pure.

A feature is a slot in [0, `SLOTS`). Four groups, which the model scales differently:
`marks` (cues, shape, first and last words), `words` (words and pairs at the head and the tail), `grams`
(pieces of words at the head and the tail), `body` (words between them).
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from zlib import crc32

from dynaroute_mcp.classifier.cues import CUES

SLOTS: Final = 1 << 18
GROUPS: Final = ("marks", "words", "grams", "body")
_RESERVED: Final = 1024
"""Slots below belong to cues and shape; hashed features share the rest."""

_HEAD_CHARS, _MIDDLE_CHARS, _TAIL_CHARS = 2400, 600, 1000
_HEAD_WORDS, _TAIL_WORDS, _BODY_WORDS = 64, 32, 240
_CUE_HEAD, _CUE_TAIL = 480, 240
_GRAM_HEAD, _GRAM_TAIL = 360, 120

_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]+|\d+|[^\w\s]{{1,3}}")


@dataclass(frozen=True, slots=True)
class Features:
    """What was seen in one prompt."""

    groups: tuple[list[int], list[int], list[int], list[int]]
    """Slots in the order of `GROUPS`, each group without repeats."""
    cues: tuple[int, ...]
    """Positions in `CUES` of the cues that were found; also their slots."""
    words: dict[int, str]
    """The word behind a slot of single words, for showing."""


def features(text: str) -> Features:
    """Turn any string into its features; a long one is read at its head, its middle and its tail."""
    clipped = _clip(text)
    lowered = clipped.lower()
    tokens = _TOKEN.findall(lowered)
    hashes = [crc32(_shape_of_number(token).encode("utf-8", "surrogatepass")) for token in tokens]
    cues = _cues(lowered)
    marks = [*cues, *_shape(clipped, len(text), tokens), *_edges(hashes)]
    head, body, tail = _split(hashes)
    singles = [_slot(value) for value in (*head, *tail)]
    words = dict(zip(singles, (*tokens[: len(head)], *tokens[len(tokens) - len(tail) :]), strict=True))
    pairs = [_slot(one * 0x9E3779B1 + two) for part in (head, tail) for one, two in pairwise(part)]
    gaps = [
        _slot(one * 0x85EBCA6B + two + 1)
        for part in (head,)
        for one, two in zip(part, part[2:], strict=False)
    ]
    grams = _grams(" ".join(tokens[: len(head)])[:_GRAM_HEAD])
    if tail:
        grams |= _grams(" ".join(tokens[len(tokens) - len(tail) :])[-_GRAM_TAIL:])
    rest = {_slot(value + 0x7F4A7C15) for value in body}
    return Features((marks, list({*singles, *pairs, *gaps}), list(grams), list(rest)), cues, words)


def _clip(text: str) -> str:
    if len(text) <= _HEAD_CHARS + _MIDDLE_CHARS + _TAIL_CHARS:
        return text
    middle = len(text) // 2
    pieces = (text[:_HEAD_CHARS], text[middle : middle + _MIDDLE_CHARS], text[-_TAIL_CHARS:])
    return "\n".join(pieces)


def _slot(value: int) -> int:
    value = (value ^ (value >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
    return _RESERVED + (value >> 11) % (SLOTS - _RESERVED)


def _shape_of_number(token: str) -> str:
    return "0" * min(len(token), 4) if token[0].isdecimal() else token


def _split(hashes: list[int]) -> tuple[list[int], list[int], list[int]]:
    if len(hashes) <= _HEAD_WORDS + _TAIL_WORDS:
        return hashes, [], []
    body = hashes[_HEAD_WORDS:-_TAIL_WORDS]
    return hashes[:_HEAD_WORDS], body[:_BODY_WORDS], hashes[-_TAIL_WORDS:]


def _edges(hashes: list[int]) -> list[int]:
    first = [_slot(value * 31 + 101 + place) for place, value in enumerate(hashes[:4])]
    last = [_slot(value * 37 + 211 + place) for place, value in enumerate(reversed(hashes[-3:]))]
    opening = [
        _slot((one * 41 + two) * 43 + three)
        for one, two, three in zip(hashes[:1], hashes[1:2], hashes[2:3], strict=False)
    ]
    return [*first, *last, *opening]


def _grams(text: str) -> set[int]:
    data = f" {text} ".encode("utf-8", "surrogatepass")
    return {_slot(crc32(data[at : at + size])) for size in (3, 4, 5) for at in range(len(data) - size + 1)}


def _cues(lowered: str) -> tuple[int, ...]:
    seen = (
        lowered if len(lowered) <= _CUE_HEAD + _CUE_TAIL else f"{lowered[:_CUE_HEAD]}\n{lowered[-_CUE_TAIL:]}"
    )
    return tuple(number for number, (_, pattern) in enumerate(CUES) if pattern.search(seen))


_STEPS: Final = (1, 2, 3, 5, 8, 12, 18, 26, 40, 60, 90, 140, 220, 400, 800, 2000)
_RATIOS: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6)
_SHAPE_SLOTS: Final = 128
_SHAPE_WIDTH: Final = 20


def _bin(value: float, steps: tuple[float, ...]) -> int:
    return sum(value >= step for step in steps)


def _shape(text: str, length: int, tokens: list[str]) -> list[int]:
    """One slot for each measure: how long, how many lines, how much code, digits, which script."""
    size = max(1, len(text))
    sample = text[:1600]
    words = sum(token[0].isalpha() for token in tokens)
    measures = (
        _bin(len(tokens) * max(1.0, length / size), _STEPS),
        _bin(text.count("\n") + 1, _STEPS),
        _bin(len(_SYMBOL.findall(sample)) / len(sample), _RATIOS) if sample else 0,
        _bin(sum(map(str.isdecimal, sample)) / max(1, len(sample)), _RATIOS),
        _bin(sum(map(str.isupper, sample)) / max(1, len(sample)), _RATIOS),
        _bin(len(_WIDE.findall(sample)) / max(1, len(sample)), _RATIOS),
        _bin(len(_ACCENT.findall(sample)) / max(1, len(sample)), _RATIOS),
        _bin(text.count("?"), (1, 2, 3, 5)),
        int(text.rstrip().endswith("?")) + 2 * text.rstrip().endswith(".") + 4 * text.rstrip().endswith(":"),
        int("```" in text) + 2 * ("\n    " in text or "\n\t" in text),
        _bin(len(_BULLET.findall(text)), (1, 3, 5, 8, 12)),
        _bin(sum(map(len, tokens)) / max(1, words), (2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0)),
        int(text[:1].isupper()) + 2 * text[:1].isalpha(),
        _bin(len(_SENTENCE.findall(text)), (1, 2, 3, 5, 8, 12, 20)),
        _bin(len(_QUANTITY.findall(sample)), (1, 2, 3, 5, 8, 12)),
    )
    return [_SHAPE_SLOTS + number * _SHAPE_WIDTH + value for number, value in enumerate(measures)]


_SYMBOL: Final = re.compile(r"[{}()\[\];=<>_/\\|&*#]")
_WIDE: Final = re.compile(rf"[{_CJK}]")
_ACCENT: Final = re.compile("[\u00c0-\u024f\u0370-\u07ff\u0900-\u0fff]")
_BULLET: Final = re.compile(r"(?m)^ {0,4}(?:[-*•]|\d{1,2}[.)])\s")
_SENTENCE: Final = re.compile(r"[.!?]\s|[\u3002\uff01\uff1f]")
_QUANTITY: Final = re.compile(r"\d+(?:\.\d+)?")
