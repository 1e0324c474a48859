"""Keys to rows and back: limits and preferences that are not there are NULL, lists are JSON.

A row that somebody else wrote, or that a disk has damaged, is told by its key: the others are none the worse
for it.
"""

import json
from types import NoneType
from typing import Any, Final, Literal

from dynaroute_mcp.errors import StoreCorrupt
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
from dynaroute_mcp.taxonomy import Category, Strategy
from dynaroute_mcp.types import NO_PREFERENCES, KeyRule, Preferences, SealedKey

KEY_COLUMNS: Final = (
    "key_id, digest, first8, last4, owner, plan, created_at, strategy, sandbox, expires_at, revoked_at,"
    " last_used_at, total_requests, nano_usd_per_month, tokens_per_month, requests_per_minute,"
    " requests_per_day, models, preferences, provider_keys"
)

_TEXT_OR_NULL: Final = (str, NoneType)
_WHOLE_OR_NULL: Final = (int, NoneType)
_KINDS: Final[tuple[Any, ...]] = (  # Any: what `isinstance` takes
    *(str, bytes, str, str, str, str, int, _TEXT_OR_NULL, int),
    *(_WHOLE_OR_NULL, _WHOLE_OR_NULL, _WHOLE_OR_NULL, int),
    *(_WHOLE_OR_NULL, _WHOLE_OR_NULL, _WHOLE_OR_NULL, _WHOLE_OR_NULL),
    *(_TEXT_OR_NULL, _TEXT_OR_NULL, _TEXT_OR_NULL),
)
"""What stands in `KEY_COLUMNS`: SQLite keeps any value in any column."""
_STRATEGIES: Final = frozenset(Strategy)


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
    """Read a row of `KEY_COLUMNS`; behind them may stand until when an older key of the row is accepted.

    Raises:
        StoreCorrupt: it holds what we never write; names the key.
    """
    try:
        return _read(row)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise StoreCorrupt(
            f"the row of key {row[0]!r} can't be read ({error}); make another key with `dynaroute keys create`,"
            " or put back a copy of the database made by `dynaroute db backup`",
            public="what is stored of this key can't be read, so it works nowhere; have another one made with"
            " `dynaroute keys create`, or a backup put back (the server's log says more)",
        ) from error


def read_if_sound(row: Row) -> KeyRow | None:
    """Read a row as `read_key` does; `None` where that fails."""
    try:
        return read_key(row)
    except StoreCorrupt:
        return None


def find_fault(row: Row) -> tuple[str, StoreCorrupt] | None:
    """Tell the id of a key whose row can't be read, and why; `None` where it can."""
    try:
        read_key(row)
    except StoreCorrupt as fault:
        return str(row[0]), fault
    return None


def _read(row: Row) -> KeyRow:
    if not all(map(isinstance, row, _KINDS)):
        raise TypeError("a value of another kind than its column's")
    key_id, digest, first8, last4, owner, plan, created, strategy, sandbox, *rest = row
    expires, revoked, used, total, nano_usd, tokens, per_minute, per_day, *last = rest
    models, preferences, provider_keys, *superseded = last
    until = superseded[0] if superseded else None
    if strategy and strategy not in _STRATEGIES:
        raise ValueError("an unknown strategy")
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
        models=_names(json.loads(models)) if models else (),
        preferences=_read_preferences(json.loads(preferences)) if preferences else NO_PREFERENCES,
        provider_keys=_read_provider_keys(provider_keys) if provider_keys else (),
        superseded_until=None if until is None else from_micros(abs(until)),
        grace_ended=until is not None and until < 0,
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
    rules = (_names(rule) for rule in stored["rules"])
    return Preferences(
        exclude=_names(stored["exclude"]),
        prefer=_names(stored["prefer"]),
        rules=tuple(KeyRule(category=_category(name), model=model) for name, model in rules),
    )


def _category(name: str) -> Category | Literal["*"]:
    return "*" if name == "*" else Category(name)


def _names(stored: object) -> tuple[str, ...]:
    """Read a list of names; anything else could pass for an empty one, which allows all."""
    if not isinstance(stored, list) or not all(isinstance(name, str) for name in stored):
        raise TypeError("no list of names")
    return tuple(stored)


def _read_provider_keys(stored: str) -> tuple[SealedKey, ...]:
    return tuple(
        SealedKey(provider=provider, sealed=sealed, masked=masked, added_at=from_micros(at))
        for *names, at in json.loads(stored)
        for provider, sealed, masked in (_names(names),)
    )
