"""Keys and plans: who may ask, and how much.

A key is `dr_` (or `dr_test_` for the sandbox) and 43 base62 characters, the last six of them a checksum, so that a
typing error is told from a revoked key without a look-up. Only its SHA-256 is stored; it is shown once.
"""

import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from dynaroute_mcp.catalog import Catalog, Plan
from dynaroute_mcp.errors import AuthenticationFailed, InvalidRequest, NotFound, PermissionDenied
from dynaroute_mcp.limits import Spent, owner_scope, spent, window
from dynaroute_mcp.store.base import KeyRow, Store
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import Ambient, Caller

LOCAL = Caller(owner="local")
"""The owner of the database, on stdio and in the shell without a key: no plan limits them."""

DEFAULT_PLAN = "free"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARACTERS = 37
_CHECK_CHARACTERS = 6
_HIGHEST_LIMIT = 1_000_000_000
_SHAPE = re.compile(r"dr_(test_)?[0-9A-Za-z]{43}")
_OWNER = re.compile(r"[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]{1,200}")

KeyState = Literal["active", "revoked", "expired", "not_found", "malformed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one key may use in a month, beside its owner's plan; `None` sets no limit."""

    usd_per_month: Decimal | None = None
    tokens_per_month: int | None = None


NO_LIMITS = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made; the only time that it is seen whole."""

    secret: str = field(repr=False)
    row: KeyRow


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
    """An owner's plan and what is used of it."""

    owner: str
    plan: Plan | None
    """`None` is the local owner, whom no plan limits."""
    spent: Spent
    renews_at: datetime


class Accounts:
    """Makes, checks and revokes keys; tells plans and what is used of them."""

    def __init__(self, store: Store, catalog: Catalog, ambient: Ambient) -> None:
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
        strategy: Strategy | None = None,
        expires_at: datetime | None = None,
        allowance: Allowance = NO_LIMITS,
        by: Caller | None = None,
    ) -> NewKey:
        """Make a key for an owner, on their plan unless another is named.

        Args:
            owner: whose usage it counts on.
            plan: id of the plan.
            sandbox: make a test key.
            strategy: what its requests favour.
            expires_at: when it stops.
            allowance: what the key may use, beside the plan.
            by: who asks; `None` is the owner of the database.

        Raises:
            PermissionDenied: a key with limits of its own asks.
            InvalidRequest: the owner's name is not one, `expires_at` is past, or a limit is not above 0.
            UnknownName: there is no such plan.
        """
        owner, now = check_owner(owner), self._clock()
        _check_maker(by)
        if expires_at is not None and expires_at <= now:
            raise InvalidRequest(f"expires_at {expires_at.isoformat()} is past", param="expires_at")
        _check_allowance(allowance)
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
            strategy=strategy,
            sandbox=sandbox,
            expires_at=expires_at,
            usd_per_month=allowance.usd_per_month,
            tokens_per_month=allowance.tokens_per_month,
        )
        await self._store.add_key(row)
        return NewKey(secret=secret, row=row)

    async def verify_key(self, key: str) -> KeyStatus:
        """Tell whether a key works and what is left of its plan; an unknown key is an answer, not an error."""
        if not is_well_formed(key):
            return KeyStatus(state="malformed")
        row = await self._find(key)
        if row is None:
            return KeyStatus(state="not_found")
        used = await self._spent(row.owner, sandbox=row.sandbox)
        return KeyStatus(state=self._state(row), row=row, plan=self._catalog.get_plan(row.plan), spent=used)

    async def revoke_key(self, key: str) -> Revocation:
        """Stop a key at once, in every process that shares the database. A second time changes nothing.

        Raises:
            InvalidRequest: no such key.
        """
        now = self._clock()
        row = await self._store.revoke_key(digest(key), now) if is_well_formed(key) else None
        if row is None:
            raise InvalidRequest("no such key; list the owner's keys to see which there are", param="api_key")
        already = row.revoked_at is not None
        return Revocation(row=row, revoked_at=row.revoked_at or now, already=already)

    async def key_statuses(self, owner: str | None) -> Sequence[KeyStatus]:
        """List an owner's keys, or everybody's, with their states, oldest first; plan and use are left out.

        Raises:
            InvalidRequest: the owner is empty, too long or holds control characters.
        """
        rows = await self._store.list_keys(owner if owner is None else check_owner(owner))
        return [KeyStatus(state=self._state(row), row=row) for row in rows]

    async def get_key(self, key_id: str, owner: str | None = None) -> KeyRow:
        """Find a key by its id, among an owner's or everybody's.

        Raises:
            NotFound: there is none; the same words whether it is another's or nobody's.
        """
        rows = await self._store.list_keys(owner)
        row = next((row for row in rows if row.key_id == key_id), None)
        if row is None:
            raise NotFound(f"no key has the id {key_id[:80]!r}; list the keys to see which there are")
        return row

    async def revoke_key_id(self, key_id: str) -> Revocation:
        """Stop a key by its id, as `revoke_key` does.

        Raises:
            NotFound: there is none.
        """
        known = await self.get_key(key_id)
        now = self._clock()
        row = await self._store.revoke_key(known.digest, now) or known
        return Revocation(row=row, revoked_at=row.revoked_at or now, already=row.revoked_at is not None)

    async def rotate_key(self, key_id: str, *, by: Caller | None = None) -> NewKey:
        """Make a key that is good for the same, and stop the old one at once; `by` as in `generate_key`.

        Raises:
            PermissionDenied: a key with limits of its own asks.
            NotFound: there is none.
            InvalidRequest: it works no more, so that nothing is left to go on with.
        """
        _check_maker(by)
        old = await self.get_key(key_id)
        if self._state(old) != "active":
            raise InvalidRequest(f"key {key_id!r} is {self._state(old)}; make a new one", param="id")
        new = await self.generate_key(
            old.owner,
            plan=old.plan,
            sandbox=old.sandbox,
            strategy=Strategy(old.strategy) if old.strategy else None,
            expires_at=old.expires_at,
            allowance=Allowance(usd_per_month=old.usd_per_month, tokens_per_month=old.tokens_per_month),
        )
        await self._store.revoke_key(old.digest, self._clock())
        return new

    async def caller_for(self, key: str) -> Caller:
        """Tell on whose behalf a key speaks.

        Raises:
            AuthenticationFailed: in the same words whether the key is mistyped, unknown, revoked or expired.
        """
        row = await self._find(key) if is_well_formed(key) else None
        if row is None or self._state(row) != "active":
            raise AuthenticationFailed(
                "invalid or unauthorized API key; generate one with `dynaroute keys create`"
            )
        return Caller(
            owner=row.owner,
            key_id=row.key_id,
            plan=row.plan,
            sandbox=row.sandbox,
            strategy=Strategy(row.strategy) if row.strategy else None,
            usd_per_month=row.usd_per_month,
            tokens_per_month=row.tokens_per_month,
        )

    async def subscription(self, caller: Caller) -> Subscription:
        """Tell a caller's plan, what is used of it and when the month starts anew."""
        _, renews_at = window("month", self._clock())
        plan = self._catalog.get_plan(caller.plan) if caller.plan else None
        used = await self._spent(caller.owner, sandbox=caller.sandbox)
        return Subscription(owner=caller.owner, plan=plan, spent=used, renews_at=renews_at)

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
        return row if row is not None and hmac.compare_digest(row.digest, wanted) else None

    async def _spent(self, owner: str, *, sandbox: bool) -> Spent:
        counters = await self._store.counters([owner_scope(owner, sandbox=sandbox)])
        return spent(owner, counters, self._clock(), sandbox=sandbox)

    def _state(self, row: KeyRow) -> KeyState:
        if row.revoked_at is not None:
            return "revoked"
        if row.expires_at is not None and row.expires_at <= self._clock():
            return "expired"
        return "active"


