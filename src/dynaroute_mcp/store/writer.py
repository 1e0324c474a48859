"""Group commit: what all tasks of a process want written, in as few durable transactions as possible.

While one batch is on its way to the disk the next one gathers; each caller gets the result or the error of
its own job, after the commit. One thread writes, and it holds the database's lock only while SQLite works.
"""

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import anyio
from anyio import to_thread

from dynaroute_mcp.errors import InvalidRequest, StoreUnavailable
from dynaroute_mcp.store.checkpoint import Checkpointer
from dynaroute_mcp.store.driver import failures, refusals
from dynaroute_mcp.store.ledger import Ledger
from dynaroute_mcp.store.link import Link, Opener
from dynaroute_mcp.store.lock import exclusive
from dynaroute_mcp.store.migrations import check_schema

MAX_BATCH = 256
"""Jobs in one transaction; bounds how long the lock is held."""
MAX_WAITING = 4096
"""Jobs that wait in memory; a caller beyond that waits before it may join."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a job works on."""

    connection: sqlite3.Connection
    ledger: Ledger


Work = Callable[[Transaction], _T]
"""A job: it decides first and writes then, so that one that raises has changed nothing."""


@dataclass(slots=True)
class _Job(Generic[_T]):
    work: Work[_T]
    result: _T | None = None
    error: Exception | None = None

    def run(self, transaction: Transaction) -> None:
        try:
            self.result = self.work(transaction)
        except refusals() as error:
            self.error = InvalidRequest(f"the database refuses this row: {error}")
        except failures():
            raise
        except Exception as error:  # noqa: BLE001  # the caller's own error: it is raised there, alone
            self.error = error


@dataclass(slots=True)
class _Batch:
    jobs: list[_Job[object]] = field(default_factory=list)
    done: anyio.Event = field(default_factory=anyio.Event)
    failure: StoreUnavailable | None = field(
        default_factory=lambda: StoreUnavailable("this was not recorded; the log says why")
    )
    """`None` once everything is committed."""


class Writer:
    """The only writer of its process. `run` must be running for `submit` to return."""

    def __init__(self, path: Path, opener: Opener) -> None:
        self._path = path
        self._link = Link(path, opener)
        self._checkpointer = Checkpointer(path)
        self._room = anyio.Semaphore(MAX_WAITING, fast_acquire=True)
        self._thread = anyio.CapacityLimiter(1)
        self._gathering = _Batch()
        self._full: list[_Batch] = []
        self._wake = anyio.Event()
        self._closing = False

    async def submit(self, work: Work[_T], *, stays: bool = True) -> _T:
        """Have a job done; it is committed durably when this returns.

        Args:
            work: the job.
            stays: A cancelled caller still waits for its job before it leaves, so that nobody is left in doubt
                whether it was done. Without it, the job is done when its turn comes, and the caller leaves at once.

        Raises:
            StoreUnavailable: the batch could not be written, and none of it was.
            DynarouteError: the job's own error; only this job was left out.
        """
        try:
            self._room.acquire_nowait()
        except anyio.WouldBlock:
            await self._room.acquire()
        try:
            if self._closing:
                raise StoreUnavailable("the database is being closed; this was not recorded")
            job = _Job(work)
            batch = self._join(job)
            try:
                await batch.done.wait()
            except anyio.get_cancelled_exc_class():  # a scope for each wait would be dear
                if stays:
                    with anyio.CancelScope(shield=True):
                        await batch.done.wait()
                raise
        finally:
            self._room.release()
        if batch.failure is not None:
            raise type(batch.failure)(str(batch.failure), public=batch.failure.public)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # set by a job without error

    async def run(self) -> None:
        """Write batches until `close`, and then what is left."""
        with anyio.CancelScope(shield=True):
            while not self._closing or self._gathering.jobs or self._full:
                await self._wake.wait()
                await self._write_waiting()
            await to_thread.run_sync(self._link.close, limiter=self._thread)

    def close(self) -> None:
        """Take no more jobs; `run` ends when the last is written."""
        self._closing = True
        self._wake.set()

    def _join(self, job: _Job[_T]) -> _Batch:
        if len(self._gathering.jobs) >= MAX_BATCH:
            self._full.append(self._gathering)
            self._gathering = _Batch()
        self._gathering.jobs.append(job)  # type: ignore[arg-type]  # a batch holds jobs of every kind
        self._wake.set()
        return self._gathering

    async def _write_waiting(self) -> None:
        batch = self._full.pop(0) if self._full else self._gathering
        if batch is self._gathering:
            self._gathering = _Batch()
            if not self._closing:
                self._wake = anyio.Event()
        if batch.jobs:
            try:
                await to_thread.run_sync(self._write, batch, limiter=self._thread)
            except Exception:  # noqa: BLE001 -- such as no memory, no thread: whatever it is, others write on
                _log.exception("batch not written", extra={"jobs": len(batch.jobs)})
            finally:
                batch.done.set()

    def _write(self, batch: _Batch) -> None:
        try:
            with self._link.use() as connection, exclusive(self._path):
                self._commit(connection, batch.jobs)
                self._link.verify()
                batch.failure = None
                self._checkpointer.after_commit(connection)
        except StoreUnavailable as error:
            batch.failure = error
            _log.warning("batch not written", extra={"jobs": len(batch.jobs), "reason": str(error)})

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job[object]]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        check_schema(connection, self._path)
        transaction = Transaction(connection, Ledger(connection))
        for job in jobs:
            job.run(transaction)
        transaction.ledger.write()
        connection.execute("COMMIT")
