"""`config`: the snippet that an MCP client needs, with paths that hold wherever the client starts from."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from dynaroute_mcp.cli.session import json_option, surroundings
from dynaroute_mcp.cli.text import clean

_ENVIRONMENT: Final = ("DYNAROUTE_CONFIG", "DYNAROUTE_DATABASE", "DYNAROUTE_PROJECT")
"""Carried over when set; secrets are not printed."""
_PATHS: Final = frozenset({"DYNAROUTE_CONFIG", "DYNAROUTE_DATABASE"})
"""Written whole: a client starts the server in a folder of its own."""

_SERVER_FILE: Final = Path(__file__).parents[1] / "mcp_server" / "server.py"

CLIENTS: Final = {
    "claude-desktop": "Claude Desktop: merge into claude_desktop_config.json (Settings > Developer > Edit Config),"
    " then quit and start it again.",
    "cursor": "Cursor: merge into ~/.cursor/mcp.json, or .cursor/mcp.json of one project.",
    "claude-code": "Claude Code: run this once; `claude mcp list` then says Connected.",
    "vscode": "VS Code: merge into .vscode/mcp.json of the workspace.",
    "mcp-dev": "MCP Inspector: run this; it needs npx and uv.",
}


@click.command()
@click.argument("client", type=click.Choice(list(CLIENTS)), default="claude-desktop")
@json_option
def config(client: str, *, as_json: bool) -> None:
    """Print the configuration that an MCP client needs.

    The snippet goes to stdout, where it belongs to stderr. Provider keys are never printed: add them under
    "env", or keep them in the configuration file.
    """
    environ = dict(surroundings().environ)
    if named := click.get_current_context().meta.get("dynaroute.config"):
        environ["DYNAROUTE_CONFIG"] = str(named)
    server = _server(environ)
    if not as_json:
        click.echo(CLIENTS[client], err=True)
    click.echo(json.dumps(server, indent=2) if as_json else clean(_snippet(client, server)))


def _server(environ: Mapping[str, str]) -> dict[str, object]:
    env = {name: environ[name] for name in _ENVIRONMENT if environ.get(name)}
    env |= {name: str(Path(env[name]).expanduser().absolute()) for name in _PATHS & env.keys()}
    return {"command": sys.executable, "args": ["-m", "dynaroute_mcp"], "env": env}


def _snippet(client: str, server: Mapping[str, object]) -> str:
    command = shlex.join([sys.executable, "-m", "dynaroute_mcp"])
    if client == "claude-code":
        env = server["env"]
        flags = [f"--env {shlex.quote(f'{k}={v}')} " for k, v in env.items()] if isinstance(env, dict) else []
        return f"claude mcp add dynaroute {''.join(flags)}-- {command}"
    if client == "mcp-dev":
        return shlex.join([str(Path(sys.executable).parent / "mcp"), "dev", str(_SERVER_FILE)])
    if client == "vscode":
        return json.dumps({"servers": {"dynaroute": {"type": "stdio", **server}}}, indent=2)
    return json.dumps({"mcpServers": {"dynaroute": server}}, indent=2)
