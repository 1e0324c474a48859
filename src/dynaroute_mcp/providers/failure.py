"""A failure at a provider, made into our error by status and typed fields, not by the words of its message.

The one exception is what some providers tell by a sentence alone; see `sentences`.

Messages are ours: a provider's own text may hold the key or the prompt. From its error body only short code
words are shown (letters and underscores), and only when they are no part of the key.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TypeVar

from pydantic import ValidationError

from dynaroute_mcp.errors import (
    ProviderContentBlocked,
    ProviderContextOverflow,
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderModelMissing,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.parsing import Theirs, Unparsable, dump_json, parse_json
from dynaroute_mcp.providers.sentences import meaning

Reply = TypeVar("Reply", bound=Theirs)

MAX_RETRY_AFTER_S = 86_400.0
"""A longer wait is cut to a day: it means 'not now' all the same."""

# The code words that decide where the status alone would mislead, from the error pages of OpenAI, Anthropic
# (billing), Google (ErrorInfo reasons), Groq (decommissioned, and what its model wrote), Mistral (invalid_model),
# Moonshot (exceeded_current_...) and DashScope (arrearage, inspection), and from llama.cpp's server
# (exceed_context_...).
_BY_WORD: Mapping[str, type[ProviderError]] = {
    "context_length_exceeded": ProviderContextOverflow,
    "exceed_context_size_error": ProviderContextOverflow,
    "insufficient_quota": ProviderQuotaExhausted,
    "exceeded_current_quota_error": ProviderQuotaExhausted,
    "billing_hard_limit_reached": ProviderQuotaExhausted,
    "billing_not_active": ProviderQuotaExhausted,
    "billing_error": ProviderQuotaExhausted,
    "insufficient_balance_error": ProviderQuotaExhausted,  # MiniMax: modelscope/modelscope#1691 (2026-04-25)
    "arrearage": ProviderQuotaExhausted,
    "api_key_invalid": ProviderKeyRejected,
    "api_key_expired": ProviderKeyRejected,
    "invalid_api_key": ProviderKeyRejected,
    "content_policy_violation": ProviderContentBlocked,
    "content_filter": ProviderContentBlocked,
    "data_inspection_failed": ProviderContentBlocked,
    "datainspectionfailed": ProviderContentBlocked,
    "model_not_found": ProviderModelMissing,
    "model_decommissioned": ProviderModelMissing,
    "invalid_model": ProviderModelMissing,
    # A 413 of Groq's: more than a minute's tokens (continuedev/continue#10218, 2026-02-05).
    "rate_limit_exceeded": ProviderRateLimited,
    # 400s of Groq's: its model wrote no call, or no JSON (sipeed/picoclaw#748; console.groq.com/docs/tool-use).
    "tool_use_failed": ProviderGarbled,
    "json_validate_failed": ProviderGarbled,
    "output_parse_failed": ProviderGarbled,
}

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    400: ProviderRefusedRequest,
    401: ProviderKeyRejected,
    402: ProviderQuotaExhausted,
    403: ProviderKeyRejected,
    404: ProviderModelMissing,
    408: ProviderUnavailable,
    409: ProviderUnavailable,
    425: ProviderUnavailable,
    429: ProviderRateLimited,
}

# What an error that arrives inside a 200 would have had as its status: Anthropic's and OpenAI's error types,
# and Google's canonical codes (https://cloud.google.com/apis/design/errors).
_STATUS_OF_WORD: Mapping[str, int] = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "api_error": 500,
    "server_error": 500,
    "internal": 500,
    "unavailable": 503,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "overloaded_error": 529,
}

_ADVICE: Mapping[type[ProviderError], str] = {
    ProviderRefusedRequest: "the request is wrong for this model; check its parameters and messages",
    ProviderContextOverflow: "the prompt is longer than this model's window; shorten it or choose a larger one",
    ProviderContentBlocked: "the provider blocked it on grounds of safety",
    ProviderKeyRejected: "check the provider's API key and its permissions",
    ProviderQuotaExhausted: "the account's quota or balance is used up; top it up",
    ProviderModelMissing: "the provider does not serve this model to this key",
    ProviderRateLimited: "too many requests; it cools down",
    ProviderGarbled: "the model wrote a tool call or JSON that can't be used",
    ProviderUnavailable: "the provider has a fault of its own; try again later",
}

_REDIRECTS = range(300, 400)
_SUCCESSES = 200
_SERVER_FAULTS = 500
_WORD = re.compile(r"[a-z][a-z_]{1,47}")
_PARAMETER = re.compile(r"(?=.{1,60}$)[a-z][a-z_]*(?:\.[a-z_]+|\[[0-9]{1,4}\])*")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s")


def from_response(
    call: Call, *, status: int, headers: Mapping[str, str], body: bytes, now: datetime
) -> ProviderError:
    """Name the failure behind an HTTP answer that is no success."""
    try:
        document = parse_json(body)
    except Unparsable:
        document = None
    wait_s = _retry_after_s(headers, now)
    if wait_s is None:
        wait_s = _retry_info_s(document)
    return _named(call, status=status, document=document, retry_after_s=wait_s)


def in_band(call: Call, document: object) -> ProviderError:
    """Name the failure behind an error that arrived inside a success."""
    body = _error_object(document)
    words = list(_words(call, document))
    code = body.get("code")
    if isinstance(code, int) and not isinstance(code, bool) and code in range(400, 600):
        status: int | None = code
    else:
        status = next((_STATUS_OF_WORD[word] for word in words if word in _STATUS_OF_WORD), None)
    return _named(call, status=status, document=document, retry_after_s=_retry_info_s(document))


def garbled(call: Call, why: str) -> ProviderGarbled:
    """Say that a success can't be understood; `why` is in our words."""
    return ProviderGarbled(
        f"{call.endpoint.provider.name} sent an answer for {call.model.id} that can't be used: {why}",
        provider=call.endpoint.provider.id,
        model_id=call.model.id,
    )


