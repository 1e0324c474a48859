"""Every error that a caller may meet, as one tree.

DynarouteError
├── InvalidRequest                invalid_request         the request itself is wrong
│   ├── UnknownName               unknown_name            a model, category or plan that does not exist
│   └── ContextTooLong            context_length_exceeded no model has a window that holds it
├── AuthenticationFailed          authentication_failed   no key, or none that is valid
├── PermissionDenied              permission_denied       a valid key, but not for this
├── NotFound                      not_found               no such request or key
├── LimitExceeded                 limit_exceeded          a plan's limit or a budget is used up
├── NoCandidate                   no_candidate            no model passes every hard filter
├── DeadlinePassed                deadline_passed         the caller's own deadline came before any text
├── ConfigurationInvalid          configuration_invalid   a setting or a catalog file is wrong
├── StoreUnavailable              store_unavailable       the database can't be read or written
│   └── StoreCorrupt              store_corrupt           the file is not a database any more
└── ProviderError                 (abstract)              one call to a provider failed
    ├── ProviderRefusedRequest    provider_refused        400, 413, 422: it is wrong everywhere
    ├── ProviderContextOverflow   provider_context_length the prompt is longer than this model's window
    ├── ProviderContentBlocked    provider_content_blocked a refusal on grounds of safety
    ├── ProviderKeyRejected       provider_key_rejected   401, 403: the operator's key is at fault
    ├── ProviderQuotaExhausted    provider_quota_exhausted 402, insufficient quota: waiting won't help
    ├── ProviderModelMissing      provider_model_missing  404: the model is gone
    ├── ProviderRateLimited       provider_rate_limited   429
    ├── ProviderUnavailable       provider_unavailable    408, 409, 5xx, 529, connection faults
    ├── ProviderTimedOut          provider_timed_out      one of our clocks ran out
    ├── ProviderGarbled           provider_garbled        an answer that can't be understood
    └── StreamBroken              stream_broken           a stream that ended badly after its first content

Decide by class and field, never by text. `code` is stable; each face has one table from code to its own
status. A message says what was wrong and what to do next, and never holds a secret, a prompt or a provider's
own text.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Self

from dynaroute_mcp.types import Attempt


class DynarouteError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "error"


class InvalidRequest(DynarouteError):
    """The request is wrong; `param` names the field at fault."""

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class UnknownName(InvalidRequest):
    """A name that does not exist.

    `suggestions` are the nearest that do; `known` says where all are, or which.
    """

    code = "unknown_name"

    def __init__(
        self, kind: str, name: str, suggestions: Sequence[str], *, known: str = "", param: str | None = None
    ) -> None:
        offer = f"; did you mean {', '.join(suggestions)}?" if suggestions else "." if known else ""
        shown = name if len(name) <= _MAX_ECHO else f"{name[:_MAX_ECHO]}…"
        super().__init__(f"unknown {kind} {shown!r}{offer} {known}".rstrip(), param=param or kind)
        self.suggestions = tuple(suggestions)


_MAX_ECHO = 80


class ContextTooLong(InvalidRequest):
    """No eligible model's context window holds the prompt."""

    code = "context_length_exceeded"


class AuthenticationFailed(DynarouteError):
    """No key, or none that is valid. The same words for unknown, revoked and expired keys."""

    code = "authentication_failed"


class PermissionDenied(DynarouteError):
    """A valid key, but not for this."""

    code = "permission_denied"


class NotFound(DynarouteError):
    """What was asked for does not exist."""

    code = "not_found"


class LimitExceeded(DynarouteError):
    """A limit or budget is used up. Nothing was taken from any counter."""

    code = "limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        resets_at: datetime | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        """Which limit: `requests_per_minute`, `requests_per_day`, `tokens_per_month`, `usd_per_month`, …"""
        self.resets_at = resets_at
        self.retry_after_s = retry_after_s


class NoCandidate(DynarouteError):
    """No model passes every hard filter; the message lists why and what to do."""

    code = "no_candidate"

    def __init__(self, message: str, *, over_budget: bool = False) -> None:
        super().__init__(message)
        self.over_budget = over_budget
        """What stands nearest in the way is what this request may cost at most."""


class DeadlinePassed(DynarouteError):
    """The caller's own deadline came before a model had sent any text."""

    code = "deadline_passed"


