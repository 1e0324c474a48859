"""The gateway in process: a scripted core behind it, an HTTP client before it, and a stream read as it comes."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
from starlette.types import ASGIApp
from tests.scripted import Script, Time, scripted_core, settings

from dynaroute_mcp.accounts import Accounts, Terms
from dynaroute_mcp.gateway.app import create_app
from dynaroute_mcp.gateway.receiving import hang_up
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.taxonomy import Strategy

ADMIN = "admin-token-of-the-operator"
CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Door:
    """A gateway with somebody in front of it."""

    app: ASGIApp
    core: Core
    script: Script
    time: Time
    key: str = ""
    stranger: httpx2.AsyncClient = field(init=False)
    client: httpx2.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.stranger, self.client = self.speaker(), self.speaker(self.key)

    def speaker(self, key: str | None = None, address: str = "127.0.0.1") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False, client=(address, 1))
        return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers)

    async def key_for(self, owner: str, *, sandbox: bool = False, **terms: Any) -> str:
        new = await self.core.accounts.generate_key(owner, sandbox=sandbox, terms=Terms(**terms))
        return new.secret

    def let_accounts_be(self, kind: type[Accounts]) -> None:
        """Put other accounts on the same store."""
        accounts = kind(self.core.store, self.core.availability.catalog, self.time.ambient())
        self.core = replace(self.core, accounts=accounts)

    async def chat(self, **fields: Any) -> httpx2.Response:
        return await self.client.post(CHAT, json=HELLO | fields)

    async def events(self, **fields: Any) -> list[Any]:
        response = await self.chat(stream=True, **fields)
        assert response.status_code == 200, response.text
        return events_in(response.text)


@asynccontextmanager
async def door(folder: Path, script: Script | None = None, **fields: Any) -> AsyncIterator[Door]:
    """A gateway, and alice of the free plan before it."""
    script, time = script or Script(), Time()
    async with scripted_core(settings(folder, admin_token=ADMIN, **fields), script, time=time) as core:

        async def current() -> Core:
            return at.core

        app = create_app(current, time.ambient(), allowed_hosts={"router.example"})
        new = await core.accounts.generate_key("alice", terms=Terms(strategy=Strategy.BALANCED))
        at = Door(app=app, core=core, script=script, time=time, key=new.secret)
        yield at


def events_in(text: str) -> list[Any]:
    """The events of a stream; `[DONE]` as a word."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


@dataclass
class Wire:
    """One request spoken in ASGI, for what an HTTP client hides: pieces, silence and hanging up."""

    app: ASGIApp
    headers: dict[str, str]
    path: str = CHAT
    sent: list[dict[str, Any]] = field(default_factory=list)
    on_sent: Callable[[], None] = lambda: None
    scope: dict[str, Any] = field(default_factory=dict)
    hung_up: anyio.Event = field(default_factory=anyio.Event)

    def hang_up(self) -> None:
        """Leave, as a connection tells it."""
        self.hung_up.set()
        hang_up(self.scope)

    async def ask(self, *pieces: bytes, more: bool = False) -> None:
        """Send a body in pieces and wait for the answer; with `more` the last piece is not the end."""
        left = list(pieces)

        async def receive() -> dict[str, Any]:
            if left:
                body = left.pop(0)
                return {"type": "http.request", "body": body, "more_body": bool(left) or more}
            await self.hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)
            self.on_sent()

        raw = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        self.scope |= {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8000"), *raw],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        await self.app(self.scope, receive, send)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])
