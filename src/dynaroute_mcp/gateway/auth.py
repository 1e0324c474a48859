"""The gate before every request: which site asks, with which key; and what stands on every answer.

Browsers are kept out by Host and Origin, strangers by the key. A failed key is answered in the same words
whether it is mistyped, unknown, revoked or expired; failures are counted by address, and never lock out a key
that is valid.
"""

import hmac
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynaroute_mcp import sites
from dynaroute_mcp.accounts import is_well_formed
from dynaroute_mcp.errors import AuthenticationFailed, DynarouteError
from dynaroute_mcp.gateway.quota import quota_headers
from dynaroute_mcp.gateway.refusal import Refusal, error_response
from dynaroute_mcp.gateway.session import DESK_KEY, LEFT_KEY, SCOPE_KEY, Desk, Session, fields_of
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.types import Caller

logger = logging.getLogger(__name__)

OPEN_PATHS: Final = frozenset({"/health", "/ready", "/openapi.json"})
"""Need no key; they tell nothing about anybody."""

OPERATOR_PATHS: Final = frozenset({"/metrics", "/health/models"})
"""Open to this machine under a loopback Host; else they take the admin token."""

FAILURES_A_MINUTE: Final = 30
"""Unknown keys of one address that are answered with 401; further ones get 429."""

_FORWARDED: Final = frozenset(
    {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
    | {"cf-connecting-ip", "true-client-ip"}
)
"""Headers of a proxy on this machine, behind which the asker may be anywhere."""

_ADDRESSES: Final = 10_000
_MAX_KEY_CHARS: Final = 256
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,80}")
_HINT: Final = (
    "send `Authorization: Bearer` with a DynaRoute key (`dynaroute keys create`) or the admin token"
)


class Failures:
    """Counts failed keys by address, in windows of a minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str) -> float | None:
        """Count one; return the seconds to wait once there were too many."""
        now = self._monotonic()
        began, count = self._counts.pop(address, (now, 0))
        if now - began >= 60:  # noqa: PLR2004 -- a minute
            began, count = now, 0
        self._counts[address] = (began, count + 1)
        if len(self._counts) > _ADDRESSES:
            self._counts.popitem(last=False)
        return None if count < FAILURES_A_MINUTE else began + 60 - now


class Gate:
    """ASGI middleware that lets a request pass with its session, or answers it."""

    def __init__(self, app: ASGIApp, *, desk: Desk, allowed_hosts: Collection[str]) -> None:
        self._app = app
        self._desk = desk
        self._allowed = frozenset(name.casefold() for name in allowed_hosts)
        self._failures = Failures(desk.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request by its Host, its Origin and its key, in this order, and stamp its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = fields_of(scope)
        scope[DESK_KEY] = self._desk
        given = headers.get("x-request-id", "")
        given_id = given if _GIVEN_ID.fullmatch(given) else None
        request_id = given_id or self._desk.new_id()
        stamp = Stamp(send, scope, self._desk, request_id)
        with self._desk.metrics.watch(scope, stamp):
            try:
                self._check_site(headers)
                if not self._is_open(scope, headers):
                    scope[SCOPE_KEY] = await self._admit(headers, scope, request_id, given_id)
                await self._app(scope, receive, stamp)
            except (DynarouteError, Refusal, HTTPException) as error:
                await error_response(error, request_id)(scope, receive, stamp)
            except Exception:
                logger.exception("a request crashed", extra={"path": scope["path"], "request": request_id})
                if stamp.status:
                    raise  # half an answer has left: only the connection can still be cut
                crash = Refusal(500, "internal error; the log has the reason", reason="internal")
                await error_response(crash, request_id)(scope, receive, stamp)

    def _check_site(self, headers: Mapping[str, str]) -> None:
        fault = sites.fault(headers.get("host", ""), headers.get("origin"), self._allowed)
        if fault == "host":
            raise Refusal(
                421, "this Host is not served here; allow it with --allow-host", reason="invalid_host"
            )
        if fault == "origin":
            raise Refusal(403, "pages of this origin may not call this server", reason="invalid_origin")

    def _is_open(self, scope: Scope, headers: Mapping[str, str]) -> bool:
        if scope["path"] in OPERATOR_PATHS:
            return _from_here(scope, headers)
        return scope["path"] in OPEN_PATHS

    async def _admit(
        self, headers: Mapping[str, str], scope: Scope, request_id: str, given_id: str | None
    ) -> Session:
        core = await self._desk.core()
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.casefold() == "bearer" else ""
        operator = _is_admin(core, key)
        try:
            caller = await core.caller() if operator else await self._caller(core, key)
        except AuthenticationFailed as error:
            raise self._unauthorized(str(error), key, _address(scope)) from None
        if scope["path"] in OPERATOR_PATHS and not operator:
            raise Refusal(403, "this needs the admin token from here", reason="permission_denied")
        return Session(core=core, caller=caller, operator=operator, request_id=request_id, given_id=given_id)

    async def _caller(self, core: Core, key: str) -> Caller:
        if not key:
            raise AuthenticationFailed(f"no API key; {_HINT}")
        if len(key) > _MAX_KEY_CHARS:  # before anything is hashed
            key = key[:_MAX_KEY_CHARS]
        return await core.accounts.caller_for(key)

    def _unauthorized(self, why: str, key: str, address: str) -> Refusal:
        wait_s = self._failures.add(address) if is_well_formed(key) else None  # the rest costs no look-up
        if wait_s is not None:
            return Refusal(
                429,
                "too many unknown keys from this address; a valid key still works",
                reason="too_many_failures",
                headers={"Retry-After": str(int(wait_s) + 1)},
            )
        return Refusal(
            401, why, reason="authentication_failed", headers={"WWW-Authenticate": 'Bearer realm="DynaRoute"'}
        )


class Stamp:
    """Sends an answer with what every answer carries: the request's id, the caller's limits, no caching."""

    def __init__(self, send: Send, scope: Scope, desk: Desk, request_id: str) -> None:
        self._send = send
        self._scope = scope
        self._clock = desk.clock
        self._request_id = request_id
        self.status = 0
        """Of the answer; 0 until it has begun."""

    async def __call__(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            headers = [
                *message.get("headers", ()),
                (b"x-request-id", self._request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            session = self._scope.get(SCOPE_KEY)
            if isinstance(session, Session):
                told = await quota_headers(session, self._clock(), self._scope.get(LEFT_KEY))
                headers += [(name.lower().encode(), value.encode()) for name, value in told.items()]
            message["headers"] = headers
            self.status = message["status"]
        await self._send(message)


def _is_admin(core: Core, key: str) -> bool:
    token = core.settings.admin_token
    return token is not None and hmac.compare_digest(
        key.encode("utf-8", "replace"), token.get_secret_value().encode()
    )


def _from_here(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether a program of this machine asks, and no proxy here for somebody elsewhere, as far as can be told.

    One that adds no header passes the asker's Host on, or speaks HTTP/1.0, as nginx long did unless told otherwise.
    """
    direct = _FORWARDED.isdisjoint(headers.keys()) and scope["http_version"] != "1.0"
    return direct and sites.is_loopback(_address(scope)) and sites.names_loopback(headers.get("host", ""))


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""
