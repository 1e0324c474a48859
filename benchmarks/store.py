"""How many requests a second the store records, durably, and how long one waits.

A request is an intent with four holds before the call and its outcome after it: two jobs, each durable when
it returns (`synchronous=FULL`). Every process has its own tasks, as every MCP client starts its own server.
`alone` is the same store with one job to a transaction, which is what group commit saves.

    python benchmarks/store.py [--seconds 3] [--rounds 3] [--tasks 128] [--processes 1,2,4,8] [--json FILE]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import anyio  # noqa: E402  # the tests' examples are found through ROOT
from tests.store.examples import NOW, hold, intent, outcome  # noqa: E402

from dynaroute_mcp.store import writer  # noqa: E402
from dynaroute_mcp.store.driver import sqlite_report  # noqa: E402
from dynaroute_mcp.store.sqlite import SqliteStore, open_store  # noqa: E402

HOLDS = (
    hold(1, 10**9),
    hold(1, 10**9, window="day:2026-11-22", name="requests_per_day"),
    hold(1_500, 10**12, metric="tokens", window="month:2026-11", name="tokens_per_month"),
    hold(6_000_000, 10**14, metric="nano_usd", window="month:2026-11", name="usd_per_month"),
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A median with the least and the greatest of the rounds."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> "Figure":
        return cls(median=statistics.median(values), least=min(values), greatest=max(values))

    def shown(self, digits: int) -> str:
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}-{self.greatest:,.{digits}f})"


@dataclass(frozen=True, kw_only=True)
class Result:
    commit: str
    processes: int
    tasks: int
    requests_per_s: Figure
    p50_ms: Figure
    p99_ms: Figure


async def work(database: Path, seconds: float, tasks: int) -> None:
    """Record requests until the time is over; print when it was and what each request took."""
    took_ms: list[float] = []

    async def client(store: SqliteStore, task: int, until: float) -> None:
        number = 0
        while time.monotonic() < until:
            name = f"{os.getpid()}_{task}_{number}"
            started = time.perf_counter()
            await store.begin(intent(name, started_at=NOW), HOLDS)
            await store.settle(outcome(name), 1_550_000)
            took_ms.append((time.perf_counter() - started) * 1_000)
            number += 1

    async with open_store(database) as store:
        await store.counters(["owner:alice"])
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        started = time.monotonic()
        async with anyio.create_task_group() as group:
            for task in range(tasks):
                group.start_soon(client, store, task, started + seconds)
        ended = time.monotonic()
    print(json.dumps({"started": started, "ended": ended, "took_ms": took_ms}))


def round_of(commit: str, processes: int, options: argparse.Namespace) -> tuple[float, float, float]:
    """Run the processes together on a new database: requests a second, p50 and p99 in milliseconds."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        command = [sys.executable, __file__, "--worker", f"{folder}/dynaroute.db", "--commit", commit]
        command += ["--seconds", str(options.seconds), "--tasks", str(options.tasks)]
        running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        told = [json.loads(process.communicate("\n")[0]) for process in starting_together(running)]
    took_ms = sorted(ms for one in told for ms in one["took_ms"])
    wall_s = max(one["ended"] for one in told) - min(one["started"] for one in told)
    return len(took_ms) / wall_s, took_ms[len(took_ms) // 2], took_ms[int(len(took_ms) * 0.99)]


def starting_together(running: "list[subprocess.Popen[str]]") -> "list[subprocess.Popen[str]]":
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return running


def measure(commit: str, processes: int, options: argparse.Namespace) -> Result:
    rounds = [round_of(commit, processes, options) for _ in range(options.rounds)]
    per_s, p50, p99 = (Figure.of(list(values)) for values in zip(*rounds, strict=True))
    return Result(
        commit=commit, processes=processes, tasks=options.tasks, requests_per_s=per_s, p50_ms=p50, p99_ms=p99
    )


def fsync_ms(folder: str | None) -> Figure:
    """Time the disk: what one durable write of 8 KiB at the end of a file costs."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(100):
            file.write(b"x" * 8_192)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - started) * 1_000)
    return Figure.of(took)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=128, help="requests in flight in each process")
    parser.add_argument("--processes", default="1,2,4,8")
    parser.add_argument("--folder", help="where the databases are made; the disk is what is measured")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--commit", default="group", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        if options.commit == "alone":
            writer.MAX_BATCH = 1
        anyio.run(work, options.worker, options.seconds, options.tasks)
        return
    report = sqlite_report()
    disk = fsync_ms(options.folder)
    print(f"{os.cpu_count()} cores, {platform.platform()}, {report.library} {report.version}")
    print(
        f"one fdatasync: {disk.shown(2)} ms; {options.rounds} rounds of {options.seconds:g} s: median (min-max)\n"
    )
    print(
        f"{'commit':6} {'processes':>9} {'tasks each':>10} {'requests/s':>26} {'p50 ms':>24} {'p99 ms':>26}"
    )
    results = []
    for commit in ("group", "alone"):
        for processes in (int(one) for one in options.processes.split(",")):
            result = measure(commit, processes, options)
            results.append(result)
            print(
                f"{commit:6} {processes:9} {options.tasks:10} {result.requests_per_s.shown(0):>26}"
                f" {result.p50_ms.shown(1):>24} {result.p99_ms.shown(1):>26}",
                flush=True,
            )
    if options.json:
        facts = {"sqlite": asdict(report), "fdatasync_ms": asdict(disk), "seconds": options.seconds}
        options.json.write_text(json.dumps({**facts, "results": [asdict(one) for one in results]}, indent=1))


if __name__ == "__main__":
    main()
