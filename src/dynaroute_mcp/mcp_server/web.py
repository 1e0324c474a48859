"""MCP over HTTP: streamable HTTP at `/mcp`, the older SSE at `/sse`, behind one gate.

Loopback is the default. Without an admin token nothing else is listened on, and a request needs a DynaRoute
key even on loopback: any page and any user of this machine can reach a loopback port.
"""

import contextlib
from collections.abc import AsyncIterator, Collection
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from dynaroute_mcp.mcp_server.bodies import MAX_BODY_BYTES, Bodies
from dynaroute_mcp.mcp_server.gate import Gate
from dynaroute_mcp.mcp_server.opening import LazyCore, with_settings
from dynaroute_mcp.mcp_server.server import build

if TYPE_CHECKING:
    from dynaroute_mcp.settings import Settings

Transport = Literal["sse", "streamable-http", "http"]
"""`http` is both."""

MAX_SESSIONS: Final = 1_000
SESSION_IDLE_S: Final = 600.0


def create_app(
    settings: "Settings",
    *,
    core: LazyCore | None = None,
    transport: Transport = "http",
    allowed_hosts: Collection[str] = (),
) -> Starlette:
    """Make the ASGI app.

    Args:
        settings: of this process; its admin token opens everything.
        core: by default one of its own, with these settings.
        transport: which routes it has.
        allowed_hosts: names other than loopback and bare addresses under which it is reached.
    """
    core = core or LazyCore(partial(with_settings, settings))
    server = build(core)
    guarded = TransportSecuritySettings(
        enable_dns_rebinding_protection=False
    )  # the gate has checked both headers
    routes: list[BaseRoute] = [Route("/health", _health)]
    streamable = server.streamable_http_app(
        transport_security=guarded,
        max_request_body_size=MAX_BODY_BYTES,
        max_sessions=MAX_SESSIONS,
        session_idle_timeout=SESSION_IDLE_S,
    )
    if transport != "sse":
        routes += streamable.routes
    if transport != "streamable-http":
        older = server.sse_app(transport_security=guarded, max_request_body_size=MAX_BODY_BYTES)
        routes += [_once(route) for route in older.routes]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with server.session_manager.run():  # holds the core for the SSE connections too
            yield

    gate = Middleware(Gate, core=core, allowed_hosts=allowed_hosts)
    return Starlette(routes=routes, lifespan=lifespan, middleware=[gate, Middleware(Bodies)])


def _once(route: BaseRoute) -> BaseRoute:
    """Let only the SSE route's first response out: after a stream mcp 2.3.0 sends an empty second one."""
    if not isinstance(route, Route):
        return route
    inner = route.app

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        starts = 0

        async def first(message: Message) -> None:
            nonlocal starts
            starts += message["type"] == "http.response.start"
            if starts <= 1:
                await send(message)

        await inner(scope, receive, first)

    route.app = stream
    return route


async def _health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})
