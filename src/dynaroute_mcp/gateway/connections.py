"""Connections of clients: how many there may be at once, how long one may keep silent, and how one is closed.

Each connection takes a file descriptor, and each request one more to its provider. As many clients are let in
as leave room for that; the others are told so at once, in the words of every other error, and never wait for
ever.
"""

import contextlib
import logging
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dynaroute_mcp.gateway.parsing import Connection
from dynaroute_mcp.gateway.receiving import hang_up
from dynaroute_mcp.gateway.refusal import Refusal, error_response

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 2_048
"""Clients that are connected at once; one more is answered with 503."""

STALLED_S: Final = 30.0
"""A client that reads nothing for so long while an answer waits for it is cut off."""

KEPT_S: Final = 75
"""How long a connection is kept for a next request. Longer than the 60 s of nginx and of cloud load balancers, which then
close first: whoever closes last may get a request that was sent meanwhile, and a client can't tell if it was done."""

HEADERS_S: Final = 15.0
"""A connection that sends no whole request head for one to two such spans is cut off; at once where all are taken."""

LINGER_S: Final = 5.0
"""How long a client that was answered before its body had come may go on sending it."""

LINGER_BYTES: Final = 32 * 1024 * 1024
"""How much of that body is read and thrown away."""

_CROWDED_S: Final = 1.0
"""How long a connection too many may take to send its request head and be refused."""
_OWN_DESCRIPTORS: Final = 32
"""Of the process itself: database, loop, log, and a few connections too many that are being refused."""
_NOTHING_BEGUN: Final = object()
"""What was seen of a connection that had no head to send."""
_FEWEST: Final = 4
"""Clients that are let in however few descriptors there are."""


def let_in() -> int:
    """Tell how many clients may be connected at once, by the descriptors that this process may have.

    The soft limit is raised to the hard one, as far as that is of use.
    """
    try:
        import resource  # noqa: PLC0415 -- POSIX only
    except ImportError:
        return MAX_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + _OWN_DESCRIPTORS
    if soft < wanted and soft != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError, ValueError):  # some systems allow less than they say
            raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    room = max(_FEWEST, (soft - _OWN_DESCRIPTORS) // 2)
    logger.warning("few file descriptors", extra={"limit": soft, "connections": room})
    return room


class Patient(Connection):  # type: ignore[misc, valid-type]  # one of uvicorn's two, by what is installed
    """An HTTP connection that is cut when its client neither reads its answer nor sends its request.

    A client may be answered while it still sends a body. To close then would reset the connection, and many a
    client would never see its answer (RFC 9112, section 9.6): so a bounded rest of the body is read first.
    """

    room = MAX_CONNECTIONS
    _stalled: Any = None  # Any: the loop's timer handle; the loop's own module stays out of here
    _lingering: Any = None  # Any: as above
    _unread = LINGER_BYTES

    def connection_made(self, transport: Any) -> None:  # Any: as above
        """Begin to watch; one too many takes the place of an idle one, or is refused as soon as it asks."""
        self._wire = transport
        super().connection_made(_Lingering(transport, self))
        self.timeout_keep_alive = KEPT_S
        crowded = len(self.connections) > self.room and not self._make_room()
        if crowded:
            self.app = _refuse
        self._watch = self.loop.call_later(_CROWDED_S if crowded else HEADERS_S, self._look, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching, and what is done for the client."""
        self._watch.cancel()
        self._give_time()
        if self.lingering:
            self._lingering.cancel()
        if self.answered is not None:
            self.answered.disconnected = not self.answered.response_complete
            hang_up(self.answered.scope)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; behind a last answer nobody wants it."""
        if not self.lingering:
            super().data_received(data)
            return
        self._unread -= len(data)
        if self._unread < 0:
            self._wire.close()

    @property
    def lingering(self) -> bool:
        """The last answer has left, and the rest of a body may still come."""
        return self._lingering is not None

    def close(self) -> None:
        """Close, at once or after a bounded rest of a body."""
        if self.lingering or self._wire.is_closing():
            return
        if self.cycle is None or not self.cycle.more_body:
            self._wire.close()
            return
        self._lingering = self.loop.call_later(LINGER_S, self._wire.close)
        with contextlib.suppress(OSError):  # the client has left
            self._wire.write_eof()
        self._wire.resume_reading()

    def pause_writing(self) -> None:
        """The client reads too slowly: wait, but not for ever."""
        super().pause_writing()
        self._stalled = self._stalled or self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._give_time()

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest; tell whether there was one."""
        idle = [each for each in self.connections if each.timeout_keep_alive_task is not None]
        if not idle:
            return False
        min(idle, key=lambda each: each.timeout_keep_alive_task.when()).give_way()
        return True

    def give_way(self) -> None:
        """End an idle connection."""
        self._unset_keepalive_if_required()
        self.transport.close()

    def _give_time(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _look(self, before: object) -> None:
        """Cut a connection that began a request before the last look and has not sent its head yet."""
        answering = self.cycle is not None and not self.cycle.response_complete
        kept = self.timeout_keep_alive_task is not None
        if self.cycle is before and not answering and not kept:
            self.transport.abort()
        else:
            seen = _NOTHING_BEGUN if kept or answering else self.cycle
            self._watch = self.loop.call_later(HEADERS_S, self._look, seen)


class _Lingering:
    """A transport that is closed as its connection wants it."""

    def __init__(self, transport: Any, connection: Patient) -> None:  # Any: a transport of the loop
        self._transport = transport
        self._connection = connection
        self.write = transport.write
        self.close = connection.close

    def is_closing(self) -> bool:
        """Tell whether nothing more may be written."""
        return self._connection.lingering or bool(self._transport.is_closing())

    def __getattr__(self, name: str) -> Any:  # Any: whatever else a transport has
        return getattr(self._transport, name)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = Refusal(
        503,
        "too many clients are connected; try again in a moment",
        reason="too_many_connections",
        headers={"Retry-After": "1", "Connection": "close"},
    )
    response: Response = error_response(refusal, "")
    await response(scope, receive, send)
