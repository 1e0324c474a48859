"""Is it up, can it answer, and what has it counted: for supervisors and Prometheus, without a key."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.metrics import MEDIA_TYPE, sums, vital_gauges
from dynaroute_mcp.gateway.session import desk_of
from dynaroute_mcp.results import HealthReport


class Health(TypedDict):
    """The process runs."""

    status: Literal["ok"]


class Readiness(TypedDict):
    """Requests can be answered; `degraded`: no provider can be called, so that answers are simulated."""

    status: Literal["ready", "degraded"]
    providers: int
    """How many can be called."""


async def health(_request: Request) -> Response:
    """Tell that the process runs."""
    shown: Health = {"status": "ok"}
    return Response(as_json(shown), media_type="application/json")


async def ready(request: Request) -> Response:
    """Tell whether requests can be answered.

    Raises:
        StoreUnavailable: the books can't be read.
    """
    core = await desk_of(request).core()
    await core.store.counters(())
    shown: Readiness = {
        "status": "degraded" if core.availability.simulated else "ready",
        "providers": len(core.availability.endpoints),
    }
    return Response(as_json(shown), media_type="application/json")


async def models(request: Request) -> Response:
    """Tell how the models did lately, and which ones rest in this process.

    Raises:
        StoreUnavailable: the books can't be read.
    """
    reports = (await desk_of(request).core()).reports
    shown = HealthReport.over(await reports.vitals(), reports.vitals_here())
    return Response(as_json(shown.payload()), media_type="application/json")


async def metrics(request: Request) -> Response:
    """Tell what was counted, and how the models are."""
    desk = desk_of(request)
    core = await desk.core()
    shown = (desk.metrics.text(), *sums(core.tally), *vital_gauges(core.reports.vitals_here()))
    return Response("".join(shown), media_type=MEDIA_TYPE)
