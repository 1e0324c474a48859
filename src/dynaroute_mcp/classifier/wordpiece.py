"""Cuts a text into the pieces that the second tier's encoder knows, and turns them into numbers. Pure and total.

Words are lower-cased, lose their accents and are cut greedily into the longest pieces of the vocabulary, as in BERT's
uncased vocabulary; training uses this very code, so that both see the same.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

HEAD, TAIL = 80, 46
"""Pieces that are read at both ends of a longer text; with the two marks 128 in all."""
_HEAD_CHARS, _TAIL_CHARS = 1200, 700
"""Characters that surely hold that many pieces of ordinary text."""
_MAX_WORD_CHARS: Final = 100
_WIDE: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_TOKEN: Final = re.compile(rf"[{_WIDE}]|[^\W_{_WIDE}]+|[^\w\s]|_")

START, END, UNKNOWN = "<s>", "</s>", "[UNK]"


def pieces(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Numbers of a text's pieces between the two marks; of a long one only its head and its tail."""
    if len(text) <= _HEAD_CHARS + _TAIL_CHARS:
        ids = list(_numbers(text, vocabulary))
        if len(ids) > HEAD + TAIL:
            ids = ids[:HEAD] + ids[-TAIL:]
    else:
        ids = list(_numbers(text[:_HEAD_CHARS], vocabulary))[:HEAD]
        ids += list(_numbers(text[-_TAIL_CHARS:], vocabulary))[-TAIL:]
    return [vocabulary[START], *ids, vocabulary[END]]


def _numbers(text: str, vocabulary: Mapping[str, int]) -> Iterator[int]:
    for word in _TOKEN.findall(_plain(text)):
        known = vocabulary.get(word)
        if known is None:
            yield from _cut(word, vocabulary)
        else:
            yield known


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFD", text.lower())
    return "".join(char for char in apart if unicodedata.category(char) != "Mn")


def _cut(word: str, vocabulary: Mapping[str, int]) -> list[int]:
    """The longest pieces from the left; a word that can't be cut is unknown as a whole."""
    if len(word) > _MAX_WORD_CHARS:
        return [vocabulary[UNKNOWN]]
    found, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            known = vocabulary.get(mark + word[start:end])
            if known is not None:
                found.append(known)
                start = end
                break
        else:
            return [vocabulary[UNKNOWN]]
    return found
