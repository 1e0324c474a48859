"""`/v1/keys`: make, list, show, verify, change, rotate, revoke. A key manages its own owner's, the admin token all."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.accounts import NO_TERMS, KeyRow, KeyStatus
from dynaroute_mcp.errors import (
    ConfigurationInvalid,
    InvalidRequest,
    PermissionDenied,
    UnknownName,
)
from dynaroute_mcp.gateway import decode
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.key_bodies import KeyBody, ProviderKeyBody, RotationBody, TermsBody
from dynaroute_mcp.gateway.receiving import read_body
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.session import Session, desk_of, session_of
from dynaroute_mcp.results import (
    DetailedKeyList,
    ForgottenProviderKey,
    GeneratedKey,
    KeyDetails,
    ProviderKeyEntry,
    ProviderKeyList,
    Result,
    RevokedKey,
    RotatedKey,
    VerifiedKey,
)
from dynaroute_mcp.types import Caller


async def make(request: Request) -> Response:
    """Make a key; the whole of it is shown this once."""
    session = session_of(request)
    body = decode.body_of(KeyBody, await read_body(request))
    owner = body.user_id or body.name or session.caller.owner
    session.must_own(owner.strip())
    if body.plan is not None and not session.operator:
        raise PermissionDenied("only the admin token may choose a plan")
    _must_come(request, body)
    with _worded():
        new = await session.core.accounts.generate_key(
            owner,
            plan=body.plan,
            sandbox=body.sandbox or session.sandboxed,
            terms=replace(NO_TERMS, **body.given()),
            by=_by(session),
        )
    return _shown(GeneratedKey.of(new), 201)


async def list_keys(request: Request) -> Response:
    """List an owner's keys, masked; with the admin token those of everybody, unless `user_id` names one.

    A test key lists test keys only.
    """
    session = session_of(request)
    owner = request.query_params.get("user_id")
    if owner is None and not session.operator:
        owner = session.caller.owner
    if owner is not None:
        session.must_own(owner.strip())
    rows = await session.core.accounts.key_statuses(owner, test_only=session.sandboxed)
    return _shown(DetailedKeyList.of(owner or "*", rows))


async def show(request: Request) -> Response:
    """Show one key with its limits, preferences and providers, masked."""
    return _details(request, await _reachable(request))


async def change(request: Request) -> Response:
    """Change a key's limits and preferences; what is left out stays, `null` clears. It holds from the next request on."""
    session, row = session_of(request), await _reachable(request)
    body = decode.body_of(TermsBody, await read_body(request))
    _must_come(request, body)
    with _worded():
        changed = await session.core.accounts.edit_key(
            row.key_id, lambda terms: replace(terms, **body.given()), by=_by(session)
        )
    return _details(request, changed)


async def verify(request: Request) -> Response:
    """Tell what the caller's own key is good for."""
    session = session_of(request)
    if session.caller.key_id is None:
        raise InvalidRequest("the admin token is no key; send a `dr_` key to have it verified")
    _, _, key = request.headers["authorization"].partition(" ")
    return _shown(VerifiedKey.of(await session.core.accounts.verify_key(key.strip())))


async def revoke(request: Request) -> Response:
    """Stop a key at once and for good, its old secret with it; a second time changes nothing."""
    session, row = session_of(request), await _reachable(request)
    return _shown(RevokedKey.of(await session.core.accounts.revoke_key_id(row.key_id, by=_by(session))))


async def rotate(request: Request) -> Response:
    """Give a key a new secret; the old one stops at once, or after a grace. Id, limits and usage stay."""
    session, row = session_of(request), await _reachable(request)
    raw = await read_body(request)
    body = decode.body_of(RotationBody, raw) if raw else RotationBody()
    new = await session.core.accounts.rotate_key(row.key_id, grace_s=body.grace_s, by=_by(session))
    return _shown(RotatedKey.of(new), 201)


# ---------------------------------------------------------------- providers' keys


async def add_provider(request: Request) -> Response:
    """Keep a provider's key for a DynaRoute key, encrypted; its requests use it in place of the operator's."""
    session, row = session_of(request), await _reachable(request)
    body = decode.body_of(ProviderKeyBody, await read_body(request))
    with _worded():
        held = await session.core.accounts.provider_keys.add(
            row.key_id, body.provider, body.api_key, by=_by(session)
        )
    return _shown(ProviderKeyEntry.of(held), 201)


async def list_providers(request: Request) -> Response:
    """List the providers whose keys a DynaRoute key brings along, masked."""
    row = await _reachable(request)
    entries = tuple(ProviderKeyEntry.of(held) for held in row.provider_keys)
    return _shown(ProviderKeyList(id=row.key_id, count=len(entries), providers=entries))


async def remove_provider(request: Request) -> Response:
    """Forget a provider's key; the DynaRoute key's requests use the operator's again, where there is one."""
    session, row = session_of(request), await _reachable(request)
    held = await session.core.accounts.provider_keys.remove(
        row.key_id, str(request.path_params["provider"]), by=_by(session)
    )
    return _shown(ForgottenProviderKey(id=row.key_id, provider=held.provider, deleted=True))


# ---------------------------------------------------------------- shared


async def _reachable(request: Request) -> KeyRow:
    return await session_of(request).key(str(request.path_params["id"]))


def _by(session: Session) -> Caller | None:
    return None if session.operator else session.caller


def _must_come(request: Request, body: TermsBody) -> None:
    if body.expires_at is not None and body.expires_at <= desk_of(request).clock():
        raise Refusal(409, "expires_at is past", reason="conflict", param="expires_at")


@contextmanager
def _worded() -> Iterator[None]:
    """Put what only a look shows into statuses of their own: a name that is nowhere, a server without a master key."""
    try:
        yield
    except UnknownName as error:
        raise Refusal(404, str(error), reason=error.code, param=error.param) from error
    except ConfigurationInvalid as error:
        raise Refusal(409, str(error), reason="no_encryption_key") from error


def _details(request: Request, row: KeyRow) -> Response:
    accounts = session_of(request).core.accounts
    return _shown(KeyDetails.of(KeyStatus(state=accounts.state_of(row), row=row)))


def _shown(result: Result, status: int = 200) -> Response:
    return Response(as_json(result.payload()), status_code=status, media_type="application/json")
