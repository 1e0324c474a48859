"""Every way in which the misbehaving server can misbehave."""

import json
import socket
import struct
from collections.abc import Callable, Mapping

import anyio
from anyio.abc import SocketAttribute
from tests.providers.rawexchange import (
    JSON,
    TEXT,
    DialectName,
    Exchange,
    Handler,
    events,
    first_content,
    head,
    well,
    whole,
)

# ---------------------------------------------------------------- connections


async def _close_before_headers(exchange: Exchange) -> None:
    """Say nothing and hang up."""


async def _reset(exchange: Exchange) -> None:
    raw = exchange.client.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _hang(exchange: Exchange) -> None:
    await anyio.sleep(exchange.fault.seconds)


async def _slow_headers(exchange: Exchange) -> None:
    """Send a byte now and then, which no clock for single reads notices."""
    for byte in head(200, {"content-type": JSON, "x-pad": "x" * 500}):
        await exchange.send(bytes([byte]))
        await anyio.sleep(exchange.fault.delay)


async def _headers_then_hang(exchange: Exchange) -> None:
    kind = "text/event-stream" if exchange.seen.streams else JSON
    await exchange.send(head(200, {"content-type": kind, "content-length": "500"}))
    await anyio.sleep(exchange.fault.seconds)


async def _short_body(exchange: Exchange) -> None:
    await exchange.send(head(200, {"content-type": JSON, "content-length": "5000"}) + b'{"choices"')


async def _bad_chunk(exchange: Exchange) -> None:
    await exchange.send(
        head(200, {"content-type": JSON, "transfer-encoding": "chunked"}) + b"ZZ\r\n{}\r\n0\r\n\r\n"
    )


async def _not_http(exchange: Exchange) -> None:
    await exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n" * 5)


# ---------------------------------------------------------------- nonsense with status 200


async def _html502(exchange: Exchange) -> None:
    await exchange.answer(b"<html><h1>502 Bad Gateway</h1></html>", status=502, kind="text/html")


async def _html200(exchange: Exchange) -> None:
    await exchange.answer(b"<html><h1>Welcome</h1></html>", kind="text/html")


async def _empty200(exchange: Exchange) -> None:
    await exchange.answer(b"")


async def _json_trunc(exchange: Exchange) -> None:
    await exchange.answer(json.dumps(whole(exchange.seen.dialect)).encode()[:-20])


async def _json_list(exchange: Exchange) -> None:
    await exchange.answer(b"[1, 2, 3]")


async def _json_deep(exchange: Exchange) -> None:
    await exchange.answer(b'{"choices":' * 100_000)


async def _huge_body(exchange: Exchange) -> None:
    """100 MB of blanks."""
    await exchange.send(head(200, {"content-type": JSON}))
    for _ in range(100):
        await exchange.send(b" " * 1_000_000)


def _with_text(raw: bytes) -> Handler:
    async def handler(exchange: Exchange) -> None:
        await exchange.reply(lambda document: json.dumps(document).encode().replace(TEXT.encode(), raw))

    return handler


async def _no_choices(exchange: Exchange) -> None:
    names = {"openai": "choices", "anthropic": "content", "gemini": "candidates"}
    await exchange.reply(lambda document: {**document, names[exchange.seen.dialect]: []})


async def _null_content(exchange: Exchange) -> None:
    ends: dict[DialectName, dict[str, object]] = {
        "openai": {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}]},
        "anthropic": {"content": [{"type": "text", "text": ""}]},
        "gemini": {"candidates": [{"finishReason": "STOP"}]},
    }
    await exchange.reply(lambda document: {**document, **ends[exchange.seen.dialect]})


async def _length_stop(exchange: Exchange) -> None:
    words = {b'"stop"': b'"length"', b'"end_turn"': b'"max_tokens"', b'"STOP"': b'"MAX_TOKENS"'}

    def cut(document: dict[str, object]) -> bytes:
        body = json.dumps(document).encode()
        for word, other in words.items():
            body = body.replace(word, other)
        return body

    await exchange.reply(cut)


# ---------------------------------------------------------------- usage


def _usage(count: str | None) -> Handler:
    """Put one JSON value in the place of every count; `None` leaves usage out."""

    def spoil(document: dict[str, object]) -> bytes:
        name = "usageMetadata" if "usageMetadata" in document else "usage"
        if count is None:
            return json.dumps({key: value for key, value in document.items() if key != name}).encode()
        counts = document[name]
        assert isinstance(counts, dict)
        raw = json.dumps({**document, name: dict.fromkeys(counts, "@")})
        return raw.replace('"@"', count).encode()

    async def handler(exchange: Exchange) -> None:
        await exchange.reply(spoil)

    return handler


# ---------------------------------------------------------------- headers, redirects, errors


