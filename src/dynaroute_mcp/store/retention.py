# ruff: noqa: S608  # queries are built from constants; every value is a parameter
"""What a server does for its database once a day: give up dead calls, check the file, fold old calls into sums.

Folding works in slices, each a job of the writer and so a transaction of its own: calls are added to their
day's sums and deleted together, so that totals are the same before, between and after.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from dynaroute_mcp.store import work
from dynaroute_mcp.store.reader import Reader
from dynaroute_mcp.store.rows import from_micros, to_micros
from dynaroute_mcp.store.totals import DAY_MICROS, SUMS, SUMS_OF_CALLS
from dynaroute_mcp.store.upkeep import find_problems
from dynaroute_mcp.store.writer import Transaction, Work, Writer

LOCK_BUDGET_S: Final = 0.05
"""How long one slice may hold the write lock."""
MAX_CLOCK_STEP: Final = timedelta(days=2)
"""How far a run believes the clock to have moved since the last one: a wrong clock deletes little."""
COUNTERS_KEPT: Final = timedelta(days=2)
"""How long a counter outlives its window."""
GRACE: Final = timedelta(minutes=10)
"""How long after its deadline a call counts as dead."""

_FIRST_SLICE = 100
_LARGEST_SLICE = 2_000

_GROUP = "day, owner, key_id, sandbox, model_id, category"
_SLICE = """
    SELECT id FROM calls WHERE started_at < ?1 AND status <> 'in_flight' ORDER BY started_at, id LIMIT ?2
"""
_FOLD: Final = f"""
    INSERT INTO daily ({_GROUP}, {SUMS})
    SELECT started_at / {DAY_MICROS}, owner, coalesce(key_id, ''), sandbox, model_id, category, {SUMS_OF_CALLS}
    FROM calls WHERE id IN ({_SLICE}) GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS.split(", "))}
"""
_DELETE: Final = f"DELETE FROM calls WHERE id IN ({_SLICE})"
_DELETE_COUNTERS: Final = """
    DELETE FROM counters WHERE (scope, metric, window) IN
    (SELECT scope, metric, window FROM counters WHERE resets_at < ?1 AND reserved = 0 LIMIT ?2)
"""
_NOTE: Final = "INSERT INTO upkeep (name, at) VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at"


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyReport:
    """What a daily run did."""

    problems: tuple[str, ...]
    """What the check found; empty also when it was not due."""
    lost: int
    """Calls given up because their process died."""
    folded: int
    """Calls folded into daily sums."""


class Retention:
    """The daily work on one open store; every method raises as `Store` does."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def daily(self, now: datetime, *, keep: timedelta | None) -> DailyReport:
        """Do what is due; any process may ask at any time.

        Args:
            now: The time, from the caller's clock.
            keep: How long single calls are kept; `None` keeps them for ever.
        """
        lost = await self.mark_lost(now - GRACE)
        checked_at = await self._noted("check")
        problems: tuple[str, ...] = ()
        if checked_at is None or abs(now - checked_at) >= timedelta(days=1):
            problems = await self._reader.use(partial(find_problems, thorough=False))
            await self._writer.submit(_note("check", now))
        folded = 0 if keep is None else await self.fold(keep, now)
        return DailyReport(problems=problems, lost=lost, folded=folded)

    async def mark_lost(self, before: datetime) -> int:
        """Give up calls that are in flight and should have been over before this time, slice by slice."""
        lost = 0
        while (found := await self._writer.submit(work.mark_lost(before))) > 0:
            lost += found
        return lost

    async def fold(self, keep: timedelta, now: datetime) -> int:
        """Fold calls of days that ended longer than `keep` ago into daily sums, and drop expired counters.

        Returns:
            How many calls were folded.
        """
        last = await self._noted("retention")
        believed = now if last is None else min(now, last + MAX_CLOCK_STEP)
        cutoff = to_micros(believed - keep) // DAY_MICROS * DAY_MICROS
        folded = await self._in_slices(_FOLD, _DELETE, cutoff)
        await self._in_slices(None, _DELETE_COUNTERS, to_micros(believed - COUNTERS_KEPT))
        await self._writer.submit(_note("retention", believed))
        return folded

    async def _in_slices(self, fold: str | None, delete: str, before: int) -> int:
        done, size = 0, _FIRST_SLICE
        while True:
            deleted, took_s = await self._writer.submit(_slice(fold, delete, before, size))
            done += deleted
            if deleted < size:
                return done
            size = next_slice(size, took_s)

    async def _noted(self, name: str) -> datetime | None:
        found = await self._reader.rows(
            "SELECT at FROM upkeep WHERE name = ?", (name,), lambda row: from_micros(row[0])
        )
        return found[0] if found else None


def next_slice(size: int, took_s: float) -> int:
    """Choose the size of the next slice from how long the last one took; a quarter of the budget is aimed at."""
    fitting = int(size * (LOCK_BUDGET_S / 4) / max(took_s, 1e-6))
    return max(1, min(fitting, size * 2, _LARGEST_SLICE))


def _slice(fold: str | None, delete: str, before: int, size: int) -> Work[tuple[int, float]]:
    def run(transaction: Transaction) -> tuple[int, float]:
        started = time.perf_counter()
        if fold is not None:
            transaction.connection.execute(fold, (before, size))
        deleted = transaction.connection.execute(delete, (before, size)).rowcount
        return deleted, time.perf_counter() - started

    return run


def _note(name: str, at: datetime) -> Work[None]:
    def run(transaction: Transaction) -> None:
        transaction.connection.execute(_NOTE, (name, to_micros(at)))

    return run
