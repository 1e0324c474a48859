"""The real client on loopback sockets: what leaves, what comes back, and what becomes of connections."""

import gzip
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter, start_server  # noqa: TID251 -- anyio leaves a failed handshake's socket open
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import anyio
import anyio.abc
import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.providers.examples import KEY, NOW, call

from dynaroute_mcp.errors import ProviderError, ProviderGarbled, ProviderTimedOut, ProviderUnavailable
from dynaroute_mcp.providers import client as clients
from dynaroute_mcp.providers import wire as wires
from dynaroute_mcp.providers.base import Call, Clocks, Outgoing
from dynaroute_mcp.providers.client import ClientFault, ConnectTimedOut, Outbound, Transport, open_transport
from dynaroute_mcp.providers.wire import Wire, WireReply

OUT = Outgoing(path="/chat", headers={"authorization": f"Bearer {KEY}"}, body={"ask": 1})
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Server:
    """Reads whole requests; `answer` sends whatever it likes, and returns whether the connection stays."""

    answer: Callable[[anyio.abc.SocketStream, bytes], Awaitable[bool]]
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    left: anyio.Event = field(default_factory=anyio.Event)

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        self.connections += 1
        try:
            async with stream:
                while await self._exchange(stream):
                    pass
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.left.set()

    async def _exchange(self, stream: anyio.abc.SocketStream) -> bool:
        got = b""
        while b"\r\n\r\n" not in got:
            got += await stream.receive()
        head, _, body = got.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while lengths and len(body) < int(lengths[0].partition(b":")[2]):
            body += await stream.receive()
        self.heads.append(head)
        return await self.answer(stream, head)


@asynccontextmanager
async def serving(
    answer: Callable[[anyio.abc.SocketStream, bytes], Awaitable[bool]],
) -> AsyncGenerator[Server]:
    server = Server(answer)
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        server.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.serve)
            yield server
            tasks.cancel_scope.cancel()


def says(*pieces: bytes, stay: bool = True) -> Callable[[anyio.abc.SocketStream, bytes], Awaitable[bool]]:
    async def answer(stream: anyio.abc.SocketStream, head: bytes) -> bool:
        for piece in pieces:
            await stream.send(piece)
        return stay

    return answer


def at(server: Server, clocks: Clocks | None = None) -> Call:
    return call(base_url=f"http://127.0.0.1:{server.port}/v1", clocks=clocks)


async def post(server: Server, times: int = 1) -> WireReply:
    async with Wire.open(now=lambda: NOW) as wire:
        for _ in range(times - 1):
            await wire.post_json(at(server), OUT)
        return await wire.post_json(at(server), OUT)


async def failure_of(*pieces: bytes, stay: bool = True) -> ProviderError:
    async with serving(says(*pieces, stay=stay)) as server:
        with pytest.raises(ProviderError) as caught:
            await post(server)
    return caught.value


async def fetch(transport: Transport, url: str, connect_s: float = 10) -> bytes:
    inbound = await transport.send(Outbound(method="GET", url=url, connect_s=connect_s))
    body = b""
    try:
        while piece := await inbound.read():
            body += piece
    finally:
        inbound.close()
    return body


async def test_a_request_leaves_as_written_and_asks_for_plain_bytes() -> None:
    async with serving(says(OK)) as server:
        reply = await post(server)

    lines = server.heads[0].decode().split("\r\n")
    assert reply.document == {}
    assert lines[0] == "POST /v1/chat HTTP/1.1"
    assert {line.lower() for line in lines[1:]} == {
        f"host: 127.0.0.1:{server.port}",
        f"authorization: bearer {KEY}",
        "accept: */*",
        "accept-encoding: identity",
        "content-length: 9",
        "content-type: application/json",
        "user-agent: dynaroute-mcp",
    }


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with serving(says(OK)) as server:
        await post(server, times=3)

    assert (len(server.heads), server.connections) == (3, 1)


async def test_a_connection_that_the_provider_closed_meanwhile_is_not_used_again() -> None:
    async with serving(says(OK, stay=False)) as server, Wire.open(now=lambda: NOW) as wire:
        for _ in range(3):
            await wire.post_json(at(server), OUT)
            await anyio.wait_all_tasks_blocked()
            await anyio.sleep(0.01)  # until the end of the connection has arrived

    assert server.connections == 3


