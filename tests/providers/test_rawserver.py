"""The adapters against a server that really misbehaves, over real loopback sockets."""

from collections.abc import Mapping
from dataclasses import replace

import anyio
import pytest
from tests.providers.examples import KEY, NOW, call, dialect_of
from tests.providers.rawserver import DIALECTS, KINDS, TEXT, DialectName, Fault, RawServer, raw_server

from dynaroute_mcp.errors import (
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.providers.base import Call, Clocks
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.types import Completion, Finished, Text, TextDelta

pytestmark = pytest.mark.e2e

SHORT = Clocks(connect_s=0.2, first_token_s=0.2, idle_s=0.1, total_s=0.1)
Kind = type[ProviderError]
CONNECTIONS: Mapping[str, Kind] = {
    "close_before_headers": ProviderUnavailable,
    "reset": ProviderUnavailable,
    "hang": ProviderTimedOut,
    "slow_headers": ProviderTimedOut,
    "headers_then_hang": ProviderTimedOut,
    "not_http": ProviderUnavailable,
    "html502": ProviderUnavailable,
    "redirect302": ProviderUnavailable,
    "redirect307": ProviderUnavailable,
    "retry_after_huge": ProviderRateLimited,
    "retry_after_negative": ProviderRateLimited,
    "retry_after_words": ProviderRateLimited,
    "gemini_retry_info": ProviderRateLimited,
    "insufficient_quota": ProviderQuotaExhausted,
    "key_echo": ProviderKeyRejected,
    "bad_chunk": ProviderUnavailable,
    "short_body": ProviderUnavailable,
}
WHOLE: Mapping[str, Kind | None] = {
    **CONNECTIONS,
    "none": None,
    "html200": ProviderGarbled,
    "empty200": ProviderGarbled,
    "json_trunc": ProviderGarbled,
    "json_list": ProviderGarbled,
    "json_deep": ProviderGarbled,
    "huge_body": ProviderGarbled,
    "no_choices": ProviderGarbled,
    "bad_utf8": None,
    "lone_surrogate": None,
    "nul": None,
    "null_content": None,
    "length_stop": None,
    "usage_missing": None,
    "usage_negative": None,
    "usage_huge": None,
    "usage_nan": None,
    "usage_string": None,
}
STREAMED: Mapping[str, Kind | None] = {
    **CONNECTIONS,
    "none": None,
    "html200": ProviderGarbled,
    "empty200": ProviderGarbled,
    "huge_body": ProviderGarbled,
    "sse_crlf": None,
    "sse_split_utf8": None,
    "sse_one_blob": None,
    "sse_no_done": None,
    "sse_slow": None,
    "sse_error_first": ProviderUnavailable,
    "sse_error_mid": ProviderUnavailable,
    "sse_bad_json": ProviderGarbled,
    "sse_drop_mid": ProviderGarbled,
    "sse_stall": ProviderTimedOut,
    "sse_huge_line": ProviderGarbled,
}
TEXTS = {
    "bad_utf8": "caf\ufffd",
    "lone_surrogate": "a?b",
    "nul": "a\0b",
    "null_content": "",
    "sse_split_utf8": "你好",
}
HANGING = frozenset({"hang", "slow_headers", "headers_then_hang", "sse_stall"})
"""Kinds that a clock must end; the others may take their time on a busy machine."""


def test_every_kind_of_misbehaviour_is_tried() -> None:
    assert set(WHOLE) | set(STREAMED) == set(KINDS)


def pointed(dialect: DialectName, server: RawServer, kind: str) -> Call:
    clocks = SHORT if kind in HANGING else Clocks()
    return call(dialect, base_url=server.base_url(dialect), clocks=clocks)


async def whole(server: RawServer, one: Call) -> Completion:
    async with Wire.open(now=lambda: NOW) as wire:
        return await dialect_of(wire, one).complete(one)


async def streamed(one: Call) -> tuple[str, Finished]:
    async with Wire.open(now=lambda: NOW) as wire, dialect_of(wire, one).stream(one) as arriving:
        *events, last = [event async for event in arriving]
    assert isinstance(last, Finished)
    return "".join(event.text for event in events if isinstance(event, TextDelta)), last


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("kind", "error"), WHOLE.items())
async def test_a_whole_answer_of_a_misbehaving_server(
    dialect: DialectName, kind: str, error: Kind | None
) -> None:
    async with raw_server() as server:
        server.faults.append(Fault(kind=kind))
        one = pointed(dialect, server, kind)
        if error is not None:
            with pytest.raises(ProviderError) as caught:
                await whole(server, one)
            assert type(caught.value) is error
            assert KEY not in str(caught.value)
        else:
            answer = await whole(server, one)
            assert answer.message.text == TEXTS.get(kind, TEXT)
            assert answer.finish_reason == ("length" if kind == "length_stop" else "stop")
            assert 0 <= answer.usage.total_tokens < 1_000
            assert (answer.usage.source == "provider") == (not kind.startswith("usage_"))

        assert server.stolen == []
        assert [seen.key for seen in server.seen] == [KEY]
        assert all(KEY not in seen.path for seen in server.seen)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("kind", "error"), STREAMED.items())
async def test_a_stream_of_a_misbehaving_server(dialect: DialectName, kind: str, error: Kind | None) -> None:
    async with raw_server() as server:
        server.faults.append(Fault(kind=kind))
        one = pointed(dialect, server, kind)
        if error is not None:
            with pytest.raises(ProviderError) as caught:
                await streamed(one)
            assert type(caught.value) is error
        else:
            text, last = await streamed(one)
            assert text == TEXTS.get(kind, TEXT)
            assert (last.finish_reason, last.usage.input_tokens, last.usage.output_tokens) == ("stop", 12, 7)

        assert server.stolen == []


async def test_faults_are_used_up_and_then_the_server_answers_well() -> None:
    async with raw_server() as server:
        server.faults += [Fault(kind="html502", times=2), Fault(kind="key_echo")]
        one = pointed("openai", server, "none")
        outcomes: list[object] = []
        for _ in range(4):
            try:
                outcomes.append((await whole(server, one)).message.parts)
            except ProviderError as error:
                outcomes.append(type(error))

    assert outcomes == [ProviderUnavailable, ProviderUnavailable, ProviderKeyRejected, (Text(text=TEXT),)]


async def test_a_closed_port_is_unavailable() -> None:
    async with raw_server() as server:
        one = pointed("openai", server, "none")

    with pytest.raises(ProviderUnavailable):
        await whole(server, one)


async def test_a_reader_that_leaves_takes_its_connection_along() -> None:
    gone = anyio.Event()

    async with raw_server() as server, Wire.open(now=lambda: NOW) as wire:
        server.faults.append(Fault(kind="sse_stall", seconds=0.05))
        one = replace(pointed("openai", server, "none"), clocks=Clocks())
        async with dialect_of(wire, one).stream(one) as events:
            await anext(events)
        gone.set()
        answer = await dialect_of(wire, one).complete(one)

    assert answer.message.text == TEXT
