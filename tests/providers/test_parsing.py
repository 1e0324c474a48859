import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.providers.parsing import Unparsable, clean, dump_json, parse_json

DEPTH = 100_000
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(value=VALUES)
def test_json_comes_back_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(dump_json(value)) == value


@given(source=st.one_of(st.binary(), st.text()))
def test_any_bytes_are_a_value_or_unparsable(source: bytes | str) -> None:
    try:
        parse_json(source)
    except Unparsable:
        return


@pytest.mark.parametrize(
    "source",
    [b"[" * DEPTH, b'{"a":' * DEPTH, b"[" * DEPTH + b"]" * DEPTH, b"1" * 5_000, b"<html>", b"", b"{"],
)
def test_depth_bombs_endless_numbers_and_html_are_unparsable(source: bytes) -> None:
    with pytest.raises(Unparsable):
        parse_json(source)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_count_as_absent(number: str) -> None:
    assert parse_json(f'{{"a": {number}}}') == {"a": None}


def test_a_lone_surrogate_is_replaced_wherever_it_stands() -> None:
    parsed = parse_json(r'{"\ud800": ["a\udfffb", {"k": "\uD83D"}]}')

    assert parsed == {"?": ["a?b", {"k": "?"}]}


def test_an_escaped_pair_of_surrogates_is_one_character() -> None:
    assert parse_json(r'"\ud83d\ude00 \u00e9"') == "😀 é"


def test_nul_and_control_characters_are_text() -> None:
    assert parse_json('"a\\u0000b\x01"') == "a\0b\x01"


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert parse_json(b'"\xff\xed\xa0\x80"') == "\ufffd" * 4


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_json(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_what_json_does_not_know_is_not_written(value: object) -> None:
    with pytest.raises(Unparsable):
        dump_json(value)


def test_a_value_nested_too_deeply_is_not_written() -> None:
    value: list[object] = []
    for _ in range(DEPTH):
        value = [value]

    with pytest.raises(Unparsable):
        dump_json(value)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_valid_text_is_kept_to_the_letter(text: str) -> None:
    assert clean(text) == text
