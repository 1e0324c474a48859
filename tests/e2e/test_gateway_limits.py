"""What no load may do to a gateway: pass a limit of several processes together, or die of too few file descriptors."""

import json
import os
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx2
import pytest
from tests.e2e.gateway_process import Gateway, Upstream, gateway, upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]
BODY = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
DESCRIPTORS, CONNECTIONS = 64, 200
CLIENT = httpx2.Client(timeout=60, limits=httpx2.Limits(max_keepalive_connections=0))
"""One for all threads; each request has a connection of its own."""


@pytest.fixture
def behind() -> Iterator[Upstream]:
    with upstream() as told:
        yield told


def ask(url: str, key: str) -> int:
    answer = CLIENT.post(f"{url}/v1/chat/completions", json=BODY, headers={"Authorization": f"Bearer {key}"})
    if answer.status_code != 200:
        assert answer.json()["error"]["code"] == answer.status_code
    return answer.status_code


def ask_or_cut(url: str, key: str) -> int:
    """Ask; 0 where the connection was not taken."""
    try:
        return ask(url, key)
    except httpx2.TransportError:
        return 0


def until_200(at: Gateway, key: str) -> int:
    """Ask until the connections that are gone are noticed."""
    for _ in range(50):
        if (status := ask_or_cut(at.url, key)) == 200:
            return status
        time.sleep(0.1)
    return 0


def cpu_s(at: Gateway) -> float:
    """What the process has worked so far, in seconds."""
    fields = Path(f"/proc/{at.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def well_before_a_minute_ends() -> None:
    """Let no minute end while a test counts requests of one."""
    if (now := time.time() % 60) > 48:  # noqa: TID251 -- the gateways' own clock
        time.sleep(60 - now)


def test_two_gateways_on_one_database_let_exactly_100_requests_a_minute_pass(
    tmp_path: Path, behind: Upstream
) -> None:
    shared = str(tmp_path / "shared.db")
    with ExitStack() as running:
        both = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            both.append(
                running.enter_context(gateway(tmp_path / name, behind.url, DYNAROUTE_DATABASE=shared))
            )
        key = both[0].key()
        well_before_a_minute_ends()
        with ThreadPoolExecutor(140) as threads:
            told = Counter(threads.map(lambda number: ask(both[number % 2].url, key), range(140)))
        used = httpx2.get(f"{both[1].url}/v1/usage", headers={"Authorization": f"Bearer {key}"}).json()

    assert told == {200: 100, 429: 40}
    assert len(behind.asked) == 100
    assert used["rate_limits"]["requests_per_minute"]["used"] == 100


def test_a_gateway_with_few_descriptors_outlives_many_connections_and_recovers(
    tmp_path: Path, behind: Upstream
) -> None:
    with gateway(tmp_path, behind.url, descriptors=DESCRIPTORS) as at:
        key, fresh = at.key(), at.key("bob")  # whose minute is not used up
        before = ask(at.url, key)
        with ExitStack() as open_sockets:
            for _ in range(CONNECTIONS):
                wire = open_sockets.enter_context(socket.create_connection(("127.0.0.1", at.port), timeout=5))
                wire.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # and no more
            time.sleep(0.5)
            worked_s = cpu_s(at)
            time.sleep(1)
            worked_s = cpu_s(at) - worked_s
        after = until_200(at, key)
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            told = Counter(threads.map(lambda _: ask_or_cut(at.url, key), range(CONNECTIONS)))
        at_last = until_200(at, fresh)

        assert at.process.poll() is None
    assert (before, after, at_last) == (200, 200, 200)
    assert told.keys() <= {200, 429, 503, 0}
    assert told[200] > 0
    assert worked_s < 0.5


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_connections_are_kept_for_the_next_request_and_give_way_to_new_ones(
    tmp_path: Path, behind: Upstream, parser: str
) -> None:
    with (
        gateway(tmp_path, behind.url, descriptors=DESCRIPTORS, stalled_s=0.2, PARSER=parser) as at,
        ExitStack() as opened,
    ):
        wires, told = list[socket.socket](), Counter[bytes]()
        for _ in range(CONNECTIONS):
            wires.append(opened.enter_context(socket.create_connection(("127.0.0.1", at.port), timeout=5)))
            told[ask_health(wires[-1])] += 1
        time.sleep(1)  # a real client's pause, five times as long as one may take to send a head
        told[ask_health(wires[-1])] += 1
        left_of_the_first = wires[0].recv(1)

    assert told == {b"HTTP/1.1 200": CONNECTIONS + 1}
    assert left_of_the_first == b"", "the one that was idle for longest is closed"


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_a_head_in_two_pieces_has_its_time_whenever_it_begins_on_a_kept_connection(
    tmp_path: Path, behind: Upstream, parser: str
) -> None:
    with (
        gateway(tmp_path, behind.url, stalled_s=0.8, PARSER=parser) as at,
        ThreadPoolExecutor(8) as threads,
    ):
        told = list(threads.map(lambda tenths: ask_haltingly(at.port, tenths / 10), range(8)))

    assert told == [b"HTTP/1.1 200"] * 8


@pytest.mark.parametrize("parser", ["httptools", "h11"])
def test_a_client_that_leaves_with_two_requests_under_way_is_asked_for_no_more(
    tmp_path: Path, behind: Upstream, parser: str
) -> None:
    behind.wait_s = 3.0
    with gateway(tmp_path, behind.url, PARSER=parser) as at:
        body = json.dumps(BODY).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {at.key()}\r\n"
        )
        one = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection(("127.0.0.1", at.port), timeout=5) as wire:
            wire.sendall(one + one)
            while not behind.asked:
                time.sleep(0.01)
        with closing(sqlite3.connect(tmp_path / "dynaroute.db")) as books:
            told: list[tuple[str]] = [("in_flight",)]
            while told == [("in_flight",)]:
                time.sleep(0.01)
                told = books.execute("SELECT status FROM calls").fetchall()

    assert told == [("cancelled",)]
    assert len(behind.asked) == 1


def ask_haltingly(port: int, idle_s: float) -> bytes:
    """Ask, pause, and ask again with another pause within the head; the beginning of the second answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        ask_health(wire)
        time.sleep(0.8 + idle_s)
        wire.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        time.sleep(0.4)  # half of what a head may take at least
        wire.sendall(b"127.0.0.1\r\n\r\n")
        with suppress(ConnectionResetError):
            return wire.recv(12)
        return b""


def ask_health(wire: socket.socket) -> bytes:
    """Ask on an open connection; the beginning of the answer, which is read to its end."""
    wire.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    told = b""
    while not told.endswith(b"}"):
        piece = wire.recv(65_536)
        assert piece, told
        told += piece
    return told[:12]
