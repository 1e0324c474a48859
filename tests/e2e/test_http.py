"""The HTTP process: real sockets, both transports, both eras, and a clean end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from tests.faces.mcp_clients import Era, data

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

ADMIN = "the-operators-admin-token"
SERVE = "import sys; from dynaroute_mcp.cli import main; main()"


class HttpServer:
    """`dynaroute serve` in a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        config = folder / "config.yaml"
        config.write_text("discover_local: false\n", encoding="utf-8")
        env = {
            **os.environ,
            "HOME": str(folder),
            "DYNAROUTE_CONFIG": str(config),
            "DYNAROUTE_DATABASE": str(folder / "dynaroute.db"),
            "DYNAROUTE_ADMIN_TOKEN": ADMIN,
        }
        self.log = (folder / "stderr.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "serve", "--port", str(port)], env=env, stderr=self.log
        )

    def wait_until_up(self) -> None:
        ends_at = time.monotonic() + 20
        while time.monotonic() < ends_at:
            try:
                httpx2.get(f"{self.base}/health", timeout=1).raise_for_status()
            except httpx2.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(self.logged())

    def logged(self) -> str:
        return Path(self.log.name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = HttpServer(tmp_path_factory.mktemp("http"), port)
    try:
        started.wait_until_up()
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        started.log.close()


@asynccontextmanager
async def over(server: HttpServer, how: str, era: Era, key: str = ADMIN) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as wire:
        transport: AbstractAsyncContextManager[Any] = (
            sse_client(f"{server.base}/sse", headers=headers)
            if how == "sse"
            else streamable_http_client(f"{server.base}/mcp", http_client=wire)
        )
        async with Client(transport, mode=era) as client:
            yield client


@pytest.mark.parametrize(
    ("how", "era"), [("streamable", "auto"), ("streamable", "legacy"), ("sse", "legacy"), ("sse", "auto")]
)
async def test_a_prompt_is_answered_over_each_transport(server: HttpServer, how: str, era: Era) -> None:
    told: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with over(server, how, era) as client:
        tools = (await client.list_tools()).tools
        routed = data(
            await client.call_tool("dynaroute_route_prompt", {"prompt": '{"a":1}'}, progress_callback=listen)
        )

    assert len(tools) == 11
    assert (routed["sandbox"], routed["recorded"]) == (True, True)
    assert told


async def test_a_key_made_by_the_admin_works_on_the_next_request_and_stops_when_revoked(
    server: HttpServer,
) -> None:
    async with over(server, "streamable", "auto") as admin:
        made = data(await admin.call_tool("dynaroute_generate_api_key", {"user_id": "alice"}))
        async with over(server, "streamable", "auto", made["api_key"]) as alice:
            before = data(await alice.call_tool("dynaroute_get_subscription", {}))
            data(await admin.call_tool("dynaroute_revoke_api_key", {"api_key": made["api_key"]}))
    reply = httpx2.post(f"{server.base}/mcp", json={}, headers={"Authorization": f"Bearer {made['api_key']}"})

    assert before["user_id"] == "alice"
    assert reply.status_code == 401


async def test_many_sse_connections_come_and_go_on_one_core(server: HttpServer) -> None:
    async def visit() -> None:
        async with over(server, "sse", "legacy") as client:
            data(await client.call_tool("dynaroute_classify_prompt", {"prompt": "Hello"}))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(visit)
    reply = httpx2.get(f"{server.base}/health")

    assert reply.json() == {"status": "ok"}


async def test_a_foreign_page_and_a_foreign_name_are_refused_on_the_wire(server: HttpServer) -> None:
    by_name = httpx2.post(f"{server.base}/mcp", json={}, headers={"Host": "evil.example:8080"})
    by_page = httpx2.post(f"{server.base}/mcp", json={}, headers={"Origin": "https://evil.example"})
    by_stranger = httpx2.get(f"{server.base}/sse")

    assert (by_name.status_code, by_page.status_code, by_stranger.status_code) == (421, 403, 401)


async def test_a_signal_ends_it_while_a_stream_is_open(server: HttpServer) -> None:
    """The last test of this file: it ends the server that the others use."""
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as client,
        client.stream("GET", f"{server.base}/sse"),
    ):
        server.process.send_signal(signal.SIGTERM)
        code = await anyio.to_thread.run_sync(server.process.wait, 10)

    assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in server.logged()
