"""Counters inside one write transaction: checked in memory, written once each when the transaction ends.

The write lock is held while a ledger lives, so what it read stays true; a rolled-back transaction simply
forgets its ledger. Requests that were batched together share the reading and the writing of their counters.
"""

import json
import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from dynaroute_mcp.store.base import CounterRow, Hold, Metric
from dynaroute_mcp.store.rows import amount, json_text, text, to_micros

_log = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""Scope, metric and window."""

MAX_COUNT: Final = 2**62
"""Where a counter stops, so that it stays inside 64 bits."""

_READ: Final = "SELECT used, reserved FROM counters WHERE scope = ? AND metric = ? AND window = ?"
_WRITE: Final = """
    INSERT INTO counters (used, reserved, resets_at, scope, metric, window) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET used = excluded.used, reserved = excluded.reserved
"""
_COUNT_KEY: Final = """
    UPDATE keys SET total_requests = total_requests + ?, last_used_at = max(coalesce(last_used_at, 0), ?)
    WHERE key_id = ?
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call wants of one counter."""

    key: Key
    amount: int
    limits: tuple[Hold, ...]
    """The holds that name this counter; each has its own ceiling."""
    resets_at: int
    """Microseconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A ceiling that stands in the way, and how far its counter has come."""

    limit: Hold
    taken: int


@dataclass(slots=True)
class _Counter:
    used: int
    reserved: int
    resets_at: int = 0
    changed: bool = False


@dataclass(slots=True)
class _KeyUse:
    requests: int = 0
    last_used_at: int = 0


class Ledger:
    """The counters that one transaction touches."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counters: dict[Key, _Counter] = {}
        self._key_uses: dict[str, _KeyUse] = {}

    def exceeded(self, claims: Iterable[Claim]) -> Exceeded | None:
        """Find the ceiling that would be passed; of several, the one that resets last."""
        over = []
        for claim in claims:
            counter = self._counter(claim.key)
            taken = counter.used + counter.reserved
            over += [
                Exceeded(limit, taken)
                for limit in claim.limits
                if limit.ceiling is not None and taken + claim.amount > limit.ceiling
            ]
        return max(over, key=lambda found: found.limit.resets_at, default=None)

    def take(self, claims: Iterable[Claim]) -> None:
        """Reserve the amounts."""
        for claim in claims:
            counter = self._counter(claim.key)
            counter.reserved = min(MAX_COUNT, counter.reserved + claim.amount)
            counter.resets_at = claim.resets_at
            counter.changed = True

    def use(
        self, packed: str | None, real: Mapping[str, int | None], *, reserved: bool
    ) -> tuple[CounterRow, ...]:
        """Put what was really used in the place of what was taken.

        Args:
            packed: What the call took, as `pack` wrote it.
            real: Amount by metric; a missing or `None` entry uses what was taken.
            reserved: Whether the amounts are still reserved; a lost call's have been used already.

        Returns:
            The counters as they stand now.
        """
        rows = []
        for scope, metric, window, taken in unpacked(packed):
            counter = self._counter((scope, metric, window))
            found = real.get(metric)
            used = taken if found is None else amount(found)
            if reserved:
                counter.reserved = max(0, counter.reserved - taken)
            else:
                used -= taken
            counter.used = max(0, min(MAX_COUNT, counter.used + used))
            counter.changed = True
            rows.append(
                CounterRow(
                    scope=scope, metric=metric, window=window, used=counter.used, reserved=counter.reserved
                )
            )
        return tuple(rows)

    def count_key(self, key_id: str, at: int) -> None:
        """Count one request of a key, at a time in microseconds since 1970 UTC."""
        use = self._key_uses.setdefault(key_id, _KeyUse())
        use.requests += 1
        use.last_used_at = max(use.last_used_at, at)

    def write(self) -> None:
        """Write every counter that changed."""
        self._connection.executemany(
            _WRITE,
            [
                (counter.used, counter.reserved, counter.resets_at, *key)
                for key, counter in self._counters.items()
                if counter.changed
            ],
        )
        self._connection.executemany(
            _COUNT_KEY,
            [(use.requests, use.last_used_at, key_id) for key_id, use in self._key_uses.items()],
        )

    def _counter(self, key: Key) -> _Counter:
        counter = self._counters.get(key)
        if counter is None:
            row = self._connection.execute(_READ, key).fetchone()
            counter = self._counters[key] = _Counter(*(row or (0, 0)))
        return counter


def unpacked(packed: str | None) -> Sequence[tuple[str, Metric, str, int]]:
    """What `pack` wrote; nothing of a damaged row, whose call has to be settled all the same."""
    try:
        return [
            (str(scope), cast("Metric", metric), str(window), int(taken))
            for scope, metric, window, taken in json.loads(packed or "[]")
        ]
    except (ValueError, TypeError):
        _log.warning(
            "what a call had reserved can't be read and stays reserved; `dynaroute db check` tells more"
        )
        return ()


def claims_of(holds: Sequence[Hold]) -> tuple[Claim, ...]:
    """Gather holds by counter: two limits on one counter take the larger amount from it, once."""
    by_key: dict[Key, tuple[Hold, ...]] = {}
    for hold in holds:
        key = (text(hold.scope), hold.metric, text(hold.window))
        by_key[key] = (*by_key.get(key, ()), hold)
    return tuple(
        Claim(key, max(amount(hold.amount) for hold in limits), limits, to_micros(limits[0].resets_at))
        for key, limits in by_key.items()
    )


def pack(claims: Iterable[Claim]) -> str:
    """Write down what a call takes, so that any process can settle it."""
    return json_text([(*claim.key, claim.amount) for claim in claims])
