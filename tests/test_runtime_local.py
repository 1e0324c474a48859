"""Beside the requests of a real core: the books teach it how models did, and local models are tested in quiet moments."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.e2e.local_server import LocalServer, local_server
from tests.scripted import ASK, LUNA, START, Script, failure, scripted_core, settings
from tests.test_calling import calling
from tests.test_runtime import offline

from dynaroute_mcp import runtime
from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import ProviderUnavailable
from dynaroute_mcp.health import Health
from dynaroute_mcp.providers import discovery
from dynaroute_mcp.router import Lane
from dynaroute_mcp.runtime import AMBIENT, Core, open_core
from dynaroute_mcp.runtime import _test_local as examine_local
from dynaroute_mcp.settings import BreakerSettings, Settings
from dynaroute_mcp.taxonomy import Level


async def until(core: Core, tested: int) -> list[str]:
    """Wait until so many models were tested, and tell with what each one is trusted."""
    assert core.local is not None
    with anyio.fail_after(4):
        while sum(each.note is not None for each in core.local.found) < tested:  # noqa: ASYNC110 -- the work in the background tells nobody
            await anyio.sleep(0.01)
    return [core.availability.catalog.get_model(each.model.id).note for each in core.local.found]


def looking_at(server: LocalServer, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Settings:
    """Settings of a machine on which only this server may be found."""
    monkeypatch.setattr(runtime, "_TESTS_AFTER_S", 0.01)
    monkeypatch.setattr(discovery, "ADDRESSES", {server.kind: server.address})
    monkeypatch.setattr(runtime, "discover", lambda wire: discovery.discover(wire, discovery.ADDRESSES))
    return offline(folder, discover_local=True)


async def test_a_process_learns_from_the_books_once_somebody_asks(tmp_path: Path) -> None:
    script = Script(always=failure(ProviderUnavailable))
    async with scripted_core(settings(tmp_path), script) as core:
        with pytest.raises(ProviderUnavailable):
            await core.router.complete(replace(ASK, model=LUNA), LOCAL)

    later = replace(AMBIENT, clock=lambda: START.replace(minute=5))
    chosen = offline(tmp_path, variables={"OPENAI_API_KEY": "sk-1"}, check_models=False)
    chosen = chosen.model_copy(update={"database": tmp_path / "dynaroute.db"})
    async with open_core(chosen, later) as core:
        await anyio.wait_all_tasks_blocked()
        assert core.reports.vitals_here() == ()

        await core.router.choose(ASK, LOCAL)
        with anyio.fail_after(4):
            while not core.reports.vitals_here():  # noqa: ASYNC110 -- the work in the background tells nobody
                await anyio.sleep(0.001)
        (row,) = core.reports.vitals_here()

    assert (row.id, row.figures.failures) == (LUNA, 2)


@pytest.mark.parametrize("kind", ["ollama", "llamacpp", "lmstudio", "vllm"])
async def test_a_model_of_each_product_is_tested_and_trusted_in_the_background(
    kind: discovery.ServerKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_server(kind) as server:
        async with open_core(looking_at(server, monkeypatch, tmp_path)) as core:
            assert await until(core, 1) == ["self-test of " + f"{AMBIENT.clock().date()}: level 3"]
            (listing,) = await core.reports.models(provider=kind)
            answer = await core.router.complete(ASK, LOCAL)
            health = core.reports.vitals_here()

        async with open_core(looking_at(server, monkeypatch, tmp_path)) as core:
            (again,) = await core.reports.models(provider=kind)

    assert listing.levels == again.levels == (Level.L1, Level.L2, Level.L3)
    assert listing.model.context_tokens == 8_192
    assert answer.provider == kind
    assert answer.cost is not None
    assert answer.cost.total_usd == 0
    assert [row.id for row in health] == [f"{kind}/m"]
    assert server.chats == 2  # the test, and the answer


@pytest.mark.parametrize("ill", ["garbage", "endless", "slow", "refusing", "dumb"])
async def test_a_local_server_that_misbehaves_is_trusted_with_nothing_and_stops_nobody(
    ill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynaroute_mcp.providers.self_test.TIMEOUT_S", 0.2)
    async with local_server("ollama", ill) as server:
        chosen = looking_at(server, monkeypatch, tmp_path)
        async with open_core(chosen) as core:
            (note,) = await until(core, 1)
            model = core.availability.catalog.get_model("ollama/m")

    assert model.quality["text"].value == 0.0
    assert note.endswith("level 0") if ill == "dumb" else note.startswith("did not answer")


@pytest.mark.parametrize("ill", ["garbage", "endless", "slow", "refusing"])
async def test_a_listing_that_misbehaves_is_no_server(
    ill: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        local_server("vllm", listing=ill) as server,
        open_core(looking_at(server, monkeypatch, tmp_path)) as core,
    ):
        with anyio.fail_after(4):
            answer = await core.router.complete(ASK, LOCAL)

    assert answer.sandbox
    assert server.chats == 0


async def test_models_are_not_tested_where_the_operator_does_not_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_server("ollama") as server:
        chosen = looking_at(server, monkeypatch, tmp_path).model_copy(update={"test_local": False})
        async with open_core(chosen) as core:
            await core.availability.ready()
            await anyio.sleep(0.05)

    assert server.chats == 0


async def test_while_somebody_is_answered_nobody_is_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane(calling=calling(Script()), health=Health(BreakerSettings()))
    async with (
        local_server("ollama") as server,
        open_core(looking_at(server, monkeypatch, tmp_path).model_copy(update={"test_local": False})) as core,
        anyio.create_task_group() as tasks,
    ):
        with lane.calling.running:
            tasks.start_soon(partial(examine_local, core.local, core.availability, lane, tests=True))
            await anyio.sleep(0.1)
            assert server.chats == 0
        await until(core, 1)

    assert server.chats == 1
    assert [row.id for row in lane.health.snapshot(AMBIENT.clock())] == ["ollama/m"]
