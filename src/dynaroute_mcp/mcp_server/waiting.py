"""Progress for a caller who waits: something is told every few seconds, also while nothing happens."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from dynaroute_mcp.errors import DynarouteError

T = TypeVar("T")
Tell = Callable[[float, float | None, str | None], Awaitable[None]]
"""Progress, total and message, as MCP has them."""

TELL_EVERY_S = 5.0
"""Seconds between two signs of life."""


async def while_telling(
    work: Callable[[Callable[[str], Awaitable[None]]], Awaitable[T]],
    tell: Tell,
) -> T:
    """Wait for work; the caller hears what it reports, and a sign of life in between.

    Args:
        work: is given what it may report to.
        tell: takes steps that rise, without a total, since nobody knows how long an answer gets.

    Raises:
        DynarouteError: what the work raised.
    """
    steps = 0

    async def report(message: str) -> None:
        nonlocal steps
        steps += 1
        await tell(steps, None, message)

    async def beat() -> None:
        waited_s = 0.0
        while True:
            await anyio.sleep(TELL_EVERY_S)
            waited_s += TELL_EVERY_S
            await report(f"still at it after {waited_s:g} s")

    done: list[T] = []
    failed: list[DynarouteError] = []
    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        try:
            done.append(await work(report))
        except DynarouteError as error:  # raised below, outside: a task group would wrap it
            failed.append(error)
        group.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return done[0]
