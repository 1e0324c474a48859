"""One process for everything: the gateway, MCP at `/mcp` and `/sse`, health and metrics, on one port and one core.

The only place that knows both faces. MCP's is loaded when somebody first asks for it. SIGHUP reads the configuration anew: requests that run keep the core they began
with, later ones get the new one. A signal to stop lets running requests end, and ends idle MCP streams at once.
"""

import contextlib
import errno
import gc
import importlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from types import FrameType
from typing import Final, Literal

import anyio
import anyio.to_thread
import uvicorn
from anyio.abc import ObjectReceiveStream, TaskGroup, TaskStatus
from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from dynaroute_mcp.errors import ConfigurationInvalid, DynarouteError
from dynaroute_mcp.gateway.app import create_app as create_gateway
from dynaroute_mcp.gateway.connections import Patient, let_in
from dynaroute_mcp.mcp_server.opening import LazyCore, check_binding
from dynaroute_mcp.memory import Memory
from dynaroute_mcp.runtime import AMBIENT, Core, open_core
from dynaroute_mcp.settings import Settings

logger = logging.getLogger(__name__)

Transport = Literal["all", "sse", "streamable-http"]
"""Of MCP; `all` is both. The gateway is always there."""

SHUTDOWN_S: Final = 60
"""How long running requests may go on after a signal."""

_COLLECT_EVERY: Final = 50_000, 20, 50
"""When the collector looks for cycles. A request leaves none that count, yet Python's own 700 new objects are passed
several times in each: that took a twelfth of all time."""


def serve(
    settings: Settings,
    host: str = "127.0.0.1",
    port: int = 8000,
    transport: Transport = "all",
    *,
    allowed_hosts: Collection[str] = (),
    reread: Callable[[], Settings] | None = None,
    listening: Callable[[], None] = lambda: None,
) -> None:
    """Serve over HTTP until a signal comes.

    Args:
        settings: of this process.
        host: address to listen on.
        port: 0 takes any free one.
        transport: which of MCP's two.
        allowed_hosts: names under which others reach this server, without ports.
        reread: reads the settings anew on SIGHUP; `None` leaves the signal alone.
        listening: is called once clients can connect.

    Raises:
        ConfigurationInvalid: the address is open to others and there is no admin token, or can't be listened on, or
            the catalog is wrong; alone or in a group.
    """
    check_binding(settings, host)
    front = Front(settings, transport, {*allowed_hosts, socket.gethostname()}, reread=reread)
    Patient.room = let_in()
    gc.set_threshold(*_COLLECT_EVERY)
    config = uvicorn.Config(
        front.app,
        host=host,
        port=port,
        http=Patient,
        log_config=None,
        log_level="error",  # below it uvicorn has a line for each broken request that a stranger sends
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ws="none",
    )
    # anyio's own way in: whoever asks it for the loop later need not ask the system for the process first
    anyio.run(
        _Server(config, front, listening).serve,
        backend_options={"use_uvloop": find_spec("uvloop") is not None},
    )


