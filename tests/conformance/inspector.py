"""Every tool, resource and list through the MCP Inspector's own command line, over stdio.

Usage: python tests/conformance/inspector.py INSPECTOR PYTHON
"""

import json
import os
import subprocess
import sys
from typing import Any

import click

CALLS: dict[str, dict[str, object]] = {
    "dynaroute_route_prompt": {"prompt": '{"a":1}', "level_override": 2, "category_override": "law"},
    "dynaroute_classify_prompt": {"prompt": "Why does ice float on water?"},
    "dynaroute_list_models": {"limit": 3, "detailed": True},
    "dynaroute_calculate_cost": {"model_name": "GPT-4.1", "prompt_tokens": 1000, "completion_tokens": 500},
    "dynaroute_get_cost_savings": {
        "model_used": "Claude 4.5 Sonnet",
        "prompt_tokens": 1000,
        "completion_tokens": 500,
    },
    "dynaroute_get_usage_summary": {},
    "dynaroute_get_subscription": {},
    "dynaroute_generate_api_key": {"user_id": "inspector"},
    "dynaroute_verify_api_key": {"api_key": "dr_unknown"},
    "dynaroute_list_api_keys": {"user_id": "inspector"},
}
IS_ERROR = 5


class Inspector:
    """The Inspector's command line, on one stdio server per call."""

    def __init__(self, command: str, python: str) -> None:
        env = [
            word for name in ("HOME", "DYNAROUTE_DATABASE") for word in ("-e", f"{name}={os.environ[name]}")
        ]
        self._command = [command, "--cli", *env, python, "-m", "dynaroute_mcp", "--format", "json", "-q"]

    def __call__(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != expect:
            raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        found: dict[str, Any] = {} if expect else json.loads(done.stdout)["result"]
        return found

    def call(self, tool: str, arguments: dict[str, object], expect: int = 0) -> dict[str, Any]:
        words = ("--tool-name", tool, "--tool-args-json", json.dumps(arguments))
        return self("--method", "tools/call", *words, expect=expect)


def main(command: str, python: str) -> None:
    inspect = Inspector(command, python)
    names = {tool["name"] for tool in inspect("--method", "tools/list", "--strict")["tools"]}
    assert names == {*CALLS, "dynaroute_revoke_api_key"}, names
    for tool, arguments in CALLS.items():
        result = inspect.call(tool, arguments)
        assert result["structuredContent"], result
        click.echo(f"ok  {tool}")
    key = inspect.call("dynaroute_generate_api_key", {"user_id": "inspector"})["structuredContent"]["api_key"]
    assert inspect.call("dynaroute_revoke_api_key", {"api_key": key})["structuredContent"]["success"]
    click.echo("ok  dynaroute_revoke_api_key")
    inspect.call("dynaroute_route_prompt", {"prompt": "x", "nonsense": 1}, expect=IS_ERROR)
    click.echo("ok  an unknown argument is an error")
    assert inspect("--method", "resources/read", "--uri", "dynaroute://models/openai/gpt-4.1")["contents"]
    for method in ("resources/list", "resources/templates/list", "prompts/list"):
        assert inspect("--method", method)
        click.echo(f"ok  {method}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
