"""Requests as httptools parses them, with what it leaves open: how large a head may be, and what is in one.

llhttp bounds neither head nor trailers, hands trailers out as if they were headers, takes several Hosts, and
drops the body of a request that offers an upgrade, as Java's own client does with `h2c`. h11, which stands in
where httptools does not run, does all this by itself, but takes a body whose length is told in two ways, behind
which a request may be hidden from a proxy. Neither heeds whom an absolute address is for.
"""

import re
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from dynaroute_mcp.gateway.refusal import Refusal, error_response

try:
    import httptools
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
except ImportError:  # pragma: no cover -- where it is not CPython
    httptools, STATUS_LINE, HttpToolsProtocol = None, {}, object  # type: ignore[assignment, misc]

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's head, or of what stands between two pieces of its body; beyond it a read's worth may come."""

_DECLINED: Final = frozenset({b"upgrade", b"http2-settings"})
_TWO_LENGTHS: Final = Refusal(
    400, "the body's length is told in two ways", reason="invalid_http", headers={"Connection": "close"}
)
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


class Bounded(HttpToolsProtocol):
    """An HTTP connection whose heads have a bound and only one Host, and which takes up no upgrade."""

    _unused = 0
    """Bytes since the last whole head or piece of a body."""
    _in_head = False
    _offered = False
    """The request offers to go on in another protocol."""
    answered: Any = None  # Any: uvicorn's private cycle
    """The request that is being answered, or was last: others may wait behind it."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._unset_keepalive_if_required()
        self._unused += len(data)
        try:
            self._feed(memoryview(data))
        except httptools.HttpParserError:
            self.send_400_response("this is no HTTP request that can be read")
        else:
            if self._unused > MAX_HEAD_BYTES:
                self._end(Refusal(431, "the request's head is too large", reason="head_too_large"))

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; fields behind the body are none, and nobody asked for them."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, unless it has to be parsed anew."""
        self._unused, self._in_head = 0, False
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("more than one Host")
        if absolute := _ABSOLUTE.match(self.url):
            _put_host(self.headers, absolute[1])
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._offered:
            super().on_headers_complete()
            self.answered = self.answered if self.pipeline else self.cycle

    def on_response_complete(self) -> None:
        """Go on to the request that waits for longest."""
        if self.pipeline:
            self.answered = self.pipeline[-1][0]
        super().on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unused = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._unused = 0
        if not self._offered:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what can't be parsed, behind the answers to what could."""
        if self._answering() and not self.cycle.more_body:
            self.cycle.keep_alive = False
        else:
            self._end(Refusal(400, msg, reason="invalid_http"))

    def _feed(self, rest: memoryview) -> None:
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
                self._decline()
            else:
                return

    def _decline(self) -> None:
        """Parse a head anew without its offer, so that its body is read as one (RFC 9110, section 7.8)."""
        kept = [b"%s: %s\r\n" % header for header in self.headers if header[0] not in _DECLINED]
        version = self.parser.get_http_version().encode()
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"".join([line, *kept, b"\r\n"]))

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first

    def _end(self, refusal: Refusal) -> None:
        """Refuse and close; where an answer is under way, or another waits before it, only close."""
        if self.transport.is_closing():
            return
        if self.pipeline or (self._answering() and (self.cycle.response_started or not self.cycle.more_body)):
            self.transport.abort()
            return
        response = error_response(refusal, "")
        headers = [*self.server_state.default_headers, *response.raw_headers, (b"connection", b"close")]
        lines = [b"%s: %s\r\n" % header for header in headers]
        status = STATUS_LINE[HTTPStatus(refusal.status)]
        self.transport.write(b"".join([status, *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()


class Plain(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # h11's, where this is used
    """An HTTP connection of h11, which leaves an absolute address in the path, and takes two lengths."""

    def connection_made(self, transport: object) -> None:
        """Begin."""
        super().connection_made(transport)
        self.app = _checked(self.config.loaded_app)

    @property
    def answered(self) -> Any:  # Any: uvicorn's private cycle
        """The request that is being answered, or was last: no other is read meanwhile."""
        return self.cycle


def _checked(app: ASGIApp) -> ASGIApp:
    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
            await error_response(_TWO_LENGTHS, "")(scope, receive, send)
            return
        if absolute := _ABSOLUTE.match(scope["raw_path"]):
            _put_host(scope["headers"], absolute[1])
            scope["raw_path"] = scope["raw_path"][absolute.end() :] or b"/"
            scope["path"] = unquote(scope["raw_path"])
        await app(scope, receive, send)

    return pass_on


def _put_host(headers: list[tuple[bytes, bytes]], host: bytes) -> None:
    """Put the host of an absolute address in the place of Host, as RFC 9112 wants (section 3.2.2)."""
    headers[:] = [(b"host", host), *(header for header in headers if header[0] != b"host")]


Connection = Plain if httptools is None else Bounded  # type: ignore[redundant-expr]  # as above
"""What uvicorn would take of itself, bounded."""
