"""Every route of the gateway in one table: the app and the OpenAPI document are made from it."""

from functools import cache
from typing import Final, get_args

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.accounts import OWNER_PATTERN
from dynaroute_mcp.gateway import (
    chat,
    feedback,
    health,
    key_bodies,
    keys,
    models,
    responses,
    responses_shapes,
    responses_wire,
    routing,
    shapes,
    usage,
    wire,
)
from dynaroute_mcp.gateway.cache import MAX_TTL_S
from dynaroute_mcp.gateway.openapi import Operation, Parameter, document
from dynaroute_mcp.results import (
    Classified,
    DetailedKeyList,
    ForgottenProviderKey,
    GeneratedKey,
    HealthReport,
    KeyDetails,
    ProviderKeyEntry,
    ProviderKeyList,
    RevokedKey,
    RotatedKey,
    VerifiedKey,
)
from dynaroute_mcp.results.corrections import Corrected

_TEXT: Final = {"type": "string"}
_OWNER: Final = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": OWNER_PATTERN}
_NAME: Final = {"type": "string", "pattern": "^[A-Za-z0-9._:-]+$"}
_PERIOD: Final = Parameter(
    name="period",
    meaning="Of which time; days and months are UTC.",
    schema={"type": "string", "enum": list(get_args(usage.PeriodName)), "default": "month"},
)
_KEY_ID: Final = Parameter(
    name="id",
    where="path",
    meaning="`key_id` of a key.",
    schema={"type": "string", "pattern": "^key_[0-9a-f]{12}$"},
)
_MODEL: Final = Parameter(
    name="model",
    where="path",
    meaning="Any name of a model, or `auto`.",
    schema=_NAME | {"examples": ["gpt-4.1"]},
)
_PROVIDER: Final = Parameter(
    name="provider",
    where="path",
    meaning="Any name of a provider.",
    schema={"type": "string", "minLength": 1},
)
_CHAT_HEADERS: Final = {
    "X-Routing-Strategy": f"one of {', '.join(wire.STRATEGIES)}; wins over `strategy` in the body.",
    "X-GR-Cache-TTL": f"seconds, at most {MAX_TTL_S}, for which the same request of the same key may be answered "
    "from memory; the answer's `X-GR-Cache` tells HIT or MISS.",
    "X-GR-Guardrails": "`moderate` refuses prompts with obvious personal data before any call.",
    "X-Request-ID": "comes back in the answer's header and id.",
}
_FILTERS: Final = (
    Parameter(name="provider", meaning="Only models of this provider.", schema=_TEXT),
    Parameter(name="capabilities", meaning="Only models with all of these, by commas.", schema=_TEXT),
    Parameter(name="task_type", meaning="Only this kind of task.", schema=_TEXT),
    Parameter(name="category", meaning="Only this category of models.", schema=_TEXT),
    Parameter(name="type", meaning="`proxied` or `hosted`.", schema=_TEXT),
    Parameter(name="price_tier", meaning="Only this price tier.", schema=_TEXT),
    Parameter(
        name="routable_only", meaning="Only models that can be called now.", schema={"type": "boolean"}
    ),
)


