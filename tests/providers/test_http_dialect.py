from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest
from tests.providers.examples import (
    NOW,
    QUICK,
    FakeProvider,
    answers,
    call,
    collect,
    complete,
    dialect_of,
    finished,
    streams,
)
from tests.providers.examples import sse as written
from tests.providers.mock_client import Mocked, Pieces

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.errors import (
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderRateLimited,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.providers import http_dialect, sse, wire
from dynaroute_mcp.providers.base import Call, Clocks, Dialect
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.types import Finished, StreamEvent, TextDelta, Usage

HELLO = {"choices": [{"delta": {"content": "Hello there"}}]}
ROLE = {"choices": [{"delta": {"role": "assistant", "content": ""}}]}
STOP = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def paced(*pieces: bytes | float) -> FakeProvider:
    """Send pieces of a stream; a number is a pause in seconds, and an infinite one never ends."""

    async def send() -> AsyncIterator[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await anyio.sleep(piece)

    return FakeProvider(httpx2.Response(200, stream=Pieces(send())))


async def open_stream(dialect: Dialect, one: Call) -> None:
    async with dialect.stream(one):
        pass


async def partly(provider: FakeProvider, clocks: Clocks) -> tuple[list[StreamEvent], ProviderError]:
    events: list[StreamEvent] = []
    one = call(clocks=clocks)

    async def read() -> None:
        async with provider.wire() as opened, dialect_of(opened, one).stream(one) as arriving:
            async for event in arriving:
                events.append(event)  # noqa: PERF401 - an extend would lose what came before the error

    with anyio.fail_after(2), pytest.raises(ProviderError) as caught:
        await read()
    return events, caught.value


async def test_finished_is_last_and_comes_once_with_the_usage_that_followed_the_finish_reason() -> None:
    events = await collect(streams(written(ROLE, HELLO, STOP, USAGE, done=True)), call())

    assert events == [
        TextDelta(text="Hello there"),
        Finished(
            finish_reason="stop",
            usage=Usage(uncached_input_tokens=3, output_tokens=2),
            wire_model="model-1",
        ),
    ]


async def test_a_stream_without_its_terminator_but_with_a_finish_reason_is_whole() -> None:
    assert (await finished(streams(written(HELLO, STOP, USAGE)), call())).usage.output_tokens == 2


async def test_usage_that_never_comes_is_estimated_from_what_was_written() -> None:
    last = await finished(streams(written(HELLO, STOP, done=True)), call())

    assert last.usage == Usage(uncached_input_tokens=11, output_tokens=2, source="estimated")


@pytest.mark.parametrize(
    "body", [b"", b"data: [DONE]\n\n", b"<html>oops</html>", written(HELLO), written(HELLO, done=True)]
)
async def test_a_stream_that_ends_without_a_finish_reason_is_garbled(body: bytes) -> None:
    with pytest.raises(ProviderGarbled, match="finish reason"):
        await collect(streams(body), call())


ANTHROPIC_START = {"input_tokens": 6, "cache_read_input_tokens": 50_000, "output_tokens": 1}
ANTHROPIC_BEGINS = {"type": "message_start", "message": {"id": "m", "usage": ANTHROPIC_START}}
GEMINI_TOKENS = {"promptTokenCount": 9, "candidatesTokenCount": 1, "thoughtsTokenCount": 30}
GEMINI_BEGINS = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}], "usageMetadata": GEMINI_TOKENS}


@pytest.mark.parametrize(
    ("dialect", "pieces", "told"),
    [
        ("openai", [HELLO | {"usage": USAGE["usage"]}], (3, None, 2)),
        ("anthropic", [ANTHROPIC_BEGINS], (6, 50_000, 1)),
        ("gemini", [GEMINI_BEGINS], (9, None, 31)),
    ],
)
async def test_what_a_stream_told_of_its_tokens_outlives_its_breaking_off(
    dialect: DialectName, pieces: list[object], told: tuple[int, int | None, int]
) -> None:
    one = call(dialect)

    with pytest.raises(ProviderGarbled):
        await collect(streams(written(*pieces)), one)

    assert one.meter.reported is not None
    assert (one.meter.reported.input, one.meter.reported.cache_read, one.meter.reported.output) == told


