"""Both faces on one core: who gets which request, and what happens when the configuration is read anew."""

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
from pydantic import SecretStr
from tests.scripted import Script, scripted_core, settings

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.serving import Front, Hub, serve
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Strategy

TOKEN = "admin-token-of-the-operator"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"messages": [{"role": "user", "content": "Hello"}]}


class Cores:
    """Opens scripted cores, and notes which were closed."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.closed: list[Strategy] = []

    @asynccontextmanager
    async def __call__(self, chosen: Settings) -> AsyncIterator[Core]:
        if chosen.exclude == ("nonsense",):
            raise ConfigurationInvalid("exclude: nobody has this name")
        async with scripted_core(chosen, self.script) as core:
            yield core
        self.closed.append(chosen.strategy)


@asynccontextmanager
async def client_of(front: Front) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=front.app)
    async with (
        front.app.lifespan_context(front.app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=ADMIN) as client,
    ):
        yield client


async def test_each_face_gets_its_own_requests(tmp_path: Path) -> None:
    front = Front(settings(tmp_path, admin_token=TOKEN), "all", (), opener=Cores())
    async with client_of(front) as client:
        answers = {
            path: (await client.request(method, path, json={})).json()
            for method, path in (
                ("GET", "/health"),
                ("POST", "/v1/classify"),
                ("POST", "/mcp"),
                ("GET", "/sso"),
            )
        }

    assert answers["/health"] == {"status": "ok"}
    assert answers["/v1/classify"]["error"]["param"] == "prompt"
    assert answers["/sso"]["error"]["code"] == 404
    assert "request_id" not in str(answers["/mcp"])


@pytest.mark.parametrize(("transport", "path"), [("sse", "/mcp"), ("streamable-http", "/sse")])
async def test_a_transport_that_was_not_asked_for_is_not_there(
    tmp_path: Path, transport: str, path: str
) -> None:
    chosen = settings(tmp_path, admin_token=TOKEN)
    front = Front(chosen, transport, (), opener=Cores())  # type: ignore[arg-type]
    async with client_of(front) as client:
        response = await client.post(path, json={})

    assert response.status_code == 404


async def test_a_request_keeps_its_core_while_later_ones_get_the_new_one(tmp_path: Path) -> None:
    class Slow(Script):
        async def before(self, call: object) -> None:
            if len(self.calls) == 1:
                began.set()
                await go_on.wait()

    began, go_on = anyio.Event(), anyio.Event()
    first = settings(tmp_path, admin_token=TOKEN)
    second = first.model_copy(update={"strategy": Strategy.BEST})
    cores, told = Cores(Slow()), list[str]()
    front = Front(first, "all", (), reread=lambda: second, opener=cores)

    async def ask() -> None:
        answer = await client.post("/v1/chat/completions", json=BODY)
        told.append(answer.json()["_custom_routing_info"]["strategy"])

    async with client_of(front) as client, anyio.create_task_group() as group:
        group.start_soon(ask)
        await began.wait()
        await front.renew()
        await ask()
        still_open = list(cores.closed)
        go_on.set()
        with anyio.fail_after(3):
            while not cores.closed:
                await anyio.lowlevel.checkpoint()

    assert told == ["best", "balanced"]
    assert still_open == []
    assert cores.closed == [Strategy.BALANCED, Strategy.BEST]


async def test_a_new_admin_token_opens_both_faces_and_the_old_one_neither(tmp_path: Path) -> None:
    first = settings(tmp_path, admin_token=TOKEN)
    second = first.model_copy(update={"admin_token": SecretStr("another")})
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    accept = {"Accept": "application/json, text/event-stream"}
    front = Front(first, "all", (), reread=lambda: second, opener=Cores())

    async def statuses(token: str) -> list[int]:
        headers = {"Authorization": f"Bearer {token}", **accept}
        return [
            (await client.get("/v1/keys", headers=headers)).status_code,
            (await client.post("/mcp", json=ping, headers=headers)).status_code,
        ]

    async with client_of(front) as client:
        before = [await statuses(TOKEN), await statuses("another")]
        await front.renew()
        after = [await statuses(TOKEN), await statuses("another")]

    assert before[1] == after[0] == [401, 401]
    assert 401 not in before[0] + after[1]


@pytest.mark.parametrize("fault", ["settings", "catalog", "unforeseen"])
async def test_a_wrong_configuration_leaves_the_old_one(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = settings(tmp_path, admin_token=TOKEN)

    def reread() -> Settings:
        if fault == "settings":
            raise ConfigurationInvalid("strategy: no such")
        if fault == "unforeseen":
            raise RuntimeError("nobody thought of this")
        return first.model_copy(update={"exclude": ("nonsense",)})

    front = Front(first, "all", (), reread=reread, opener=Cores())
    async with client_of(front) as client:
        await front.renew()
        response = await client.post("/v1/chat/completions", json=BODY)

    assert response.status_code == 200
    assert "the configuration was not taken" in caplog.text


async def test_a_core_that_is_closed_leaves_nothing_in_memory(tmp_path: Path) -> None:
    def catalogs() -> int:
        gc.unfreeze()  # else those that are kept for good would not be counted
        return sum(isinstance(each, Catalog) for each in gc.get_objects())

    chosen = settings(tmp_path, admin_token=TOKEN, variables={})
    front = Front(chosen, "all", (), reread=lambda: chosen)
    before = catalogs()
    async with client_of(front) as client:
        for _ in range(5):
            assert (await client.post("/v1/chat/completions", json=BODY)).status_code == 200
            await front.renew()
        with anyio.fail_after(5):
            while catalogs() > before + 2:  # of the last core, and of the first, which is never given back
                await anyio.lowlevel.checkpoint()


@pytest.mark.skipif(os.name != "posix", reason="SIGHUP is of POSIX")
async def test_hangups_while_the_configuration_is_read_ask_for_one_more_reading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen, go_on, readings = settings(tmp_path, admin_token=TOKEN), threading.Event(), list[int]()

    def reread() -> Settings:
        readings.append(1)
        assert go_on.wait(5)
        return chosen

    front = Front(chosen, "all", (), reread=reread, opener=Cores())
    async with client_of(front):
        await anyio.wait_all_tasks_blocked()
        for _ in range(20):
            os.kill(os.getpid(), signal.SIGHUP)
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
        go_on.set()
        with anyio.fail_after(5):
            while caplog.text.count("was read anew") < 2:
                await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()

    assert len(readings) == 2


@pytest.mark.parametrize("path", ["/mcp/other", "/sse/other", "/mcpx"])
async def test_what_only_begins_like_an_address_of_mcp_gets_the_envelope(tmp_path: Path, path: str) -> None:
    first = settings(tmp_path, admin_token=TOKEN)
    async with client_of(Front(first, "all", (), opener=Cores())) as client:
        response = await client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})

    assert response.status_code == response.json()["error"]["code"] == 404


async def test_a_hub_that_cannot_open_its_first_core_says_why(tmp_path: Path) -> None:
    chosen = settings(tmp_path, exclude=["nonsense"])
    with pytest.raises(ExceptionGroup) as raised:
        async with Hub(Cores()).running(chosen):
            raise AssertionError("never reached")

    assert raised.group_contains(ConfigurationInvalid)


def test_an_address_open_to_others_needs_an_admin_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="admin token"):
        serve(settings(tmp_path), "0.0.0.0")


def test_a_gateway_that_nobody_speaks_mcp_to_does_not_load_it() -> None:
    code = (
        "import sys, dynaroute_mcp.serving;"
        "print([name for name in ('mcp', 'mcp_types', 'httpx2') if name in sys.modules])"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=10
    )

    assert shown.stdout.strip() == "[]"
