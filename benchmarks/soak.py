"""Many calls against a provider that fails now and then: is anything lost, left over or growing?

`python benchmarks/soak.py [--calls 2000] [--workers 32] [--json]` starts `llmock` as a second process, with faults in 5
calls of 100, and sends calls in all three dialects, every other one as a stream. It compares what the books say
with llmock's journal to the token, and exits with 1 when a sum differs, a task or socket is left, or memory grew.
"""

import argparse
import gc
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import yaml

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import ProviderError
from dynaroute_mcp.runtime import Core, open_core
from dynaroute_mcp.settings import CallSettings, Settings
from dynaroute_mcp.store.base import CallFilter
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import ChatRequest, Message, Routing, Text

DIALECTS = ("openai", "anthropic", "gemini")
ERRORS = {429: 0.01, 500: 0.01, 503: 0.01}
STREAM_FAULTS = (("disconnect", 0.02), ("truncate", 0.01), ("malformed", 0.01))
"""Streams are half of the calls, so that these are two of the five faults in a hundred."""
ANSWER = "Alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu."
GROWTH_MIB = 10.0
"""Memory may grow by this much after the first fifth of the calls.

What grows is bounded: the router remembers 10,000 conversations, which distinct prompts fill within some 20,000 calls.
Over 40,000 calls (2 cores, 2026-11-22) the memory in use was 14.9 MiB of heap after 2,500, 17.5 after 20,000 and 17.5
after 40,000; the resident memory went on from 80.0 to 83.1 MiB as the allocator's free memory did, from 5.1 to 7.7.
"""
SAMPLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found; the pairs are what the books say and what llmock says."""

    calls: int
    seconds: float
    outcomes: dict[str, int]
    rows: dict[str, int]
    answers: tuple[int, int]
    input_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    retries: int
    fallbacks: int
    memory_mib: tuple[float, ...]
    tasks_left: int
    sockets_left: int

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words; empty when nothing is."""
        grown = self.memory_mib[-1] - self.memory_mib[SAMPLES // 5]
        checks = {
            "calls without exactly one row": sum(self.rows.values()) != self.calls,
            "rows still in flight": "in_flight" in self.rows,
            "answers differ": len(set(self.answers)) > 1,
            "input tokens differ": len(set(self.input_tokens)) > 1,
            "output tokens differ": len(set(self.output_tokens)) > 1,
            f"memory grew by {grown:.1f} MiB": grown > GROWTH_MIB,
            "tasks left over": self.tasks_left > 0,
            "sockets left over": self.sockets_left > 0,
        }
        return [name for name, wrong in checks.items() if wrong]


# ---------------------------------------------------------------- the provider's process


def serve() -> None:
    """Be the provider: tell the address, and at the end of the input what the journal holds."""
    from llmock.chaos import ChaosSettings, StreamChaos
    from llmock.journal import Journal
    from llmock.scenarios import Reply
    from llmock.simulation import estimate_tokens
    from llmock.testing import LLMockServer

    server = LLMockServer(chaos=ChaosSettings(error_rates=ERRORS))
    server.state.stream_chaos = StreamChaos(fault_rates=STREAM_FAULTS)
    server.state.journal = Journal(capacity=10_000_000)
    server.state.scenarios.add(Reply(text=ANSWER, times=None))
    with server:
        print(json.dumps({dialect: server.base_url(dialect) for dialect in DIALECTS}), flush=True)
        sys.stdin.read()
        records = server.state.journal.records(wait=5)
    whole = [one for one in records if one.status == 200 and one.completed and not one.fault]
    found = {
        "answers": len(whole),
        "input_tokens": sum(estimate_tokens(_asked(one.body)) for one in whole),
        "output_tokens": len(whole) * estimate_tokens(ANSWER),
        "requests": len(records),
    }
    print(json.dumps(found), flush=True)


def _asked(body: dict[str, Any]) -> object:
    return body["contents"][-1] if "contents" in body else body["messages"][-1]["content"]


@contextmanager
def provider() -> Iterator["subprocess.Popen[str]"]:
    """Run the provider beside us."""
    command = [sys.executable, __file__, "--provider"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# ---------------------------------------------------------------- our process


def settings(folder: Path, urls: dict[str, str]) -> Settings:
    """One provider a dialect, each with one model; the dearer ones stand behind the cheaper."""
    catalog = {
        "providers": [
            {
                "id": name,
                "name": name,
                "dialect": name.removeprefix("mock-"),
                "base_url": url,
                "key_env": ["MOCK_API_KEY"],
            }
            for name, url in urls.items()
        ],
        "models": [
            {
                "id": f"{name}/m",
                "provider": name,
                "wire_id": "m",
                "name": name,
                "family": "mock",
                "context_tokens": 100_000,
                "max_output_tokens": 1_000,
                "quality": {"text": {"value": 0.99, "source": "soak", "as_of": "2026-11-22"}},
            }
            for name in urls
        ],
        "prices": [
            {
                "model": f"{name}/m",
                "from": "2026-01-01",
                "usd_per_mtok": {"input": str(n), "output": str(2 * n)},
            }
            for n, name in enumerate(urls, 1)
        ],
    }
    file = folder / "catalog.yaml"
    file.write_text(yaml.safe_dump(catalog), encoding="utf-8")
    return Settings.model_validate(
        {
            "database": folder / "soak.db",
            "catalog_overlay": file,
            "variables": {"MOCK_API_KEY": "sk-soak0123456789"},
            "calls": CallSettings(backoff_s=0.05, backoff_cap_s=0.2),
            "discover_local": False,
            "check_models": False,
        }
    )


async def ask(core: Core, number: int, names: list[str]) -> str:
    """Send one call and say how it ended."""
    left_out = frozenset({names[number // 2 % len(names)]})
    request = ChatRequest(
        messages=(Message(role="user", parts=(Text(text=f"call {number} " + "word " * (number % 97)),)),),
        routing=Routing(level_override=Level.L1, exclude=left_out),
    )
    try:
        if number % 2:
            await core.router.complete(request, LOCAL)
        else:
            async with core.router.stream(request, LOCAL) as routed:
                async for _ in routed:
                    pass
    except ProviderError as error:
        return error.code
    return "ok"


async def send(core: Core, calls: int, workers: int, names: list[str]) -> tuple[Counter[str], list[float]]:
    """Send all calls, some at a time, and look at the memory now and then."""
    numbers, outcomes, memory = iter(range(calls)), Counter[str](), [memory_mib()]
    step = max(1, calls // SAMPLES)

    async def work() -> None:
        for number in numbers:
            outcomes[await ask(core, number, names)] += 1
            if number % step == step - 1:
                memory.append(memory_mib())

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)
    return outcomes, memory


def memory_mib() -> float:
    """Resident memory of this process."""
    gc.collect()
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else 0.0


def sockets() -> int:
    """Open sockets of this process."""
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 -- numbers, not files
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.islink(link))  # noqa: PTH114, PTH115


async def soak(calls: int, workers: int) -> Report:
    """Send the calls and compare."""
    with provider() as process, tempfile.TemporaryDirectory() as folder:
        assert process.stdin is not None
        assert process.stdout is not None
        urls = {f"mock-{dialect}": url for dialect, url in json.loads(process.stdout.readline()).items()}
        sockets_before = sockets()
        tasks_before = len(anyio.get_running_tasks())
        began = time.monotonic()
        async with open_core(settings(Path(folder), urls)) as core:
            outcomes, memory = await send(core, calls, workers, list(urls))
            seconds = time.monotonic() - began
            rows = [row async for row in core.store.calls(CallFilter())]
        ended = [row.outcome for row in rows if row.outcome is not None]
        counted = [one.usage for one in ended if one.status == "ok" and one.usage.source == "provider"]
        tries = list(itertools.chain.from_iterable(one.attempts for one in ended))
        process.stdin.close()
        said = json.loads(process.stdout.readline())
        return Report(
            calls=calls,
            seconds=round(seconds, 1),
            outcomes=dict(outcomes),
            rows=dict(Counter(row.status for row in rows)),
            answers=(len(counted), said["answers"]),
            input_tokens=(sum(one.input_tokens for one in counted), said["input_tokens"]),
            output_tokens=(sum(one.output_tokens for one in counted), said["output_tokens"]),
            retries=len(tries) - len(ended),
            fallbacks=sum(len({each.provider for each in one.attempts}) > 1 for one in ended),
            memory_mib=tuple(round(each, 1) for each in memory),
            tasks_left=len(anyio.get_running_tasks()) - tasks_before,
            sockets_left=sockets() - sockets_before,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--provider", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.provider:
        serve()
        return 0
    report = anyio.run(soak, given.calls, given.workers)
    if given.json:
        print(json.dumps(asdict(report) | {"faults": report.faults}))
    else:
        for name, value in asdict(report).items():
            print(f"{name:>14}: {value}")
        print(f"{'verdict':>14}: {'; '.join(report.faults) or 'nothing lost, nothing left, nothing growing'}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