class ConfigurationInvalid(DynarouteError):
    """A setting or a catalog file is wrong; the message names file and field."""

    code = "configuration_invalid"

    def __init__(self, message: str, *, setting: str | None = None, in_overlay: bool = False) -> None:
        super().__init__(message)
        self.setting = setting
        """The setting or variable at fault, where that came out only later; `None` for all else."""
        self.in_overlay = in_overlay
        """A row of the user's own catalog file is at fault, and the message begins with that file."""


class StoreUnavailable(DynarouteError):
    """The database can't be read or written just now; the message names the file and the reason."""

    code = "store_unavailable"

    def __init__(
        self,
        message: str,
        *,
        public: str = "the database can't be used just now;"
        " the server's log and `dynaroute db check` say why",
    ) -> None:
        super().__init__(message)
        self.public = public
        """What a caller elsewhere is told: no path of this machine."""


class StoreCorrupt(StoreUnavailable):
    """The file is not a database any more."""

    code = "store_corrupt"


class ProviderError(DynarouteError):
    """One call to a provider failed."""

    code = "provider_error"
    retry_same: ClassVar[bool] = False
    """Another try at the same model may help."""
    fall_back: ClassVar[bool] = False
    """Another model may help."""
    alert: ClassVar[bool] = False
    """The operator must act: a key or a model is at fault."""
    counts_as_failure: ClassVar[bool] = False
    """It speaks against the provider's health."""

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        model_id: str,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model_id = model_id
        self.status = status
        self.retry_after_s = retry_after_s
        """What the provider asked us to wait; `None` when it did not say."""
        self.attempts: tuple[Attempt, ...] = ()
        """Every attempt of the request, this one last; set when the chain gives up."""
        self.request_id: str | None = None
        """Set when the failed request was recorded."""

    def with_attempts(self, attempts: Sequence[Attempt]) -> Self:
        """Attach what was tried, and return itself to be raised."""
        self.attempts = tuple(attempts)
        return self

    def __str__(self) -> str:
        text = super().__str__()
        if len(self.attempts) <= 1:
            return text
        tried = Counter(_told(attempt) for attempt in self.attempts)
        each = "; ".join(what if times == 1 else f"{what}, {times} times" for what, times in tried.items())
        return f"{text} (tried {len(self.attempts)} times: {each})"


def _told(attempt: Attempt) -> str:
    """Say how an attempt failed; most messages name their model themselves."""
    why = attempt.message or attempt.outcome
    return why if attempt.model_id in why else f"{attempt.model_id}: {why}"


class ProviderRefusedRequest(ProviderError):
    """400, 413 or 422: asking another provider would spend money and hide the error."""

    code = "provider_refused"


class ProviderContextOverflow(ProviderError):
    """The prompt is longer than the model's window; only a larger window may be tried, once."""

    code = "provider_context_length"


class ProviderContentBlocked(ProviderError):
    """A refusal on grounds of safety; a fallback would be a way round it."""

    code = "provider_content_blocked"


class ProviderKeyRejected(ProviderError):
    """401 or 403: the operator's key is at fault, not the caller."""

    code = "provider_key_rejected"
    fall_back = True
    alert = True


class ProviderQuotaExhausted(ProviderError):
    """402 or an exhausted quota: waiting does not help."""

    code = "provider_quota_exhausted"
    fall_back = True
    alert = True


class ProviderModelMissing(ProviderError):
    """404: the provider does not serve this model to this key."""

    code = "provider_model_missing"
    fall_back = True
    alert = True


class ProviderRateLimited(ProviderError):
    """429: the model cools down, and that is no failure."""

    code = "provider_rate_limited"
    retry_same = True
    fall_back = True


class ProviderUnavailable(ProviderError):
    """408, 409, 5xx, 529, or the connection failed."""

    code = "provider_unavailable"
    retry_same = True
    fall_back = True
    counts_as_failure = True


class ProviderTimedOut(ProviderError):
    """One of our clocks ran out: connect, first token, idle or total. Nobody waits for the same one twice."""

    code = "provider_timed_out"
    fall_back = True
    counts_as_failure = True


class ProviderGarbled(ProviderError):
    """An answer that can't be understood: HTML, broken JSON, an empty body, no finish reason."""

    code = "provider_garbled"
    retry_same = True
    fall_back = True
    counts_as_failure = True


class StreamBroken(ProviderError):
    """The stream ended badly after content had been passed on; nothing may be spliced onto it."""

    code = "stream_broken"
    counts_as_failure = True
