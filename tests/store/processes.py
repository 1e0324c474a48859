"""A writer process for the drills: it records calls and journals what was acknowledged.

Usage: python -m tests.store.processes DATABASE JOURNAL NAME CALLS TASKS CEILING

A line `tried NAME_N` is journaled before the store is asked, `begun NAME_N` and `settled NAME_N` after it
said yes.
"""

import sys
from pathlib import Path
from typing import IO

import anyio
from tests.store.examples import hold, intent, outcome

from dynaroute_mcp.errors import LimitExceeded
from dynaroute_mcp.store.sqlite import SqliteStore, open_store

CHARGED = 7
"""Nano-dollars that each settled call costs."""
RESERVED = 10
"""Nano-dollars that a running call holds."""
NO_CEILING = 10**9


async def record(store: SqliteStore, name: str, journal: IO[str], ceiling: int) -> None:
    holds = [hold(1, ceiling), hold(RESERVED, metric="nano_usd", window="month:2026-11")]
    journal.write(f"tried {name}\n")
    try:
        await store.begin(intent(name), holds)
    except LimitExceeded:
        return
    journal.write(f"begun {name}\n")
    await store.settle(outcome(name), CHARGED)
    journal.write(f"settled {name}\n")


async def main(database: Path, journal: IO[str], name: str, calls: int, tasks: int, ceiling: int) -> None:
    async def work(store: SqliteStore, task: int) -> None:
        for number in range(task, calls, tasks):
            await record(store, f"{name}_{number}", journal, ceiling)

    async with open_store(database) as store, anyio.create_task_group() as group:
        for task in range(tasks):
            group.start_soon(work, store, task)


if __name__ == "__main__":
    database, journal, name, calls, tasks, ceiling = sys.argv[1:]
    with Path(journal).open("a", buffering=1, encoding="utf-8") as lines:
        anyio.run(main, Path(database), lines, name, int(calls), int(tasks), int(ceiling))
