"""Is it up, can it answer, and what has it counted: for supervisors and Prometheus, without a key."""

from typing import Literal, NotRequired

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from dynaroute_mcp.errors import DynarouteError
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.metrics import MEDIA_TYPE
from dynaroute_mcp.gateway.session import desk_of


class Health(TypedDict):
    """The process runs."""

    status: Literal["ok"]


class Readiness(TypedDict):
    """Whether requests can be answered; `degraded` answers, but only simulated or unrecorded."""

    status: Literal["ready", "degraded", "unavailable"]
    store: Literal["ok", "unavailable"]
    providers: int
    """How many can be called."""
    reason: NotRequired[str]


async def health(_request: Request) -> Response:
    """Tell that the process runs."""
    shown: Health = {"status": "ok"}
    return Response(as_json(shown), media_type="application/json")


async def ready(request: Request) -> Response:
    """Tell whether requests can be answered: the core is open, the books can be read."""
    shown: Readiness
    try:
        core = await desk_of(request).core()
        await core.store.counters(())
    except DynarouteError as error:
        shown = {"status": "unavailable", "store": "unavailable", "providers": 0, "reason": error.code}
        return Response(as_json(shown), status_code=503, media_type="application/json")
    shown = {
        "status": "degraded" if core.availability.simulated else "ready",
        "store": "ok",
        "providers": len(core.availability.endpoints),
    }
    return Response(as_json(shown), media_type="application/json")


async def metrics(request: Request) -> Response:
    """Tell what was counted."""
    return Response(desk_of(request).metrics.text(), media_type=MEDIA_TYPE)
