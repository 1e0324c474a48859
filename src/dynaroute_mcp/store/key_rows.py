"""Keys to rows and back: limits and preferences that are not there are NULL, lists are JSON."""

import json
from typing import Any, Final

from dynaroute_mcp.store.base import KeyRow
from dynaroute_mcp.store.rows import (
    Row,
    amount,
    from_micros,
    from_nano,
    micros_or_null,
    nano_or_null,
    text,
    time_or_none,
    to_micros,
)
from dynaroute_mcp.types import NO_PREFERENCES, KeyRule, Preferences, SealedKey

KEY_COLUMNS: Final = (
    "key_id, digest, first8, last4, owner, plan, created_at, strategy, sandbox, expires_at, revoked_at,"
    " last_used_at, total_requests, nano_usd_per_month, tokens_per_month, requests_per_minute,"
    " requests_per_day, models, preferences, provider_keys"
)


def key_values(row: KeyRow) -> Row:
    """Lay a key out in the order of `KEY_COLUMNS`."""
    return (
        row.key_id,
        row.digest,
        row.first8,
        row.last4,
        text(row.owner),
        row.plan,
        to_micros(row.created_at),
        row.strategy,
        row.sandbox,
        micros_or_null(row.expires_at),
        micros_or_null(row.revoked_at),
        micros_or_null(row.last_used_at),
        amount(row.total_requests),
        nano_or_null(row.usd_per_month),
        _amount(row.tokens_per_month),
        _amount(row.requests_per_minute),
        _amount(row.requests_per_day),
        _json(row.models),
        None if row.preferences == NO_PREFERENCES else _json(_preferences(row.preferences)),
        _json([(k.provider, k.sealed, k.masked, to_micros(k.added_at)) for k in row.provider_keys]),
    )


def read_key(row: Row) -> KeyRow:
    """Read a row of `KEY_COLUMNS`, and behind them until when an older key of the row is accepted, if one was asked for."""
    key_id, digest, first8, last4, owner, plan, created, strategy, sandbox, *rest = row
    expires, revoked, used, total, nano_usd, tokens, per_minute, per_day, *last = rest
    models, preferences, provider_keys, *superseded = last
    return KeyRow(
        key_id=key_id,
        digest=digest,
        first8=first8,
        last4=last4,
        owner=owner,
        plan=plan,
        created_at=from_micros(created),
        strategy=strategy,
        sandbox=bool(sandbox),
        expires_at=time_or_none(expires),
        revoked_at=time_or_none(revoked),
        last_used_at=time_or_none(used),
        total_requests=total,
        usd_per_month=None if nano_usd is None else from_nano(nano_usd),
        tokens_per_month=tokens,
        requests_per_minute=per_minute,
        requests_per_day=per_day,
        models=tuple(json.loads(models)) if models else (),
        preferences=_read_preferences(json.loads(preferences)) if preferences else NO_PREFERENCES,
        provider_keys=_read_provider_keys(provider_keys) if provider_keys else (),
        superseded_until=time_or_none(superseded[0]) if superseded else None,
    )


def _amount(limit: int | None) -> int | None:
    return None if limit is None else amount(limit)


def _json(values: object) -> str | None:
    return json.dumps(values) if values else None


def _preferences(preferences: Preferences) -> dict[str, object]:
    return {
        "exclude": preferences.exclude,
        "prefer": preferences.prefer,
        "rules": [(rule.category, rule.model) for rule in preferences.rules],
    }


def _read_preferences(stored: dict[str, Any]) -> Preferences:
    return Preferences(
        exclude=tuple(stored["exclude"]),
        prefer=tuple(stored["prefer"]),
        rules=tuple(KeyRule(category=category, model=model) for category, model in stored["rules"]),
    )


def _read_provider_keys(stored: str) -> tuple[SealedKey, ...]:
    return tuple(
        SealedKey(provider=provider, sealed=sealed, masked=masked, added_at=from_micros(at))
        for provider, sealed, masked, at in json.loads(stored)
    )
