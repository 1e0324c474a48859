"""A small world to choose in: three providers, models of round prices, and nothing that changes with the market."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from dynaroute_mcp.catalog import (
    Capability,
    Catalog,
    Constraints,
    Model,
    Price,
    Provider,
    Rating,
    UsdPerMtok,
    load_catalog,
)
from dynaroute_mcp.policy import Situation
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import ChatRequest, Classification, Message, Parameters, Part, Routing, Text

SHIPPED = load_catalog(Path(__file__).parents[1] / "catalog")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EVERYTHING: frozenset[Capability] = frozenset(
    {"tools", "vision", "pdf", "json_mode", "json_schema", "reasoning"}
)
PROVIDERS = {
    name: Provider(
        id=name,
        name=name.title(),
        dialect="openai",
        base_url="https://example.test/v1",
        key_env=(f"{name.upper()}_API_KEY",),
        source="test",
    )
    for name in ("ant", "bee", "cat")
}


def model(
    model_id: str,
    quality: float | None,
    *,
    context: int = 128_000,
    capabilities: Iterable[Capability] = EVERYTHING,
    constraints: Constraints | None = None,
    retires_at: date | None = None,
    free: bool = False,
) -> Model:
    """A model with one quality in every skill; `ant/one` belongs to the provider `ant`."""
    provider, wire_id = model_id.split("/")
    rating = {} if quality is None else {"text": Rating(value=quality, source="test", as_of=date(2026, 1, 1))}
    return Model.model_validate(
        {
            "id": model_id,
            "provider": provider,
            "wire_id": wire_id,
            "name": model_id,
            "family": "test",
            "context_tokens": context,
            "max_output_tokens": 32_000,
            "capabilities": frozenset(capabilities),
            "constraints": constraints or Constraints(),
            "quality": rating,
            "retires_at": retires_at,
            "free": free,
            "source": "test",
        }
    )


def price_row(model_id: str, usd_in: str, usd_out: str, cache_read: str | None = None) -> Price:
    return Price(
        model=model_id,
        valid_from=date(2026, 1, 1),
        usd_per_mtok=UsdPerMtok(
            input=Decimal(usd_in),
            output=Decimal(usd_out),
            cache_read=Decimal(cache_read) if cache_read else None,
        ),
        source="test",
        checked=date(2026, 11, 1),
    )


def world(models: Iterable[Model], prices: Iterable[Price]) -> Catalog:
    empty = replace(SHIPPED, by_id={}, providers={}, prices={row.model: (row,) for row in prices})
    return empty.with_models(PROVIDERS.values(), models)


SMALL, MIDDLE, LARGE, FRONTIER = "ant/small", "bee/middle", "ant/large", "cat/frontier"
LADDER_WORLD = world(
    [model(SMALL, 0.3), model(MIDDLE, 0.45), model(LARGE, 0.55), model(FRONTIER, 0.65)],
    [
        price_row(SMALL, "0.1", "0.4", "0.01"),
        price_row(MIDDLE, "0.5", "2", "0.05"),
        price_row(LARGE, "2", "8", "0.2"),
        price_row(FRONTIER, "10", "40", "1"),
    ],
)
"""Quality and price rise together: one model per level."""


def labelled(
    category: Category = Category.HISTORY,
    level: Level = Level.L2,
    levels: Mapping[Level, float] | None = None,
    difficulty: float | None = None,
) -> Classification:
    return Classification(
        categories={each: float(each is category) for each in Category},
        levels=levels or {each: float(each is level) for each in Level},
        difficulty=difficulty,
    )


def asking(
    *parts: Part,
    parameters: Parameters | None = None,
    routing: Routing | None = None,
    named: str | None = None,
) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="user", parts=parts or (Text(text="Why did Rome fall?"),)),),
        model=named,
        parameters=parameters or Parameters(),
        routing=routing or Routing(),
    )


def situation(
    catalog: Catalog = LADDER_WORLD,
    *,
    label: Classification | None = None,
    request: ChatRequest | None = None,
    strategy: Strategy = Strategy.BALANCED,
    input_tokens: int = 1_000,
    settings: Settings | None = None,
) -> Situation:
    """A request of level 2 with every provider's key at hand; change it with `dataclasses.replace`."""
    return Situation(
        catalog=catalog,
        classification=label or labelled(),
        request=request or asking(),
        input_tokens=input_tokens,
        strategy=strategy,
        usable=frozenset(PROVIDERS),
        at=NOW,
        settings=settings or Settings(),
    )
