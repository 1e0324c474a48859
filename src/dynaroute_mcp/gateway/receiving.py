"""What comes from the client while it waits: the body, counted as it arrives, and the moment it hangs up."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeVar

import anyio
from starlette.requests import Request

from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.session import fields_of

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
BODY_S: Final = 30.0
"""A body must have arrived by then."""

CLIENT_LEFT: Final = 499
"""nginx's status for a client that hung up; nobody reads it, the counters do."""

_CLOSE: Final = {"Connection": "close"}
_WORK: Final = "dynaroute.work"
_GONE: Final = "dynaroute.gone"

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """Read a JSON body.

    Raises:
        Refusal: 408, 413 or 415; or 400 when the client hung up, which nobody reads.
    """
    _check_headers(request)
    pieces, size, more = list[bytes](), 0, True
    with anyio.move_on_after(BODY_S):
        while more:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the client hung up", reason="client_left")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > MAX_BODY_BYTES:
                raise _too_large()
            more = message.get("more_body", False)
    if more:
        raise Refusal(
            408, f"the body did not arrive within {BODY_S:g} s", reason="body_timeout", headers=_CLOSE
        )
    return b"".join(pieces)


async def unless_hung_up(scope: MutableMapping[str, Any], work: Callable[[], Awaitable[T]]) -> T | None:
    """Do work for a client until it hangs up, which its connection tells by `hang_up`.

    Args:
        scope: of a request whose body has been read.
        work: cancelled when the client leaves.

    Returns:
        What the work gave; `None` when the client left first.
    """
    if _GONE in scope:
        return None
    with anyio.CancelScope() as scope[_WORK]:
        return await work()
    return None


def hang_up(scope: MutableMapping[str, Any]) -> None:
    """Stop what is done for a request whose client has left: no task of its own need wait for that."""
    scope[_GONE] = True
    if _WORK in scope:
        scope[_WORK].cancel()


def _check_headers(request: Request) -> None:
    headers = fields_of(request.scope)
    if headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "send the body uncompressed", reason="unsupported_encoding", headers=_CLOSE)
    kind = headers.get("content-type", "application/json").partition(";")[0].strip().casefold()
    if kind != "application/json":
        raise Refusal(415, "send `Content-Type: application/json`", reason="unsupported_media_type")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise _too_large()


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {MAX_BODY_BYTES:,} bytes", reason="body_too_large")