async def test_cookies_are_not_kept() -> None:
    async with serving(says(OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=b; Path=/\r\n\r\n"))) as server:
        await post(server, times=2)

    assert b"cookie" not in server.heads[1].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    head = f"HTTP/1.1 {status} Moved\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"

    async with serving(says(head.encode())) as server:
        with pytest.raises(ProviderUnavailable):
            await post(server)

    assert len(server.heads) == 1


async def test_a_body_that_is_packed_unasked_is_unpacked() -> None:
    packed = gzip.compress(b'{"ok": true}')
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n"

    async with serving(says(head.encode() + packed)) as server:
        assert (await post(server)).document == {"ok": True}


async def test_a_small_body_that_unpacks_to_a_huge_one_is_garbled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "MAX_BODY_BYTES", 1_000_000)
    bomb = gzip.compress(b" " * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n"

    error = await failure_of(head.encode() + bomb)

    assert len(bomb) < 100_000
    assert isinstance(error, ProviderGarbled)
    assert "longer than" in str(error)


async def test_broken_compression_is_garbled() -> None:
    error = await failure_of(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 15\r\n\r\nnot gzip at all"
    )

    assert isinstance(error, ProviderGarbled)
    assert "compression" in str(error)


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}",),
        (CHUNKED, b"2\r\n{}\r\n"),
        (CHUNKED, b"zz\r\n"),
        (b"SSH-2.0-OpenSSH_9.2\r\n",),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",),
    ],
    ids=["nothing", "too short", "no last chunk", "no chunk", "no HTTP", "endless header"],
)
async def test_an_answer_that_breaks_off_or_is_none_is_a_failed_connection(pieces: tuple[bytes, ...]) -> None:
    error = await failure_of(*pieces, stay=False)

    assert isinstance(error, ProviderUnavailable)
    assert "127.0.0.1" not in str(error)
    assert KEY not in repr(error)


async def test_headers_of_any_bytes_do_no_harm() -> None:
    odd = OK.replace(b"\r\n\r\n", b"\r\nx-request-id: caf\xc3\xa9 \xff\r\n\r\n")

    async with serving(says(odd)) as server:
        reply = await post(server)

    assert reply.document == {}
    assert "X-Request-ID" in reply.headers


async def test_pieces_come_one_by_one_and_nobody_reads_ahead_of_the_caller() -> None:
    sent = 0

    async def endless(stream: anyio.abc.SocketStream, head: bytes) -> bool:
        nonlocal sent
        await stream.send(CHUNKED)
        while True:
            await stream.send(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            sent += 65_536

    async with serving(endless) as server, Wire.open(now=lambda: NOW) as wire:
        until = anyio.current_time() + 5
        async with wire.stream(at(server), OUT, until=until) as stream:
            assert await stream.next(until=until, phase="next piece", limit_s=5)
            while True:  # until the socket's own buffers are full
                before = sent
                await anyio.sleep(0.05)
                if sent == before:
                    break
        with anyio.fail_after(3):
            await server.left.wait()

    assert sent < 16 * 2**20


@pytest.mark.parametrize("begun", [False, True], ids=["before its head", "in its body"])
async def test_an_abandoned_answer_cuts_the_connection(*, begun: bool) -> None:
    reached = anyio.Event()

    async def hang(stream: anyio.abc.SocketStream, head: bytes) -> bool:
        if begun:
            await stream.send(CHUNKED + b"2\r\n{}\r\n")
        reached.set()
        await stream.receive()
        return False

    async with (
        serving(hang) as server,
        Wire.open(now=lambda: NOW) as wire,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(wire.post_json, at(server), OUT)
        await reached.wait()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.fail_after(3):
            await server.left.wait()


async def test_nobody_listening_is_a_failed_connection() -> None:
    with pytest.raises(ClientFault, match=r"^connection refused$"):
        async with open_transport() as transport:
            await fetch(transport, "http://127.0.0.1:1/")


async def test_a_server_that_hangs_up_is_said_to() -> None:
    async def leave(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await start_server(leave, "127.0.0.1", 0) as server, open_transport() as transport:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ClientFault, match=r"^it hung up$"):
            await fetch(transport, f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (CHUNKED + b"2\r\n{}\r\n", "its answer broke off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "its answer broke off"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "what it sent is no HTTP answer"),
    ],
)
async def test_a_connection_that_fails_midway_is_told_in_words(sent: bytes, words: str) -> None:
    async def leave(stream: anyio.abc.SocketStream, _head: bytes) -> bool:
        await stream.send(sent)
        return not sent.startswith(b"HTTP")  # what is no HTTP is seen before anybody hangs up

    async with serving(leave) as server, open_transport() as transport:
        with pytest.raises(ClientFault, match=f"^{words}$"):
            await fetch(transport, f"http://127.0.0.1:{server.port}/")


async def test_a_reset_connection_is_told_in_words() -> None:
    async def reset(stream: anyio.abc.SocketStream, _head: bytes) -> bool:
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    async with serving(reset) as server, open_transport() as transport:
        with pytest.raises(ClientFault, match=r"^connection reset by peer$"):
            await fetch(transport, f"http://127.0.0.1:{server.port}/")


async def test_an_address_that_is_none_is_a_failed_connection() -> None:
    with pytest.raises(ClientFault):
        async with open_transport() as transport:
            await fetch(transport, "http://[::1/")


@pytest.mark.parametrize("others", [[], ["127.0.0.1"]])
async def test_a_name_that_leads_to_a_clouds_metadata_service_is_not_followed_there(
    monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 1)) for ip in ["169.254.169.254", *others]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)

    words = "connection refused" if others else "its host name leads to a link-local address"
    with pytest.raises(ClientFault, match=f"^{words}"):
        async with open_transport() as transport:
            await fetch(transport, "https://rebound.example:1/")


