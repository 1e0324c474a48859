"""The gate before every HTTP request: which site asks, and with which key.

`sites` says who may ask at all. Then every request needs a DynaRoute key or the admin token; it is judged by
its own key, so a revoked one stops in the middle of a session.
"""

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dynaroute_mcp import sites
from dynaroute_mcp.errors import AuthenticationFailed, DynarouteError, StoreUnavailable
from dynaroute_mcp.mcp_server.access import OPERATOR, SCOPE_KEY, Visitor

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core

logger = logging.getLogger(__name__)

OPEN_PATHS: Final = frozenset({"/health"})
"""Need no key; they tell nothing but that the server is up."""


class Gate:
    """ASGI middleware that lets a request pass with its visitor, or answers it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        core: "Callable[[], Awaitable[Core]]",  # its settings hold the admin token
        allowed_hosts: Collection[str],
    ) -> None:
        self._app = app
        self._core = core
        self._allowed = frozenset(name.casefold() for name in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge a request by its Host, its Origin and its key, in this order."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal = self._refuse_site(headers)
            if refusal is None and scope["path"] not in OPEN_PATHS:
                refusal = await self._admit(headers, scope)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuse_site(self, headers: Headers) -> JSONResponse | None:
        match sites.fault(headers.get("host", ""), headers.get("origin"), self._allowed):
            case "host":
                return _refusal(
                    421, "invalid_host", "this Host is not served here; allow it with --allow-host"
                )
            case "origin":
                return _refusal(403, "invalid_origin", "pages of this origin may not call this server")
            case None:
                return None

    async def _admit(self, headers: Headers, scope: Scope) -> JSONResponse | None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip() if scheme.casefold() == "bearer" else ""
        if not key:
            return _unauthorized(None)
        try:
            visitor = await self._visitor(key)
        except AuthenticationFailed as error:
            return _unauthorized(str(error))
        except StoreUnavailable as error:
            facts = {"reason": str(error)}
            logger.error("the database can't be used", extra=facts)  # noqa: TRY400 -- it says all
            return _refusal(503, error.code, error.public)
        except DynarouteError as error:
            logger.warning("%s", error)  # it may name a path of this machine
            return _refusal(503, error.code, "this server can't work just now; its log says why")
        scope[SCOPE_KEY] = visitor
        # The SDK binds a session to the user who opened it; of the key it learns a fingerprint only.
        fingerprint = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=fingerprint, scopes=[]))
        return None

    async def _visitor(self, key: str) -> Visitor:
        core = await self._core()
        token = core.settings.admin_token  # of the core of the moment: the settings may be read anew
        if token is not None and hmac.compare_digest(
            key.encode("utf-8", "replace"), token.get_secret_value().encode()
        ):
            return OPERATOR
        return Visitor(kind="keyholder", caller=await core.accounts.caller_for(key))


def _unauthorized(why: str | None) -> JSONResponse:
    needed = "send `Authorization: Bearer` with a DynaRoute key (`dynaroute keys create`) or the admin token"
    challenge = 'Bearer realm="DynaRoute"' + ("" if why is None else ', error="invalid_token"')
    response = _refusal(401, "authentication_failed", why or needed)
    response.headers["WWW-Authenticate"] = challenge
    return response


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": code, "error_description": message}, status)
