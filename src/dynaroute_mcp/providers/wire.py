"""The one file that owns the HTTP client.

It sends a request, keeps every wait and every size within bounds, and gives back parsed JSON or raw pieces. Failures
come out as `ProviderError`. It knows no dialect; swapping the client means rewriting this file alone.
"""

import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self
from urllib.parse import urlsplit

import anyio
import httpx2

from dynaroute_mcp.errors import ConfigurationInvalid, ProviderKeyRejected
from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Outgoing
from dynaroute_mcp.providers.parsing import Unparsable, dump_json, parse_json

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Bound on one answer after decompression, a stream as a whole included."""
MAX_ERROR_BYTES = 64 * 1024
"""As much of an error body as is looked at."""
MAX_CONNECTIONS = 512

_ENVELOPE = {"user-agent": "dynaroute-mcp", "accept-encoding": "identity"}


def check_base_url(url: str, *, name: str = "base_url") -> str:
    """Return an address that a key may be sent to, without its trailing slash.

    Raises:
        ConfigurationInvalid: not https (http is for loopback only), no host, or a user, query or fragment in it.
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
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationInvalid(f"{name} must use https, because {host!r} is not this machine")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationInvalid(f"{name} must hold no user, password, query or fragment")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class WireReply:
    """A whole successful answer."""

    document: object
    """Parsed JSON, safe to carry inward."""
    headers: Mapping[str, str] = field(repr=False)


class WireStream:
    """A successful answer whose body is still arriving."""

    def __init__(self, call: Call, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> None:
        self._call = call
        self._body = body
        self._size = 0
        self.headers = headers

    async def next(self, *, until: float, phase: str, limit_s: float) -> bytes | None:
        """Wait for the next piece; `None` is the end.

        Args:
            until: Moment on anyio's clock after which the wait is given up.
            phase: Which clock that is, for the error.
            limit_s: Its setting, for the error.

        Raises:
            ProviderError: the clock ran out, the connection failed, or the body grew beyond `MAX_BODY_BYTES`.
        """
        with _translated(self._call), _clock(self._call, until=until, phase=phase, limit_s=limit_s):
            piece = await anext(self._body, None)
        self._size += len(piece or b"")
        if self._size > MAX_BODY_BYTES:
            raise failure.garbled(self._call, f"it is longer than {MAX_BODY_BYTES} bytes")
        return piece


class Wire:
    """Calls to providers over one shared client."""

    def __init__(self, client: httpx2.AsyncClient, *, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, now: Callable[[], datetime], transport: httpx2.AsyncBaseTransport | None = None
    ) -> AsyncGenerator[Self]:
        """Open the client for as long as the context lasts; `transport` stands in for the network in tests."""
        limits = httpx2.Limits(
            max_connections=MAX_CONNECTIONS, max_keepalive_connections=64, keepalive_expiry=30
        )
        direct = dict.fromkeys(("all://localhost", "all://127.0.0.1", "all://[::1]"))
        async with httpx2.AsyncClient(
            transport=transport,
            mounts=None if transport else direct,  # a proxy from the environment is not for loopback
            limits=limits,
            timeout=httpx2.Timeout(10.0),
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers=_ENVELOPE,
        ) as client:
            yield cls(client, now=now)

    async def post_json(self, call: Call, outgoing: Outgoing) -> WireReply:
        """Send a request and wait for the whole answer, within `call.clocks.total_s`.

        Raises:
            ProviderError: by what went wrong.
            ConfigurationInvalid: the endpoint's base URL is not allowed.
        """
        request = self._request(call, outgoing)
        limit_s = call.clocks.total_s
        until = anyio.current_time() + limit_s
        with _translated(call), _clock(call, until=until, phase="whole answer", limit_s=limit_s):
            response = await self._client.send(request, stream=True)
            try:
                await self._check(call, response)
                body = await _whole(response, MAX_BODY_BYTES)
            finally:
                await response.aclose()
        if body is None:
            raise failure.garbled(call, f"it is longer than {MAX_BODY_BYTES} bytes")
        return WireReply(document=_parsed(call, body), headers=response.headers)

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
        with (
            _translated(call),
            _clock(call, until=until, phase="first token", limit_s=call.clocks.first_token_s),
        ):
            response = await self._client.send(request, stream=True)
            try:
                await self._check(call, response)
            except BaseException:
                await response.aclose()
                raise
        try:
            async with aclosing(response.aiter_bytes()) as body:
                yield WireStream(call, response.headers, body)
        finally:
            await response.aclose()

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
        request = self._client.build_request(
            "GET" if post is None else "POST", url, headers=dict(headers or {}), params=params, json=post
        )
        body: bytes | None = None
        with anyio.move_on_after(timeout_s):
            try:
                response = await self._client.send(request, stream=True)
                try:
                    if response.is_success:
                        body = await _whole(response, MAX_BODY_BYTES)
                finally:
                    await response.aclose()
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
                return None
        try:
            return None if body is None else parse_json(body)
        except Unparsable:
            return None

    def _request(self, call: Call, outgoing: Outgoing) -> httpx2.Request:
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
        clocks = call.clocks
        return self._client.build_request(
            "POST",
            base + outgoing.path,
            content=body,
            headers={"content-type": "application/json", **outgoing.headers},
            timeout=httpx2.Timeout(
                connect=clocks.connect_s, pool=clocks.connect_s, write=clocks.idle_s, read=None
            ),
        )

    async def _check(self, call: Call, response: httpx2.Response) -> None:
        """Raise our error unless the answer is a success."""
        if response.is_success:
            return
        body = await _whole(response, MAX_ERROR_BYTES)
        raise failure.from_response(
            call, status=response.status_code, headers=response.headers, body=body or b"", now=self._now()
        )


async def _whole(response: httpx2.Response, limit: int) -> bytes | None:
    """Read a body; `None` when it passes the limit."""
    body = bytearray()
    async with aclosing(response.aiter_bytes()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > limit:
                return None
    return bytes(body)


def _parsed(call: Call, body: bytes) -> object:
    if not body.strip():
        raise failure.garbled(call, "it is empty")
    try:
        return parse_json(body)
    except Unparsable as error:
        raise failure.garbled(call, str(error)) from error


@contextmanager
def _clock(call: Call, *, until: float, phase: str, limit_s: float) -> Generator[None]:
    """Bound what happens inside by a moment on anyio's clock."""
    try:
        with anyio.fail_after(until - anyio.current_time()):
            yield
    except TimeoutError as error:
        raise failure.timed_out(call, phase, limit_s) from error


@contextmanager
def _translated(call: Call) -> Generator[None]:
    """Turn the client's errors into ours; their text stays outside, because it may quote the address."""
    try:
        yield
    except httpx2.ConnectTimeout as error:
        raise failure.timed_out(call, "connect", call.clocks.connect_s) from error
    except httpx2.TimeoutException as error:
        raise failure.timed_out(call, type(error).__name__, call.clocks.connect_s) from error
    except httpx2.DecodingError as error:
        raise failure.garbled(call, "its compression is broken") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise failure.unavailable(call, type(error).__name__) from error
