"""A real gateway process on loopback, and a small OpenAI behind it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

ADMIN = "the-operators-token"
WORDS = ("Hello", ", ", "world")

_SERVE = """
import os, sys
if os.environ.get("PARSER") == "h11":
    sys.modules["httptools"] = None
from dynaroute_mcp import serving
from dynaroute_mcp.gateway import connections
from dynaroute_mcp.logs import configure_logging
from dynaroute_mcp.runtime import load_settings
configure_logging()
if sys.argv[3]:
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[3]),) * 2)
connections.STALLED_S = connections.HEADERS_S = float(sys.argv[2])
serving.serve(load_settings(), port=int(sys.argv[1]), reread=load_settings)
"""


@dataclass
class Upstream:
    """An OpenAI's chat completions: answers at once, keeps what it was asked, and can be told to wait."""

    port: int = 0
    asked: list[Any] = field(default_factory=list)
    wait_s: float = 0.0
    pieces: tuple[str, ...] = WORDS

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, body: Any) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.pieces)}
        if body.get("tools"):
            call = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": "Paris"}'}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
            }
        elif body.get("response_format"):
            message["content"] = '{"city": "Paris", "people": 2100000}'
        return {
            "id": "chatcmpl-up",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": "tool_calls" if body.get("tools") else "stop",
                }
            ],
            "usage": USAGE,
        }

    def events(self, body: Any) -> Iterator[dict[str, Any]]:
        base = {"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        for piece in self.pieces:
            delta = {"role": "assistant", "content": piece}
            yield base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield base | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        yield base | {"choices": [], "usage": USAGE}


USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


@contextmanager
def upstream() -> Iterator[Upstream]:
    told = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.asked.append(body)
            time.sleep(told.wait_s)
            if not self.path.endswith("/chat/completions"):
                self._send("application/json", b'{"error": {"message": "no such address"}}', status=404)
                return
            if not body.get("stream"):
                self._send("application/json", json.dumps(told.answer(body)).encode())
                return
            lines = [f"data: {json.dumps(event)}\n\n" for event in told.events(body)]
            self._send("text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

        def _send(self, kind: str, body: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Gateway:
    """The process."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self, owner: str = "alice") -> str:
        made = httpx2.post(
            f"{self.url}/v1/keys", json={"user_id": owner}, headers={"Authorization": f"Bearer {ADMIN}"}
        )
        return str(made.json()["api_key"])

    def configure(self, **fields: object) -> None:
        (self.folder / "config.yaml").write_text(json.dumps({"discover_local": False, **fields}))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextmanager
def gateway(
    folder: Path,
    upstream_url: str,
    *,
    stalled_s: float = 30.0,
    descriptors: int | None = None,
    **environ: str,
) -> Iterator[Gateway]:
    port = _free_port()
    (folder / "config.yaml").write_text(json.dumps({"discover_local": False}))
    known = {
        name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(port), str(stalled_s), str(descriptors or "")],
        env=known
        | {
            "DYNAROUTE_ADMIN_TOKEN": ADMIN,
            "DYNAROUTE_CONFIG": str(folder / "config.yaml"),
            "DYNAROUTE_DATABASE": str(folder / "dynaroute.db"),
            "OPENAI_API_KEY": "sk-upstream",
            "OPENAI_BASE_URL": upstream_url,
        }
        | environ,
    )
    at = Gateway(process, port, folder)
    try:
        _wait_until_up(at)
        yield at
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_up(at: Gateway) -> None:
    for _ in range(400):
        assert at.process.poll() is None, "the gateway died at its start"
        try:
            if httpx2.get(f"{at.url}/health").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise AssertionError("the gateway did not come up within 20 s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
