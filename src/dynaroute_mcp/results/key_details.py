"""Keys as the operator's faces show them: with terms, with the providers' keys they bring along, never a secret."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from dynaroute_mcp.results.base import Result, iso, usd, when
from dynaroute_mcp.results.keys import SHOWN_KEYS, GeneratedKey, KeyEntry, unreadable

if TYPE_CHECKING:
    from dynaroute_mcp.accounts import KeyRow, KeyStatus, NewKey
    from dynaroute_mcp.types import SealedKey


class KeyLimits(Result):
    """What one key may use, beside its owner's plan; `null` sets no limit."""

    requests_per_minute: int | None
    requests_per_day: int | None
    tokens_per_month: int | None
    usd_per_month: float | None
    models: tuple[str, ...]
    """The only models and providers that it may use; empty allows all."""
    expires_at: str | None


class RuleEntry(Result):
    """Prompts of a category go to this model, unless it is excluded."""

    category: str
    model: str


class KeyPreferences(Result):
    """What a key's requests favour: after the request's own wishes, before the configuration's; exclusions unite."""

    strategy: str | None
    exclude: tuple[str, ...]
    prefer: tuple[str, ...]
    rules: tuple[RuleEntry, ...]


class ProviderKeyEntry(Result):
    """A provider's key that a key brings along."""

    provider: str
    masked_key: str
    created_at: str

    @classmethod
    def of(cls, held: "SealedKey") -> Self:
        """Show a provider's key, masked."""
        return cls(provider=held.provider, masked_key=held.masked, created_at=iso(held.added_at))


class KeyDetails(KeyEntry):
    """One key with everything that is kept of it, masked."""

    user_id: str
    limits: KeyLimits
    preferences: KeyPreferences
    providers: tuple[ProviderKeyEntry, ...]

    @classmethod
    def of(cls, status: "KeyStatus") -> Self:
        """Show a key; the status must have its row."""
        row = status.row
        assert row is not None
        wanted = row.preferences
        return cls(
            key_id=row.key_id,
            masked_key=row.masked,
            status=status.state,
            tier=row.plan,
            sandbox=row.sandbox,
            created_at=iso(row.created_at),
            last_used_at=when(row.last_used_at),
            total_requests=row.total_requests,
            user_id=row.owner,
            limits=_limits(row),
            preferences=KeyPreferences(
                strategy=row.strategy,
                exclude=wanted.exclude,
                prefer=wanted.prefer,
                rules=tuple(RuleEntry(category=rule.category, model=rule.model) for rule in wanted.rules),
            ),
            providers=tuple(ProviderKeyEntry.of(held) for held in row.provider_keys),
        )


class DetailedKeyList(Result):
    """Keys, oldest first."""

    user_id: str
    """`*` is everybody."""
    count: int
    truncated: bool
    """Only the newest are shown."""
    keys: tuple[KeyDetails, ...]
    unreadable: int = 0
    """How many more there are whose rows can't be read; left out where there are none."""

    @classmethod
    def of(cls, owner: str, keys: "Sequence[KeyStatus]") -> Self:
        """List keys by their rows; one that can't be read has none, and is counted apart."""
        known = [key for key in keys if key.row is not None]
        shown = known[-SHOWN_KEYS:]
        return cls(
            user_id=owner,
            count=len(known),
            truncated=len(shown) < len(known),
            keys=tuple(KeyDetails.of(key) for key in shown),
            **unreadable(keys),
        )


class RotatedKey(GeneratedKey):
    """A new secret of a key; its id, limits, usage and providers' keys are the same."""

    old_key_accepted_until: str | None
    """Until when the old secret is accepted too; `null` ended it at once."""

    @classmethod
    def of(cls, new: "NewKey") -> Self:
        """Show the new secret of a key."""
        plain = GeneratedKey.of(new).model_dump()
        return cls(**plain, old_key_accepted_until=when(new.old_until))


class ProviderKeyList(Result):
    """The providers' keys that a key brings along."""

    id: str
    count: int
    providers: tuple[ProviderKeyEntry, ...]


class ForgottenProviderKey(Result):
    """A provider's key that is kept no more."""

    id: str
    provider: str
    deleted: bool


def _limits(row: "KeyRow") -> KeyLimits:
    return KeyLimits(
        requests_per_minute=row.requests_per_minute,
        requests_per_day=row.requests_per_day,
        tokens_per_month=row.tokens_per_month,
        usd_per_month=usd(row.usd_per_month),
        models=row.models,
        expires_at=when(row.expires_at),
    )
