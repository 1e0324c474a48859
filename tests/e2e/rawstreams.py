"""Streams that the misbehaving server learns for the tests of whole processes."""

import json
from collections.abc import Iterator, Mapping

import anyio
from tests.providers.rawexchange import Exchange, Handler, events, first_content

MEGABYTE = 1_000_000


async def _endless(exchange: Exchange) -> None:
    """A word now and then, for ever."""

    def words() -> Iterator[bytes]:
        first = first_content(exchange)
        *opening, word = events(exchange)[: first + 1]
        yield from opening
        while True:
            yield word

    await exchange.pieces(words(), pause_s=exchange.fault.delay)


def _saying(raw: str) -> Handler:
    """A good stream whose first word is spelt `raw` inside its JSON string."""

    async def handler(exchange: Exchange) -> None:
        await exchange.pieces(
            event.replace(b"Paris", raw.encode("utf-8", "surrogatepass")) for event in events(exchange)
        )

    return handler


async def _hundred_megabytes(exchange: Exchange) -> None:
    """A good stream but for the length of its words: a hundred of a megabyte each."""

    def words() -> Iterator[bytes]:
        first = first_content(exchange)
        pieces = events(exchange)
        yield from pieces[:first]
        for _ in range(100):
            yield pieces[first].replace(b"Paris", b"x" * MEGABYTE)
        yield from pieces[first:]

    await exchange.pieces(words())


async def _deep_event(exchange: Exchange) -> None:
    """A first event that is nested a hundred thousand deep."""
    await exchange.pieces([b"data: " + b'{"choices":[' * 100_000 + b"\n\n", *events(exchange)])


async def _deep_tool_arguments(exchange: Exchange) -> None:
    """A tool call nobody asked for, whose arguments are nested deeper than a parser goes."""
    arguments = "[" * 100_000
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": arguments}}
    document = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    await exchange.pieces([f"data: {json.dumps(document)}\n\n".encode(), *events(exchange)[-3:]])


async def _silence(exchange: Exchange) -> None:
    """Nothing, until the client leaves."""
    with anyio.move_on_after(exchange.fault.seconds):
        while not await exchange.client.receive():
            pass


STREAMS: Mapping[str, Handler] = {
    "endless": _endless,
    "silence": _silence,
    "says_lone_surrogate": _saying("a\\ud800b"),
    "says_raw_surrogate": _saying("a\ud800b"),
    "says_nul": _saying("a\\u0000b"),
    "says_raw_nul": _saying("a\x00b"),
    "says_escapes": _saying("a\\u001b[31mb\\u202eb\\u2028b"),
    "hundred_megabytes": _hundred_megabytes,
    "deep_event": _deep_event,
    "deep_tool_arguments": _deep_tool_arguments,
}
