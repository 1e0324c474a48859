"""Keys and plans as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from dynaroute_mcp.results.base import Result, dollars, iso, left, usd, when

if TYPE_CHECKING:
    from dynaroute_mcp.accounts import KeyStatus, NewKey, Revocation, Subscription
    from dynaroute_mcp.catalog import Plan

SHOWN_KEYS = 100
"""Most keys in one list, the newest; `count` is always the number of all."""


class PlanLimits(Result):
    """What a plan allows; `null` is unlimited."""

    requests_per_minute: int | None
    requests_per_day: int | None
    monthly_spend_usd: float | None

    @classmethod
    def of(cls, plan: "Plan | None") -> Self:
        """Read a plan; no plan limits nothing."""
        return cls(
            requests_per_minute=plan.requests_per_minute if plan else None,
            requests_per_day=plan.requests_per_day if plan else None,
            monthly_spend_usd=usd(plan.usd_per_month) if plan else None,
        )


class GeneratedKey(Result):
    """A key just made."""

    success: bool
    api_key: str
    """The whole key, here and never again."""
    key_id: str
    user_id: str
    masked_key: str
    tier: str
    sandbox: bool
    created_at: str
    message: str

    @classmethod
    def of(cls, new: "NewKey") -> Self:
        """Show a new key."""
        row = new.row
        return cls(
            success=True,
            api_key=new.secret,
            key_id=row.key_id,
            user_id=row.owner,
            masked_key=row.masked,
            tier=row.plan,
            sandbox=row.sandbox,
            created_at=iso(row.created_at),
            message="Store this key now; it is not shown again.",
        )


class VerifiedKey(Result):
    """What a key is good for. A key that was never issued has `valid` and `status` only."""

    valid: bool
    status: str
    """`active`, `revoked`, `expired` or `not_found`."""
    message: str = ""
    user_id: str = ""
    masked_key: str = ""
    sandbox: bool = False
    subscription_tier: str = ""
    token_limit: int | None = None
    tokens_used: int = 0
    tokens_remaining: int | None = None
    limits: PlanLimits | None = None
    created_at: str = ""
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str = ""

    @classmethod
    def of(cls, status: "KeyStatus") -> Self:
        """Tell the state of a key, and what is left of its plan while it works."""
        if status.state == "malformed":
            return cls(
                valid=False, status="not_found", message="mistyped or cut short: the checksum does not fit"
            )
        if status.row is None:
            return cls(valid=False, status="not_found")
        superseded = status.row.superseded_until
        if status.state == "revoked":
            ended_at = status.row.revoked_at or superseded
            return cls(valid=False, status="revoked", revoked_at=iso(ended_at) if ended_at else "")
        if status.state != "active":
            return cls(valid=False, status=status.state, expires_at=when(status.row.expires_at))
        row, limit, used = (
            status.row,
            status.plan.tokens_per_month if status.plan else None,
            status.spent.tokens_this_month,
        )
        ends = [at for at in (row.expires_at, superseded) if at is not None]
        return cls(
            valid=True,
            status=status.state,
            message="a newer key has taken its place; use that one from now on" if superseded else "",
            user_id=row.owner,
            masked_key=row.masked,
            sandbox=row.sandbox,
            subscription_tier=row.plan,
            token_limit=limit,
            tokens_used=used,
            tokens_remaining=left(limit, used),
            limits=PlanLimits.of(status.plan),
            created_at=iso(row.created_at),
            expires_at=when(min(ends, default=None)),
            last_used_at=when(row.last_used_at),
        )


class RevokedKey(Result):
    """A key that works no more."""

    success: bool
    status: str
    masked_key: str
    revoked_at: str
    already_revoked: bool

    @classmethod
    def of(cls, revocation: "Revocation") -> Self:
        """Tell since when a key is revoked."""
        return cls(
            success=True,
            status="revoked",
            masked_key=revocation.row.masked,
            revoked_at=iso(revocation.revoked_at),
            already_revoked=revocation.already,
        )


class KeyEntry(Result):
    """One key in a list, masked."""

    key_id: str
    masked_key: str
    status: str
    tier: str
    sandbox: bool
    created_at: str
    last_used_at: str | None
    total_requests: int


class KeyList(Result):
    """An owner's keys, oldest first."""

    user_id: str
    count: int
    truncated: bool
    """Only the newest are shown."""
    keys: tuple[KeyEntry, ...]
    unreadable: int = 0
    """How many more there are whose rows can't be read; left out where there are none."""

    @classmethod
    def of(cls, owner: str, keys: "Sequence[KeyStatus]") -> Self:
        """List keys by their rows; one that can't be read has none, and is counted apart."""
        entries = [
            KeyEntry(
                key_id=row.key_id,
                masked_key=row.masked,
                status=key.state,
                tier=row.plan,
                sandbox=row.sandbox,
                created_at=iso(row.created_at),
                last_used_at=when(row.last_used_at),
                total_requests=row.total_requests,
            )
            for key in keys
            if (row := key.row) is not None
        ]
        shown = entries[-SHOWN_KEYS:]
        return cls(
            user_id=owner,
            count=len(entries),
            truncated=len(shown) < len(entries),
            keys=shown,
            **unreadable(keys),
        )


def unreadable(keys: "Sequence[KeyStatus]") -> dict[str, int]:
    """The field that counts keys whose rows can't be read; none where there are none."""
    count = sum(key.state == "unreadable" for key in keys)
    return {"unreadable": count} if count else {}


class PlanUse(Result):
    """What is used of the running day and month."""

    requests_today: int
    spend_this_month_usd: float


class SubscriptionInfo(Result):
    """An owner's plan and what is used of it."""

    user_id: str
    subscription_tier: str
    """A plan's id; `local` for the owner of the database, whom no plan limits."""
    status: str
    token_limit: int | None
    tokens_used: int
    tokens_remaining: int | None
    limits: PlanLimits
    usage: PlanUse
    renews_at: str

    @classmethod
    def of(cls, subscription: "Subscription") -> Self:
        """Show a plan beside what is used of it."""
        plan, spent = subscription.plan, subscription.spent
        limit = plan.tokens_per_month if plan else None
        return cls(
            user_id=subscription.owner,
            subscription_tier=plan.id if plan else "local",
            status="active",
            token_limit=limit,
            tokens_used=spent.tokens_this_month,
            tokens_remaining=left(limit, spent.tokens_this_month),
            limits=PlanLimits.of(plan),
            usage=PlanUse(
                requests_today=spent.requests_today, spend_this_month_usd=dollars(spent.usd_this_month)
            ),
            renews_at=iso(subscription.renews_at),
        )
