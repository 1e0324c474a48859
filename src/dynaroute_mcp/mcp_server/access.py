"""Who speaks over MCP, and what they may touch.

On stdio the owner of the database is the user, and nothing is closed to them. Over HTTP a DynaRoute key
manages and sees its own owner's keys and usage only; the admin token is the operator. A request that reached
this server past its gate (a transport started by other means) is a stranger: what needs nobody works, the
rest is closed.
"""

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from dynaroute_mcp.errors import AuthenticationFailed, DynarouteError, PermissionDenied, StoreUnavailable
from dynaroute_mcp.types import Caller

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core

logger = logging.getLogger(__name__)

SCOPE_KEY: Final = "dynaroute.visitor"
"""Where the HTTP gate leaves the visitor in the ASGI scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who sent a message."""

    kind: Literal["operator", "keyholder", "stranger"]
    caller: Caller | None = None
    """Set for a keyholder."""
    here: bool = False
    """On stdio: this machine's user, who may read its paths."""

    async def caller_in(self, core: "Core") -> Caller:
        """Tell on whose behalf to work: the key's owner, or for the operator the identity of this process.

        Raises:
            AuthenticationFailed: a stranger, or the operator's `DYNAROUTE_API_KEY` is not valid.
        """
        if self.kind == "stranger":
            raise AuthenticationFailed(
                "this connection carries no DynaRoute key; "
                "send `Authorization: Bearer dr_…` to `dynaroute serve`"
            )
        return self.caller or await core.caller()

    def must_own(self, owner: str) -> None:
        """Check that this visitor may manage an owner's keys.

        Raises:
            PermissionDenied: a keyholder asks for somebody else, or a stranger asks.
        """
        if self.kind != "operator" and (self.caller is None or self.caller.owner != owner):
            raise PermissionDenied(
                "a key manages its own owner's keys only; use that owner's key, or the admin token"
            )

    def told(self, error: DynarouteError) -> str:
        """Put an error into words for this visitor; for one elsewhere the log alone has a path."""
        if isinstance(error, StoreUnavailable) and not self.here:
            logger.error("the database can't be used", extra={"reason": str(error)})
            return f"[{error.code}] {error.public}"
        return f"[{error.code}] {error}"

    @property
    def owner(self) -> str:
        """Whose keys are theirs; nobody's where there is no caller."""
        return "" if self.caller is None else self.caller.owner

    @property
    def sandboxed(self) -> bool:
        """A test key: what it sees, makes or revokes is test keys only."""
        return self.caller is not None and self.caller.sandbox


OPERATOR: Final = Visitor(kind="operator")
_OWNER: Final = replace(OPERATOR, here=True)
STRANGER: Final = Visitor(kind="stranger")

_visitor: ContextVar[Visitor] = ContextVar("dynaroute_visitor", default=STRANGER)


def visitor() -> Visitor:
    """Return who sent the message that is being handled."""
    return _visitor.get()


async def remember_visitor(
    ctx: ServerRequestContext[Any, Any],  # Any: what the SDK's own middleware protocol says
    call_next: CallNext,
) -> HandlerResult:
    """Note for the time of one message who sent it: each message is judged by the request that brought it."""
    token = _visitor.set(_OWNER if ctx.request is None else _from_scope(ctx.request.scope))
    try:
        return await call_next(ctx)
    finally:
        _visitor.reset(token)


def _from_scope(scope: Mapping[str, object]) -> Visitor:
    found = scope.get(SCOPE_KEY)
    return found if isinstance(found, Visitor) else STRANGER