async def openapi(_request: Request) -> Response:
    """Describe this API."""
    return Response(_document(), media_type="application/json")


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/chat/completions",
        aliases=("/chat/completions",),
        handler=chat.complete,
        body=wire.ChatBody,
        answer=shapes.ChatCompletion,
        streams=shapes.ChatChunk,
        headers=_CHAT_HEADERS,
        calls=True,
    ),
    Operation(
        method="POST",
        path="/v1/responses",
        aliases=("/responses",),
        handler=responses.create,
        body=responses_wire.ResponsesBody,
        answer=responses_shapes.Response,
        streams=responses_shapes.Event,
        headers=_CHAT_HEADERS,
        calls=True,
    ),
    Operation(
        method="POST",
        path="/v1/route",
        aliases=("/v1/smart-route",),
        handler=routing.route,
        body=routing.RouteBody,
        answer=routing.RoutedText,
        headers={"X-GR-Guardrails": _CHAT_HEADERS["X-GR-Guardrails"]},
        calls=True,
    ),
    Operation(
        method="POST",
        path="/v1/classify",
        handler=routing.classify,
        body=routing.ClassifyBody,
        answer=Classified,
    ),
    Operation(
        method="POST",
        path="/v1/feedback",
        handler=feedback.correct_label,
        body=feedback.FeedbackBody,
        answer=Corrected,
        status=201,
    ),
    Operation(
        method="GET",
        path="/v1/models",
        aliases=("/models", "/v1/models/", "/models/"),
        handler=models.list_models,
        answer=models.ModelList,
        parameters=_FILTERS,
    ),
    Operation(
        method="GET",
        path="/v1/models/{provider}/{model}",
        handler=models.get_model,
        answer=models.Model,
        parameters=(_PROVIDER, _MODEL),
    ),
    Operation(
        method="GET",
        path="/v1/models/{model}",
        routed_as="/v1/models/{model:path}",
        handler=models.get_model,
        answer=models.Model,
        parameters=(_MODEL,),
    ),
    Operation(
        method="GET", path="/v1/usage", handler=usage.own, answer=usage.UsageReport, parameters=(_PERIOD,)
    ),
    Operation(
        method="GET",
        path="/v1/usage/{id}",
        handler=usage.of_key,
        answer=usage.KeyUse,
        parameters=(_KEY_ID, _PERIOD),
    ),
    Operation(
        method="GET",
        path="/v1/usage/{id}/savings",
        handler=usage.savings_of_key,
        answer=usage.KeySavings,
        parameters=(_KEY_ID, _PERIOD),
    ),
    Operation(
        method="POST",
        path="/v1/keys",
        handler=keys.make,
        body=key_bodies.KeyBody,
        answer=GeneratedKey,
        status=201,
    ),
    Operation(
        method="GET",
        path="/v1/keys",
        handler=keys.list_keys,
        answer=DetailedKeyList,
        parameters=(Parameter(name="user_id", meaning="Whose keys.", schema=_OWNER),),
    ),
    Operation(method="GET", path="/v1/keys/verify", handler=keys.verify, answer=VerifiedKey),
    Operation(
        method="GET",
        path="/v1/keys/{id}",
        handler=keys.show,
        answer=KeyDetails,
        parameters=(_KEY_ID,),
    ),
    Operation(
        method="PATCH",
        path="/v1/keys/{id}",
        handler=keys.change,
        body=key_bodies.TermsBody,
        answer=KeyDetails,
        parameters=(_KEY_ID,),
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{id}",
        handler=keys.revoke,
        answer=RevokedKey,
        parameters=(_KEY_ID,),
    ),
    Operation(
        method="POST",
        path="/v1/keys/{id}/rotate",
        handler=keys.rotate,
        body=key_bodies.RotationBody,
        body_optional=True,
        answer=RotatedKey,
        status=201,
        parameters=(_KEY_ID,),
    ),
    Operation(
        method="POST",
        path="/v1/keys/{id}/providers",
        handler=keys.add_provider,
        body=key_bodies.ProviderKeyBody,
        answer=ProviderKeyEntry,
        status=201,
        parameters=(_KEY_ID,),
    ),
    Operation(
        method="GET",
        path="/v1/keys/{id}/providers",
        handler=keys.list_providers,
        answer=ProviderKeyList,
        parameters=(_KEY_ID,),
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{id}/providers/{provider}",
        handler=keys.remove_provider,
        answer=ForgottenProviderKey,
        parameters=(_KEY_ID, _PROVIDER),
    ),
    Operation(method="GET", path="/health", handler=health.health, answer=health.Health, open=True),
    Operation(method="GET", path="/ready", handler=health.ready, answer=health.Readiness, open=True),
    Operation(method="GET", path="/health/models", handler=health.models, answer=HealthReport, open=True),
    Operation(method="GET", path="/metrics", handler=health.metrics, answer="text/plain", open=True),
    Operation(method="GET", path="/openapi.json", handler=openapi, answer="application/json", open=True),
)


@cache
def _document() -> bytes:
    return to_json(document(OPERATIONS))