RESPONSES_USAGE = {"input_tokens": 9, "output_tokens": 4}


@pytest.mark.parametrize(
    ("one", "reply", "told"),
    [
        (call(), {"choices": [], "usage": USAGE["usage"]}, (3, 2)),
        (call("anthropic"), {"content": [], "stop_reason": "end_turn", "usage": ANTHROPIC_START}, (6, 1)),
        (
            call("gemini"),
            {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}], "usageMetadata": GEMINI_TOKENS},
            (9, 31),
        ),
        (
            call(constraints=Constraints(needs_responses=True)),
            {"status": "failed", "usage": RESPONSES_USAGE},
            (9, 4),
        ),
    ],
)
async def test_what_an_answer_took_that_can_not_be_used_is_known(
    one: Call, reply: object, told: tuple[int, int]
) -> None:
    with pytest.raises(ProviderError):
        await complete(answers(reply), one)

    assert one.meter.reported is not None
    assert (one.meter.reported.input, one.meter.reported.output) == told


@pytest.mark.parametrize("bad", [b"data: {oops\n\n", b"data: 7\n\n", b"data: " + b"[" * 5_000 + b"\n\n"])
async def test_a_corrupt_piece_ends_the_stream_as_garbled(bad: bytes) -> None:
    with pytest.raises(ProviderGarbled):
        await collect(streams(written(HELLO) + bad + written(STOP, done=True)), call())


async def test_a_piece_beyond_the_bound_is_garbled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)

    with pytest.raises(ProviderGarbled, match="more than 100 bytes"):
        await collect(streams(b"data: " + b"x" * 200), call())


async def test_a_stream_beyond_the_bound_as_a_whole_is_garbled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_BODY_BYTES", 150)

    with pytest.raises(ProviderGarbled, match="longer than 150 bytes"):
        await collect(streams(written(HELLO, HELLO, HELLO, HELLO)), call())


async def test_a_status_that_is_no_success_fails_on_entering() -> None:
    async with answers({}, status=401).wire() as opened:
        with pytest.raises(ProviderKeyRejected):
            await open_stream(dialect_of(opened, call()), call())


async def test_an_error_as_the_first_event_has_the_class_of_its_type() -> None:
    with pytest.raises(ProviderRateLimited):
        await collect(streams(written({"error": {"code": 429, "message": "slow down"}})), call())


async def test_no_answer_at_all_runs_into_the_first_token_clock() -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    one = call(clocks=QUICK)
    async with Wire.open(now=lambda: NOW, transport=Mocked(hang)) as opened:
        with anyio.fail_after(2), pytest.raises(ProviderTimedOut, match="first token"):
            await open_stream(dialect_of(opened, one), one)


async def test_pings_and_empty_chunks_do_not_count_as_the_first_token() -> None:
    signs_of_life = [piece for _ in range(20) for piece in (b": ping\n\n", 0.01, written(ROLE), 0.01)]

    events, error = await partly(paced(*signs_of_life), QUICK)

    assert events == []
    assert isinstance(error, ProviderTimedOut)
    assert "first token" in str(error)


async def test_a_stall_between_pieces_runs_into_the_idle_clock() -> None:
    events, error = await partly(paced(written(HELLO), float("inf")), QUICK)

    assert events == [TextDelta(text="Hello there")]
    assert isinstance(error, ProviderTimedOut)
    assert "next piece" in str(error)


async def test_comments_and_single_bytes_do_not_hold_off_the_idle_clock() -> None:
    drip = [piece for _ in range(50) for piece in (b": still here\n\n", 0.01, b"d", 0.01)]

    _, error = await partly(paced(written(HELLO), *drip), QUICK)

    assert isinstance(error, ProviderTimedOut)


