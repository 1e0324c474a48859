"""Faults beyond those that a first list names: what is odd, late, oversized or half right."""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import anyio
from tests.providers.rawexchange import USAGE, Exchange, Handler, events, first_content, head, well, whole

_FINISH: Mapping[str, str] = {"openai": '"stop"', "anthropic": '"end_turn"', "gemini": '"STOP"'}


async def _error_in_success(exchange: Exchange) -> None:
    """Status 200, and an error for a body."""
    error = {"error": {"type": "overloaded_error", "code": 503, "status": "UNAVAILABLE", "message": "no"}}
    await exchange.answer(json.dumps({"type": "error", **error}).encode())


async def _no_content(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")


async def _informational(exchange: Exchange) -> None:
    """Early hints before a good answer."""
    await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n")
    await well(exchange)


async def _header_flood(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\n", *(b"x-%d: %s\r\n" % (n, b"y" * 1_000) for n in range(2_000)))


async def _gzip_bomb(exchange: Exchange) -> None:
    """A hundred megabytes of blanks in less than one."""
    await exchange.answer(_bomb(), headers={"content-encoding": "gzip"})


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 100_000_000, compresslevel=1)


async def _gzip_broken(exchange: Exchange) -> None:
    await exchange.answer(b"this is no gzip", headers={"content-encoding": "gzip"})


async def _gzip(exchange: Exchange) -> None:
    """A good answer, compressed though nobody asked for that."""
    document = whole(exchange.seen.dialect)
    body = b"".join(events(exchange)) if exchange.seen.streams else json.dumps(document).encode()
    kind = "text/event-stream" if exchange.seen.streams else "application/json"
    await exchange.answer(gzip.compress(body), kind=kind, headers={"content-encoding": "gzip"})


async def _byte_order_mark(exchange: Exchange) -> None:
    if exchange.seen.streams:
        await exchange.pieces([b"\xef\xbb\xbf", *events(exchange)])
    else:
        await exchange.answer(b"\xef\xbb\xbf" + json.dumps(whole(exchange.seen.dialect)).encode())


def _spoilt(change: Callable[[Exchange, list[bytes]], Sequence[bytes]], *, pause_s: float = 0) -> Handler:
    """A good stream with something done to its events; a whole answer is a good one."""

    async def handler(exchange: Exchange) -> None:
        if exchange.seen.streams:
            await exchange.pieces(change(exchange, events(exchange)), pause_s=pause_s)
        else:
            await well(exchange)

    return handler


def _without_finish(exchange: Exchange, good: list[bytes]) -> Sequence[bytes]:
    """All the content, and a tidy end without a reason."""
    word = _FINISH[exchange.seen.dialect].encode()
    tail = [b"data: [DONE]\n\n"] if exchange.seen.dialect == "openai" else []
    return [event for event in good if word not in event and b"[DONE]" not in event] + tail


def _counting(count: str) -> Callable[[Exchange, list[bytes]], Sequence[bytes]]:
    """One JSON value in the place of every count."""

    def change(_: Exchange, good: list[bytes]) -> Sequence[bytes]:
        numbers = [f": {number}".encode() for number in (*USAGE, sum(USAGE), 1)]
        spoilt = []
        for event in good:
            if b"sage" in event:  # the three dialects' word for it
                for number in numbers:
                    event = event.replace(number + b",", b": " + count.encode() + b",")
                    event = event.replace(number + b"}", b": " + count.encode() + b"}")
            spoilt.append(event)
        return spoilt

    return change


def _repeated(exchange: Exchange, good: list[bytes]) -> Sequence[bytes]:
    """The end twice, and words after it."""
    return [*good, *good[-2:], good[first_content(exchange)]]


async def _comments_for_ever(exchange: Exchange) -> None:
    """A sign of life now and then, and never a word."""
    await exchange.send(head(200, {"content-type": "text/event-stream"}))
    while True:
        await exchange.send(b": still here\n\n")
        await anyio.sleep(0.05)


async def _comments_after_content(exchange: Exchange) -> None:
    await exchange.pieces(events(exchange)[: first_content(exchange) + 2])
    while True:
        await exchange.send(b": still here\n\n")
        await anyio.sleep(0.05)


async def _never_closed(exchange: Exchange) -> None:
    """A good stream whose connection stays open after its last event."""
    await exchange.pieces(events(exchange))
    await anyio.sleep(exchange.fault.seconds)


async def _usage_never_comes(exchange: Exchange) -> None:
    """Content and finish reason, then silence where usage would be."""
    good = [event for event in events(exchange) if b"[DONE]" not in event and b'"choices": []' not in event]
    await exchange.pieces(good)
    await anyio.sleep(exchange.fault.seconds)


MORE: Mapping[str, Handler] = {
    "error_in_success": _error_in_success,
    "no_content": _no_content,
    "informational": _informational,
    "header_flood": _header_flood,
    "gzip_bomb": _gzip_bomb,
    "gzip_broken": _gzip_broken,
    "gzip": _gzip,
    "byte_order_mark": _byte_order_mark,
    "sse_only_done": _spoilt(lambda _exchange, _good: [b"data: [DONE]\n\n"]),
    "sse_no_finish": _spoilt(_without_finish),
    "sse_cr_only": _spoilt(lambda _, good: [event.replace(b"\n", b"\r") for event in good]),
    "sse_no_space": _spoilt(lambda _, good: [event.replace(b"data: {", b"data:{") for event in good]),
    "sse_pings": _spoilt(lambda _, good: [b": ping\n\nevent: ping\n\nid: 7\nretry: 5\n\n" + e for e in good]),
    "sse_end_twice": _spoilt(_repeated),
    "sse_last_line_open": _spoilt(lambda _, good: [*good[:-1], good[-1].rstrip(b"\n")]),
    "sse_unknown_events": _spoilt(lambda _, good: [b'data: {"type":"new","x":[1]}\n\n', *good]),
    "sse_usage_negative": _spoilt(_counting("-5")),
    "sse_usage_huge": _spoilt(_counting("1e30")),
    "sse_usage_nan": _spoilt(_counting("NaN")),
    "sse_usage_string": _spoilt(_counting('"many"')),
    "sse_usage_null": _spoilt(_counting("null")),
    "sse_comments_for_ever": _comments_for_ever,
    "sse_comments_after_content": _comments_after_content,
    "sse_never_closed": _never_closed,
    "sse_usage_never_comes": _usage_never_comes,
}
