"""`serve`: the MCP tools over each transport."""

from typing import Final, Literal

import click

from dynaroute_mcp.cli.session import settings
from dynaroute_mcp.mcp_server import stdio, web

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8000

Transport = Literal["stdio", "sse", "streamable-http", "all"]

_ADDRESSES: Final = {"sse": "/sse", "streamable-http": "/mcp", "all": "/mcp and /sse"}


@click.command()
@click.option(
    "--transport",
    type=click.Choice(["stdio", "sse", "streamable-http", "all"]),
    default="all",
    show_default=True,
    help="`all` is streamable HTTP (/mcp) and SSE (/sse) on one port.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True)
@click.option("--allow-host", multiple=True, help="Name under which others reach this server; repeatable.")
def serve(transport: Transport, host: str, port: int, allow_host: tuple[str, ...]) -> None:
    """Serve the MCP tools over HTTP or stdio.

    On HTTP a caller needs a key made by `dynaroute keys create`, sent as `Authorization: Bearer dr_...`. To listen
    beyond this machine an admin token must be set (DYNAROUTE_ADMIN_TOKEN).
    """
    chosen = settings()
    if transport == "stdio":
        stdio.serve(chosen)
        return
    web.check_binding(chosen, host)
    click.echo(f"MCP at http://{host}:{port}, {_ADDRESSES[transport]}; Ctrl-C stops it", err=True)
    web.serve(chosen, host, port, "http" if transport == "all" else transport, allow_host)