async def test_a_slow_stream_that_lives_is_not_cut() -> None:
    steps = [piece for _ in range(5) for piece in (written(HELLO), 0.03)]

    events = await collect(
        paced(*steps, written(STOP, done=True)), call(clocks=Clocks(first_token_s=0.1, idle_s=0.1))
    )

    assert len(events) == 6


async def test_a_slow_reader_does_not_run_into_the_idle_clock() -> None:
    one = call(clocks=QUICK)
    async with (
        paced(written(HELLO), written(STOP, done=True)).wire() as opened,
        dialect_of(opened, one).stream(one) as events,
    ):
        seen = []
        async for event in events:
            seen.append(event)
            await anyio.sleep(0.08)

    assert isinstance(seen[-1], Finished)


async def test_a_connection_lost_after_the_finish_reason_loses_only_the_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def send() -> AsyncIterator[bytes]:
        yield written(HELLO, STOP)
        raise httpx2.ReadError("reset")

    last = await finished(FakeProvider(httpx2.Response(200, stream=Pieces(send()))), call())

    assert (last.finish_reason, last.usage.source) == ("stop", "estimated")


async def test_a_connection_left_open_after_the_finish_reason_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_dialect, "_GRACE_S", 0.02)

    with anyio.fail_after(2):
        last = await finished(paced(written(HELLO, STOP), float("inf")), call())

    assert last.finish_reason == "stop"


async def test_a_connection_left_open_after_the_terminator_is_not_waited_for() -> None:
    with anyio.fail_after(2):
        last = await finished(paced(written(HELLO, STOP, USAGE, done=True), float("inf")), call())

    assert last.usage.source == "provider"


async def test_a_connection_lost_before_the_finish_reason_is_a_fault() -> None:
    async def send() -> AsyncIterator[bytes]:
        yield written(HELLO)
        raise httpx2.ReadError("reset")

    with pytest.raises(ProviderUnavailable):
        await collect(FakeProvider(httpx2.Response(200, stream=Pieces(send()))), call())


async def test_leaving_early_closes_the_connection() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield written(HELLO)

    body = Pieces(endless())
    async with (
        FakeProvider(httpx2.Response(200, stream=body)).wire() as opened,
        dialect_of(opened, call()).stream(call()) as events,
    ):
        assert await anext(events) == TextDelta(text="Hello there")

    assert body.closed


async def test_the_provider_is_not_read_ahead_of_the_consumer() -> None:
    sent = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield written(HELLO)

    async with (
        FakeProvider(httpx2.Response(200, stream=Pieces(counted()))).wire() as opened,
        dialect_of(opened, call()).stream(call()) as events,
    ):
        for _ in range(3):
            await anext(events)

    assert sent == 3


@pytest.mark.parametrize(
    ("headers", "body_id", "expected"),
    [
        ({"x-request-id": "req-1"}, "chatcmpl-1", "req-1"),
        ({"request-id": "req_2"}, "chatcmpl-1", "req_2"),
        ({}, "chatcmpl-1", "chatcmpl-1"),
        ({}, None, None),
        ({}, "a\nb" + "x" * 500, "ab" + "x" * 197),
    ],
)
async def test_the_request_id_is_the_headers_or_else_the_bodys(
    headers: dict[str, str], body_id: str | None, expected: str | None
) -> None:
    reply = {"id": body_id, "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}

    answer = await complete(answers(reply, headers=headers), call())

    assert answer.provider_request_id == expected


async def test_what_follows_the_terminator_is_read_away_so_that_the_connection_can_be_used_again() -> None:
    read: list[bytes] = []

    async def send() -> AsyncIterator[bytes]:
        for piece in (written(HELLO, STOP, done=True), b": bye\n\n", written(HELLO)):
            read.append(piece)
            yield piece

    events = await collect(FakeProvider(httpx2.Response(200, stream=Pieces(send()))), call())

    assert len(read) == 3
    assert len(events) == 2
