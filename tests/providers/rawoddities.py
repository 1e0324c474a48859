"""A good answer in odd HTTP: broken frames, hints, trailers, old versions, unasked packing."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping

import anyio
from tests.providers.rawexchange import Exchange, Handler, events, head, whole


def _kind(exchange: Exchange) -> str:
    return "text/event-stream" if exchange.seen.streams else "application/json"


def _body(exchange: Exchange) -> bytes:
    """A good answer's body, whole or streamed as it was asked for."""
    if exchange.seen.streams:
        return b"".join(events(exchange))
    return json.dumps(whole(exchange.seen.dialect)).encode()


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def _framed(frame: Callable[[bytes], bytes], headers: Mapping[str, str] | None = None) -> Handler:
    """Send a good body in a frame of its own."""

    async def handler(exchange: Exchange) -> None:
        named = {"content-type": _kind(exchange), **(headers or {})}
        await exchange.send(head(200, named) + frame(_body(exchange)))

    return handler


def _raw(lead: Callable[[Exchange, bytes], bytes]) -> Handler:
    """Send exactly these bytes, made from a good body."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(lead(exchange, _body(exchange)))

    return handler


CHUNKED = {"transfer-encoding": "chunked"}


def _halves(body: bytes) -> tuple[bytes, bytes]:
    return body[: len(body) // 2], body[len(body) // 2 :]


def _packed(how: str, pack: Callable[[bytes], bytes]) -> Handler:
    return _framed(pack, {"content-encoding": how})


async def _hints_for_ever(exchange: Exchange) -> None:
    while True:
        await exchange.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await anyio.sleep(0.01)


async def _bytes_one_by_one(exchange: Exchange) -> None:
    body = _body(exchange)
    await exchange.send(head(200, {"content-type": _kind(exchange)}))
    for byte in body:
        await exchange.send(bytes([byte]))


HTTP: Mapping[str, Handler] = {
    "chunks": _framed(lambda body: b"".join(map(_chunk, _halves(body))) + b"0\r\n\r\n", CHUNKED),
    "chunks_with_extensions": _framed(
        lambda body: b"%x;a=b;c\r\n%s\r\n" % (len(body), body) + b"0\r\n\r\n", CHUNKED
    ),
    "chunks_with_trailers": _framed(
        lambda body: _chunk(body) + b"0\r\nx-checksum: 7\r\nx-more: 8\r\n\r\n", CHUNKED
    ),
    "chunks_without_end": _framed(_chunk, CHUNKED),
    "chunk_cut": _framed(lambda body: b"%x\r\n%s" % (len(body) + 50, body), CHUNKED),
    "chunk_of_absurd_size": _framed(lambda body: b"f" * 400 + b"\r\n" + body, CHUNKED),
    "chunk_of_negative_size": _framed(lambda body: b"-5\r\n" + body, CHUNKED),
    "length_too_small": _raw(
        lambda exchange, body: head(200, {"content-type": _kind(exchange), "content-length": "40"}) + body
    ),
    "length_negative": _raw(
        lambda exchange, body: head(200, {"content-type": _kind(exchange), "content-length": "-1"}) + body
    ),
    "length_twice": _raw(
        lambda _, body: (
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\ncontent-length: %d\r\n\r\n"
            % len(body)
            + body
        )
    ),
    "length_and_chunks": _framed(
        lambda body: _chunk(body) + b"0\r\n\r\n", {**CHUNKED, "content-length": "7"}
    ),
    "bytes_behind_the_body": _raw(
        lambda _, body: (
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body + b"HTTP/1.1 500 No"
        )
    ),
    "http_1_0": _raw(lambda _, body: b"HTTP/1.0 200 OK\r\n\r\n" + body),
    "http_0_9": _raw(lambda _, body: body),
    "status_without_reason": _raw(lambda _, body: b"HTTP/1.1 200\r\nconnection: close\r\n\r\n" + body),
    "status_created": _raw(lambda _, body: b"HTTP/1.1 201 Created\r\nconnection: close\r\n\r\n" + body),
    "status_unknown": _raw(lambda _, body: b"HTTP/1.1 999 What\r\nconnection: close\r\n\r\n" + body),
    "status_no_number": _raw(lambda _, body: b"HTTP/1.1 OK\r\nconnection: close\r\n\r\n" + body),
    "status_not_modified": _raw(lambda _, __: b"HTTP/1.1 304 No\r\nconnection: close\r\n\r\n"),
    "switching_protocols": _raw(
        lambda _, __: b"HTTP/1.1 101 Switch\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n\x01\x02"
    ),
    "hints_twice": _raw(
        lambda _, body: (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body
        )
    ),
    "hints_for_ever": _hints_for_ever,
    "line_feeds_only": _raw(lambda _, body: b"HTTP/1.1 200 OK\nconnection: close\n\n" + body),
    "header_folded": _raw(
        lambda _, body: b"HTTP/1.1 200 OK\r\nx-a: b\r\n  c\r\nconnection: close\r\n\r\n" + body
    ),
    "header_without_colon": _raw(lambda _, body: b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n" + body),
    "header_nul": _raw(lambda _, body: b"HTTP/1.1 200 OK\r\nx: a\0b\r\nconnection: close\r\n\r\n" + body),
    "bytes_one_by_one": _bytes_one_by_one,
    "deflate": _packed("deflate", zlib.compress),
    "gzip_cut": _packed("gzip", lambda body: gzip.compress(body)[:-12]),
    "gzip_with_a_tail": _packed("gzip", lambda body: gzip.compress(body) + b"tail"),
    "packed_unknown": _packed("rot13", lambda body: body),
    "packed_identity": _packed("identity", lambda body: body),
}
"""Ways of HTTP; the body itself is good."""
