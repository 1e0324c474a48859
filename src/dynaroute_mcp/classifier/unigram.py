"""Cuts a text into the pieces that the encoder for other languages knows, and turns them into numbers. Pure and total.

Each word gets its likeliest cut, as in XLM-R's vocabulary: the one whose pieces' logarithms of probability add up to
the most (Kudo, 2018, "Subword Regularization"). Training uses this very code, so that both see the same.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

from dynaroute_mcp.classifier.ends import both_ends

Piece = tuple[int, float]
"""Number and logarithm of the probability."""
START, END, UNKNOWN = "<s>", "</s>", "<unk>"
_SPACE: Final = "\u2581"
"""Stands before the first piece of each word."""
_LONGEST: Final = 12
"""Characters of the longest piece that is looked for; longer ones are rare, and are cut in two."""
_NO_CUT: Final = -1e30
_UNKNOWN_SCORE: Final = -30.0
"""Below that of any piece: what is known is preferred."""


def pieces(text: str, vocabulary: Mapping[str, Piece]) -> list[int]:
    """Numbers of a text's pieces between the two marks; of a long one only its head and its tail."""
    ids = both_ends(text, lambda part: _numbers(part, vocabulary))
    return [vocabulary[START][0], *ids, vocabulary[END][0]]


def _numbers(text: str, vocabulary: Mapping[str, Piece]) -> Iterator[int]:
    for word in unicodedata.normalize("NFKC", text).split():
        yield from _cut(_SPACE + word, vocabulary)


def _cut(word: str, vocabulary: Mapping[str, Piece]) -> list[int]:
    """The likeliest pieces; a character that none holds is unknown."""
    unknown = vocabulary[UNKNOWN][0]
    best = [0.0] + [_NO_CUT] * len(word)
    back = [(0, unknown)] * (len(word) + 1)
    for start in range(len(word)):
        here = best[start]
        for end in range(start + 1, min(len(word), start + _LONGEST) + 1):
            known = vocabulary.get(word[start:end])
            if known is not None and here + known[1] > best[end]:
                best[end], back[end] = here + known[1], (start, known[0])
        if here + _UNKNOWN_SCORE > best[start + 1]:
            best[start + 1], back[start + 1] = here + _UNKNOWN_SCORE, (start, unknown)
    found, place = [], len(word)
    while place:
        place, number = back[place]
        found.append(number)
    return found[::-1]
