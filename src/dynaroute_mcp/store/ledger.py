"""Counters inside one write transaction: checked in memory, written once each when the transaction ends.

The write lock is held while a ledger lives, so what it read stays true; a rolled-back transaction simply
forgets its ledger. Requests that were batched together share the reading and the writing of their counters.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dynaroute_mcp.store.base import Hold, Metric
from dynaroute_mcp.store.rows import amount, text, to_micros

Key = tuple[str, str, str]
"""Scope, metric and window."""

MAX_COUNT = 2**62
"""Where a counter stops, so that it stays inside 64 bits."""

_READ = "SELECT used, reserved FROM counters WHERE scope = ? AND metric = ? AND window = ?"
_WRITE = """
    INSERT INTO counters (used, reserved, resets_at, scope, metric, window) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET used = excluded.used, reserved = excluded.reserved
"""
_COUNT_KEY = """
    UPDATE keys SET total_requests = total_requests + ?, last_used_at = max(coalesce(last_used_at, ?), ?)
    WHERE key_id = ?
"""


@dataclass(slots=True)
class _Counter:
    used: int
    reserved: int
    resets_at: int = 0
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What a running call holds of one counter."""

    key: Key
    amount: int


@dataclass(slots=True)
class _KeyUse:
    requests: int
    last_used_at: int


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A ceiling that stands in the way, and how far its counter has come."""

    hold: Hold
    taken: int


class Ledger:
    """The counters that one transaction touches."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._counters: dict[Key, _Counter] = {}
        self._key_uses: dict[str, _KeyUse] = {}

    def exceeded(self, holds: Sequence[Hold]) -> Exceeded | None:
        """Find the ceiling that would be passed; of several, the one that resets last."""
        over = []
        for hold in holds:
            counter = self._counter(_key(hold))
            taken = counter.used + counter.reserved
            if hold.ceiling is not None and taken + amount(hold.amount) > hold.ceiling:
                over.append(Exceeded(hold, taken))
        return max(over, key=lambda found: found.hold.resets_at, default=None)

    def take(self, holds: Sequence[Hold]) -> None:
        """Reserve the amounts; two limits on one counter take from it once."""
        for hold in _one_per_counter(holds):
            counter = self._counter(_key(hold))
            counter.reserved = min(MAX_COUNT, counter.reserved + amount(hold.amount))
            counter.resets_at = to_micros(hold.resets_at)
            counter.changed = True

    def use(self, taken: Iterable[Taken], real: dict[Metric, int | None], *, reserved: bool) -> None:
        """Put what was really used in the place of what was taken.

        Args:
            taken: What the call holds.
            real: Amount by metric; a missing or `None` entry uses what was taken.
            reserved: Whether the amounts are still reserved; a lost call's have been used already.
        """
        for item in taken:
            counter = self._counter(item.key)
            found = real.get(item.key[1])  # type: ignore[call-overload]  # the text was a Metric when written
            used = item.amount if found is None else amount(found)
            if reserved:
                counter.reserved = max(0, counter.reserved - item.amount)
            else:
                used -= item.amount
            counter.used = max(0, min(MAX_COUNT, counter.used + used))
            counter.changed = True

    def count_key(self, key_id: str, at: datetime) -> None:
        """Count one request of a key."""
        use = self._key_uses.setdefault(key_id, _KeyUse(0, to_micros(at)))
        use.requests += 1
        use.last_used_at = max(use.last_used_at, to_micros(at))

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
            [(use.requests, use.last_used_at, use.last_used_at, key) for key, use in self._key_uses.items()],
        )

    def _counter(self, key: Key) -> _Counter:
        counter = self._counters.get(key)
        if counter is None:
            row = self._connection.execute(_READ, key).fetchone()
            counter = self._counters[key] = _Counter(*(row or (0, 0)))
        return counter


def pack(holds: Sequence[Hold]) -> str:
    """Write down what a call takes, so that any process can settle it."""
    return json.dumps([[*_key(hold), amount(hold.amount)] for hold in _one_per_counter(holds)])


def unpack(packed: str | None) -> tuple[Taken, ...]:
    """Read what `pack` wrote."""
    return tuple(
        Taken((scope, metric, window), taken) for scope, metric, window, taken in json.loads(packed or "[]")
    )


def _key(hold: Hold) -> Key:
    return text(hold.scope), hold.metric, text(hold.window)


def _one_per_counter(holds: Sequence[Hold]) -> Sequence[Hold]:
    largest: dict[Key, Hold] = {}
    for hold in holds:
        known = largest.get(_key(hold))
        if known is None or hold.amount > known.amount:
            largest[_key(hold)] = hold
    return tuple(largest.values())
