"""What DynaRoute adds to a bare MCP server: start to `initialize`, and one tool call, over stdio.

    python benchmarks/mcp.py [--runs 15] [--calls 500] [--json]

Both servers run side by side, in turn, on the same machine with the same interpreter; figures are medians
with the lowest and the highest run. The bare server is mcp with one tool that returns its argument.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BARE = """
import logging, sys
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
from mcp.server import MCPServer
server = MCPServer("bare", version="1", log_level="WARNING")

@server.tool(structured_output=False)
async def echo(prompt: str) -> str:
    return prompt

server.run("stdio")
"""
HANDSHAKE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
PROMPT = "Write a function that merges two sorted lists and explain its complexity."
STARTS_TARGET, CALL_TARGET = 1.3, 2.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Milliseconds of several runs."""

    name: str
    runs: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def row(self) -> str:
        return f"{self.name:<44}{self.median:>10.2f}{min(self.runs):>10.2f}{max(self.runs):>10.2f}"


class Server:
    """A process that speaks MCP over its pipes."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._numbers = 0
        env = {**os.environ, "HOME": str(folder), "DYNAROUTE_DATABASE": str(folder / "bench.db")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            cwd=folder,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._numbers += 1
        self._write({"jsonrpc": "2.0", "id": self._numbers, "method": method, "params": params})
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["id"] == self._numbers, answer
        return answer

    def initialize(self) -> None:
        self.ask("initialize", HANDSHAKE)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, *, new: bool = True) -> None:
        """Call a tool with a prompt; a `new` one was never sent before, so that nothing can be remembered."""
        prompt = f"{PROMPT} Case {self._numbers}." if new else PROMPT
        answer = self.ask("tools/call", {"name": tool, "arguments": {"prompt": prompt}})
        assert not answer["result"].get("isError"), answer

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that something takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def start(command: Sequence[str], folder: Path) -> float:
    """Milliseconds from the start of the process to the answer to `initialize`."""
    started = time.perf_counter()
    with Server(command, folder) as server:
        server.initialize()
        return (time.perf_counter() - started) * 1000


def calls(tasks: Sequence[Callable[[], None]], rounds: int, each: int) -> list[list[float]]:
    """Per task, the median round trip of each round, the tasks in turn."""
    found: list[list[float]] = [[] for _ in tasks]
    for task in tasks:
        for _ in range(50):
            task()
    for _ in range(rounds):
        for medians, task in zip(found, tasks, strict=True):
            medians.append(statistics.median(timed(task) for _ in range(each)))
    return found


def measure(runs: int, number: int) -> list[Figure]:
    bare, ours = [sys.executable, "-c", BARE], [sys.executable, "-m", "dynaroute_mcp"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in (bare, ours):  # once for the disk cache
            start(command, folder)
        starts: list[tuple[float, float]] = [(start(bare, folder), start(ours, folder)) for _ in range(runs)]
        with Server(bare, folder) as one, Server(ours, folder) as two:
            one.initialize()
            two.initialize()
            first_ms = timed(lambda: two.call("dynaroute_classify_prompt"))
            tool = "dynaroute_classify_prompt"
            tasks = (lambda: one.call("echo"), lambda: two.call(tool), lambda: two.call(tool, new=False))
            trivial, classify, again = calls(tasks, 10, number // 10)
    return [
        Figure(name="start to initialize, bare server", runs=[pair[0] for pair in starts]),
        Figure(name="start to initialize, DynaRoute", runs=[pair[1] for pair in starts]),
        Figure(name="tool call, trivial tool on the bare server", runs=trivial),
        Figure(name="tool call, classify_prompt, new prompts", runs=classify),
        Figure(name="tool call, classify_prompt, the same again", runs=again),
        Figure(name="first call, opens the core (once)", runs=[first_ms]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Start and round trip of the MCP server over stdio.")
    parser.add_argument("--runs", type=int, default=15, help="starts of each server")
    parser.add_argument("--calls", type=int, default=500, help="calls of each tool")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    figures = measure(options.runs, options.calls)
    bare_start, our_start, trivial, classify, again, _ = figures
    ratios = {
        "start": {"ratio": round(our_start.median / bare_start.median, 3), "target": STARTS_TARGET},
        "call, new prompts": {"ratio": round(classify.median / trivial.median, 3), "target": CALL_TARGET},
        "call, the same again": {"ratio": round(again.median / trivial.median, 3), "target": CALL_TARGET},
    }
    if options.json:
        rows = {
            f.name: {"median_ms": f.median, "min_ms": min(f.runs), "max_ms": max(f.runs)} for f in figures
        }
        print(json.dumps({"figures": rows, "ratios": ratios}, indent=2))
        return
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}\n")
    print(f"{'milliseconds':<44}{'median':>10}{'min':>10}{'max':>10}")
    for figure in figures:
        print(figure.row())
    print()
    for name, found in ratios.items():
        verdict = "met" if found["ratio"] <= found["target"] else "MISSED"
        print(f"{name}: {found['ratio']:.2f} x the bare server (target {found['target']:.1f} x, {verdict})")


if __name__ == "__main__":
    main()
