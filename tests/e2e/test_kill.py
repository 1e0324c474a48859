"""`kill -9` at any instant: what a provider answered is in the books, in full or as a maximum that stands in flight."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from llmock.journal import Journal
from llmock.scenarios import Reply
from llmock.simulation import estimate_tokens
from llmock.testing import LLMockServer
from tests.e2e.killed import request_id
from tests.e2e.matrix_stage import CALLS, PRICES, SAID

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.limits import owner_scope
from dynaroute_mcp.runtime import AMBIENT
from dynaroute_mcp.store.base import CallFilter, CallRow
from dynaroute_mcp.store.sqlite import open_store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

ROUNDS = 6
NUMBERS_A_ROUND = 100_000


@pytest.fixture
def provider() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        server.state.journal = Journal(capacity=1_000_000)
        server.state.scenarios.add(Reply(text=SAID["llmock"], times=None))
        yield server


def run_and_kill(folder: Path, first: int, base_url: str, after_s: float) -> None:
    """Let a process ask until it is killed, some time after its first answer."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.killed", str(folder), str(first), base_url],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
        threading.Timer(after_s, process.kill).start()
        process.wait(20)


def answered(server: LLMockServer) -> Mapping[str, int]:
    """Input tokens that the provider counted, for every call that it answered to the end, by our request id."""
    whole = [one for one in server.state.journal.records(wait=5) if one.status == 200 and one.completed]
    texts = [one.body["messages"][-1]["content"] for one in whole]
    return {request_id(int(text.split()[1])): estimate_tokens(text) for text in texts}


async def rows_of(folder: Path) -> dict[str, CallRow]:
    async with open_store(folder / "dynaroute.db") as store:
        return {row.intent.request_id: row async for row in store.calls(CallFilter())}


async def test_what_was_answered_before_a_kill_is_in_the_books(
    tmp_path: Path, provider: LLMockServer
) -> None:
    chance = random.Random(4)
    for number in range(ROUNDS):
        run_and_kill(
            tmp_path, number * NUMBERS_A_ROUND, provider.base_url("openai"), chance.uniform(0.02, 0.4)
        )

    paid, rows = answered(provider), await rows_of(tmp_path)

    output_tokens = estimate_tokens(SAID["llmock"])
    price_in, price_out = PRICES["primary"]
    assert len(paid) > ROUNDS * 5
    assert not paid.keys() - rows.keys()
    for request, input_tokens in paid.items():
        row, cost = rows[request], (price_in * input_tokens + price_out * output_tokens) / 1_000_000
        if row.outcome is None:
            assert row.status == "in_flight"
            assert row.intent.reserved_usd is not None
            assert row.intent.reserved_usd >= cost
        else:
            assert (row.status, row.outcome.usage.input_tokens) == ("ok", input_tokens)
            assert row.outcome.usage.output_tokens == output_tokens
            assert row.outcome.cost is not None
            assert row.outcome.cost.total_usd == cost


async def test_what_stands_in_flight_is_lost_after_its_deadline_and_keeps_its_maximum(
    tmp_path: Path, provider: LLMockServer
) -> None:
    run_and_kill(tmp_path, 0, provider.base_url("openai"), 0.1)
    before = await rows_of(tmp_path)
    flying = {request: row for request, row in before.items() if row.status == "in_flight"}

    async with open_store(tmp_path / "dynaroute.db") as store:
        early = await store.mark_lost(AMBIENT.clock() - timedelta(minutes=1))
        lost = await store.mark_lost(AMBIENT.clock() + timedelta(seconds=CALLS.total_s + 1))
        counters = await store.counters([owner_scope(LOCAL.owner, sandbox=False)])
    after = await rows_of(tmp_path)

    assert (early, lost) == (0, len(flying))
    assert {row.status for row in after.values()} <= {"ok", "lost"}
    assert {after[request].status for request in flying} <= {"lost"}
    maxima = [row.intent.reserved_usd for row in flying.values() if row.intent.reserved_usd is not None]
    costs = [row.outcome.cost.total_usd for row in before.values() if row.outcome and row.outcome.cost]
    charged = sum(row.used + row.reserved for row in counters if row.metric == "nano_usd")
    assert charged == 10**9 * (sum(maxima, Decimal(0)) + sum(costs, Decimal(0)))
