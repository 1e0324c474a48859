"""`POST /v1/route`: one prompt in, one text out, with what it cost. `POST /v1/classify`: what a prompt is, for free."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from dynaroute_mcp.errors import InvalidRequest
from dynaroute_mcp.gateway import decode, guardrail, wire
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.receiving import CLIENT_LEFT, read_body, unless_hung_up
from dynaroute_mcp.gateway.session import fields_of, session_of
from dynaroute_mcp.results import Classified, short
from dynaroute_mcp.results.base import pct, probability, usd
from dynaroute_mcp.taxonomy import Level, Strategy
from dynaroute_mcp.types import ChatRequest, Message, Parameters, Routing, Text, in_all

if TYPE_CHECKING:
    from dynaroute_mcp.types import Answer

_CLEAR: Final = 2 / 3
"""Share of the weights from which one side of them has its way."""

_LEVELS: Final = 5


class Preferences(wire.Wire):
    """How much price and quality weigh against each other; only their relation counts."""

    cost_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    quality_weight: Annotated[float, Field(ge=0, le=1)] = 0.5


class RouteBody(wire.Wire):
    """The body of `POST /v1/route`."""

    prompt: Annotated[str, Field(min_length=1, pattern=r"\S")]
    max_tokens: wire.Tokens = 150
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.7
    user_preferences: Preferences | None = None
    level_override: wire.LevelNumber | None = None
    category_override: wire.CategoryName | None = None


class ClassifyBody(wire.Wire):
    """The body of `POST /v1/classify`."""

    prompt: Annotated[str, Field(min_length=1, pattern=r"\S")]


class RouteReason(TypedDict):
    """Why this model."""

    complexity_score: float
    """Expected level over the five, in [0, 1]."""
    category: str
    level: int
    reason: str
    confidence: float


class RouteUsage(TypedDict):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class RouteCost(TypedDict):
    """Dollars beside the configured baseline model; `null` is unknown."""

    actual: float | None
    baseline: float | None
    saved: float | None
    saved_pct: float | None
    currency: str


class RoutedText(TypedDict):
    """A prompt's answer."""

    request_id: str
    response: str
    model_used: str
    provider: str
    routing: RouteReason
    usage: RouteUsage
    cost: RouteCost
    latency_ms: int


async def route(request: Request) -> Response:
    """Answer one prompt with the model that fits it."""
    session = session_of(request)
    body = decode.body_of(RouteBody, await read_body(request))
    asked = ChatRequest(
        messages=(Message(role="user", parts=(Text(text=body.prompt),)),),
        parameters=Parameters(max_tokens=body.max_tokens, temperature=body.temperature),
        routing=Routing(
            strategy=strategy_for(body.user_preferences),
            level_override=Level(body.level_override) if body.level_override else None,
            category_override=body.category_override,
        ),
    )
    await guardrail.check(fields_of(request.scope).get("x-gr-guardrails"), asked)
    work = partial(session.core.router.complete, asked, session.caller)
    answer = await unless_hung_up(request.scope, work)
    if answer is None:
        return Response(status_code=CLIENT_LEFT)
    return Response(as_json(_shown(answer)), media_type="application/json")


async def classify(request: Request) -> Response:
    """Label a prompt without calling a model."""
    body = decode.body_of(ClassifyBody, await read_body(request))
    if not body.prompt.strip():
        raise InvalidRequest("the prompt is empty", param="prompt")
    label = await session_of(request).core.router.classify(body.prompt)
    return Response(as_json(Classified.of(label).payload()), media_type="application/json")


def strategy_for(preferences: Preferences | None) -> Strategy | None:
    """Turn weights into a strategy: two thirds for one side decide, less is balanced, none leaves it to the key."""
    if preferences is None:
        return None
    total = preferences.cost_weight + preferences.quality_weight
    if not total:
        return Strategy.BALANCED
    if preferences.cost_weight / total >= _CLEAR:
        return Strategy.CHEAPEST
    return Strategy.BEST if preferences.quality_weight / total >= _CLEAR else Strategy.BALANCED


def _shown(answer: "Answer") -> RoutedText:
    label, cost, saving = answer.classification, answer.cost, answer.baseline
    used = in_all(answer.completion.usage, answer.attempts)
    expected_level = sum(level * share for level, share in label.levels.items())
    return {
        "request_id": answer.request_id,
        "response": answer.completion.message.text,
        "model_used": short(answer.model_id),
        "provider": answer.provider,
        "routing": {
            "complexity_score": probability((expected_level - 1) / (_LEVELS - 1)),
            "category": label.category,
            "level": int(label.level),
            "reason": answer.choice.reason,
            "confidence": probability(label.confidence),
        },
        "usage": {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "total_tokens": used.total_tokens,
        },
        "cost": {
            "actual": usd(cost.total_usd) if cost else None,
            "baseline": usd(saving.baseline_usd) if saving else None,
            "saved": usd(saving.saved_usd) if saving else None,
            "saved_pct": pct(saving.saved_pct) if saving else None,
            "currency": "USD",
        },
        "latency_ms": answer.latency_ms,
    }
