"""Clients of the MCP server under test, in memory and over HTTP in process, in both protocol eras."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from pydantic import SecretStr
from starlette.applications import Starlette

from dynaroute_mcp.mcp_server.opening import LazyCore
from dynaroute_mcp.mcp_server.server import build
from dynaroute_mcp.mcp_server.web import create_app
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.settings import Settings

Era = Literal["auto", "legacy"]
"""`auto` speaks 2026-07-28, `legacy` 2025-11-25."""

ADMIN = "the-operators-admin-token"


@asynccontextmanager
async def already(core: Core) -> AsyncIterator[Core]:
    """An opener of a core that a test has opened and will close."""
    yield core


def lazy(core: Core) -> LazyCore:
    return LazyCore(lambda: already(core))


def in_memory(core: Core, era: Era = "auto") -> Client:
    return Client(build(lazy(core)), mode=era)


def app_of(core: Core, *, admin: str | None = ADMIN) -> Starlette:
    chosen: Settings = core.settings.model_copy(update={"admin_token": SecretStr(admin) if admin else None})
    return create_app(chosen, core=lazy(replace(core, settings=chosen)))


@asynccontextmanager
async def http(app: Starlette, **headers: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Plain HTTP to a running app."""
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as client,
    ):
        yield client


@asynccontextmanager
async def over_http(app: Starlette, key: str, era: Era = "auto") -> AsyncIterator[Client]:
    """An MCP client over streamable HTTP to a running app."""
    async with http(app, Authorization=f"Bearer {key}") as wire:
        transport: AbstractAsyncContextManager[Any] = streamable_http_client(
            "http://127.0.0.1:8000/mcp", http_client=wire
        )
        async with Client(transport, mode=era) as client:
            yield client


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def data(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text(result)
    found: dict[str, Any] = result.structured_content or {}
    return found