def _redirect(status: int) -> Handler:
    async def handler(exchange: Exchange) -> None:
        location = f"http://127.0.0.1:{exchange.server.port}/steal{exchange.seen.path}"
        await exchange.error(status, headers={"location": location})

    return handler


def _rate_limited(retry_after: str) -> Handler:
    async def handler(exchange: Exchange) -> None:
        await exchange.error(429, headers={"retry-after": retry_after})

    return handler


async def _gemini_retry_info(exchange: Exchange) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{exchange.fault.seconds:g}s"}
    await exchange.error(429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [info]}})


async def _insufficient_quota(exchange: Exchange) -> None:
    await exchange.error(429, {"error": {"code": "insufficient_quota", "type": "insufficient_quota"}})


async def _key_echo(exchange: Exchange) -> None:
    key = exchange.seen.key
    await exchange.error(
        401, {"error": {"message": f"Incorrect API key provided: {key}", "type": key, "code": key}}
    )


# ---------------------------------------------------------------- streams


async def _sse_crlf(exchange: Exchange) -> None:
    await exchange.pieces(events(exchange, end="\r\n"))


async def _sse_split_utf8(exchange: Exchange) -> None:
    body = b"".join(events(exchange, "你好"))
    await exchange.pieces(body[n : n + 1] for n in range(len(body)))


async def _sse_one_blob(exchange: Exchange) -> None:
    await exchange.pieces([b"".join(events(exchange))])


async def _sse_no_done(exchange: Exchange) -> None:
    await exchange.pieces([event for event in events(exchange) if b"[DONE]" not in event])


async def _sse_slow(exchange: Exchange) -> None:
    await exchange.pieces(events(exchange), pause_s=exchange.fault.delay)


def _error_event(exchange: Exchange) -> bytes:
    error = {
        "type": "error",
        "error": {"type": "overloaded_error", "code": 503, "status": "UNAVAILABLE", "message": "no"},
    }
    return f"data: {json.dumps(error)}\n\n".encode()


async def _sse_error_first(exchange: Exchange) -> None:
    await exchange.pieces([_error_event(exchange)])


def _broken_after_content(tail: Callable[[Exchange], list[bytes]]) -> Handler:
    async def handler(exchange: Exchange) -> None:
        kept = first_content(exchange) + 2
        await exchange.pieces([*events(exchange)[:kept], *tail(exchange)])

    return handler


async def _sse_stall(exchange: Exchange) -> None:
    await exchange.pieces(events(exchange)[: first_content(exchange) + 2])
    await anyio.sleep(exchange.fault.seconds)


async def _sse_huge_line(exchange: Exchange) -> None:
    """One line of 50 MB."""
    await exchange.pieces([b"data: ", *(b"x" * 1_000_000 for _ in range(50)), b"\n\n"])


KINDS: Mapping[str, Handler] = {
    "none": well,
    "close_before_headers": _close_before_headers,
    "reset": _reset,
    "hang": _hang,
    "slow_headers": _slow_headers,
    "headers_then_hang": _headers_then_hang,
    "short_body": _short_body,
    "bad_chunk": _bad_chunk,
    "not_http": _not_http,
    "html502": _html502,
    "html200": _html200,
    "empty200": _empty200,
    "json_trunc": _json_trunc,
    "json_list": _json_list,
    "json_deep": _json_deep,
    "huge_body": _huge_body,
    "bad_utf8": _with_text(b"caf\xe9"),
    "lone_surrogate": _with_text(b"a\\ud800b"),
    "nul": _with_text(b"a\\u0000b"),
    "no_choices": _no_choices,
    "null_content": _null_content,
    "length_stop": _length_stop,
    "usage_missing": _usage(None),
    "usage_negative": _usage("-5"),
    "usage_huge": _usage("1e30"),
    "usage_nan": _usage("NaN"),
    "usage_string": _usage('"many"'),
    "redirect302": _redirect(302),
    "redirect307": _redirect(307),
    "retry_after_huge": _rate_limited("86400"),
    "retry_after_negative": _rate_limited("-5"),
    "retry_after_words": _rate_limited("soon"),
    "gemini_retry_info": _gemini_retry_info,
    "insufficient_quota": _insufficient_quota,
    "key_echo": _key_echo,
    "sse_crlf": _sse_crlf,
    "sse_split_utf8": _sse_split_utf8,
    "sse_one_blob": _sse_one_blob,
    "sse_no_done": _sse_no_done,
    "sse_slow": _sse_slow,
    "sse_error_first": _sse_error_first,
    "sse_error_mid": _broken_after_content(lambda exchange: [_error_event(exchange)]),
    "sse_bad_json": _broken_after_content(lambda _: [b"data: {oops\n\n"]),
    "sse_drop_mid": _broken_after_content(lambda _: []),
    "sse_stall": _sse_stall,
    "sse_huge_line": _sse_huge_line,
}
"""Every way to misbehave; `none` is to behave."""
