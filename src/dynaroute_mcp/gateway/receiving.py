"""What comes from the client while it waits: the body, counted as it arrives, and the moment it hangs up."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from dynaroute_mcp.gateway.refusal import Refusal

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
BODY_S: Final = 30.0
"""A body must have arrived by then."""

CLIENT_LEFT: Final = 499
"""nginx's status for a client that hung up; nobody reads it, the counters do."""

_CLOSE: Final = {"Connection": "close"}

T = TypeVar("T")


async def read_body(request: Request) -> bytes:
    """Read a JSON body.

    Raises:
        Refusal: 408, 413 or 415; or 400 when the client hung up, which nobody reads.
    """
    _check_headers(request)
    pieces, size = list[bytes](), 0
    try:
        with anyio.fail_after(BODY_S):
            async for piece in request.stream():
                size += len(piece)
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                pieces.append(piece)
    except TimeoutError:
        raise Refusal(
            408, f"the body did not arrive within {BODY_S:g} s", reason="body_timeout", headers=_CLOSE
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "the client hung up", reason="client_left") from None
    return b"".join(pieces)


async def unless_hung_up(receive: Receive, work: Callable[[], Awaitable[T]]) -> T | None:
    """Do work for a client until it hangs up.

    Args:
        receive: of a request whose body has been read.
        work: cancelled when the client leaves.

    Returns:
        What the work gave; `None` when the client left first.
    """
    try:
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            result = await work()
            group.cancel_scope.cancel()
            return result
    except BaseExceptionGroup as error:
        if len(error.exceptions) == 1:
            raise error.exceptions[0] from error.exceptions[0].__cause__
        raise
    return None


def _check_headers(request: Request) -> None:
    headers = request.headers
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
