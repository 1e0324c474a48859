"""An agent that marks its prompts, before a real process and an Anthropic on loopback that caches what is marked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.gateway_process import Gateway, gateway

from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.pricing import current_rates
from dynaroute_mcp.runtime import AMBIENT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

MODEL = "claude-opus-5-5"
SHORT, LONG = ({"cache_control": {"type": "ephemeral"} | ttl} for ttl in ({}, {"ttl": "1h"}))
RULES = "Keep to the rules of this project. " * 800
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}} | LONG


@dataclass
class Claude:
    """A Messages API whose tokens are four characters of JSON each, and whose cache never ends."""

    port: int = 0
    cache: set[str] = field(default_factory=set)
    counted: list[dict[str, Any]] = field(default_factory=list)

    def usage(self, body: Any) -> dict[str, Any]:
        """Count a prompt; what breaks the API's rules for marks is an error."""
        said = [block for turn in body["messages"] for block in turn["content"]]
        prefix, read, written = "", 0, {"5m": 0, "1h": 0}
        ttls = []
        system = body["system"]
        if isinstance(system, str):
            system = [{"type": "text", "text": system}]
        for block in [*body.get("tools", []), *system, *said]:
            mark = block.pop("cache_control", None)
            prefix += json.dumps(block)
            size = len(prefix) // 4
            if mark is None:
                continue
            ttls.append(mark.get("ttl", "5m"))
            if prefix in self.cache:
                read, written = size, {"5m": 0, "1h": 0}
            else:
                written[ttls[-1]] += size - read - sum(written.values())
                self.cache.add(prefix)
        if len(ttls) > 4 or ttls != sorted(ttls):
            raise ValueError(f"marks of {ttls}")
        self.counted.append(
            {
                "input_tokens": len(prefix) // 4 - read - sum(written.values()),
                "cache_read_input_tokens": read,
                "cache_creation_input_tokens": sum(written.values()),
                "cache_creation": {f"ephemeral_{ttl}_input_tokens": n for ttl, n in written.items()},
                "output_tokens": 7,
            }
        )
        return self.counted[-1]

    def answer(self, body: Any) -> tuple[int, bytes]:
        try:
            usage = self.usage(body)
        except ValueError as error:
            fault = {"type": "error", "error": {"type": "invalid_request_error", "message": str(error)}}
            return 400, json.dumps(fault).encode()
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
        text = {"type": "text", "text": "Done."}
        if not body.get("stream"):
            whole = message | {"content": [text], "stop_reason": "end_turn", "usage": usage}
            return 200, json.dumps(whole).encode()
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message | {"content": [], "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": text},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": usage["output_tokens"]},
            },
            {"type": "message_stop"},
        ]
        return 200, "".join(
            f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events
        ).encode()


@contextmanager
def claude() -> Iterator[Claude]:
    told = Claude()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = told.answer(body)
            self.send_response(status)
            kind = "text/event-stream" if body.get("stream") else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def agent(folder: Path, behind: Claude) -> Iterator[tuple[Gateway, httpx2.Client]]:
    address = f"http://127.0.0.1:{behind.port}"
    with gateway(folder, address, ANTHROPIC_API_KEY="sk-ant-up", ANTHROPIC_BASE_URL=address) as at:
        headers = {"Authorization": f"Bearer {at.key()}"}
        with httpx2.Client(base_url=at.url, headers=headers, timeout=30) as client:
            yield at, client


def ask(client: httpx2.Client, turns: list[Any], *, stream: bool, **fields: object) -> Any:
    """Ask, and give back the whole answer or the last chunk of it."""
    body = {"model": MODEL, "messages": turns, "tools": [TOOL], "stream": stream, **fields}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    if not stream:
        return response.json()
    chunks = [
        line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")
    ]
    return json.loads(chunks[-1])


def charged(counted: dict[str, Any]) -> Decimal:
    """What the price list says of a prompt."""
    catalog = load_catalog()
    model = catalog.get_model(MODEL)
    rates = current_rates(catalog, model.id, AMBIENT.clock())
    assert rates is not None
    split = counted["cache_creation"]
    micros: Decimal = (
        counted["input_tokens"] * rates.input_usd_per_mtok
        + counted["cache_read_input_tokens"] * rates.cache_read_usd_per_mtok
        + split["ephemeral_5m_input_tokens"] * rates.cache_write_5m_usd_per_mtok
        + split["ephemeral_1h_input_tokens"] * rates.cache_write_1h_usd_per_mtok
    )
    return micros / 1_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_that_marks_its_prompt_pays_little_for_the_next_turn(
    tmp_path: Path, *, stream: bool
) -> None:
    system = {"role": "system", "content": [{"type": "text", "text": RULES} | LONG]}
    first: list[Any] = [
        system,
        {"role": "user", "content": [{"type": "text", "text": "Look around."} | SHORT]},
    ]
    then = [
        *first,
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": [{"type": "text", "text": "And now?"} | SHORT]},
    ]
    with claude() as behind, agent(tmp_path, behind) as (_, client):
        cold = ask(client, first, stream=stream)
        warm = ask(client, then, stream=stream)
        books = client.get("/v1/usage").json()

    written, read = (counted["cache_creation_input_tokens"] for counted in behind.counted), behind.counted[1]
    assert cold["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": next(written)}
    assert warm["usage"]["prompt_tokens_details"] == {
        "cached_tokens": read["cache_read_input_tokens"],
        "cache_write_tokens": next(written),
    }
    costs = [each["usage"]["cost"]["input_cost"] for each in (cold, warm)]
    assert costs == [pytest.approx(float(charged(counted)), abs=1e-6) for counted in behind.counted]
    assert costs[0] > 20 * costs[1]
    assert [each["_custom_routing_info"]["dropped_params"] for each in (cold, warm)] == [[], []]
    totals = [each["usage"]["cost"]["total_cost"] for each in (cold, warm)]
    assert books["cost"]["actual"] == pytest.approx(sum(totals), abs=2e-6)


def test_more_marks_than_anthropic_takes_are_no_error(tmp_path: Path) -> None:
    turns: list[Any] = [{"role": "system", "content": RULES} | SHORT]
    turns += [{"role": "user", "content": f"Question {number}"} | LONG for number in range(6)]

    with claude() as behind, agent(tmp_path, behind) as (_, client):
        answer = ask(client, turns, stream=False)

    assert answer["_custom_routing_info"]["dropped_params"] == ["cache_control"]
    assert behind.counted[0]["cache_creation"]["ephemeral_1h_input_tokens"] > 0


def test_a_budget_holds_the_price_of_the_cache_that_is_asked_for(tmp_path: Path) -> None:
    """7,000 tokens at $4 a million cost $0.028, at the price of an hour's cache $0.056."""
    turns: list[Any] = [{"role": "system", "content": RULES} | LONG, {"role": "user", "content": "Look."}]
    fields = {"model": MODEL, "messages": turns, "max_tokens": 1, "budget_dollars": 0.045}

    with claude() as behind, agent(tmp_path, behind) as (_, client):
        refused = client.post("/v1/chat/completions", json=fields)
        for turn in turns:
            turn.pop("cache_control", None)
        plain = client.post("/v1/chat/completions", json=fields)

    assert (refused.status_code, refused.json()["error"]["reason"]) == (400, "budget_exceeded")
    assert (plain.status_code, plain.json()["choices"][0]["message"]["content"]) == (200, "Done.")
