"""What a stranger may write on a socket: heads without end, trailers, two Hosts, upgrades that nobody takes."""

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest
from tests.e2e.gateway_process import Gateway, gateway

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]
PIECE = b"a" * 65_536
CLASSIFY, BODY = b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\n", b'{"prompt":"hi"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\nf\r\n%s\r\n0\r\n" % BODY
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LAST = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("parsing"), "http://127.0.0.1:9/v1") as running:
        yield running


@pytest.fixture(scope="module")
def bearer(at: Gateway) -> bytes:
    return f"Authorization: Bearer {at.key()}\r\n".encode()


def tell(at: Gateway, *pieces: bytes) -> bytes:
    """What comes back on one connection until it ends."""
    told = b""
    with socket.create_connection(("127.0.0.1", at.port), timeout=20) as wire:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                wire.sendall(piece)
        with contextlib.suppress(ConnectionError):
            while piece := wire.recv(65_536):
                told += piece
    return told


def statuses(told: bytes) -> list[int]:
    return [int(part[:3]) for part in told.split(b"HTTP/1.1 ")[1:]]


def problem(told: bytes) -> dict[str, object]:
    error: dict[str, object] = json.loads(told.partition(b"\r\n\r\n")[2])["error"]
    return error


@pytest.fixture(scope="module", params=["httptools", "h11"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with each of the two parsers."""
    folder = tmp_path_factory.mktemp(request.param)
    with gateway(folder, "http://127.0.0.1:9/v1", PARSER=request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (b"http://evil.example/health", b"127.0.0.1", 421),
        (b"http://evil.example:80/health?x=1", b"127.0.0.1", 421),
        (b"http://127.0.0.1@evil.example/health", b"127.0.0.1", 421),
        (b"HTTP://EVIL.example/", b"127.0.0.1", 421),
        (b"http://127.0.0.1:8000/health", b"127.0.0.1:8000", 200),
        (b"http://localhost/he%61lth?x=http://evil.example/", b"evil.example", 200),
        (b"/health?x=http://evil.example/", b"127.0.0.1", 200),
        (b"/health", b"evil.example", 421),
    ],
)
def test_an_absolute_address_is_judged_in_the_place_of_host(
    either: Gateway, target: bytes, host: bytes, status: int
) -> None:
    told = tell(either, b"GET %s HTTP/1.1\r\nHost: %s\r\n" % (target, host) + LAST + b"\r\n")

    assert statuses(told) == [status]


def test_behind_a_body_of_two_lengths_no_request_is_hidden(either: Gateway) -> None:
    hidden = b"0\r\n\r\n" + HEALTH + b"\r\n"
    told = tell(either, CLASSIFY + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + hidden)

    assert statuses(told) == [400]
    assert problem(told)["reason"] == "invalid_http"


@pytest.mark.parametrize("last", [LAST, b""], ids=["close", "keep-alive"])
@pytest.mark.parametrize(
    ("path", "status"), [(b"/v1/classify", 401), (b"/no-such-route", 404), (b"/v1/chat/completions", 413)]
)
def test_who_sends_a_large_body_reads_why_it_was_refused(
    either: Gateway, path: bytes, status: int, last: bytes
) -> None:
    bearer = b"" if status == 401 else f"Authorization: Bearer {either.key()}\r\n".encode()
    head = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n" % path + bearer + last
    size = 12 << 20
    told = b""
    with socket.create_connection(("127.0.0.1", either.port), timeout=20) as wire:
        wire.sendall(head + b"Content-Length: %d\r\n\r\n" % size + b"a" * size)
        while not told.endswith(b"}"):
            told += wire.recv(65_536)
        ended = last == b"" or wire.recv(1) == b""

    assert statuses(told) == [status]
    assert problem(told)["code"] == status
    assert ended


def test_a_body_that_goes_on_behind_its_refusal_is_cut_off(either: Gateway) -> None:
    sent = 0
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", either.port), timeout=20) as wire,
    ):
        wire.sendall(
            b"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n" + LAST
        )
        wire.sendall(b"\r\n")
        while sent < 64 << 20:
            sent += wire.send(PIECE)

    assert sent < 64 << 20
    assert statuses(tell(either, HEALTH + LAST + b"\r\n")) == [200]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /", id="address"),
        pytest.param(HEALTH + b"X-A: ", id="header"),
        pytest.param(HEALTH, id="header name"),
        pytest.param(CLASSIFY + CHUNKED + b"X-A: ", id="trailer"),
        pytest.param(CLASSIFY + b"Transfer-Encoding: chunked\r\n\r\n1;", id="chunk extension"),
    ],
)
def test_a_head_without_end_is_cut_off(at: Gateway, head: bytes) -> None:
    sent = 0
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", at.port), timeout=20) as wire,
    ):
        wire.sendall(head)
        while sent < 64 << 20:
            sent += wire.send(PIECE)

    assert sent < 64 << 20
    assert statuses(tell(at, HEALTH + LAST + b"\r\n")) == [200]


def test_a_head_that_is_too_large_is_told_so(at: Gateway) -> None:
    told = tell(at, HEALTH + b"X-A: " + b"a" * 66_000)

    assert statuses(told) == [431]
    assert (problem(told)["code"], problem(told)["reason"]) == (431, "head_too_large")
    assert problem(told)["type"] == "invalid_request_error"


@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
def test_an_offer_of_an_upgrade_is_passed_over_and_the_body_read(
    at: Gateway, bearer: bytes, offer: bytes
) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAMA\r\n" % offer
    asked = CLASSIFY + bearer + upgrade + b"Content-Length: 15\r\n\r\n"

    assert statuses(tell(at, asked + BODY + HEALTH + LAST + b"\r\n")) == [200, 200]
    assert statuses(tell(at, asked, BODY, HEALTH + LAST + b"\r\n")) == [200, 200]


def test_a_field_behind_the_body_is_no_header(at: Gateway, bearer: bytes) -> None:
    told = tell(at, CLASSIFY + LAST + CHUNKED + bearer + b"\r\n")

    assert statuses(told) == [401]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(HEALTH + b"Host: evil.example\r\n\r\n", id="two hosts"),
        pytest.param(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", id="tunnel"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
def test_what_is_no_request_is_refused_in_the_words_of_every_error(at: Gateway, head: bytes) -> None:
    told = tell(at, head)

    assert statuses(told) == [400]
    assert problem(told)["reason"] == "invalid_http"


def test_what_was_asked_well_is_answered_before_nonsense_ends_the_connection(
    at: Gateway, bearer: bytes
) -> None:
    verify = b"GET /v1/keys/verify HTTP/1.1\r\nHost: 127.0.0.1\r\n" + bearer + b"\r\n"

    assert statuses(tell(at, HEALTH + b"\r\n" + verify + b"nonsense\r\n\r\n")) == [200, 200]
