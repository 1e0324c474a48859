"""A process that asks without end until it is killed; its calls are numbered, so that books and provider compare.

Run as `python -m tests.e2e.killed FOLDER FIRST_NUMBER BASE_URL`. It says `ready` once the first call is
answered.
"""

import itertools
import sys
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

import anyio
from tests.e2e.matrix_stage import overlay, settings

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.runtime import AMBIENT, Core, open_core
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import ChatRequest, Message, Routing, Text

WORKERS = 6

_number: ContextVar[int] = ContextVar("number")


def request_id(number: int) -> str:
    """What the call with this number is booked as."""
    return f"req_{number:024x}"


def prompt(number: int) -> str:
    return f"call {number} " + "word " * (number % 50)


async def ask(core: Core, number: int) -> None:
    _number.set(number)
    request = ChatRequest(
        messages=(Message(role="user", parts=(Text(text=prompt(number)),)),),
        routing=Routing(level_override=Level.L1),
    )
    if number % 2:
        await core.router.complete(request, LOCAL)
    else:
        async with core.router.stream(request, LOCAL) as routed:
            async for _ in routed:
                pass


async def main(folder: Path, first: int, base_url: str) -> None:
    numbers = itertools.count(first)
    catalog = overlay(base_url, "openai", base_url)
    chosen = settings(folder, catalog, alone=True)
    numbered = replace(AMBIENT, randbelow=lambda _: _number.get())

    async def work(core: Core) -> None:
        while True:
            await ask(core, next(numbers))

    async with open_core(chosen, numbered) as core:
        await ask(core, next(numbers))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(work, core)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
