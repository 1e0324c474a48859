"""The one file that owns the HTTP client, which is aiohttp: swapping it means rewriting this file alone.

It sends one request and hands out the answer's body piece by piece, as it is asked for. Redirects are not
followed, cookies not kept, proxies taken from the environment but never for this machine. It knows no clock
but the time to connect, no size and no dialect: those are `wire`'s. aiohttp needs asyncio, so anyio's other
backend will not do.
"""

import ipaddress
import os
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
import truststore
from aiohttp.abc import ResolveResult
from aiohttp.http_exceptions import ContentEncodingError

MAX_CONNECTIONS = 512
_KEPT_S = 30.0
"""An idle connection is kept for so long."""

_ENVELOPE = {"User-Agent": "dynaroute-mcp", "Accept": "*/*", "Accept-Encoding": "identity"}


class ClientFault(Exception):
    """The connection failed. The text names the kind of fault alone: an address or a key never stands in it."""


class ConnectTimedOut(ClientFault):
    """No connection within the time to connect, or none of the pool came free."""


class BadCompression(ClientFault):
    """The body is not what its `content-encoding` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """A request as it leaves."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    connect_s: float = 10.0
    """For a place in the pool and the connection together."""


class Inbound(Protocol):
    """An answer whose head has arrived. Reading on is what lets more of its body come."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By name in any case of letters."""
        ...

    async def read(self) -> bytes:
        """Wait for the next piece of the body, unpacked; empty at its end.

        Raises:
            ClientFault: the connection failed or the body is cut short.
        """
        ...

    def close(self) -> None:
        """Let the connection go: back to the pool if the body was read to its end, else it is cut."""
        ...


class Transport(Protocol):
    """What carries requests; tests put a function in its place."""

    async def send(self, request: Outbound) -> Inbound:
        """Send a request and wait for the head of its answer; cancelling it cuts the connection.

        Raises:
            ClientFault: by its subclass.
        """
        ...


@asynccontextmanager
async def open_transport() -> AsyncGenerator[Transport]:
    """Open the client for as long as the context lasts."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=_KEPT_S, resolver=_Resolver())
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=tuple(_ENVELOPE),
        max_line_size=64 * 1024,
        max_field_size=64 * 1024,
    ) as session:
        yield _Aiohttp(session, getproxies())


class _LinkLocal(OSError):
    """A name leads to addresses of a cloud's metadata service alone."""


class _Resolver(aiohttp.ThreadedResolver):
    """Asks the system for the addresses of a name, and leaves out those that a base URL may not name either."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Find addresses; raises `OSError` where there are none to be had."""
        found = await super().resolve(host, port, family)
        allowed = [each for each in found if not is_link_local(each["host"])]
        if not allowed:
            raise _LinkLocal
        return allowed


class _Aiohttp:
    """Carries requests over one session."""

    def __init__(self, session: aiohttp.ClientSession, proxies: Mapping[str, str]) -> None:
        self._session = session
        self._proxies = proxies

    async def send(self, request: Outbound) -> "_Answer":
        """Send; see `Transport`."""
        secure = request.url.startswith("https:")
        try:
            response = await self._session.request(
                request.method,
                request.url,
                headers={**_ENVELOPE, **request.headers},
                data=request.body,
                allow_redirects=False,
                proxy=self._proxy(request.url),
                ssl=_trust() if secure else True,
                timeout=aiohttp.ClientTimeout(connect=request.connect_s),
            )
        except _FAILURES as error:
            raise _fault(error) from error
        return _Answer(response)

    def _proxy(self, url: str) -> str | None:
        """The proxy that the environment names for an address; none for this machine, or an excepted one."""
        if not self._proxies:
            return None
        parts = urlsplit(url)
        host = parts.hostname or ""
        if is_loopback(host) or proxy_bypass(host):
            return None
        return self._proxies.get(parts.scheme) or self._proxies.get("all")


class _Answer:
    """One answer."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """Wait for the next piece; see `Inbound`."""
        try:
            return await self._response.content.readany()
        except _FAILURES as error:
            raise _fault(error) from error

    def close(self) -> None:
        """Let the connection go; aiohttp has given it back already where the body was read to its end."""
        self._response.close()


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_link_local(host: str) -> bool:
    """Tell whether a host, however it is written, is link-local or a cloud's metadata service."""
    address = _address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = _inner(address) or address
    return address is not None and (address.is_link_local or address in _METADATA)


_METADATA: Final = frozenset(
    {
        ipaddress.ip_address(
            "fd00:ec2::254"
        ),  # docs.aws.amazon.com/whitepapers/latest/ipv6-on-aws, read 2026-11-22
        ipaddress.ip_address("100.100.100.200"),  # docs.cloud-init.io, data source AliYun, read 2026-11-22
    }
)
"""Services on a cloud's machines that hand out credentials to whoever asks; most are link-local besides."""

_INNER_NETWORKS: Final = (ipaddress.IPv6Network("::/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""IPv4 in IPv6, beside the mapped and the 6to4 form (RFC 4291, section 2.5.5.1; RFC 6052, section 2.1)."""


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address as the system does, which also takes one number, hexadecimal, octal and few parts."""
    try:
        plain = host.encode("idna").decode().rstrip(".")  # full-width digits and dots are digits and dots
        return ipaddress.ip_address(plain) if ":" in plain else ipaddress.IPv4Address(socket.inet_aton(plain))
    except (ValueError, OSError):
        return None


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Find the IPv4 address that an IPv6 address stands for."""
    if any(address in network for network in _INNER_NETWORKS):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


@cache
def _trust() -> ssl.SSLContext:
    """Whose certificates are believed: the system's; certifi's where a Linux has none. Read on the first use."""
    if sys.platform in {"win32", "darwin"}:  # pragma: no cover  # the tests run on Linux
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    known = ssl.get_default_verify_paths()  # heeds SSL_CERT_FILE and SSL_CERT_DIR
    usable = known.cafile or (known.capath and any(Path(known.capath).iterdir()))
    return ssl.create_default_context(cafile=None if usable else certifi.where())


_FAILURES: Final = (aiohttp.ClientError, OSError, ValueError)
"""What aiohttp raises; a `ValueError` is an address that is none."""


def _fault(error: Exception) -> ClientFault:
    """Turn aiohttp's error into ours."""
    if isinstance(error, aiohttp.ServerTimeoutError):
        return ConnectTimedOut(type(error).__name__)
    if isinstance(error.__cause__, ContentEncodingError):
        return BadCompression(type(error).__name__)
    return ClientFault(_why(error))


_FAULTS: Final = (
    (aiohttp.ClientConnectorDNSError, "its host name is not known"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientSSLError, "it speaks no TLS that can be used"),
    (aiohttp.ServerDisconnectedError, "it hung up"),
    (aiohttp.ClientPayloadError, "its answer broke off"),
    (aiohttp.ClientResponseError, "what it sent is no HTTP answer"),
)


def _why(error: Exception) -> str:
    """Say what was wrong with a connection, in our words: an error's own may quote the address."""
    if isinstance(error.__cause__, _LinkLocal):
        return "its host name leads to a link-local address, which a cloud's metadata service has"
    for kind, words in _FAULTS:
        if isinstance(error, kind):
            return words
    number = isinstance(error, OSError) and error.errno
    return os.strerror(number).lower() if number else type(error).__name__
