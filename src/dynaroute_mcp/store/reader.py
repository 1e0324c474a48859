"""Reading beside the writer: a few connections, each used by one thread at a time.

One of them belongs to the event loop's own thread: a look-up by key takes some ten microseconds, less than a
tenth of what it takes to hand it to another thread and back.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.driver import Params, corrupt, failures
from dynaroute_mcp.store.link import Link, open_for_reading
from dynaroute_mcp.store.rows import Row

READERS = 4
"""Queries that run at once; a long report must not keep a key from being looked up."""

_UNREADABLE = (ValueError, TypeError, ArithmeticError)
"""What reading a row raises that we never wrote, such as a time beyond the year 9999."""

_T = TypeVar("_T")


class Reader:
    """Queries against the committed state."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[Link] = deque()
        self._near: Link | None = None
        """The event loop's own: always an open one, and it waits for nobody's lock."""
        self._threads = anyio.CapacityLimiter(READERS)
        self._closed = False

    async def rows(self, query: str, params: Params, read: Callable[[Row], _T]) -> list[_T]:
        """Run one query and turn its rows into values, off the event loop.

        Raises:
            StoreCorrupt: the file is damaged, or holds what we never write.
            StoreUnavailable: it can't be read.
        """
        return await self.use(lambda connection: [read(row) for row in connection.execute(query, params)])

    async def look_up(self, query: str, params: Params, read: Callable[[Row], _T]) -> list[_T]:
        """Run a query that finds a few rows by their key, on the event loop; raises as `rows`.

        What the event loop's connection can't do at once is left to a thread, which waits, opens, or says why
        not.
        """

        def found(connection: sqlite3.Connection) -> list[_T]:
            return [read(row) for row in connection.execute(query, params)]

        if self._near is not None and (connection := self._near.ready) is not None:
            with suppress(*failures(), *_UNREADABLE):
                return found(connection)
            self._near.close()
        rows = await self.use(found)
        self._keep_near()
        return rows

    async def use(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a function on a reading connection, off the event loop; raises as `rows`."""
        return await to_thread.run_sync(partial(self._use, work), limiter=self._threads)

    async def close(self) -> None:
        """Close the connections; one that is still in use, or opened later, is closed after its query."""
        self._closed = True
        if self._near is not None:
            self._near.close()
        await to_thread.run_sync(self._close_idle, limiter=self._threads)

    def _use(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            link = self._idle.pop()
        except IndexError:
            link = Link(self._path, open_for_reading)
        try:
            with link.use() as connection:
                found = work(connection)
        except _UNREADABLE as error:
            raise corrupt(self._path, f"a row that can't be read: {error}") from error
        finally:
            self._idle.append(link)
            if self._closed:
                self._close_idle()
        return found

    def _keep_near(self) -> None:
        """Take a connection that a thread has just opened for the event loop, unless there is one."""
        if self._closed or (self._near is not None and self._near.ready is not None):
            return
        with suppress(IndexError, StoreUnavailable):
            link = self._idle.pop()
            if link.ready is None:
                self._idle.append(link)
                return
            with link.use() as connection:
                connection.execute("PRAGMA busy_timeout = 0")
            if self._near is not None:
                self._near.close()
            self._near = link

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
