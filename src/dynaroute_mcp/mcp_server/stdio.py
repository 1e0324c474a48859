"""The stdio process: it ends when its client does, whichever way the client goes.

End of input ends it by itself. A signal closes the core and then leaves without returning, because the SDK's
thread waits on a standard input that nobody can interrupt. A client that dies and leaks the pipe is noticed
by its pid.
"""

import os
import signal
import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import anyio

from dynaroute_mcp.logs import configure_logging
from dynaroute_mcp.mcp_server.opening import LazyCore, with_settings
from dynaroute_mcp.mcp_server.server import build

if TYPE_CHECKING:
    from dynaroute_mcp.settings import Settings

GRACE_S: Final = 3.0
"""Closing may take this long before the process leaves anyway."""

PARENT_EVERY_S: Final = 2.0
"""How often the parent is looked for."""


def serve(settings: "Settings | None" = None) -> None:
    """Serve the process's own stdin and stdout until the client is gone.

    Args:
        settings: `None` reads the environment and the configuration file, once the first call needs them.
    """
    configure_logging()  # before the server is built, whose own set-up then does nothing
    if sys.stdin is None or sys.stdout is None:
        sys.exit("Error: stdin or stdout is closed; an MCP client starts this with both open")
    anyio.run(_serve, settings, backend_options={"use_uvloop": find_spec("uvloop") is not None})


async def _serve(settings: "Settings | None") -> None:
    departure = _Departure()
    core = LazyCore(lambda: with_settings(settings))
    core.on_closed = departure.finish
    async with anyio.create_task_group() as group:
        departure.scope = group.cancel_scope
        if sys.platform != "win32":  # there a console event ends the process by itself
            group.start_soon(_heed_signals, departure)
            group.start_soon(_heed_parent, departure)
        await build(core).run_stdio_async()
        group.cancel_scope.cancel()


class _Departure:
    """How the process ends once it is asked to."""

    scope: anyio.CancelScope
    """What is being served."""

    def __init__(self) -> None:
        self._code: int | None = None

    def begin(self, code: int) -> None:
        """Stop serving; leave by force when closing takes too long."""
        self._code = code
        timer = threading.Timer(GRACE_S, os._exit, (code,))
        timer.daemon = True
        timer.start()
        self.scope.cancel()

    def finish(self) -> None:
        """Leave now, if that was asked for; what follows would wait for a thread that never ends."""
        if self._code is not None:
            sys.stderr.flush()
            os._exit(self._code)


async def _heed_signals(departure: _Departure) -> None:
    """Leave at the first signal; a second Ctrl-C forces it, a SIGTERM after SIGINT is what clients always send."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        first = await anext(signals)
        departure.begin(128 + first)
        with anyio.CancelScope(shield=True):
            async for number in signals:
                if number == signal.SIGINT:
                    os._exit(128 + number)


async def _heed_parent(departure: _Departure) -> None:
    """Leave when the process that started this one is gone."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 -- no event tells that a parent has died
        await anyio.sleep(PARENT_EVERY_S)
    departure.begin(0)