def _check_allowance(allowance: Allowance) -> None:
    for name, limit in (
        ("usd_per_month", allowance.usd_per_month),
        ("tokens_per_month", allowance.tokens_per_month),
    ):
        if limit is not None and not 0 < limit <= _HIGHEST_LIMIT:
            raise InvalidRequest(f"{name} must be above 0 and at most {_HIGHEST_LIMIT:,}", param=name)


def _check_maker(by: Caller | None) -> None:
    """A key that could make another would get round its own limits."""
    if by is not None and (by.usd_per_month is not None or by.tokens_per_month is not None):
        raise PermissionDenied("a key with limits of its own makes no keys; use another key of its owner")


def new_secret(randbelow: Callable[[int], int], *, sandbox: bool = False) -> str:
    """Make a key: 220 random bits and their checksum.

    Args:
        randbelow: a cryptographic source, such as `secrets.randbelow`.
        sandbox: make a `dr_test_` key.
    """
    body = "dr_test_" if sandbox else "dr_"
    body += "".join(_BASE62[randbelow(62)] for _ in range(_RANDOM_CHARACTERS))
    return body + _checksum(body)


def is_well_formed(key: str) -> bool:
    """Tell whether the shape and the checksum are right, without a look-up."""
    return (
        _SHAPE.fullmatch(key) is not None and _checksum(key[:-_CHECK_CHARACTERS]) == key[-_CHECK_CHARACTERS:]
    )


def digest(key: str) -> bytes:
    """SHA-256 of a key: what is stored, and what is looked up."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def check_owner(owner: str) -> str:
    """Return the owner's id without spaces around it.

    Raises:
        InvalidRequest: it is empty, longer than 200 characters or holds control characters.
    """
    owner = owner.strip()
    if not _OWNER.fullmatch(owner):
        raise InvalidRequest(
            "user_id must have 1 to 200 characters and no control characters; an e-mail address or a name will do",
            param="user_id",
        )
    return owner


def _checksum(body: str) -> str:
    number = binascii.crc32(body.encode("ascii"))
    characters = []
    for _ in range(_CHECK_CHARACTERS):
        number, digit = divmod(number, 62)
        characters.append(_BASE62[digit])
    return "".join(characters)
