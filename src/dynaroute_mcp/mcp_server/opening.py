"""The core on demand: a server answers `initialize` before anything of the core is loaded.

The first call that needs the core opens it, in a task of its own, so that it is closed where it was opened
whoever asked for it. One core serves all connections: a lifespan is entered once on stdio and on streamable
HTTP, but once per connection on SSE; whoever came first stays until the last one has left.
"""

import gc
import importlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from pydantic import SecretStr

from dynaroute_mcp.errors import ConfigurationInvalid, DynarouteError
from dynaroute_mcp.sites import is_loopback

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core
    from dynaroute_mcp.settings import Settings

logger = logging.getLogger(__name__)


def _nothing() -> None: ...


def check_binding(settings: "Settings", host: str) -> None:
    """Check that an address may be listened on.

    Raises:
        ConfigurationInvalid: it is open to others and there is no admin token.
    """
    if not is_loopback(host) and settings.admin_token is None:
        raise ConfigurationInvalid(
            f"refusing to listen on {host!r} without an admin token; set DYNAROUTE_ADMIN_TOKEN, "
            "or listen on 127.0.0.1"
        )


class LazyCore:
    """Opens a core when it is first asked for, and closes it with the last connection."""

    def __init__(self, opener: "Callable[[], AbstractAsyncContextManager[Core]] | None" = None) -> None:
        """Take the way to open it; by default with the settings of this process."""
        self.on_closed: Callable[[], None] = _nothing
        """Called when the last connection has ended and the core is closed."""
        self._opener = opener or with_settings
        self._connections = 0
        self._wanted = anyio.Event()
        self._settled = anyio.Event()
        self._closing = anyio.Event()
        self._core: Core | None = None
        self._failure: Exception | None = None

    async def __call__(self) -> "Core":
        """Return the core, opening it if need be. After a failure the next call tries again.

        Raises:
            ConfigurationInvalid: a setting or a catalog file is wrong; names it.
        """
        if not self._connections:
            raise RuntimeError("the core is open within a server's lifespan only")
        while self._core is None:
            settled = self._settled
            self.warm()
            await settled.wait()
            if self._failure is not None:
                raise self._failure
        return self._core

    def warm(self) -> None:
        """Begin to open the core, without waiting for it."""
        self._wanted.set()

    @asynccontextmanager
    async def lifespan(self, _server: object = None) -> AsyncIterator[None]:
        """Stand for one connection, or for one app with many."""
        self._connections += 1
        if self._connections > 1:
            try:
                yield
            finally:
                self._leave()
            return
        self._wanted, self._settled, self._closing = anyio.Event(), anyio.Event(), anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep)
                try:
                    yield
                finally:
                    self._leave()
        finally:
            self.on_closed()

    def _leave(self) -> None:
        self._connections -= 1
        if not self._connections:
            self._closing.set()
            self._wanted.set()

    async def _keep(self) -> None:
        with anyio.CancelScope(shield=True):
            while not self._closing.is_set():
                await self._wanted.wait()
                if not self._closing.is_set():
                    await self._open_until_closing()

    async def _open_until_closing(self) -> None:
        self._failure = None
        try:
            async with self._opener() as self._core:
                gc.freeze()  # what is loaded now stays: no collection need look at it again
                self._settled.set()
                await self._closing.wait()
        except DynarouteError as error:
            logger.warning("the core can't be opened", extra={"reason": str(error)})
            self._failure = error
        except Exception as error:
            logger.exception("the core could not be opened or closed")
            self._failure = error
        finally:
            self._core = None
        settled, self._settled, self._wanted = self._settled, anyio.Event(), anyio.Event()
        settled.set()


@asynccontextmanager
async def with_settings(settings: "Settings | None" = None) -> "AsyncIterator[Core]":
    """Open a core; the runtime is imported here, off the event loop, and not before.

    Args:
        settings: `None` reads the environment and the configuration file.

    Raises:
        ConfigurationInvalid: a setting or a catalog file is wrong; names it.
    """
    runtime = await _runtime()
    async with runtime.open_core(settings or runtime.load_settings()) as core:
        yield core


@asynccontextmanager
async def with_key(api_key: str | None) -> "AsyncIterator[Core]":
    """Open a core that works for the owner of a key, with the other settings of this process.

    Raises:
        ConfigurationInvalid: a setting or a catalog file is wrong; names it.
    """
    settings: Settings = (await _runtime()).load_settings()
    if api_key is not None:
        settings = settings.model_copy(update={"api_key": SecretStr(api_key)})
    async with with_settings(settings) as core:
        yield core


async def _runtime() -> Any:  # Any: a module that is loaded late
    return await anyio.to_thread.run_sync(importlib.import_module, "dynaroute_mcp.runtime")
