"""What the gateway adds: latency, throughput and memory beside a bare pass-through, on loopback.

    python benchmarks/gateway.py [--requests 2000] [--connections 1 16 64] [--streams 1000]
    python benchmarks/gateway.py --peers litellm portkey     # installs them into a throw-away folder first
    python benchmarks/gateway.py --folder /dev/shm           # without the wait for a disk

An upstream answers at once; the gateway before it authenticates, routes (`model` is `auto`), limits and records, as in
earnest; a peer passes a named model on. CPU is that of the measured process alone (user and system time from /proc),
requests/s per core is its inverse: both hold on a machine that others use too. Rounds are interleaved over all
targets; shown are medians, with least and greatest. What our gateway waits for before it calls is the disk: each
request is forced to it, and how long that takes is measured beside.
"""

import argparse
import itertools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

ADMIN = "benchmark-operator"
BLANK = "0000000"
"""Takes the number of a request, so that no two ask the same and nothing can be answered from memory."""
MESSAGES = [{"role": "user", "content": f"Say hello in one word, case {BLANK}."}]
NUMBERS = itertools.count(1)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CHUNKS = 50

UPSTREAM = """
import json, sys, uvicorn
USAGE = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}
WHOLE = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4.1", "usage": USAGE, "choices":
    [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}]}).encode()
def chunk(delta, finish=None, **more):
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}).encode() + b"\\n\\n"
PIECES = [chunk({"content": "word "}) for _ in range(CHUNKS)] + [chunk({}, "stop", usage=USAGE), b"data: [DONE]\\n\\n"]
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    streams = b'"stream":true' in body.replace(b" ", b"")
    kind = b"text/event-stream" if streams else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for piece in PIECES if streams else [WHOLE]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error", lifespan="off")
""".replace("CHUNKS", str(CHUNKS))

GATEWAY = """
import sys
from dynaroute_mcp import serving
from dynaroute_mcp.runtime import load_settings
serving.serve(load_settings(), port=int(sys.argv[1]))
"""


@dataclass(frozen=True)
class Target:
    name: str
    url: str
    pid: int
    headers: Mapping[str, str]
    start_s: float
    model: str = "gpt-4.1"

    def body(self, *, stream: bool = False) -> bytes:
        asked: dict[str, object] = {"model": self.model, "messages": MESSAGES}
        return json.dumps(asked | ({"stream": True} if stream else {})).encode()


@dataclass(frozen=True)
class Load:
    requests_a_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float


class Failed(Exception):
    """A target gave no answer."""


class Wire:
    """One kept connection that speaks just enough HTTP to measure with."""

    def __init__(self, target: Target, body: bytes) -> None:
        host, _, path = target.url.removeprefix("http://").partition("/")
        self.host, self.port = host.split(":")[0], int(host.split(":")[1])
        lines = [f"POST /{path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in target.headers.items()]
        raw = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
        self.before, _, self.after = raw.rpartition(BLANK.encode())

    async def open(self) -> None:
        self.stream = await anyio.connect_tcp(self.host, self.port)

    async def ask(self) -> tuple[float, float]:
        """Return the seconds until the first and until the last byte of one answer."""
        began = time.perf_counter()
        await self.stream.send(b"%b%07d%b" % (self.before, next(NUMBERS), self.after))
        got = await self.stream.receive()
        first = time.perf_counter() - began
        while b"\r\n\r\n" not in got:
            got += await self.stream.receive()
        head, _, rest = got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Failed(f"{head.decode()}\n{rest[:500].decode()}")
        lower = head.lower()
        if b"content-length:" in lower:
            size = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(rest) < size:
                rest += await self.stream.receive()
        else:
            while not rest.endswith(b"0\r\n\r\n"):
                rest = rest[-16:] + await self.stream.receive()
        return first, time.perf_counter() - began


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def load(target: Target, connections: int, requests: int) -> Load:
    wires = [Wire(target, target.body()) for _ in range(connections)]
    for wire in wires:
        await wire.open()
        await wire.ask()
    left, took = requests, list[float]()

    async def work(wire: Wire) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            took.append((await wire.ask())[1])

    cpu, began = cpu_s(target.pid), time.perf_counter()
    async with anyio.create_task_group() as group:
        for wire in wires:
            group.start_soon(work, wire)
    elapsed, used = time.perf_counter() - began, cpu_s(target.pid) - cpu
    for wire in wires:
        await wire.stream.aclose()
    took.sort()
    return Load(
        len(took) / elapsed,
        used / len(took) * 1_000,
        statistics.median(took) * 1_000,
        took[int(len(took) * 0.99)] * 1_000,
    )


async def first_token_ms(target: Target, rounds: int = 200) -> float:
    wire = Wire(target, target.body(stream=True))
    await wire.open()
    await wire.ask()
    return statistics.median([(await wire.ask())[0] for _ in range(rounds)]) * 1_000


async def many_streams(target: Target, count: int) -> None:
    done = 0

    async def one() -> None:
        nonlocal done
        wire = Wire(target, target.body(stream=True))
        await wire.open()
        await wire.ask()
        await wire.stream.aclose()
        done += 1

    before, began = rss_mib(target.pid), time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    print(
        f"{target.name}: {done} of {count} concurrent streams of {CHUNKS} chunks complete in "
        f"{time.perf_counter() - began:.1f} s, RSS {before:.0f} -> {rss_mib(target.pid):.0f} MiB"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: Sequence[str], url: str, **environ: str) -> Iterator[tuple[int, float]]:
    began = time.perf_counter()
    clean = {
        name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))
    }
    running = subprocess.Popen(command, env=clean | environ, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=2)
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if running.poll() is not None or time.perf_counter() - began > 120:
                    raise SystemExit(f"{command[0]} did not come up") from None
                time.sleep(0.01)
        yield running.pid, time.perf_counter() - began
    finally:
        running.terminate()
        running.wait()


