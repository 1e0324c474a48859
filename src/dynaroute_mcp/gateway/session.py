"""Who asks, and what the process gives a request to work with."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.types import Scope

from dynaroute_mcp.accounts import KeyRow
from dynaroute_mcp.errors import PermissionDenied
from dynaroute_mcp.types import Caller

if TYPE_CHECKING:
    from dynaroute_mcp.gateway.cache import Cache
    from dynaroute_mcp.gateway.metrics import Metrics
    from dynaroute_mcp.runtime import Core

SCOPE_KEY: Final = "dynaroute.session"
"""Where the gate leaves the session in the ASGI scope."""
LEFT_KEY: Final = "dynaroute.left"
"""Where an answer leaves what its caller has left, if it knows."""
FIELDS_KEY: Final = "dynaroute.fields"
"""Where the header fields are kept once they were read."""
DESK_KEY: Final = "dynaroute.desk"
"""Where it leaves what the process has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the process has: the core of the moment, time, chance, and what it remembers."""

    core: "Callable[[], Awaitable[Core]]"
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    new_id: Callable[[], str]
    """`req_` and 24 hexadecimal digits."""
    cache: "Cache"
    metrics: "Metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One request of somebody who was let in."""

    core: "Core"
    """For the whole request, also when the configuration is read anew meanwhile."""
    caller: Caller
    operator: bool
    """Came with the admin token."""
    request_id: str
    given_id: str | None
    """The id that the caller gave the request."""

    def must_own(self, owner: str) -> None:
        """Check that the caller may manage what belongs to an owner.

        Raises:
            PermissionDenied: it is somebody else's.
        """
        if not (self.operator or self.caller.owner == owner):
            raise PermissionDenied(
                "a key sees and manages its own owner's keys and usage only; use that owner's key, or the admin token"
            )

    @property
    def sandboxed(self) -> bool:
        """Came with a test key: it sees and manages test keys only."""
        return self.caller.sandbox and not self.operator

    async def key(self, key_id: str) -> KeyRow:
        """Find a key that the caller may see and manage.

        Raises:
            NotFound: there is none of this owner.
            PermissionDenied: a test key asks for another kind.
        """
        row = await self.core.accounts.get_key(key_id, None if self.operator else self.caller.owner)
        if self.sandboxed and not row.sandbox:
            raise PermissionDenied("a test key sees and manages test keys only")
        return row


def fields_of(scope: Scope) -> Mapping[str, str]:
    """Header fields by name in small letters; of one that comes several times the first."""
    fields: Mapping[str, str] | None = scope.get(FIELDS_KEY)
    if fields is None:
        pairs = reversed([*scope["headers"]])
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        scope[FIELDS_KEY] = fields
    return fields


def session_of(request: Request) -> Session:
    """Return the session that the gate has put into the request."""
    session = request.scope[SCOPE_KEY]
    assert isinstance(session, Session)
    return session


def desk_of(request: Request) -> Desk:
    """Return what the process has."""
    desk = request.scope[DESK_KEY]
    assert isinstance(desk, Desk)
    return desk
