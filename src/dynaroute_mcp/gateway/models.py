"""`GET /v1/models`: the catalog with prices, in the words of every client that asks for it."""

from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NotRequired

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from dynaroute_mcp.errors import UnknownName
from dynaroute_mcp.gateway.decode import AUTO
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.session import session_of
from dynaroute_mcp.results.base import usd

if TYPE_CHECKING:
    from dynaroute_mcp.reports import Listing

Tier = Literal["economy", "standard", "balanced", "premium", "flagship"]

TIERS: Final[tuple[tuple[Tier, Decimal], ...]] = (
    ("economy", Decimal("0.30")),
    ("standard", Decimal("1.00")),
    ("balanced", Decimal("4.00")),
    ("premium", Decimal("10.00")),
    ("flagship", Decimal("Infinity")),
)
"""Upper bounds of the price tiers, in dollars per million tokens, three parts input to one part output."""


class Pricing(TypedDict):
    """Dollars per million tokens; `null` is unknown."""

    input_per_million_tokens: float | None
    output_per_million_tokens: float | None
    cached_input_per_million_tokens: float | None


class Model(TypedDict):
    """One model, or `auto`, which lets the router choose one."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    provider: str
    task_type: Literal["text_generation"]
    category: Literal["llm"]
    capabilities: list[str]
    pricing: Pricing | None
    """`null` of `auto`: what a request costs depends on the model that it is given."""
    price_tier: Tier | None
    type: Literal["proxied", "hosted"]
    context_length: int
    max_output_tokens: int
    levels: list[int]
    """Levels whose demand it meets on average."""
    available: bool
    """It can be called right now."""
    status: str
    retires_at: NotRequired[str]


class ModelList(TypedDict):
    """The router and the catalog; `models` is the same array as `data`, for clients of another contract."""

    object: Literal["list"]
    data: list[Model]
    models: list[Model]
    total: int


async def list_models(request: Request) -> Response:
    """List the router as `auto`, then models, those that can be called first; filtered by the query."""
    query, session = request.query_params, session_of(request)
    listings = await session.core.reports.models(
        provider=query.get("provider") or None,
        available_only=_flag(query.get("routable_only"), "routable_only"),
        own=session.core.availability.own_keys(session.caller),
    )
    wanted = {each.strip() for each in query.get("capabilities", "").split(",") if each.strip()}
    exact = {name: query[name] for name in ("task_type", "category", "type", "price_tier") if name in query}
    rows = [row for row in map(_row, listings) if wanted <= set(row["capabilities"])]
    auto = [_auto(rows)] if rows and not (query.get("provider") or query.get("type")) else []
    rows = [row for row in [*auto, *rows] if exact.items() <= row.items()]
    shown: ModelList = {"object": "list", "data": rows, "models": rows, "total": len(rows)}
    return Response(as_json(shown), media_type="application/json")


async def get_model(request: Request) -> Response:
    """Show one model, by any of its names, or the router by one of its own."""
    session = session_of(request)
    core = session.core
    provider, model = request.path_params.get("provider"), request.path_params["model"]
    name = f"{provider}/{model}" if provider else str(model)
    own = core.availability.own_keys(session.caller)
    if name.casefold() in AUTO:
        auto = _auto([_row(each) for each in await core.reports.models(own=own)])
        return Response(as_json(auto), media_type="application/json")
    listings = await core.reports.models(include_retired=True, own=own)
    found = core.availability.catalog.get_model(name)
    listing = next((each for each in listings if each.model.id == found.id), None)
    if listing is None:
        raise UnknownName("model", name, ())
    return Response(as_json(_row(listing)), media_type="application/json")


def tier_of(listing: "Listing") -> Tier | None:
    """Name the price tier of a model; unknown prices have none."""
    if listing.rates is None:
        return None
    blended = (3 * listing.rates.input_usd_per_mtok + listing.rates.output_usd_per_mtok) / 4
    return next(name for name, bound in TIERS if blended <= bound)


def _row(listing: "Listing") -> Model:
    model, rates = listing.model, listing.rates
    released = model.released_at
    row: Model = {
        "id": model.id,
        "object": "model",
        "created": int(datetime.combine(released, time(), UTC).timestamp()) if released else 0,
        "owned_by": model.provider,
        "name": model.name,
        "provider": model.provider,
        "task_type": "text_generation",
        "category": "llm",
        "capabilities": ["text_generation", *sorted(model.capabilities)],
        "pricing": {
            "input_per_million_tokens": usd(rates.input_usd_per_mtok) if rates else None,
            "output_per_million_tokens": usd(rates.output_usd_per_mtok) if rates else None,
            "cached_input_per_million_tokens": usd(rates.cache_read_usd_per_mtok) if rates else None,
        },
        "price_tier": tier_of(listing),
        "type": "hosted" if model.free else "proxied",
        "context_length": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "levels": [int(level) for level in listing.levels],
        "available": listing.available,
        "status": listing.standing,
    }
    if model.retires_at is not None:
        row["retires_at"] = model.retires_at.isoformat()
    return row


def _auto(rows: Sequence[Model]) -> Model:
    """The router as a model: it can do what any that can be called now can, or any at all where none can."""
    able = [row for row in rows if row["available"]] or rows
    skills = {skill for row in able for skill in row["capabilities"]} - {"text_generation"}
    return {
        "id": "auto",
        "object": "model",
        "created": 0,
        "owned_by": "dynaroute",
        "name": "Auto: a fitting model for each prompt",
        "provider": "dynaroute",
        "task_type": "text_generation",
        "category": "llm",
        "capabilities": ["text_generation", *sorted(skills)],
        "pricing": None,
        "price_tier": None,
        "type": "proxied",
        "context_length": max((row["context_length"] for row in able), default=0),
        "max_output_tokens": max((row["max_output_tokens"] for row in able), default=0),
        "levels": sorted({level for row in able for level in row["levels"]}),
        "available": any(row["available"] for row in rows),
        "status": "active",
    }


def _flag(value: str | None, name: str) -> bool:
    flags = {None: False, "false": False, "0": False, "true": True, "1": True}
    if value not in flags:
        raise Refusal(400, f"{name} must be true or false", reason="invalid_request", param=name)
    return flags[value]
