"""How the stdio process leaves, piece by piece; `tests/e2e/test_stdio.py` shows it on real processes."""

import os
import signal
import sys

import anyio
import pytest

from dynaroute_mcp.__main__ import serve_stdio
from dynaroute_mcp.mcp_server import stdio
from dynaroute_mcp.mcp_server.opening import LazyCore
from dynaroute_mcp.mcp_server.stdio import _Departure, _heed_parent, _heed_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and parents are POSIX's")


class Left(BaseException):
    """The process would be gone now."""


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Statuses with which the process would have left."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Left

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(stdio, "GRACE_S", 3_600)
    return codes


async def test_nobody_leaves_who_was_not_asked_to(exits: list[int]) -> None:
    departure = _Departure()

    departure.finish()

    assert exits == []


async def test_the_last_connection_takes_the_process_along(exits: list[int]) -> None:
    departure, core = _Departure(), LazyCore()
    core.on_closed = departure.finish
    departure.scope = anyio.CancelScope()

    async def serve() -> None:
        with departure.scope:
            async with core.lifespan():
                departure.begin(143)
                await anyio.sleep_forever()

    with pytest.raises(Left):
        await serve()

    assert exits == [143]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_begins_and_only_another_interrupt_forces(
    exits: list[int], number: signal.Signals
) -> None:
    departure, begun = _Departure(), anyio.Event()
    forced: list[BaseException] = []

    async def heed() -> None:
        try:
            await _heed_signals(departure)
        except Left as error:
            forced.append(error)

    async def serve() -> None:
        with anyio.CancelScope() as departure.scope:
            await anyio.sleep_forever()
        begun.set()

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        group.start_soon(heed)
        await anyio.wait_all_tasks_blocked()
        os.kill(os.getpid(), number)
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(0.01)
        before = list(forced)
        os.kill(os.getpid(), signal.SIGINT)

    assert (before, len(forced), exits) == ([], 1, [128 + signal.SIGINT])


async def test_a_parent_that_changed_is_dead(exits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([500, 500, 500, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(stdio, "PARENT_EVERY_S", 0)
    departure = _Departure()
    departure.scope = anyio.CancelScope()

    await _heed_parent(departure)

    assert departure.scope.cancel_called
    with pytest.raises(Left):
        departure.finish()
    assert exits == [0]


@pytest.mark.parametrize("closed", ["stdin", "stdout"])
def test_a_process_without_stdin_or_stdout_says_that_it_has_no_client(
    monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    monkeypatch.setattr(sys, closed, None)  # as Python leaves it where the descriptor is closed

    with pytest.raises(SystemExit, match="an MCP client starts this with both open"):
        stdio.serve()


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_who_asks_the_program_for_help_is_told_who_starts_it(
    asked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dynaroute-mcp-server", asked])

    serve_stdio()

    told = capsys.readouterr().out
    assert told.startswith("Usage: dynaroute-mcp-server\n")
    assert "dynaroute config" in told
