"""Makes, checks, changes and revokes keys; tells plans and what is used of them.

A key is `dr_` (or `dr_test_` for the sandbox) and 43 base62 characters, the last six of them a checksum, so
that a typing error is told from a revoked key without a look-up. Only its SHA-256 is stored; it is shown
once.
"""

import hmac
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from dynaroute_mcp.accounts.provider_keys import ProviderKeys
from dynaroute_mcp.accounts.secret import digest, is_well_formed, new_secret
from dynaroute_mcp.accounts.terms import NO_TERMS, Terms, check_maker, check_terms, terms_of, with_terms
from dynaroute_mcp.catalog import Catalog, Plan
from dynaroute_mcp.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    StoreUnavailable,
)
from dynaroute_mcp.limits import Spent, binding, limits_of, spent, tightest, window
from dynaroute_mcp.store.base import KeyRow, Store
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import Ambient, Caller, Left
from dynaroute_mcp.vault import Vault

logger = logging.getLogger(__name__)

LOCAL = Caller(owner="local")
"""The owner of the database, on stdio and in the shell without a key: no plan limits them."""

DEFAULT_PLAN = "free"
LONGEST_GRACE_S = 7 * 86_400
"""How long an old key may be accepted beside the one that took its place, in seconds."""

_FORBIDDEN = r"\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069"
"""Characters that could fool a reader: controls, and those that are not seen or turn text round."""
OWNER_PATTERN = rf"^[^{_FORBIDDEN}]*[^\s{_FORBIDDEN}][^{_FORBIDDEN}]*$"
"""What an owner's id looks like, beside its 1 to 200 characters."""
_OWNER = re.compile(rf"[^{_FORBIDDEN}\ud800-\udfff]{{1,200}}")

