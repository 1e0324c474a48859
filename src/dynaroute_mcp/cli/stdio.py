"""`mcp`: the MCP tools on stdio. A module of its own, because a client waits while it is imported."""

import os
from pathlib import Path

import click

from dynaroute_mcp.mcp_server import stdio
from dynaroute_mcp.settings import read_settings


@click.command()
@click.pass_context
def mcp(ctx: click.Context) -> None:
    """Serve the MCP tools over stdio, at once.

    This is what an MCP client starts; it ends with its client. `dynaroute config` prints how to set one up.
    """
    config: Path | None = ctx.meta.get("dynaroute.config")
    stdio.serve(read_settings(os.environ, config) if config else None)