def unavailable(call: Call, why: str) -> ProviderUnavailable:
    """Say that no answer came; `why` is in our words."""
    return ProviderUnavailable(
        f"{call.endpoint.provider.name} could not be reached for {call.model.id}: {why}",
        provider=call.endpoint.provider.id,
        model_id=call.model.id,
    )


def timed_out(call: Call, phase: str, limit_s: float) -> ProviderTimedOut:
    """Say which clock ran out."""
    return ProviderTimedOut(
        f"{call.endpoint.provider.name} took more than {round(limit_s, 2) or limit_s:g} s for {call.model.id} ({phase})",
        provider=call.endpoint.provider.id,
        model_id=call.model.id,
    )


def refused(call: Call, why: str) -> ProviderRefusedRequest:
    """Say what this model or dialect can't be asked; `why` names the field and what to do."""
    return ProviderRefusedRequest(
        f"{call.model.id} can't take this request: {why}",
        provider=call.endpoint.provider.id,
        model_id=call.model.id,
        status=400,
    )


def parsed(call: Call, kind: type[Reply], document: object, name: str) -> Reply:
    """Validate a provider's document as what it should be; `name` says what that is, for the error.

    Raises:
        ProviderGarbled: it is something else.
    """
    try:
        return kind.model_validate(document)
    except (ValidationError, RecursionError) as error:
        raise garbled(call, f"it is no {name}") from error


def tool_name(call: Call, name: str | None) -> str:
    """Return a called tool's name.

    Raises:
        ProviderGarbled: there is none.
    """
    if not name:
        raise garbled(call, "it calls a tool without a name")
    return name


def json_text(call: Call, value: object) -> str:
    """Write a tool's arguments as JSON text; text is taken as it is, and nothing is an empty text.

    Raises:
        ProviderGarbled: they are nested too deeply.
    """
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return dump_json(value)
    except Unparsable as error:
        raise garbled(call, f"a tool call's arguments {error}") from error