KeyState = Literal["active", "revoked", "expired", "not_found", "malformed", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made; the only time that it is seen whole."""

    secret: str = field(repr=False)
    row: KeyRow
    old_until: datetime | None = None
    """Until when the key is accepted whose place it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """What a key is good for."""

    state: KeyState
    row: KeyRow | None = None
    plan: Plan | None = None
    spent: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A key that works no more."""

    row: KeyRow
    revoked_at: datetime
    already: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What limits a caller and what is used of it."""

    owner: str
    plan: Plan | None
    """With a key's own limit in place of the plan's where that leaves less; `None` is the local owner, whom no plan limits."""
    spent: Spent
    """Of the limits in `plan`: by the owner, or by the key where its own limit stands there."""
    renews_at: datetime
    left: Mapping[str, Left] = field(default_factory=dict)
    """Of each kind of limit, by its name: the plan's, or the key's own where that leaves less."""


class Accounts:
    """Makes, checks and revokes keys; tells plans and what is used of them."""

    def __init__(self, store: Store, catalog: Catalog, ambient: Ambient, vault: Vault | None = None) -> None:
        """Take what is known at start; without a vault no provider's key can be kept."""
        self.provider_keys = ProviderKeys(
            store, catalog, vault or Vault(None, ambient.randbelow), ambient.clock
        )
        self._store = store
        self._catalog = catalog
        self._clock = ambient.clock
        self._randbelow = ambient.randbelow

    async def generate_key(
        self,
        owner: str,
        *,
        plan: str | None = None,
        sandbox: bool = False,
        terms: Terms = NO_TERMS,
        by: Caller | None = None,
    ) -> NewKey:
        """Make a key for an owner, on their plan unless another is named.

        Args:
            owner: whose usage it counts on.
            plan: id of the plan.
            sandbox: make a test key.
            terms: what the key may do beside the plan, and what it favours.
            by: who asks; `None` is the owner of the database.

        Raises:
            PermissionDenied: a key with limits of its own asks.
            InvalidRequest: the owner's name is not one, or a term is wrong.
            UnknownName: there is no such plan, model or provider.
        """
        owner, now = check_owner(owner), self._clock()
        check_maker(by)
        check_terms(terms, self._catalog, now)
        plan_id = self._catalog.get_plan(plan or await self._store.find_plan(owner) or DEFAULT_PLAN).id
        secret = new_secret(self._randbelow, sandbox=sandbox)
        row = KeyRow(
            key_id=f"key_{self._randbelow(16**12):012x}",
            digest=digest(secret),
            first8=secret[:8],
            last4=secret[-4:],
            owner=owner,
            plan=plan_id,
            created_at=now,
            sandbox=sandbox,
        )
        row = with_terms(row, terms)
        await self._store.add_key(row)
        return NewKey(secret=secret, row=row)

    async def verify_key(self, key: str) -> KeyStatus:
        """Tell whether a key works and what it has left; an unknown one is an answer, no error."""
        if not is_well_formed(key):
            return KeyStatus(state="malformed")
        row = await self._find(key)
        if row is None:
            return KeyStatus(state="not_found")
        held = await self.subscription(_caller(row))
        return KeyStatus(state=self.state_of(row), row=row, plan=held.plan, spent=held.spent)

    async def revoke_key(self, key: str, *, by: Caller | None = None) -> Revocation:
        """Stop a key at once, in every process that shares the database. A second time changes nothing.

        Raises:
            PermissionDenied: a key with limits of its own asks for another; `by` as in `rotate_key`.
            NotFound: no such key.
        """
        row = await self._find(key) if is_well_formed(key) else None
        if row is None:
            raise NotFound("no such key; list the owner's keys to see which there are")
        if by is None or by.key_id != row.key_id:
            check_maker(by)
        return await self._revoke(row)

    async def key_statuses(self, owner: str | None, *, test_only: bool = False) -> Sequence[KeyStatus]:
        """List an owner's keys, or everybody's, with their states, oldest first; plan and use are left out.

        Behind them stands one status without a row for each key that can't be read; the log says which and
        why.

        Raises:
            InvalidRequest: the owner is empty, too long or holds control characters.
        """
        owner = owner if owner is None else check_owner(owner)
        rows = [row for row in await self._store.list_keys(owner) if row.sandbox or not test_only]
        known = [KeyStatus(state=self.state_of(row), row=row) for row in rows]
        faults = await self._store.unreadable_keys(owner)
        for fault in faults.values():
            logger.warning("a key can't be read", extra={"reason": str(fault)})
        return [*known, *(KeyStatus(state="unreadable") for _ in faults)]

    async def get_key(self, key_id: str, owner: str | None = None) -> KeyRow:
        """Find a key by its id, among an owner's or everybody's.

        Raises:
            NotFound: there is none; the same words whether it is another's or nobody's.
            StoreCorrupt: its row can't be read.
        """
        rows = await self._store.list_keys(owner)
        row = next((row for row in rows if row.key_id == key_id), None)
        if row is None:
            if fault := (await self._store.unreadable_keys(owner)).get(key_id):
                raise fault
            raise NotFound(f"no key has the id {key_id[:80]!r}; list the keys to see which there are")
        return row

    async def revoke_key_id(self, key_id: str, *, by: Caller | None = None) -> Revocation:
        """Stop a key by its id, as `revoke_key` does; `by` as in `rotate_key`.

        Raises:
            PermissionDenied: a key with limits of its own asks for another.
            NotFound: there is none.
        """
        if by is None or by.key_id != key_id:
            check_maker(by)
        return await self._revoke(await self.get_key(key_id))

    async def _revoke(self, known: KeyRow) -> Revocation:
        """Stop a key and the one whose place it took; one whose own was taken for good stops nothing."""
        now = self._clock()
        if self._superseded(known):
            ended_at = known.revoked_at or known.superseded_until or now
            return Revocation(row=known, revoked_at=ended_at, already=True)
        row = await self._store.revoke_key(known.digest, now) or known
        return Revocation(row=row, revoked_at=row.revoked_at or now, already=row.revoked_at is not None)

    async def edit_key(
        self, key_id: str, edit: Callable[[Terms], Terms], *, by: Caller | None = None
    ) -> KeyRow:
        """Change what a key may do and what it favours, from its next request on; `by` as in `generate_key`.

        Raises:
            PermissionDenied: a key with limits of its own asks.
            NotFound: there is none.
            InvalidRequest: it is revoked, or a term is wrong.
            UnknownName: there is no such model or provider.
        """
        check_maker(by)
        now = self._clock()

        def changed(row: KeyRow) -> KeyRow:
            if row.revoked_at is not None:
                raise InvalidRequest(f"key {key_id!r} is revoked; make a new one", param="id")
            before = terms_of(row)
            terms = edit(before)
            if terms.expires_at == before.expires_at:
                check_terms(replace(terms, expires_at=None), self._catalog, now)
            else:
                check_terms(terms, self._catalog, now)
            return with_terms(row, terms)

        await self.get_key(key_id)
        row = await self._store.edit_key(key_id, changed)
        assert row is not None, "keys are never deleted"
        return row

    async def rotate_key(self, key_id: str, *, grace_s: float = 0, by: Caller | None = None) -> NewKey:
        """Give a key another secret; its id, limits, usage and providers' keys stay.

        Args:
            key_id: which key.
            grace_s: how long the old secret is accepted beside the new one, at most `LONGEST_GRACE_S`; 0 ends
                it at once. What an earlier rotation left open ends now.
            by: as in `generate_key`; a key with limits of its own may rotate itself, but with its newest
                secret only.

        Raises:
            PermissionDenied: a key with limits of its own asks for another, or a secret asks that is on its way
                out.
            NotFound: there is none.
            InvalidRequest: it works no more, so that nothing is left to go on with; or the grace is out of
                range.
        """
        if not 0 <= grace_s <= LONGEST_GRACE_S:
            raise InvalidRequest(f"grace_s must be between 0 and {LONGEST_GRACE_S:,}", param="grace_s")
        if by is None or by.key_id != key_id:
            check_maker(by)
        old, now = await self.get_key(key_id), self._clock()
        if by is not None and by.superseded:
            raise PermissionDenied("a newer key has taken this one's place; rotate with that one")
        if self.state_of(old) != "active":
            raise InvalidRequest(f"key {key_id!r} is {self.state_of(old)}; make a new one", param="id")
        secret, until = new_secret(self._randbelow, sandbox=old.sandbox), now + timedelta(seconds=grace_s)
        fresh = (digest(secret), secret[:8], secret[-4:])
        row = await self._store.rotate_key(key_id, old.digest, fresh, now, until)
        if row is None:
            raise InvalidRequest(f"key {key_id!r} was rotated or revoked at the same time", param="id")
        return NewKey(secret=secret, row=row, old_until=until if grace_s else None)

    async def caller_for(self, key: str) -> Caller:
        """Tell on whose behalf a key speaks.

        Raises:
            AuthenticationFailed: in the same words whether the key is mistyped, unknown, revoked or expired.
            StoreCorrupt: what is stored of it can't be read; says what to do.
        """
        row = await self._find(key) if is_well_formed(key) else None
        if row is None or self.state_of(row) != "active":
            raise AuthenticationFailed(
                "invalid or unauthorized API key; generate one with `dynaroute keys create`"
            )
        return _caller(row)

    async def subscription(self, caller: Caller) -> Subscription:
        """Tell what limits a caller, the plan or the key's own limits, what is used of it and when the month ends."""
        now = self._clock()
        _, renews_at = window("month", now)
        plan = self._catalog.get_plan(caller.plan) if caller.plan else None
        limits = limits_of(caller, plan, (), None, now)
        counters = await self._store.counters(sorted({limit.scope for limit in limits}))
        used, left = spent(caller.owner, counters, now, sandbox=caller.sandbox), tightest(limits, counters)
        if plan is not None:
            plan, used = binding(plan, used, left)
        return Subscription(owner=caller.owner, plan=plan, spent=used, renews_at=renews_at, left=left)

    async def set_plan(self, owner: str, plan: str) -> Plan:
        """Give an owner, and every key of theirs, another plan.

        Raises:
            UnknownName: there is no such plan.
        """
        chosen = self._catalog.get_plan(plan)
        await self._store.set_plan(check_owner(owner), chosen.id, self._clock())
        return chosen

    async def _find(self, key: str) -> KeyRow | None:
        wanted = digest(key)
        row = await self._store.find_key(wanted)
        if row is None:
            return None
        if row.superseded_until is not None:
            if self._superseded(row) and not row.grace_ended:
                with suppress(StoreUnavailable):  # it is refused all the same
                    await self._store.end_grace(wanted)
            return row
        return row if hmac.compare_digest(row.digest, wanted) else None

    def state_of(self, row: KeyRow) -> KeyState:
        """Tell whether a key works just now."""
        if row.revoked_at is not None or self._superseded(row):
            return "revoked"
        if row.expires_at is not None and row.expires_at <= self._clock():
            return "expired"
        return "active"

    def _superseded(self, row: KeyRow) -> bool:
        """Tell whether a row was found by a secret whose grace is over."""
        until = row.superseded_until
        return row.grace_ended or (until is not None and until <= self._clock())


def _caller(row: KeyRow) -> Caller:
    return Caller(
        owner=row.owner,
        key_id=row.key_id,
        plan=row.plan,
        sandbox=row.sandbox,
        strategy=Strategy(row.strategy) if row.strategy else None,
        usd_per_month=row.usd_per_month,
        tokens_per_month=row.tokens_per_month,
        requests_per_minute=row.requests_per_minute,
        requests_per_day=row.requests_per_day,
        models=row.models,
        expires_at=min((at for at in (row.expires_at, row.superseded_until) if at), default=None),
        superseded=row.superseded_until is not None,
        preferences=row.preferences,
        provider_keys=row.provider_keys,
    )


def check_owner(owner: str) -> str:
    """Return the owner's id without spaces around it.

    Raises:
        InvalidRequest: it is empty, longer than 200 characters or holds control characters.
    """
    owner = owner.strip()
    if not _OWNER.fullmatch(owner):
        raise InvalidRequest(
            "user_id must have 1 to 200 characters and no control characters;"
            " an e-mail address or a name will do",
            param="user_id",
        )
    return owner
