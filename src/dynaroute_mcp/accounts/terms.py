"""What a key may do and what it favours, and who may decide that. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.catalog.names import nearest
from dynaroute_mcp.errors import InvalidRequest, PermissionDenied, UnknownName
from dynaroute_mcp.store.base import KeyRow
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import Caller, KeyRule, Preferences

HIGHEST_LIMIT: Final = 1_000_000_000
_LEAST_LIMIT: Final = Decimal("1e-9")
"""The books round to it: less of a dollar would be stored as none."""
MOST_NAMES: Final = 100
"""Names, or rules, in one list of a key's."""
NAME_CHARACTERS: Final = 200
_ON_THIS_MACHINE: Final = frozenset({"ollama", "llamacpp", "lmstudio", "vllm"})
"""Servers whose models are known only while they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A key's terms; `None` sets no limit, an empty list says nothing."""

    strategy: Strategy | None = None
    expires_at: datetime | None = None
    usd_per_month: Decimal | None = None
    """Beside the owner's plan, as the limits that follow."""
    tokens_per_month: int | None = None
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    models: tuple[str, ...] = ()
    """The only models and providers that it may use; empty allows all."""
    exclude: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    rules: tuple[KeyRule, ...] = ()


NO_TERMS = Terms()


def terms_of(row: KeyRow) -> Terms:
    """Read the terms off a key."""
    wanted = row.preferences
    return Terms(
        strategy=Strategy(row.strategy) if row.strategy else None,
        expires_at=row.expires_at,
        usd_per_month=row.usd_per_month,
        tokens_per_month=row.tokens_per_month,
        requests_per_minute=row.requests_per_minute,
        requests_per_day=row.requests_per_day,
        models=row.models,
        exclude=wanted.exclude,
        prefer=wanted.prefer,
        rules=wanted.rules,
    )


def with_terms(row: KeyRow, terms: Terms) -> KeyRow:
    """Put terms on a key."""
    return replace(
        row,
        strategy=terms.strategy,
        expires_at=terms.expires_at,
        usd_per_month=terms.usd_per_month,
        tokens_per_month=terms.tokens_per_month,
        requests_per_minute=terms.requests_per_minute,
        requests_per_day=terms.requests_per_day,
        models=terms.models,
        preferences=Preferences(exclude=terms.exclude, prefer=terms.prefer, rules=terms.rules),
    )


def check_terms(terms: Terms, catalog: Catalog, now: datetime) -> None:
    """Check limits and names.

    Raises:
        InvalidRequest: a limit is not above 0 or absurd, a list is too long, or the end is past; `param` names it.
        UnknownName: a name is neither a model nor a provider.
    """
    if terms.expires_at is not None:
        _check_end(terms.expires_at, now)
    for name in ("usd_per_month", "tokens_per_month", "requests_per_minute", "requests_per_day"):
        limit = getattr(terms, name)
        if limit is not None and (Decimal(limit).is_nan() or not _LEAST_LIMIT <= limit <= HIGHEST_LIMIT):
            raise InvalidRequest(f"{name} must be above 0 and at most {HIGHEST_LIMIT:,}", param=name)
    _check_names("models", terms.models, catalog)
    _check_names("exclude", terms.exclude, catalog)
    _check_names("prefer", terms.prefer, catalog)
    _check_names("rules", [rule.model for rule in terms.rules], catalog)


def check_maker(by: Caller | None) -> None:
    """A key that could make or change another would get round its own limits.

    Raises:
        PermissionDenied: the caller's key has limits of its own, or an end.
    """
    if by is not None and by.limited:
        raise PermissionDenied(
            "a key with limits of its own makes no keys and changes none; use another key of its owner"
        )


def _check_end(at: datetime, now: datetime) -> None:
    if at <= now:
        raise InvalidRequest(f"expires_at {at.isoformat()} is past", param="expires_at")
    try:
        at.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("expires_at must be before the year 10000 in UTC", param="expires_at") from None


def _check_names(param: str, names: Iterable[str], catalog: Catalog) -> None:
    listed = list(names)
    if len(listed) > MOST_NAMES:
        raise InvalidRequest(f"{param} must have at most {MOST_NAMES} names", param=param)
    for name in listed:
        check_name(param, name, catalog)


def check_name(param: str, name: str, catalog: Catalog) -> None:
    """Check that a model or a provider has this name, or may have it once a server on this machine runs.

    Raises:
        UnknownName: nothing has it; offers the nearest three.
    """
    on_this_machine = name.partition("/")[0].casefold() in _ON_THIS_MACHINE
    if not on_this_machine and catalog.find_provider(name) is None and catalog.find_model(name) is None:
        offered = nearest(name, {**catalog.names, **catalog.provider_names})
        raise UnknownName("model or provider", name, offered, param=param)
