"""Which counters a request touches, and what is left of them.

A plan limits its owner, a budget limits a project or the whole database. Windows are UTC minutes, days and
months; sandbox calls have counters of their own. Pure: the store checks and takes, this module only says
what.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

from dynaroute_mcp.catalog import Plan
from dynaroute_mcp.settings import Budget
from dynaroute_mcp.store.base import CounterRow, Hold, Metric
from dynaroute_mcp.types import Caller, Left

NANO = Decimal(10) ** 9
_WINDOWS = 16
"""Windows whose names are remembered: three for each minute, and a request asks for them nine times."""
_PLANS = 1_024
"""Owners whose plan's limits of the minute are remembered."""
WARN_AT = Decimal("0.8")
"""Share of a budget from which answers carry a warning."""

_UNLIMITED = Plan(
    id="none",
    name="No plan",
    requests_per_minute=None,
    requests_per_day=None,
    usd_per_month=None,
    tokens_per_month=None,
)

Period = Literal["minute", "day", "month"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One ceiling that applies to a caller right now."""

    name: str
    scope: str
    metric: Metric
    window: str
    ceiling: int | None
    resets_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an owner has used in the running windows; reservations of running calls count."""

    requests_this_minute: int = 0
    requests_today: int = 0
    tokens_this_month: int = 0
    usd_this_month: Decimal = Decimal(0)


def window(period: Period, at: datetime) -> tuple[str, datetime]:
    """Name the running window and tell when it ends."""
    return _window(period, at.astimezone(UTC).replace(second=0, microsecond=0))


@lru_cache(maxsize=_WINDOWS)
def _window(period: Period, minute: datetime) -> tuple[str, datetime]:
    if period == "minute":
        return f"minute:{minute:%Y-%m-%dT%H:%MZ}", minute + timedelta(minutes=1)
    day = minute.replace(hour=0, minute=0)
    if period == "day":
        return f"day:{day:%Y-%m-%d}", day + timedelta(days=1)
    first = day.replace(day=1)
    return f"month:{first:%Y-%m}", (first + timedelta(days=32)).replace(day=1)


def owner_scope(owner: str, *, sandbox: bool) -> str:
    """Name the counters of an owner; sandbox calls are counted apart."""
    return f"sandbox:{owner}" if sandbox else f"owner:{owner}"


def limits_of(
    caller: Caller, plan: Plan | None, budgets: Iterable[Budget], project: str | None, at: datetime
) -> tuple[Limit, ...]:
    """List every limit that a request of this caller touches.

    Without a plan the owner's counters still count, with no ceiling. A key has counters only where it has
    limits.
    """
    scope = owner_scope(caller.owner, sandbox=caller.sandbox)
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    limits = [*_of_plan(plan or _UNLIMITED, scope, minute), *_of_key(caller, minute)]
    if not caller.sandbox:
        limits += [_budget(budget, minute) for budget in budgets if budget.project in (None, project)]
    return tuple(limits)


@lru_cache(maxsize=_PLANS)
def _of_plan(plan: Plan, scope: str, minute: datetime) -> tuple[Limit, ...]:
    return (
        _limit("requests_per_minute", scope, "requests", "minute", plan.requests_per_minute, minute),
        _limit("requests_per_day", scope, "requests", "day", plan.requests_per_day, minute),
        _limit("tokens_per_month", scope, "tokens", "month", plan.tokens_per_month, minute),
        _limit("usd_per_month", scope, "nano_usd", "month", _nano(plan.usd_per_month), minute),
    )


def key_scope(key_id: str | None) -> str:
    """Name the counters of a key."""
    return f"key:{key_id}"


def _of_key(caller: Caller, at: datetime) -> list[Limit]:
    if not caller.limited:
        return []
    scope = key_scope(caller.key_id)
    rows: tuple[tuple[str, Metric, Period, int | None], ...] = (
        ("requests_per_minute", "requests", "minute", caller.requests_per_minute),
        ("requests_per_day", "requests", "day", caller.requests_per_day),
        ("tokens_per_month", "tokens", "month", caller.tokens_per_month),
        ("usd_per_month", "nano_usd", "month", _nano(caller.usd_per_month)),
    )
    return [
        _limit(name, scope, metric, period, ceiling, at)
        for name, metric, period, ceiling in rows
        if ceiling is not None
    ]


def _budget(budget: Budget, at: datetime) -> Limit:
    scope = f"project:{budget.project}" if budget.project else "all"
    return _limit(f"usd_per_{budget.scope}", scope, "nano_usd", budget.scope, _nano(budget.usd), at)


def _nano(usd: Decimal | None) -> int | None:
    return None if usd is None else int(usd * NANO)


def _limit(  # six facts make a limit, and each call site is one line of a table
    name: str, scope: str, metric: Metric, period: Period, ceiling: int | None, at: datetime
) -> Limit:
    key, resets_at = window(period, at)
    return Limit(name=name, scope=scope, metric=metric, window=key, ceiling=ceiling, resets_at=resets_at)


def holds(limits: Iterable[Limit], *, tokens: int, max_usd: Decimal | None) -> tuple[Hold, ...]:
    """Say what to take from each counter: one request, the most tokens, the most dollars.

    A call without a known price takes nothing from a counter of dollars; `priced_only` tells when it must not
    run.
    """
    nano = 0 if max_usd is None else int((max_usd * NANO).to_integral_value(rounding="ROUND_CEILING"))
    amount: dict[Metric, int] = {"requests": 1, "tokens": tokens, "nano_usd": nano}
    return tuple(
        Hold(
            scope=limit.scope,
            metric=limit.metric,
            window=limit.window,
            amount=amount[limit.metric],
            ceiling=limit.ceiling,
            name=limit.name,
            resets_at=limit.resets_at,
        )
        for limit in limits
    )


def priced_only(limits: Iterable[Limit]) -> bool:
    """Tell whether a ceiling on dollars applies, so that a model without a known price must not be called."""
    return any(limit.metric == "nano_usd" and limit.ceiling is not None for limit in limits)


def usd_left(limits: Iterable[Limit], counters: Sequence[CounterRow]) -> Decimal | None:
    """Tell what the tightest ceiling on dollars leaves, at least 0; `None` when there is no ceiling."""
    left = [
        Decimal(max(0, limit.ceiling - _taken(limit, counters))) / NANO
        for limit in limits
        if limit.metric == "nano_usd" and limit.ceiling is not None
    ]
    return min(left, default=None)


def personal(limits: Iterable[Limit]) -> list[Limit]:
    """Those of the caller's plan and key; a budget is the operator's own affair."""
    return [each for each in limits if each.scope.startswith(("owner:", "sandbox:", "key:"))]


def tightest(limits: Iterable[Limit], counters: Sequence[CounterRow]) -> Mapping[str, Left]:
    """Tell for each kind of limit, by its name, which of several leaves least."""
    found: dict[str, Left] = {}
    for limit in limits:
        if limit.ceiling is not None:
            used = _taken(limit, counters)
            left = max(0, limit.ceiling - used)
            if limit.name not in found or left < found[limit.name].left:
                found[limit.name] = Left(
                    ceiling=limit.ceiling, used=used, left=left, resets_at=limit.resets_at
                )
    return found


def binding(plan: Plan, used: Spent, left: Mapping[str, Left]) -> tuple[Plan, Spent]:
    """What holds a caller, and what is used of that: the plan, but a key's own limit where that leaves less."""
    holds_now: dict[str, int | Decimal] = {name: each.ceiling for name, each in left.items()}
    taken: dict[str, int | Decimal] = {name: each.used for name, each in left.items()}
    for figures in (holds_now, taken):
        if "usd_per_month" in figures:
            figures["usd_per_month"] = figures["usd_per_month"] / NANO
    return plan.model_copy(update=holds_now), Spent(
        **{field: taken.get(name, getattr(used, field)) for name, field in _SPENT.items()}
    )


_SPENT: Final = {
    "requests_per_minute": "requests_this_minute",
    "requests_per_day": "requests_today",
    "tokens_per_month": "tokens_this_month",
    "usd_per_month": "usd_this_month",
}
"""Where what is used of each limit stands."""


def warnings(limits: Iterable[Limit], counters: Sequence[CounterRow]) -> tuple[str, ...]:
    """Say which ceilings are used by 80 % or more."""
    told = []
    for limit in limits:
        if limit.ceiling and limit.metric != "requests":
            share = Decimal(_taken(limit, counters)) / limit.ceiling
            if share >= WARN_AT:
                whose = "" if limit.scope.startswith(("owner:", "sandbox:")) else f" ({limit.scope})"
                resets = f"it resets at {limit.resets_at:%Y-%m-%d %H:%MZ}"
                told.append(f"{share:.0%} of {limit.name}{whose} is used; {resets}")
    return tuple(told)


def spent(owner: str, counters: Sequence[CounterRow], at: datetime, *, sandbox: bool = False) -> Spent:
    """Read an owner's use of the running windows out of their counters."""
    scope = owner_scope(owner, sandbox=sandbox)

    def used(metric: Metric, period: Period) -> int:
        key, _ = window(period, at)
        return sum(
            row.used + row.reserved
            for row in counters
            if (row.scope, row.metric, row.window) == (scope, metric, key)
        )

    return Spent(
        requests_this_minute=used("requests", "minute"),
        requests_today=used("requests", "day"),
        tokens_this_month=used("tokens", "month"),
        usd_this_month=Decimal(used("nano_usd", "month")) / NANO,
    )


def _taken(limit: Limit, counters: Sequence[CounterRow]) -> int:
    return sum(
        row.used + row.reserved
        for row in counters
        if (row.scope, row.metric, row.window) == (limit.scope, limit.metric, limit.window)
    )