class _Server(uvicorn.Server):
    """Raises why it can't start, and ends idle MCP streams before it waits for running requests."""

    def __init__(self, config: uvicorn.Config, front: "Front", listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._front = front
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the first core and listen."""
        log = logging.getLogger("uvicorn.error")
        log.disabled = True  # it would print the traceback of what is raised here
        try:
            await super().startup(sockets)
        except SystemExit as stopped:
            raise self._front.failure or _unbound(self.config, stopped.__context__) from None
        finally:
            log.disabled = False
        self._listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, once: uvicorn would leave at a second Ctrl-C with everything open, and never end."""
        if not self.should_exit:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let requests end, close; one more Ctrl-C cuts the requests off."""
        self._front.hang_up()
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._hurry)
            await super().shutdown(sockets)
            beside.cancel_scope.cancel()

    async def _hurry(self) -> None:
        if hasattr(signal, "SIGHUP"):  # else no loop takes signals
            with anyio.open_signal_receiver(signal.SIGINT) as signals:
                async for _ in signals:
                    logger.warning("running requests are cut off")
                    logging.getLogger("uvicorn.error").addFilter(_unasked)
                    self._front.cut_off()


def _unasked(record: logging.LogRecord) -> bool:
    """Keep back what uvicorn says of each request that was cut off."""
    return not record.getMessage().startswith("ASGI callable returned without")


def _unbound(config: uvicorn.Config, cause: BaseException | None) -> ConfigurationInvalid:
    if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
        why = "another program listens there; stop it, or name another --port"
    else:
        why = f"{cause}; name another --host or --port"
    return ConfigurationInvalid(f"can't listen on {config.host}, port {config.port}: {why}")


# ---------------------------------------------------------------- cores


@dataclass(slots=True, eq=False)
class _Generation:
    """A core, and how many requests work with it or an older one."""

    core: Core
    requests: int = 0
    over: anyio.Event = field(default_factory=anyio.Event)


class Hub:
    """Keeps the core of the moment, and older ones until their last request has ended."""

    def __init__(self, opener: Callable[[Settings], AbstractAsyncContextManager[Core]]) -> None:
        self._opener = opener
        self._generations: list[_Generation] = []
        self._group: TaskGroup | None = None

    async def __call__(self) -> Core:
        """Return the core of the moment."""
        return self._generations[-1].core

    @asynccontextmanager
    async def running(self, settings: Settings) -> AsyncIterator[None]:
        """Open the first core, and close all in the end.

        Raises:
            ConfigurationInvalid: the catalog is wrong.
        """
        async with anyio.create_task_group() as self._group:
            await self.renew(settings)
            try:
                yield
            finally:
                for generation in self._generations:
                    generation.over.set()

    async def renew(self, settings: Settings) -> None:
        """Open a core with these settings and use it from now on.

        Raises:
            ConfigurationInvalid: the catalog is wrong; the old core stays.
        """
        assert self._group is not None, "the hub is running"
        opened = await self._group.start(self._keep, settings)
        if isinstance(opened, DynarouteError):
            raise opened
        self._generations.append(opened)
        self._close_idle()

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Keep every core that is open now for the time of one request."""
        generation = self._generations[-1]
        generation.requests += 1
        try:
            yield
        finally:
            generation.requests -= 1
            self._close_idle()

    def _close_idle(self) -> None:
        """Close from the oldest on: a request may have got a newer core than the one it is counted with."""
        while len(self._generations) > 1 and not self._generations[0].requests:
            self._generations.pop(0).over.set()

    async def _keep(
        self, settings: Settings, *, task_status: TaskStatus[_Generation | DynarouteError]
    ) -> None:
        try:
            async with self._opener(settings) as core:
                generation = _Generation(core)
                task_status.started(generation)
                await core.availability.ready()  # local servers are found before anybody asks
                if not gc.get_freeze_count():  # a core that was frozen is never given back
                    gc.freeze()  # what is loaded now stays: no collection need look at it again
                await generation.over.wait()
        except ConfigurationInvalid as error:
            task_status.started(error)
        else:
            del core, generation
            gc.collect()  # a closed core is full of cycles, and the collector looks for them hardly ever


class _Shared(LazyCore):
    """The hub's core, as the MCP server asks for one; nothing is opened or closed through it."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    async def __call__(self) -> Core:
        """Return the core of the moment."""
        return await self._hub()

    def warm(self) -> None:
        """Do nothing: the core is open."""

    @asynccontextmanager
    async def lifespan(self, _server: object = None) -> AsyncIterator[None]:
        """Stand for one connection."""
        yield


# ---------------------------------------------------------------- the MCP face


class LateFace:
    """An app that is made and opened when it is first asked for: MCP's library is a third of a gateway's memory."""

    def __init__(self, make: Callable[[], Starlette]) -> None:
        """Take the way to make it, which runs in a thread."""
        self._make = make
        self._wanted, self._open = anyio.Event(), anyio.Event()
        self._app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        self._wanted.set()
        await self._open.wait()
        assert self._app is not None, "an open face has its app"
        await self._app(scope, receive, send)

    async def keep(self) -> None:
        """Open the app once it is wanted, and close it when this is cancelled."""
        await self._wanted.wait()
        self._app = await anyio.to_thread.run_sync(self._make)
        async with self._app.router.lifespan_context(self._app):
            self._open.set()
            await anyio.sleep_forever()


# ---------------------------------------------------------------- the app


_ROOTS: Final[dict[Transport, frozenset[str]]] = {
    "streamable-http": frozenset({"mcp"}),
    "sse": frozenset({"sse", "messages"}),
    "all": frozenset({"mcp", "sse", "messages"}),
}
"""First parts of MCP's paths."""


class Front:
    """Passes each request on to the face that it is for."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        allowed_hosts: Collection[str],
        *,
        reread: Callable[[], Settings] | None = None,
        opener: Callable[[Settings], AbstractAsyncContextManager[Core]] | None = None,
    ) -> None:
        self._settings = settings
        self._reread = reread
        self._hub = Hub(opener or partial(open_core, memory=Memory()))
        self._gateway = create_gateway(self._hub, AMBIENT, allowed_hosts=allowed_hosts)
        self._mcp = LateFace(partial(self._make_mcp, transport, allowed_hosts))
        self._mcp_roots = _ROOTS[transport]
        self._streams: set[anyio.CancelScope] = set()
        self._calls: set[anyio.CancelScope] = set()
        self.failure: BaseException | None = None
        """Why the first core could not be opened."""
        self.app = Router(default=self._pass_on, lifespan=self._lifespan, redirect_slashes=False)

    def hang_up(self) -> None:
        """End the MCP streams that wait for something to tell."""
        for stream in self._streams:
            stream.cancel()

    def cut_off(self) -> None:
        """End the requests that still run; what was delivered of them is recorded."""
        for call in self._calls:
            call.cancel()

    async def renew(self) -> None:
        """Read the settings anew; where they are wrong, say so and go on with the old ones."""
        assert self._reread is not None, "asked for by the operator"
        try:
            await self._hub.renew(await anyio.to_thread.run_sync(self._reread))
        except ConfigurationInvalid as error:
            logger.error("the configuration was not taken", extra={"reason": str(error)})  # noqa: TRY400
        except Exception:  # whatever a file does: those who are served now must not pay for it
            logger.exception("the configuration was not taken")
        else:
            logger.warning("the configuration was read anew")

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as opened:
            try:
                await opened.enter_async_context(self._hub.running(self._settings))
            except BaseException as error:
                self.failure = error
                raise
            group = await opened.enter_async_context(anyio.create_task_group())
            group.start_soon(self._mcp.keep)
            if self._reread is not None and hasattr(signal, "SIGHUP"):
                group.start_soon(self._watch)
            yield
            group.cancel_scope.cancel()

    def _make_mcp(self, transport: Transport, allowed_hosts: Collection[str]) -> Starlette:
        web = importlib.import_module("dynaroute_mcp.mcp_server.web")
        app: Starlette = web.create_app(
            self._settings,
            core=_Shared(self._hub),
            transport="http" if transport == "all" else transport,
            allowed_hosts=allowed_hosts,
        )
        return app

    async def _watch(self) -> None:
        """Renew at each signal; those that come meanwhile ask for one more, however many they are."""
        asked, wanted = anyio.create_memory_object_stream[None](1)
        with asked, wanted, anyio.open_signal_receiver(signal.SIGHUP) as signals:
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._renew_for, wanted)
                async for _ in signals:
                    with contextlib.suppress(anyio.WouldBlock):
                        asked.send_nowait(None)

    async def _renew_for(self, wanted: ObjectReceiveStream[None]) -> None:
        async for _ in wanted:
            await self.renew()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        mcp = _root(scope["path"]) in self._mcp_roots
        kept = self._streams if mcp and scope["method"] == "GET" else self._calls
        with self._hub.request(), anyio.CancelScope() as running:
            kept.add(running)
            try:
                await (self._mcp if mcp else self._gateway)(scope, receive, send)
            finally:
                kept.discard(running)


def _root(path: str) -> str:
    """The first part of a path; empty where only the whole of it would be an address of MCP."""
    root, _, rest = path.removeprefix("/").partition("/")
    return root if root == "messages" or not rest else ""