def _named(call: Call, *, status: int | None, document: object, retry_after_s: float | None) -> ProviderError:
    words = list(_words(call, document))
    kind = _kind(status, words, flagged=_was_flagged(document))
    kind = ProviderModelMissing if _is_unverified(document) else kind
    if kind is _BY_STATUS.get(status or 0):
        kind = meaning(call.endpoint.provider.dialect, status, _error_object(document)) or kind
    if status is not None and status in _REDIRECTS:
        why = "redirects are not followed, because they could carry the key elsewhere; check the base URL"
    else:
        why = _ADVICE[kind]
    shown = f"status {status}" if status is not None else "an error in its answer"
    facts = [*words[:1], *_parameter(call, document)]
    code = f" ({', '.join(facts)})" if facts else ""
    return kind(
        f"{call.endpoint.provider.name} gave {shown}{code} for {call.model.id}: {why}",
        provider=call.endpoint.provider.id,
        model_id=call.model.id,
        status=status,
        retry_after_s=retry_after_s,
    )


def _kind(status: int | None, words: list[str], *, flagged: bool) -> type[ProviderError]:
    if flagged:
        return ProviderContentBlocked
    if status is None or status < _SERVER_FAULTS:
        for word in words:
            if word in _BY_WORD:
                return _BY_WORD[word]
    if status is None or status >= _SERVER_FAULTS or status in _REDIRECTS or status < _SUCCESSES:
        return ProviderUnavailable
    return _BY_STATUS.get(status, ProviderRefusedRequest)


def _was_flagged(document: object) -> bool:
    """Tell OpenRouter's moderation (a 403 whose metadata lists `reasons`) from a rejected key."""
    metadata = _error_object(document).get("metadata")
    return isinstance(metadata, dict) and isinstance(metadata.get("reasons"), list)


def _is_unverified(document: object) -> bool:
    """Tell what OpenAI keeps from organizations that it has not verified: streams and summaries of some models.

    lobehub/lobehub#9385 (2025-09-22) and BerriAI/litellm#16032 (2025-10-29).
    """
    body = _error_object(document)
    return body.get("code") == "unsupported_value" and body.get("param") in ("stream", "reasoning.summary")


def _words(call: Call, document: object) -> Iterator[str]:
    """Code words of an error body, the most specific first."""
    body = _error_object(document)
    candidates = [detail.get("reason") for detail in _details(body)]
    candidates += [body.get("code"), body.get("type"), body.get("status")]
    key = (call.endpoint.api_key or "").lower()
    for candidate in candidates:
        word = candidate.lower() if isinstance(candidate, str) else ""
        if _WORD.fullmatch(word) and not (key and (word in key or key in word)):
            yield word


def _parameter(call: Call, document: object) -> Iterator[str]:
    """Name the parameter at fault, when the provider names it as OpenAI does: `messages[0].content`."""
    name = _error_object(document).get("param")
    key = call.endpoint.api_key or ""
    if isinstance(name, str) and _PARAMETER.fullmatch(name) and not (key and (name in key or key in name)):
        yield f"parameter {name}"


def _error_object(document: object) -> Mapping[str, object]:
    """Find the error in its envelope: `{"error": {...}}`, the same in a list, or bare."""
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return {}
    inner = document.get("error")
    return inner if isinstance(inner, dict) else document


def _details(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    details = body.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _retry_info_s(document: object) -> float | None:
    """Read google.rpc.RetryInfo, which stands in the body: `"retryDelay": "2.5s"`."""
    for detail in _details(_error_object(document)):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (found := _DURATION.fullmatch(delay)):
            return min(float(found[1]), MAX_RETRY_AFTER_S)
    return None


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read `retry-after-ms` and `Retry-After` (RFC 9110, 10.2.3: seconds or a date)."""
    in_ms = _positive(headers.get("retry-after-ms"))
    if in_ms is not None:
        return min(in_ms / 1000, MAX_RETRY_AFTER_S)
    value = headers.get("retry-after")
    seconds = _positive(value)
    if seconds is None and value is not None:
        seconds = _until(value, now)
    return None if seconds is None else min(seconds, MAX_RETRY_AFTER_S)


def _positive(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None


def _until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
