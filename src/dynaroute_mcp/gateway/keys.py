"""`/v1/keys`: make, list, verify, revoke and rotate. A key manages its own owner's keys, the admin token everybody's."""

from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.errors import InvalidRequest, PermissionDenied
from dynaroute_mcp.gateway import decode
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.receiving import read_body
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.session import Session, desk_of, session_of
from dynaroute_mcp.gateway.wire import StrategyName, Wire
from dynaroute_mcp.results import GeneratedKey, KeyList, Result, RevokedKey, VerifiedKey

Owner = Annotated[str, Field(min_length=1, max_length=200)]


class KeyBody(Wire):
    """The body of `POST /v1/keys`. Unknown fields are refused: nobody slips in a state or a hash."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    user_id: Owner | None = None
    """Whose key; by default the caller's own."""
    name: Owner | None = None
    """Another word for `user_id`."""
    strategy: StrategyName | None = None
    plan: Annotated[str, Field(max_length=100)] | None = None
    """Only the admin token may choose one; by default the owner's."""
    sandbox: bool = False
    """A `dr_test_` key, which never reaches a provider."""
    expires_at: Annotated[AwareDatetime, Field(strict=False)] | None = None


async def make(request: Request) -> Response:
    """Make a key; the whole of it is shown this once."""
    session = session_of(request)
    body = decode.body_of(KeyBody, await read_body(request))
    owner = body.user_id or body.name or session.caller.owner
    session.must_own(owner.strip())
    if body.plan is not None and not session.operator:
        raise PermissionDenied("only the admin token may choose a plan")
    if body.expires_at is not None and body.expires_at <= desk_of(request).clock():
        raise Refusal(409, "expires_at is past", reason="conflict", param="expires_at")
    new = await session.core.accounts.generate_key(
        owner,
        plan=body.plan,
        sandbox=body.sandbox or _sandboxed(session),
        strategy=decode.strategy_of(None, body.strategy),
        expires_at=body.expires_at,
        by=None if session.operator else session.caller,
    )
    return _shown(GeneratedKey.of(new), 201)


async def list_keys(request: Request) -> Response:
    """List an owner's keys, masked; with the admin token those of everybody, unless `user_id` names one."""
    session = session_of(request)
    owner = request.query_params.get("user_id")
    if owner is None and not session.operator:
        owner = session.caller.owner
    if owner is not None:
        session.must_own(owner.strip())
    return _shown(KeyList.of(owner or "*", await session.core.accounts.key_statuses(owner)))


async def verify(request: Request) -> Response:
    """Tell what the caller's own key is good for."""
    session = session_of(request)
    if session.caller.key_id is None:
        raise InvalidRequest("the admin token is no key; send a `dr_` key to have it verified")
    _, _, key = request.headers["authorization"].partition(" ")
    return _shown(VerifiedKey.of(await session.core.accounts.verify_key(key.strip())))


async def revoke(request: Request) -> Response:
    """Stop a key at once and for good; a second time changes nothing."""
    session, key_id = session_of(request), await _reachable(request)
    return _shown(RevokedKey.of(await session.core.accounts.revoke_key_id(key_id)))


async def rotate(request: Request) -> Response:
    """Put a new key in the place of an old one, which stops at once."""
    session, key_id = session_of(request), await _reachable(request)
    by = None if session.operator else session.caller
    return _shown(GeneratedKey.of(await session.core.accounts.rotate_key(key_id, by=by)), 201)


async def _reachable(request: Request) -> str:
    """Check that the key in the path is one that the caller may manage: a test key reaches test keys only."""
    session, key_id = session_of(request), str(request.path_params["id"])
    row = await session.core.accounts.get_key(key_id, None if session.operator else session.caller.owner)
    if _sandboxed(session) and not row.sandbox:
        raise PermissionDenied("a test key manages test keys only")
    return key_id


def _sandboxed(session: Session) -> bool:
    return session.caller.sandbox and not session.operator


def _shown(result: Result, status: int = 200) -> Response:
    return Response(as_json(result.payload()), status_code=status, media_type="application/json")
