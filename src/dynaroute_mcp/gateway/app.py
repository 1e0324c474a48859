"""The gateway as an ASGI app: routes, one gate before them, one envelope for every error."""

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.errors import DynarouteError
from dynaroute_mcp.gateway.auth import Gate
from dynaroute_mcp.gateway.cache import Cache
from dynaroute_mcp.gateway.metrics import Metrics
from dynaroute_mcp.gateway.openapi import routes
from dynaroute_mcp.gateway.refusal import Refusal, error_response
from dynaroute_mcp.gateway.routes import OPERATIONS
from dynaroute_mcp.gateway.session import SCOPE_KEY, Desk, Session
from dynaroute_mcp.types import Ambient

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core


def create_app(
    core: "Callable[[], Awaitable[Core]]",
    ambient: Ambient,
    *,
    allowed_hosts: Collection[str] = (),
) -> Starlette:
    """Make the ASGI app.

    Args:
        core: gives the core of the moment; its settings hold the admin token.
        ambient: time and chance of the process.
        allowed_hosts: names other than loopback and bare addresses under which it is reached.
    """
    desk = Desk(
        core=core,
        clock=ambient.clock,
        monotonic=ambient.monotonic,
        new_id=lambda: f"req_{ambient.randbelow(16**24):024x}",
        cache=Cache(ambient.monotonic),
        metrics=Metrics(ambient.monotonic),
    )
    gate = Middleware(Gate, desk=desk, allowed_hosts=allowed_hosts)
    handlers = dict.fromkeys((DynarouteError, Refusal, HTTPException), _refuse)
    app = Starlette(
        routes=list(routes(OPERATIONS)),
        middleware=[gate],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False  # an address is right or wrong
    app.state.desk = desk
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, DynarouteError | Refusal | HTTPException)
    session = request.scope.get(SCOPE_KEY)
    request_id = session.request_id if isinstance(session, Session) else ""
    return error_response(error, request_id)