async def test_a_full_pool_is_waited_for_as_long_as_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MAX_CONNECTIONS", 1)

    async def hang(stream: anyio.abc.SocketStream, head: bytes) -> bool:
        await stream.receive()
        return False

    async with (
        serving(hang) as server,
        Wire.open(now=lambda: NOW) as wire,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(wire.post_json, at(server), OUT)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ProviderTimedOut, match="connect"):
            await wire.post_json(at(server, Clocks(connect_s=0.02)), OUT)
        tasks.cancel_scope.cancel()


async def test_a_connection_that_does_not_come_about_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: object, *args: object, **options: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr("aiohttp.TCPConnector._create_connection", never)

    async with open_transport() as transport:
        with pytest.raises(ConnectTimedOut):
            await fetch(transport, "http://127.0.0.1:9/", connect_s=0.02)


async def test_calls_to_this_machine_go_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    async with serving(says(OK)) as server:
        assert (await post(server)).document == {}


@pytest.mark.parametrize("variable", ["https_proxy", "all_proxy"])
async def test_calls_elsewhere_take_the_proxy_and_tell_it_no_key(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = says(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", stay=False)
    async with serving(refused) as server:
        monkeypatch.setenv(variable, f"http://user:pass@127.0.0.1:{server.port}")
        async with Wire.open(now=lambda: NOW) as wire:
            with pytest.raises(ProviderUnavailable) as caught:
                await wire.post_json(call(), OUT)

    (head,) = server.heads
    assert head.startswith(b"CONNECT api.example.com:443 ")
    assert b"proxy-authorization: basic " in head.lower()
    assert KEY.encode() not in head
    assert "pass" not in str(caught.value)


async def test_an_excepted_host_is_called_past_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")

    async with serving(says(OK)) as server:
        monkeypatch.setattr(clients, "is_loopback", lambda _: False)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await post(server)).document == {}


@pytest.fixture
def own_certificate(tmp_path: Path) -> Path:
    """A key and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=9_000))
        .not_valid_after(NOW + timedelta(days=9_000))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "own.pem"
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(autouse=True)
def _fresh_trust() -> Iterator[None]:
    clients._trust.cache_clear()
    yield
    clients._trust.cache_clear()


async def https(own_certificate: Path) -> bytes:
    """Fetch from a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with (
        await start_server(serve, "127.0.0.1", 0, ssl=context) as server,
        open_transport() as transport,
    ):
        port = server.sockets[0].getsockname()[1]
        return await fetch(transport, f"https://127.0.0.1:{port}/")


async def test_a_certificate_that_nobody_vouches_for_is_refused(own_certificate: Path) -> None:
    with pytest.raises(ClientFault, match=r"^its certificate is not trusted$"):
        await https(own_certificate)


async def test_the_certificates_of_the_environment_are_trusted(
    own_certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(own_certificate))

    assert await https(own_certificate) == b"{}"


def test_where_the_system_has_no_certificates_certifi_s_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    trusted = clients._trust().get_ca_certs()

    assert len(trusted) == Path(certifi.where()).read_text(encoding="ascii").count("BEGIN CERTIFICATE")
