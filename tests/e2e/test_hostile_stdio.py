"""The real server process before a provider whose answers would break a careless one: it lives and goes on answering."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal
from tests.e2e.matrix_stage import KEYS, overlay
from tests.e2e.rawstreams import STREAMS
from tests.e2e.stdio_process import StdioServer
from tests.providers.rawserver import DIALECTS, DialectName, Fault, RawServer, raw_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

TELLING = ("says_lone_surrogate", "says_raw_surrogate", "says_nul", "says_raw_nul", "says_escapes")
"""Answers that are odd but whole."""
FAILING = ("deep_event", "json_deep", "hundred_megabytes", "huge_body", "sse_huge_line")
"""Answers that can't be used."""
MEMORY_MIB = 400


@contextmanager
def _running(folder: Path, dialect: DialectName) -> Iterator[tuple[StdioServer, Callable[[str], None]]]:
    """A server process whose only provider misbehaves as told."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(raw_server(STREAMS)) as raw:
        home = folder / ".dynaroute"
        home.mkdir()
        catalog = home / "own.yaml"
        catalog.write_text(yaml.safe_dump(overlay(raw.base_url(dialect), dialect, "http://127.0.0.1:9/v1")))
        chosen = {
            "catalog_overlay": str(catalog),
            "discover_local": False,
            "check_models": False,
            "exclude": ["fallback"],
            "breaker": {"enabled": False},
            "calls": {"attempts_per_model": 1},
        }
        (home / "config.yaml").write_text(yaml.safe_dump(chosen), encoding="utf-8")

        with StdioServer(folder, **KEYS) as server:
            server.initialize()
            yield server, lambda kind: _tell(portal, raw, kind)


def _tell(portal: BlockingPortal, raw: RawServer, kind: str) -> None:
    def change() -> None:
        raw.faults[:] = [Fault(kind=kind, times=None)]

    portal.call(change)


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    assert found
    return int(found[1]) / 1024


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_answer_of_a_providers_ends_the_server(tmp_path: Path, dialect: DialectName) -> None:
    with _running(tmp_path, dialect) as (server, tell):
        for kind in (*TELLING, *FAILING, "deep_tool_arguments"):
            tell(kind)
            result = server.call("route_prompt", prompt=f"Say something: {kind}")
            after = server.call("classify_prompt", prompt="still there?")

            assert after["structuredContent"]["level"] >= 1
            assert kind not in TELLING or "capital of France" in result["structuredContent"]["response"]
            assert kind not in FAILING or result["isError"]
        summary = server.call("get_usage_summary")["structuredContent"]
        peak_mib = _peak_mib(server.process.pid)
        everything = b"".join(server.lines)

    assert summary["total_requests"] == len(TELLING) + len(FAILING) + 1
    assert peak_mib < MEMORY_MIB
    assert not [key for key in KEYS.values() if key.encode() in everything + server.log.read_bytes()]
