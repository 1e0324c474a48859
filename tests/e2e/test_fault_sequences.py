"""What several requests in a row meet: a breaker that opens, probes and closes, and clients that leave early."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from llmock.scenarios import Behavior, Delay, Fail, Reply
from llmock.testing import LLMockServer
from tests.e2e.matrix_stage import AT_ONCE, MODELS, SAID, arrived, overlay, settings
from tests.e2e.rawstreams import STREAMS
from tests.faces.mcp_clients import in_memory
from tests.providers.rawexchange import Exchange, events, head
from tests.providers.rawserver import DIALECTS, DialectName, Fault, RawServer, raw_server

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import DeadlinePassed
from dynaroute_mcp.runtime import AMBIENT, Core, open_core
from dynaroute_mcp.settings import BreakerSettings
from dynaroute_mcp.store.base import CallFilter, CallRow
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import Answer, ChatRequest, Message, Routing, Text

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(30)]

BREAKER = BreakerSettings(failures=5, within_s=30, open_s=3)


@dataclass
class Clock:
    """The wall clock, put forward as a test likes."""

    ahead: timedelta = field(default_factory=timedelta)

    def pass_s(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass(kw_only=True)
class Pair:
    """A primary that can be told to fail, a healthy fallback, and a core with its breaker on."""

    primary: LLMockServer
    fallback: LLMockServer
    core: Core
    clock: Clock
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def tell(self, *behaviours: Behavior) -> None:
        """Start afresh with the primary doing this."""
        for server, name in ((self.primary, "llmock"), (self.fallback, "fallback")):
            server.state.reset()
            server.state.scenarios.add(Reply(text=SAID[name], times=None))
        self.primary.state.scenarios.add(*behaviours)

    async def ask(self) -> Answer:
        return await self.core.router.complete(asking(f"Hello number {next(self.numbers)}"), LOCAL)


def asking(text: str) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", parts=(Text(text=text),)),), routing=Routing(level_override=Level.L1)
    )


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    clock = Clock()
    ambient = replace(AMBIENT, clock=lambda: AMBIENT.clock() + clock.ahead)
    with LLMockServer() as primary, LLMockServer() as fallback:
        catalog = overlay(primary.base_url("openai"), "openai", fallback.base_url("openai"))
        chosen = settings(tmp_path, catalog, breaker=BREAKER, calls=AT_ONCE)
        async with open_core(chosen, ambient) as core:
            yield Pair(primary=primary, fallback=fallback, core=core, clock=clock)


OUTAGE = Fail(503, retry_after=0.01, times=None)


async def test_a_model_that_keeps_failing_is_left_alone_and_nobody_notices(pair: Pair) -> None:
    pair.tell(OUTAGE)

    answers = [await pair.ask() for _ in range(12)]

    assert {answer.model_id for answer in answers} == {MODELS["fallback"]}
    assert arrived(pair.primary) == BREAKER.failures
    assert arrived(pair.fallback) == 12
    assert any("cooling" in loser.reason for loser in answers[-1].choice.losers)


async def test_one_probe_that_succeeds_brings_it_back(pair: Pair) -> None:
    pair.tell(OUTAGE)
    for _ in range(2):
        await pair.ask()
    pair.tell()

    early = await pair.ask()
    pair.clock.pass_s(3.5)
    later = [await pair.ask() for _ in range(3)]

    assert early.model_id == MODELS["fallback"]
    assert [answer.model_id for answer in later] == [MODELS["primary"]] * 3
    assert arrived(pair.primary) == 3


async def test_a_probe_that_fails_is_one_request_and_shuts_it_out_again(pair: Pair) -> None:
    pair.tell(OUTAGE)
    for _ in range(2):
        await pair.ask()
    pair.tell(OUTAGE)
    pair.clock.pass_s(3.5)

    answers = [await pair.ask() for _ in range(3)]

    assert {answer.model_id for answer in answers} == {MODELS["fallback"]}
    assert arrived(pair.primary) == 1


async def test_of_many_at_once_one_probes(pair: Pair) -> None:
    pair.tell(OUTAGE)
    for _ in range(2):
        await pair.ask()
    pair.tell(Delay(0.1, times=None))
    pair.clock.pass_s(3.5)
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await pair.ask())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(ask)

    assert sorted(answer.model_id for answer in answers) == [MODELS["fallback"]] * 7 + [MODELS["primary"]]


async def test_a_rate_limit_cools_without_counting_as_failure(pair: Pair) -> None:
    pair.tell(Fail(429, retry_after=60, times=None))

    answers = [await pair.ask() for _ in range(12)]
    pair.clock.pass_s(61)
    pair.tell()
    after = await pair.ask()

    assert {answer.model_id for answer in answers} == {MODELS["fallback"]}
    assert after.model_id == MODELS["primary"]


async def test_the_last_one_left_is_asked_however_it_fared(pair: Pair) -> None:
    pair.tell(OUTAGE)
    for _ in range(2):
        await pair.ask()
    pair.tell()
    alone = replace(asking("Hello?"), routing=Routing(exclude=frozenset({"fallback"})))

    answer = await pair.core.router.complete(alone, LOCAL)

    assert answer.model_id == MODELS["primary"]


# ---------------------------------------------------------------- clients that leave


@asynccontextmanager
async def pouring(
    folder: Path, dialect: DialectName, kind: str = "endless"
) -> AsyncIterator[tuple[Core, RawServer]]:
    """A core before a provider that never comes to an end."""
    async with raw_server(STREAMS) as raw:
        raw.faults.append(Fault(kind=kind, times=None, delay=0.02))
        catalog = overlay(raw.base_url(dialect), dialect, "http://127.0.0.1:9/v1")
        async with open_core(settings(folder, catalog, alone=True)) as core:
            yield core, raw


async def only_row(core: Core) -> CallRow:
    (row,) = [row async for row in core.store.calls(CallFilter())]
    return row


async def check_left(core: Core, raw: RawServer) -> None:
    with anyio.fail_after(3):
        await raw.left.wait()
    row = await only_row(core)
    assert len(raw.seen) == 1
    assert row.status == "cancelled"
    assert row.outcome is not None
    assert row.outcome.cost is not None
    assert row.outcome.cost.total_usd > 0
    assert row.outcome.usage.source == "estimated"
    assert row.outcome.usage.output_tokens > 0


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_client_that_stops_reading_pays_for_what_it_got(tmp_path: Path, dialect: DialectName) -> None:
    async with pouring(tmp_path, dialect) as (core, raw):
        async with core.router.stream(asking("Count, please."), LOCAL) as routed:
            coming = aiter(routed)
            for _ in range(5):
                await anext(coming)

        await check_left(core, raw)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_client_that_is_cut_off_pays_for_what_it_got(tmp_path: Path, dialect: DialectName) -> None:
    async with pouring(tmp_path, dialect) as (core, raw):
        with anyio.move_on_after(0.3):
            async with core.router.stream(asking("Count, please."), LOCAL) as routed:
                async for _ in routed:
                    pass

        await check_left(core, raw)


async def test_a_host_that_cancels_the_tool_call_pays_for_what_had_come(tmp_path: Path) -> None:
    async with pouring(tmp_path, "openai") as (core, raw), in_memory(core) as client:
        with anyio.move_on_after(0.5):
            await client.call_tool("dynaroute_route_prompt", {"prompt": "Count.", "level_override": 1})

        await check_left(core, raw)


async def test_a_deadline_gives_the_text_that_had_come(tmp_path: Path) -> None:
    async with pouring(tmp_path, "anthropic") as (core, raw):

        async def told(_: str) -> None:
            return

        answer = await core.router.complete_within(asking("Count, please."), LOCAL, 0.4, told)
        row = await only_row(core)

    assert (answer.truncated, answer.recorded) == (True, True)
    assert answer.completion.message.text.startswith("Paris")
    assert row.status == "cancelled"
    assert answer.cost is not None
    assert answer.cost.total_usd > 0
    assert len(raw.seen) == 1


async def test_a_deadline_before_any_text_is_told_and_recorded(tmp_path: Path) -> None:
    async with pouring(tmp_path, "gemini", "silence") as (core, raw):

        async def told(_: str) -> None:
            return

        with pytest.raises(DeadlinePassed):
            await core.router.complete_within(asking("Count, please."), LOCAL, 0.2, told)
        row = await only_row(core)

    assert row.status in {"cancelled", "error"}
    assert len(raw.seen) == 1


async def test_a_slow_reader_slows_the_provider_down(tmp_path: Path) -> None:
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        word = events(exchange)[0].replace(b"Paris", b"x" * 100_000)
        await exchange.send(head(200, {"content-type": "text/event-stream"}))
        while True:
            await exchange.send(word)
            sent += len(word)

    async with raw_server({"flood": flood}) as raw:
        raw.faults.append(Fault(kind="flood", times=None))
        catalog = overlay(raw.base_url("openai"), "openai", "http://127.0.0.1:9/v1")
        async with (
            open_core(settings(tmp_path, catalog, alone=True)) as core,
            core.router.stream(asking("Pour, please."), LOCAL) as routed,
        ):
            await anext(aiter(routed))
            before = -1
            while sent > before:  # until the pipe between the two is full
                before = sent
                await anyio.sleep(0.1)

    assert sent < 16 * 1024 * 1024
