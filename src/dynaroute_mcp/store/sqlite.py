# ruff: noqa: S608  # queries are built from constants; every value is a parameter
"""The store on SQLite: one file that several processes share.

Writing goes through the group commit of `writer.py`; reading has connections of its own and sees every commit
that was acknowledged. Nothing is opened before it is needed and nothing here fails at start: a database that
can't be used is said to be so by each call, and tried again by the next.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar

import anyio

from dynaroute_mcp.errors import StoreCorrupt
from dynaroute_mcp.store import keys, work
from dynaroute_mcp.store.base import (
    CallFilter,
    CallRow,
    CounterRow,
    FeedbackRow,
    Hold,
    KeyRow,
    Lengths,
    Totals,
    Waits,
)
from dynaroute_mcp.store.driver import Params
from dynaroute_mcp.store.key_rows import KEY_COLUMNS, find_fault, read_if_sound, read_key
from dynaroute_mcp.store.link import Opener, open_for_writing
from dynaroute_mcp.store.reader import Reader
from dynaroute_mcp.store.retention import Retention
from dynaroute_mcp.store.rows import (
    FEEDBACK_COLUMNS,
    INTENT_COLUMNS,
    OUTCOME_COLUMNS,
    Row,
    read_call,
    read_feedback,
    read_lengths,
    text,
    to_micros,
)
from dynaroute_mcp.store.totals import (
    OVERCOUNTS,
    read_totals,
    read_waits,
    totals_query,
    waits_query,
    where_calls,
)
from dynaroute_mcp.store.writer import Writer
from dynaroute_mcp.types import Cost, Intent, Outcome

_PAGE = 500
"""Calls read at once; no read stays open between pages, since that would keep the log from being moved."""
_MAX_ID = 2**63 - 1
_CALL_COLUMNS = f"{INTENT_COLUMNS}, {OUTCOME_COLUMNS}, repriced"
REPRICED_AT_ONCE = 500
"""Calls priced anew in one transaction, so that the lock is held briefly."""
_T = TypeVar("_T")


def open_store(path: Path) -> "SqliteStore":
    """Make a store for `async with`; neither entering nor leaving it fails because of the database."""
    return SqliteStore(path)


class SqliteStore:
    """`Store` on one SQLite file. Use it inside `async with`: its writer runs as long as that."""

    def __init__(self, path: Path, *, opener: Opener = open_for_writing) -> None:
        self.path = path.expanduser()
        self._writer = Writer(self.path, opener)
        self._reader = Reader(self.path)
        self.retention = Retention(self._reader, self._writer)
        """What a server does once a day."""
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start the writer."""
        tasks = await self._running.enter_async_context(anyio.create_task_group())
        tasks.start_soon(self._writer.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Write what is left, then close every connection; the body's own error passes as it is, in no group."""
        self._writer.close()
        with anyio.CancelScope(shield=True):
            await self._reader.close()
        if isinstance(error, anyio.get_cancelled_exc_class()):
            return await self._running.__aexit__(kind, error, trace)
        await self._running.aclose()
        return None

    async def add_key(self, row: KeyRow) -> None:
        """Store a new key."""
        await self._writer.submit(keys.add_key(row))

    async def find_key(self, digest: bytes) -> KeyRow | None:
        """Look a key up by its SHA-256."""
        return await self._one(keys.FIND_KEY, (digest,), read_key)

    async def revoke_key(self, digest: bytes, at: datetime) -> KeyRow | None:
        """Revoke a key; return it as it was before."""
        return await self._writer.submit(keys.revoke_key(digest, at))

    async def edit_key(self, key_id: str, edit: Callable[[KeyRow], KeyRow]) -> KeyRow | None:
        """Change a key."""
        return await self._writer.submit(keys.edit_key(key_id, edit))

    async def rotate_key(
        self, key_id: str, old: bytes, new: tuple[bytes, str, str], at: datetime, until: datetime
    ) -> KeyRow | None:
        """Give a key another secret."""
        return await self._writer.submit(keys.rotate_key(key_id, old, new, at, until))

    async def end_grace(self, digest: bytes) -> None:
        """Accept a former digest no more."""
        await self._writer.submit(keys.end_grace(digest))

    async def list_keys(self, owner: str | None) -> Sequence[KeyRow]:
        """List the keys that can be read, oldest first."""
        return [row for row in await self._keys(owner, read_if_sound) if row is not None]

    async def unreadable_keys(self, owner: str | None) -> Mapping[str, StoreCorrupt]:
        """Tell which keys can't be read, and why."""
        return dict(fault for fault in await self._keys(owner, find_fault) if fault is not None)

    async def find_plan(self, owner: str) -> str | None:
        """Tell an owner's plan."""
        return await self._one(
            "SELECT plan FROM owners WHERE owner = ?", (text(owner),), lambda row: str(row[0])
        )

    async def set_plan(self, owner: str, plan: str, at: datetime) -> None:
        """Give an owner and their keys a plan."""
        await self._writer.submit(keys.set_plan(owner, plan, at))

    async def begin(self, intent: Intent, holds: Sequence[Hold]) -> None:
        """Write an intent and take its holds."""
        await self._writer.submit(work.begin(intent, holds))

    async def settle(self, outcome: Outcome, charged_nano_usd: int | None) -> Sequence[CounterRow]:
        """Complete an intent; who is cancelled leaves, and it is completed all the same."""
        return await self._writer.submit(work.settle(outcome, charged_nano_usd), stays=False)

    async def counters(self, scopes: Sequence[str]) -> Sequence[CounterRow]:
        """Read all counters of these scopes."""
        marks = ", ".join("?" for _ in scopes)
        return await self._reader.look_up(
            f"SELECT scope, metric, window, used, reserved FROM counters WHERE scope IN ({marks})",
            tuple(text(scope) for scope in scopes),
            _read_counter,
        )

    async def find_call(self, request_id: str) -> CallRow | None:
        """Read one call."""
        query = f"SELECT {_CALL_COLUMNS} FROM calls WHERE request_id = ?"
        return await self._one(query, (text(request_id),), read_call)

    def calls(self, which: CallFilter, *, limit: int | None = None) -> AsyncIterator[CallRow]:
        """Read calls, newest first, page by page."""
        return self._pages(which, "AND id < ? ORDER BY id DESC", _MAX_ID, _MAX_ID if limit is None else limit)

    def export(self, which: CallFilter) -> AsyncIterator[CallRow]:
        """Read calls, oldest first, page by page: those of folded days are gone, only their sums are kept."""
        return self._pages(which, "AND id > ? ORDER BY id", 0, _MAX_ID)

    async def totals(
        self, which: CallFilter, *, by: Literal["all", "model", "category", "day"]
    ) -> Sequence[Totals]:
        """Sum calls."""
        query, params = totals_query(which, by)
        return await self._reader.use(lambda db: read_totals(db.execute(query, params).fetchall(), by))

    async def waits(self, which: CallFilter, *, newest: int) -> Waits:
        """Tell how long calls took."""
        query, params = waits_query(which, newest)
        return await self._reader.use(lambda db: read_waits(db.execute(query, params).fetchall()))

    async def lengths(self, newest: int) -> Sequence[Lengths]:
        """Tell how long answers were."""
        return await self._reader.rows(work.LENGTHS, (newest,), read_lengths)

    async def overcounts(self, newest: int, *, margin: float, least: int) -> Mapping[str, float]:
        """Tell whose provider counts more than was estimated."""
        return dict(await self._reader.rows(OVERCOUNTS, (margin, least, newest), _read_pair))

    async def reprice(self, costs: Mapping[str, Cost | None], at: datetime) -> int:
        """Put other costs in the place of recorded ones, slice by slice."""
        items, changed = list(costs.items()), 0
        for start in range(0, len(items), REPRICED_AT_ONCE):
            part = dict(items[start : start + REPRICED_AT_ONCE])
            changed += await self._writer.submit(work.reprice(part, at))
        return changed

    async def mark_lost(self, before: datetime) -> int:
        """Give up intents whose deadline is before this time."""
        return await self.retention.mark_lost(before)

    async def add_feedback(self, row: FeedbackRow) -> None:
        """Store a correction."""
        await self._writer.submit(work.add_feedback(row))

    async def list_feedback(self, *, limit: int | None = None) -> Sequence[FeedbackRow]:
        """List corrections, newest first."""
        query = f"SELECT {FEEDBACK_COLUMNS} FROM feedback ORDER BY id DESC LIMIT ?"
        return await self._reader.rows(query, (-1 if limit is None else limit,), read_feedback)

    async def _pages(self, which: CallFilter, order: str, edge: int, left: int) -> AsyncIterator[CallRow]:
        where, params = where_calls(which)
        query = f"SELECT id, {_CALL_COLUMNS} FROM calls WHERE id >= ? AND {where} {order} LIMIT ?"
        least = 0 if which.since is None else await self._first_id(which.since)
        while left > 0:
            page = await self._reader.rows(query, (least, *params, edge, min(left, _PAGE)), _read_numbered)
            for _, row in page:
                yield row
            if len(page) < _PAGE:
                return
            edge, left = page[-1][0], left - len(page)

    async def _first_id(self, since: datetime) -> int:
        """Find where calls of a time begin, by its index: the newest are read by id, down to the oldest of all."""
        query = "SELECT min(+id) FROM calls WHERE started_at >= ?"
        (found,) = await self._reader.rows(query, (to_micros(since),), lambda row: row[0])
        return _MAX_ID if found is None else int(found)

    async def _keys(self, owner: str | None, read: Callable[[Row], _T]) -> list[_T]:
        query = f"SELECT {KEY_COLUMNS} FROM keys WHERE ?1 IS NULL OR owner = ?1 ORDER BY id"
        return await self._reader.rows(query, (None if owner is None else text(owner),), read)

    async def _one(self, query: str, params: Params, read: Callable[[Row], _T]) -> _T | None:
        found = await self._reader.look_up(query, params, read)
        return found[0] if found else None


def _read_pair(row: Row) -> tuple[str, float]:
    model_id, share = row
    return str(model_id), float(share)


def _read_numbered(row: Row) -> tuple[int, CallRow]:
    return row[0], read_call(row[1:])


def _read_counter(row: Row) -> CounterRow:
    scope, metric, window, used, reserved = row
    return CounterRow(scope=scope, metric=metric, window=window, used=used, reserved=reserved)
