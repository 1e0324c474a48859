"""Claude Code end to end, offline: it connects over all three transports and calls our tools as a model
would.

Usage: python tests/conformance/claude.py CLAUDE PYTHON PORT, where our HTTP server listens on PORT
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import uvicorn
from tests.conformance.model import ScriptedModel, ToolUse
from tests.conformance.server import TOKEN

SCRIPT: list[ToolUse] = [
    ("mcp__dyn__dynaroute_route_prompt", {"prompt": '{"a":1}'}),
    (
        "ToolSearch",
        {"query": "select:mcp__dyn__dynaroute_calculate_cost,mcp__dyn__dynaroute_generate_api_key"},
    ),
    (
        "mcp__dyn__dynaroute_calculate_cost",
        {"model_name": "Gemini 2.5 Flash", "prompt_tokens": 1000, "completion_tokens": 500},
    ),
    ("mcp__dyn__dynaroute_generate_api_key", {"user_id": "claude"}),
    (
        "mcp__dyn__dynaroute_calculate_cost",
        {"model_name": "nope", "prompt_tokens": 1, "completion_tokens": 1},
    ),
]


class Claude:
    """The binary, with a home of its own and nothing of this machine's environment."""

    def __init__(self, binary: str, home: Path) -> None:
        self._binary = binary
        self._home = home
        self._env = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "CLAUDE_CONFIG_DIR": str(home / ".claude"),
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }

    def __call__(self, *words: str, **env: str) -> str:
        done = subprocess.run(
            [self._binary, *words],
            cwd=self._home,
            env=self._env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"claude {words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def connects(claude: Claude, stdio: dict[str, object], port: int) -> None:
    """`claude mcp list` says Connected for stdio, HTTP and SSE."""
    base, header = f"http://127.0.0.1:{port}", f"Authorization: Bearer {TOKEN}"
    claude("mcp", "add-json", "dyn", json.dumps({"type": "stdio", **stdio}))
    claude("mcp", "add", "-t", "http", "dyn-http", f"{base}/mcp", "-H", header)
    claude("mcp", "add", "-t", "sse", "dyn-sse", f"{base}/sse", "-H", header)
    listed = claude("mcp", "list")
    click.echo(listed.strip())
    for name in ("dyn:", "dyn-http:", "dyn-sse:"):
        line = next((line for line in listed.splitlines() if line.startswith(name)), "")
        assert "Connected" in line, f"{name} {line or 'is not listed'}"


def works(claude: Claude, stdio: dict[str, object], home: Path) -> None:
    """A scripted model routes, prices and makes a key; it reads structured results and our own errors."""
    model = ScriptedModel(SCRIPT)
    server = uvicorn.Server(uvicorn.Config(model.app, port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    config = home / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"dyn": stdio}}), encoding="utf-8")
    claude(
        *("-p", "go", "--mcp-config", str(config), "--strict-mcp-config"),
        *("--allowedTools", "mcp__dyn__*", "ToolSearch", "--output-format", "stream-json", "--verbose"),
        ANTHROPIC_BASE_URL=f"http://127.0.0.1:{port}",
        ANTHROPIC_API_KEY="scripted",
    )
    server.should_exit = True
    offered = [tool["name"] for tool in model.tools]
    assert "mcp__dyn__dynaroute_route_prompt" in offered, f"not offered at once: {offered}"
    assert len(model.results) == len(SCRIPT), model.results
    routed, _, priced, made, refused = model.results.values()
    answered = json.loads(
        routed
    )  # Claude Code hands its own key and address on, so our wire reached the model too
    assert (answered["response"], answered["provider"]) == ("done", "anthropic"), routed
    assert json.loads(priced)["total_cost"] == 0.00155, priced
    assert json.loads(made)["api_key"].startswith("dr_"), made
    assert "unknown model 'nope'" in refused, refused
    click.echo(f"ok  {len(model.results)} tool calls of a scripted model")


def main(binary: str, python: str, port: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        env = {"DYNAROUTE_DATABASE": str(home / "dynaroute.db"), "HOME": os.environ["HOME"]}
        stdio: dict[str, object] = {"command": python, "args": ["-m", "dynaroute_mcp"], "env": env}
        claude = Claude(binary, home)
        connects(claude, stdio, port)
        works(claude, stdio, home)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
