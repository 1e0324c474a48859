"""What goes wrong, on the wire: one envelope for every route, and one table from our codes to HTTP.

`Refusal` is for what the gateway itself refuses (a body too large, no such route); the core's errors pass
through the table. A message is ours alone: no provider's text, no secret, no prompt.
"""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from dynaroute_mcp.errors import (
    DynarouteError,
    InvalidRequest,
    LimitExceeded,
    NoCandidate,
    ProviderError,
    ProviderRefusedRequest,
    StoreUnavailable,
    UnknownName,
)
from dynaroute_mcp.gateway import shapes
from dynaroute_mcp.gateway.encode import as_json, attempt

logger = logging.getLogger(__name__)

STATUS: Final = {
    "error": 500,
    "invalid_request": 400,
    "unknown_name": 404,
    "context_length_exceeded": 400,
    "authentication_failed": 401,
    "permission_denied": 403,
    "not_found": 404,
    "limit_exceeded": 429,
    "no_candidate": 404,
    "deadline_passed": 504,
    "configuration_invalid": 500,
    "store_unavailable": 503,
    "store_corrupt": 503,
    "provider_error": 502,
    "provider_refused": 400,
    "provider_context_length": 400,
    "provider_content_blocked": 400,
    "provider_key_rejected": 502,
    "provider_quota_exhausted": 502,
    "provider_model_missing": 502,
    "provider_rate_limited": 503,
    "provider_unavailable": 502,
    "provider_timed_out": 504,
    "provider_garbled": 502,
    "stream_broken": 502,
}
"""HTTP status for each code of the error tree."""

_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    421: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    502: "upstream_error",
    504: "timeout_error",
}
"""OpenAI's word for each status; everything else is a `server_error`."""

_HOPELESS: Final = frozenset(
    {"limit_exceeded", "provider_key_rejected", "provider_quota_exhausted", "provider_model_missing"}
)
"""Codes that the same request meets again until somebody acts, unless they say how long to wait."""

_PATIENCE_S: Final = 60
"""What OpenAI's clients wait at most by `Retry-After`; told to wait longer, they ask again at once."""

_MAX_MESSAGE: Final = 4_000


class Refusal(Exception):
    """The gateway itself says no."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        reason: str,
        param: str | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        """Stable code, as the errors of the core have one."""
        self.param = param
        self.kind = kind or type_of(status)
        self.headers = dict(headers or {})


_LOOKED_UP: Final = frozenset({"model", "provider"})


def type_of(status: int) -> str:
    """OpenAI's error type for a status."""
    return _TYPES.get(status, "server_error")


def refusal_of(error: DynarouteError | HTTPException | Refusal) -> Refusal:
    """Put any expected error into the gateway's words."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if isinstance(error, NoCandidate) and error.over_budget:
        return Refusal(400, str(error), reason="budget_exceeded", param="budget_dollars")
    status = STATUS[error.code]
    if isinstance(error, UnknownName) and error.param not in _LOOKED_UP:
        status = 400  # a wrong word in a field, not a thing that does not exist
    if isinstance(error, ProviderRefusedRequest) and error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    param = error.param if isinstance(error, InvalidRequest) else None
    kind, headers = type_of(status), dict[str, str]()
    if isinstance(error, LimitExceeded):
        kind = "rate_limit_error" if error.limit.startswith("requests") else "insufficient_quota"
    if isinstance(error, LimitExceeded | ProviderError) and error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if _is_hopeless(error):
        headers["X-Should-Retry"] = "false"  # OpenAI's clients repeat a 429 and 5xx twice unless told so
    said = error.public if isinstance(error, StoreUnavailable) else str(error)
    if isinstance(error, UnknownName) and error.param == "model":
        said += " (`auto` lets the router choose)"
    return Refusal(status, said, reason=error.code, param=param, kind=kind, headers=headers)


def envelope(error: DynarouteError | HTTPException | Refusal, request_id: str) -> shapes.Error:
    """The JSON of an error, the same for every route and for the event that ends a broken stream."""
    refusal = refusal_of(error)
    if isinstance(error, StoreUnavailable):
        logger.error("%s", error, extra={"request": request_id})
    body: shapes.ErrorBody = {
        "message": str(refusal)[:_MAX_MESSAGE],
        "type": refusal.kind,
        "code": refusal.status,
        "reason": refusal.reason,
        "param": refusal.param,
        "request_id": request_id,
    }
    if isinstance(error, ProviderError):
        body["request_id"] = error.request_id or request_id
        body["attempts"] = [attempt(tried) for tried in error.attempts]
    if isinstance(error, LimitExceeded):
        body["limit"] = error.limit
        body["resets_at"] = error.resets_at.isoformat() if error.resets_at else None
    return {"error": body}


def error_response(error: DynarouteError | HTTPException | Refusal, request_id: str) -> Response:
    """Answer a request with an error."""
    refusal = refusal_of(error)
    return Response(
        as_json(envelope(error, request_id)),
        status_code=refusal.status,
        headers=refusal.headers,
        media_type="application/json",
    )


def _is_hopeless(error: DynarouteError) -> bool:
    """Whether asking again within a minute brings the same answer."""
    if isinstance(error, LimitExceeded | ProviderError) and error.retry_after_s is not None:
        return error.retry_after_s > _PATIENCE_S
    return error.code in _HOPELESS


def _of_framework(error: HTTPException) -> Refusal:
    messages = {405: "this route does not take this method; see the Allow header"}
    message = messages.get(error.status_code, HTTPStatus(error.status_code).phrase)
    reason = HTTPStatus(error.status_code).name.casefold()
    return Refusal(error.status_code, message, reason=reason, headers=error.headers)