@contextmanager
def bare() -> Iterator[Target]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-c", UPSTREAM, str(port)], url) as (pid, start_s):
        yield Target("upstream", f"{url}/v1/chat/completions", pid, {}, start_s)


@contextmanager
def dynaroute(upstream: Target, folder: Path) -> Iterator[Target]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = folder / "config.yaml"
    config.write_text("discover_local: false\n")
    environ = {
        "DYNAROUTE_ADMIN_TOKEN": ADMIN,
        "DYNAROUTE_CONFIG": str(config),
        "DYNAROUTE_DATABASE": str(folder / "dynaroute.db"),
        "OPENAI_API_KEY": "sk-benchmark",
        "OPENAI_BASE_URL": upstream.url.removesuffix("/chat/completions"),
    }
    with process([sys.executable, "-c", GATEWAY, str(port)], f"{url}/health", **environ) as (pid, start_s):
        made = urllib.request.Request(
            f"{url}/v1/keys",
            json.dumps({"user_id": "bench", "plan": "enterprise"}).encode(),
            {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"},
        )
        key = json.load(urllib.request.urlopen(made))["api_key"]
        yield Target(
            "dynaroute",
            f"{url}/v1/chat/completions",
            pid,
            {"Authorization": f"Bearer {key}"},
            start_s,
            "auto",
        )


@contextmanager
def litellm(upstream: Target, folder: Path) -> Iterator[Target]:
    subprocess.run([sys.executable, "-m", "venv", str(folder / "litellm")], check=True)
    bin_ = folder / "litellm" / "bin"
    subprocess.run([str(bin_ / "pip"), "install", "-q", "litellm[proxy]"], check=True)
    base = upstream.url.removesuffix("/chat/completions")
    model = {"model": "openai/gpt-4.1", "api_base": base, "api_key": "sk-benchmark"}
    config = {
        "model_list": [{"model_name": "gpt-4.1", "litellm_params": model}],
        "general_settings": {"master_key": "sk-litellm-benchmark"},
    }
    (folder / "litellm.json").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(bin_ / "litellm"), "--config", str(folder / "litellm.json"), "--port", str(port)]
    with process(command, f"{url}/health/liveliness", LITELLM_LOCAL_MODEL_COST_MAP="True") as (pid, start_s):
        headers = {"Authorization": "Bearer sk-litellm-benchmark"}
        yield Target("litellm", f"{url}/v1/chat/completions", pid, headers, start_s)


@contextmanager
def portkey(upstream: Target, folder: Path) -> Iterator[Target]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise SystemExit("Portkey's gateway needs node and npm")
    subprocess.run([npm, "install", "--prefix", str(folder), "@portkey-ai/gateway"], check=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    with process([node, str(script), f"--port={port}", "--headless"], url) as (pid, start_s):
        headers = {
            "Authorization": "Bearer sk-benchmark",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": upstream.url.removesuffix("/chat/completions"),
        }
        yield Target("portkey", f"{url}/v1/chat/completions", pid, headers, start_s)


PEERS = {"litellm": litellm, "portkey": portkey}


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Median with least and greatest."""
    low, *_, high = ordered = sorted([*values] * 2)
    return f"{statistics.median(ordered):,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def force_ms(folder: Path) -> float:
    """How long the disk below the database takes to keep one page: the median of a few."""
    took = []
    with (folder / "forced").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4_096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1_000


async def measure(targets: Sequence[Target], options: argparse.Namespace) -> None:
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(options.rounds):
        for connections in options.connections:
            for target in targets:
                got = await load(target, connections, options.requests)
                found.setdefault((target.name, connections), []).append(got)
    print("| target | connections | CPU ms/request | requests/s per core | requests/s | p50 ms | p99 ms |")
    print("|---|---|---|---|---|---|---|")
    for (name, connections), loads in found.items():
        print(
            f"| {name} | {connections} | {spread(each.cpu_ms for each in loads)} "
            f"| {spread((1_000 / max(each.cpu_ms, 1e-3) for each in loads), 0)} "
            f"| {spread((each.requests_a_second for each in loads), 0)} "
            f"| {spread(each.p50_ms for each in loads)} | {spread(each.p99_ms for each in loads)} |"
        )
    for target in targets[1:]:
        await watch(target, targets[0], options)


async def watch(target: Target, upstream: Target, options: argparse.Namespace) -> None:
    """What is measured once: start, first token, memory, many streams."""
    try:
        token = f"{await first_token_ms(target) - await first_token_ms(upstream):.2f} ms"
    except Failed:
        token = "no stream was answered"
    settled = rss_mib(target.pid)
    await load(target, 16, options.growth)
    print(
        f"{target.name}: start {target.start_s:.2f} s, first token added {token}, "
        f"RSS {settled:.0f} -> {rss_mib(target.pid):.0f} MiB over {options.growth:,} more requests"
    )
    if options.streams and not token.startswith("no"):
        await many_streams(target, options.streams)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--requests", type=int, default=1_000, help="of one round at one number of connections"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--growth", type=int, default=10_000)
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS), default=[])
    parser.add_argument("--folder", help="where the database lies; the system's temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name, ExitStack() as stack:
        folder = Path(name)
        print(f"the disk keeps a page within {force_ms(folder):.2f} ms")
        upstream = stack.enter_context(bare())
        targets = [upstream, stack.enter_context(dynaroute(upstream, folder))]
        targets += [stack.enter_context(PEERS[peer](upstream, folder)) for peer in options.peers]
        anyio.run(measure, targets, options)


if __name__ == "__main__":
    main()
