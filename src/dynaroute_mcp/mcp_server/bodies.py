"""Bodies of MCP over HTTP, read before the SDK sees them: it waits for ever, and for each value in one it takes long.

A call has a handful of values. A million of them, which fit into a body, held everybody up for minutes.
"""

from typing import Final

import anyio
from pydantic_core import from_json
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynaroute_mcp.results import is_crowded

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""Room for a prompt of ten megabytes; a larger body is answered with 413 while it is read."""

BODY_S: Final = 30.0
"""A body must have arrived by then."""

MAX_VALUES: Final = 10_000
"""In one message, at whatever depth."""


class Bodies:
    """ASGI middleware that hands a body on in one piece, or answers that it will not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body of a message; whoever hung up gets no answer."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        pieces, size, more = list[bytes](), 0, True
        with anyio.move_on_after(BODY_S) as waiting:
            while more and size <= MAX_BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                more = message.get("more_body", False)
        if waiting.cancelled_caught:
            refusal = _refusal(408, "body_timeout", f"the body did not arrive within {BODY_S:g} s")
            await refusal(scope, receive, send)
            return
        body = b"".join(pieces)
        if size <= MAX_BODY_BYTES and _is_too_much(body):
            too_much = f"the message holds more than {MAX_VALUES:,} values"
            await _refusal(400, "invalid_request", too_much)(scope, receive, send)
            return
        await self._app(scope, _after(body, receive, more=more), send)


def _is_too_much(body: bytes) -> bool:
    if body.count(b",") <= MAX_VALUES // 8:  # with more values than that it nests deeper than any message
        return False
    try:
        return is_crowded(from_json(body), MAX_VALUES)
    except ValueError:
        return False  # the SDK says what is wrong


def _after(body: bytes, receive: Receive, *, more: bool) -> Receive:
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": more}

    return next_message


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": code, "error_description": message}, status, {"Connection": "close"})
