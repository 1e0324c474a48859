from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.providers import sse
from dynaroute_mcp.providers.sse import BodyParser, EventTooLarge, ServerEvent, SseParser

LINES = st.sampled_from(
    [
        b"data: one",
        b"data:two",
        b"data",
        b"data: \xe4\xbd\xa0\xe5\xa5\xbd",
        b"event: ping",
        b": comment",
        b"id: 7",
        b"",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=20).map(lambda rows: b"".join(a + b for a, b in rows))


def parse(*pieces: bytes, parser: SseParser | BodyParser | None = None) -> list[ServerEvent]:
    parser = parser or SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.close()


@given(stream=st.one_of(STREAMS, st.binary(max_size=200)), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_any_byte_stream_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]

    pieces = [stream[start:end] for start, end in pairwise(edges)]

    assert parse(*pieces) == parse(stream)


BODIES = st.one_of(
    STREAMS,
    st.binary(max_size=50),
    st.tuples(st.text(" \t\r\n"), STREAMS).map(lambda p: p[0].encode() + p[1]),
)


@given(body=BODIES, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_split_of_any_body_gives_the_same_events(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]

    whole = parse(body, parser=BodyParser())

    assert parse(*pieces, parser=BodyParser()) == whole
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        assert [event for event in whole if event.data.strip()] == [
            event for event in parse(body) if event.data.strip()
        ]


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b" \r\n\r\n"])
def test_a_document_in_place_of_a_stream_is_one_event(before: bytes) -> None:
    assert parse(before, b'{"a":\n\n', b'"data: b"}\n', parser=BodyParser()) == [
        ServerEvent(data='{"a":\n\n"data: b"}\n')
    ]
    assert parse(before, parser=BodyParser()) == []


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_is_known(end: bytes) -> None:
    assert parse(b"data: a" + end + b"data: b" + end + end) == [ServerEvent(data="a\nb")]


def test_a_character_cut_in_two_arrives_whole() -> None:
    raw = "data: 你好\n\n".encode()

    assert parse(raw[:8], raw[8:10], raw[10:]) == [ServerEvent(data="你好")]


def test_comments_ids_and_events_without_data_say_nothing() -> None:
    assert parse(b": keep-alive\n\nid: 3\n\nevent: ping\n\nretry: 10\n\n") == []


def test_the_name_belongs_to_its_own_event_only() -> None:
    events = parse(b"event: a\ndata: 1\n\ndata: 2\n\n")

    assert events == [ServerEvent(data="1", name="a"), ServerEvent(data="2")]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert parse(b"\xef\xbb\xbfdata: x\n\n") == [ServerEvent(data="x")]


def test_an_event_without_its_last_blank_line_is_given_out_at_the_end() -> None:
    assert parse(b"data: a\n\ndata: b") == [ServerEvent(data="a"), ServerEvent(data="b")]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"data: \xff!\n\n") == [ServerEvent(data="\ufffd!")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 40, b"x" * 40 + b"\n", b"data: xxxxxxxx\n" * 4])
def test_a_line_or_event_beyond_the_bound_is_refused(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 32)
    parser = SseParser()

    with pytest.raises(EventTooLarge):
        parser.feed(piece)


def test_a_line_end_cut_between_its_two_bytes_is_one_line_end() -> None:
    assert parse(b"data: a\r", b"\ndata: b\r", b"", b"\n\r", b"\n") == [ServerEvent(data="a\nb")]
