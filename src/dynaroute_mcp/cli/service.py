"""`serve`: the MCP tools over each transport."""

from typing import Final, Literal

import anyio
import click

from dynaroute_mcp.cli.session import settings
from dynaroute_mcp.mcp_server import http, stdio

LOOPBACK: Final = "127.0.0.1"
PORT: Final = 8000


@click.command()
@click.option(
    "--transport",
    type=click.Choice(["stdio", "sse", "streamable-http", "all"]),
    default="all",
    show_default=True,
    help="`all` is SSE (/sse) and streamable HTTP (/mcp) on one port.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True)
def serve(transport: Literal["stdio", "sse", "streamable-http", "all"], host: str, port: int) -> None:
    """Serve the MCP tools over stdio or HTTP.

    On HTTP a caller needs a key made by `dynaroute keys create`, sent as `Authorization: Bearer dr_...`.
    """
    chosen = settings()
    if transport == "stdio":
        stdio.serve(chosen)
    else:
        anyio.run(http.serve, chosen, host, port, transport)
