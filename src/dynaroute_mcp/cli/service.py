"""`serve`: the HTTP API and the MCP tools, over HTTP or stdio."""

from functools import partial
from typing import Final, Literal

import click

from dynaroute_mcp import serving
from dynaroute_mcp.cli.session import settings, surroundings
from dynaroute_mcp.mcp_server import stdio
from dynaroute_mcp.mcp_server.opening import check_binding
from dynaroute_mcp.runtime import load_settings

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
    help="Of MCP: `all` is streamable HTTP (/mcp) and SSE (/sse) on one port.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True)
@click.option("--allow-host", multiple=True, help="Name under which others reach this server; repeatable.")
@click.pass_context
def serve(
    ctx: click.Context, transport: Transport, host: str, port: int, allow_host: tuple[str, ...]
) -> None:
    """Serve the API and the MCP tools over HTTP, or stdio.

    On HTTP a caller needs a key made by `dynaroute keys create`, sent as `Authorization: Bearer dr_...`. To
    listen beyond this machine an admin token must be set (DYNAROUTE_ADMIN_TOKEN). SIGHUP reads the
    configuration anew.
    """
    chosen = settings()
    if transport == "stdio":
        stdio.serve(chosen)
        return
    check_binding(chosen, host)
    name = f"[{host}]" if ":" in host else host
    where = f"http://{name}:{port}: API at /v1, MCP at {_ADDRESSES[transport]}; Ctrl-C stops it"
    serving.serve(
        chosen,
        host,
        port,
        transport,
        allowed_hosts=allow_host,
        reread=partial(load_settings, ctx.meta.get("dynaroute.config"), surroundings().environ),
        listening=partial(click.echo, where, err=True),
    )
