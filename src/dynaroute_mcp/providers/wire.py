"""What every call to a provider keeps to, whatever the client: clocks, sizes, allowed addresses, keys in headers.

It sends a request, keeps every wait and every size within bounds, and gives back parsed JSON or raw pieces.
Failures come out as `ProviderError`. It knows no dialect, and the client only by the `Transport` of `client`.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Self
from urllib.parse import urlencode, urlsplit

import anyio

from dynaroute_mcp.errors import ConfigurationInvalid, ProviderError, ProviderKeyRejected
from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Outgoing
from dynaroute_mcp.providers.client import (
    BadCompression,
    ClientFault,
    ConnectTimedOut,
    Inbound,
    Outbound,
    Transport,
    is_link_local,
    is_loopback,
    open_transport,
)
from dynaroute_mcp.providers.parsing import Unparsable, dump_json, parse_json

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Bound on one answer after decompression, a stream as a whole included."""
MAX_ERROR_BYTES = 64 * 1024
"""As much of an error body as is looked at."""

_OK = range(200, 300)
_JSON = {"content-type": "application/json"}
_ADDRESSES = 256


@lru_cache(
    maxsize=_ADDRESSES
)  # pure; configuration holds few addresses, so the same ones come again and again
def check_base_url(url: str, *, name: str = "base_url") -> str:
    """Return an address that a key may be sent to, without its trailing slash.

    Raises:
        ConfigurationInvalid: not https (http is for loopback only), no host, a link-local one, or a
            user, query or fragment in it.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationInvalid(
            f"{name} is no address; write it like https://api.example.com/v1"
        ) from error
    if not host or parts.scheme not in {"http", "https"}:
        raise ConfigurationInvalid(f"{name} is no address; write it like https://api.example.com/v1")
    if is_link_local(host):
        raise ConfigurationInvalid(
            f"{name} must not be {host!r}: link-local addresses belong to a cloud's metadata service, which gives "
            "away this machine's credentials; name the server by its own address"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationInvalid(f"{name} must use https, because {host!r} is not this machine")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationInvalid(f"{name} must hold no user, password, query or fragment")
    return url.rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class WireReply:
    """A whole successful answer."""

    document: object
    """Parsed JSON, safe to carry inward."""
    headers: Mapping[str, str] = field(repr=False)


class WireStream:
    """A successful answer whose body is still arriving."""

    def __init__(self, call: Call, inbound: Inbound) -> None:
        self._call = call
        self._inbound = inbound
        self._size = 0
        self.headers = inbound.headers

    async def next(self, *, until: float, phase: str, limit_s: float) -> bytes | None:
        """Wait for the next piece; `None` is the end.

        Args:
            until: Moment on anyio's clock after which the wait is given up.
            phase: Which clock that is, for the error.
            limit_s: Its setting, for the error.

        Raises:
            ProviderError: the clock ran out, the connection failed, or the body grew beyond `MAX_BODY_BYTES`.
        """
        try:
            with anyio.CancelScope(deadline=until) as waiting:
                piece = await self._inbound.read()
        except ClientFault as error:
            raise _explained(self._call, error) from error
        if waiting.cancelled_caught:
            raise failure.timed_out(self._call, phase, limit_s)
        self._size += len(piece)
        if self._size > MAX_BODY_BYTES:
            raise failure.garbled(self._call, f"it is longer than {MAX_BODY_BYTES} bytes")
        return piece or None


class Wire:
    """Calls to providers over one shared client."""

    def __init__(self, transport: Transport, *, now: Callable[[], datetime]) -> None:
        self._transport = transport
        self._now = now

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, now: Callable[[], datetime], transport: Transport | None = None
    ) -> AsyncGenerator[Self]:
        """Open the client for as long as the context lasts; `transport` stands in for the network in tests."""
        if transport is not None:
            yield cls(transport, now=now)
            return
        async with open_transport() as opened:
            yield cls(opened, now=now)

    async def post_json(self, call: Call, outgoing: Outgoing) -> WireReply:
        """Send a request and wait for the whole answer, within `call.clocks.total_s`.

        Raises:
            ProviderError: by what went wrong.
            ConfigurationInvalid: the endpoint's base URL is not allowed.
        """
        request = self._request(call, outgoing)
        limit_s = call.clocks.total_s
        try:
            with anyio.move_on_after(limit_s) as waiting:
                inbound = await self._transport.send(request)
                try:
                    await self._check(call, inbound)
                    body = await _whole(inbound, MAX_BODY_BYTES)
                finally:
                    inbound.close()
        except ClientFault as error:
            raise _explained(call, error) from error
        if waiting.cancelled_caught:
            raise failure.timed_out(call, "whole answer", limit_s)
        if body is None:
            raise failure.garbled(call, f"it is longer than {MAX_BODY_BYTES} bytes")
        return WireReply(document=_parsed(call, body), headers=inbound.headers)

    @asynccontextmanager
    async def stream(self, call: Call, outgoing: Outgoing, *, until: float) -> AsyncGenerator[WireStream]:
        """Send a request and enter once its answer has begun; leaving closes the connection.

        Args:
            call: Whom is asked, with which clocks.
            outgoing: What is asked.
            until: Moment on anyio's clock by which the answer must have begun.

        Raises:
            ProviderError: by what went wrong.
            ConfigurationInvalid: the endpoint's base URL is not allowed.
        """
        request = self._request(call, outgoing)
        try:
            with anyio.CancelScope(deadline=until) as waiting:
                inbound = await self._transport.send(request)
                try:
                    await self._check(call, inbound)
                except BaseException:
                    inbound.close()
                    raise
        except ClientFault as error:
            raise _explained(call, error) from error
        if waiting.cancelled_caught:
            raise failure.timed_out(call, "first token", call.clocks.first_token_s)
        try:
            yield WireStream(call, inbound)
        finally:
            inbound.close()

    async def get_json(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float,
        post: object = None,
    ) -> object | None:
        """Fetch a small document such as a list of models; `None` is any failure at all.

        Args:
            url: Checked like a base URL.
            headers: Keys belong here, never into the URL.
            params: The query.
            timeout_s: Time for everything.
            post: When given, a body that is posted instead of getting.

        Raises:
            ConfigurationInvalid: the address is not allowed.
        """
        check_base_url(url, name="address")
        request = Outbound(
            method="GET" if post is None else "POST",
            url=f"{url}?{urlencode(params)}" if params else url,
            headers={**(headers or {}), **({} if post is None else _JSON)},
            body=None if post is None else dump_json(post).encode(),
            connect_s=timeout_s,
        )
        body: bytes | None = None
        with anyio.move_on_after(timeout_s):
            try:
                inbound = await self._transport.send(request)
                try:
                    if inbound.status in _OK:
                        body = await _whole(inbound, MAX_BODY_BYTES)
                finally:
                    inbound.close()
            except ClientFault:
                return None
        try:
            return None if body is None else parse_json(body)
        except Unparsable:
            return None

    def _request(self, call: Call, outgoing: Outgoing) -> Outbound:
        base = check_base_url(call.endpoint.base_url, name=f"base URL of {call.endpoint.provider.id}")
        key = call.endpoint.api_key
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
            raise ProviderKeyRejected(
                f"the API key of {call.endpoint.provider.name} holds characters that no key has; set it again",
                provider=call.endpoint.provider.id,
                model_id=call.model.id,
            )
        try:
            body = dump_json(outgoing.body).encode("utf-8", "replace")
        except Unparsable as error:
            raise failure.refused(call, f"its body {error}") from error
        return Outbound(
            method="POST",
            url=base + outgoing.path,
            headers={**_JSON, **outgoing.headers},
            body=body,
            connect_s=call.clocks.connect_s,
        )

    async def _check(self, call: Call, inbound: Inbound) -> None:
        """Raise our error unless the answer is a success."""
        if inbound.status in _OK:
            return
        body = await _whole(inbound, MAX_ERROR_BYTES)
        raise failure.from_response(
            call, status=inbound.status, headers=inbound.headers, body=body or b"", now=self._now()
        )


async def _whole(inbound: Inbound, limit: int) -> bytes | None:
    """Read a body; `None` when it passes the limit."""
    pieces, size = list[bytes](), 0
    while piece := await inbound.read():
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _parsed(call: Call, body: bytes) -> object:
    if not body.strip():
        raise failure.garbled(call, "it is empty")
    try:
        return parse_json(body)
    except Unparsable as error:
        raise failure.garbled(call, str(error)) from error


def _explained(call: Call, error: ClientFault) -> ProviderError:
    """Turn the client's error into ours; its text stays outside, because it may quote the address."""
    if isinstance(error, ConnectTimedOut):
        return failure.timed_out(call, "connect", call.clocks.connect_s)
    if isinstance(error, BadCompression):
        return failure.garbled(call, "its compression is broken")
    return failure.unavailable(call, str(error))
