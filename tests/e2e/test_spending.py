"""Money seen from outside: several processes on one database can't pass a budget or a plan together."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import anyio
import pytest
from tests.e2e.spender import NOW

from dynaroute_mcp.accounts import Accounts
from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.limits import spent
from dynaroute_mcp.runtime import AMBIENT
from dynaroute_mcp.store.base import CounterRow
from dynaroute_mcp.store.sqlite import open_store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

PROCESSES = 4
USAGE = {"prompt_tokens": 8, "completion_tokens": 1_000, "total_tokens": 1_008}
"""What each answer takes: all of the 1,000 tokens that the request allows."""


class Upstream(ThreadingHTTPServer):
    """Stands in for a provider: answers at once and counts."""

    daemon_threads = True
    request_queue_size = 128
    answered = 0


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Upstream)
        self.rfile.read(int(self.headers["content-length"]))
        self.server.answered += 1
        message = {"role": "assistant", "content": "Hello"}
        body = json.dumps(
            {
                "id": "c",
                "object": "chat.completion",
                "model": "gpt-4.1",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": USAGE,
            }
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def spend_together(settings: dict[str, object], requests: int) -> list[dict[str, object]]:
    """Let all processes begin at one moment, and gather what they say."""
    command = [sys.executable, "-m", "tests.e2e.spender", json.dumps(settings), str(requests)]
    with ExitStack() as running:
        processes = [
            running.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(PROCESSES)
        ]
        assert [one.stdout.readline() for one in processes if one.stdout] == ["ready\n"] * PROCESSES
        for one in processes:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        return [json.loads(one.stdout.read()) for one in processes if one.stdout]


def counters_of(database: Path, scope: str) -> list[CounterRow]:
    async def read() -> list[CounterRow]:
        async with open_store(database) as store:
            return list(await store.counters([scope]))

    return anyio.run(read)


def test_64_requests_from_4_processes_never_spend_more_than_a_budget(
    tmp_path: Path, upstream: Upstream
) -> None:
    database = tmp_path / "dynaroute.db"
    told = spend_together(
        {
            "database": str(database),
            "discover_local": False,
            "budgets": [{"scope": "day", "usd": "0.10"}],
            "variables": {
                "OPENAI_API_KEY": "sk-1",
                "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.server_port}/v1",
            },
        },
        requests=16,
    )
    (budget,) = counters_of(database, "all")
    passed = sum(int(str(one["passed"])) for one in told)
    usd = sum(Decimal(str(one["usd"])) for one in told)

    assert passed == upstream.answered == 12
    assert usd == passed * Decimal("0.008016") == Decimal(budget.used) / 10**9 <= Decimal("0.10")
    assert budget.reserved == 0
    assert {limit for one in told for limit in one["refusals"]} == {"usd_per_day"}  # type: ignore[attr-defined]  # JSON


def test_of_160_requests_a_minute_from_4_processes_exactly_100_pass(tmp_path: Path) -> None:
    database = tmp_path / "dynaroute.db"

    async def make_key() -> str:
        async with open_store(database) as store:
            return (await Accounts(store, load_catalog(), AMBIENT).generate_key("alice", sandbox=True)).secret

    told = spend_together(
        {"database": str(database), "discover_local": False, "api_key": anyio.run(make_key)}, requests=40
    )
    used = spent("alice", counters_of(database, "sandbox:alice"), NOW, sandbox=True)

    assert sum(int(str(one["passed"])) for one in told) == 100
    assert (used.requests_this_minute, used.requests_today) == (100, 100)
    assert {limit for one in told for limit in one["refusals"]} == {"requests_per_minute"}  # type: ignore[attr-defined]  # JSON
