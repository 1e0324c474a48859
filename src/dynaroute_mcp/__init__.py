"""A self-hosted router for language models.

`DynaRouteMCPServer(api_key=...)` runs the MCP server from a program; everything else is reached through the
commands, the tools or HTTP. Names are loaded when they are asked for, so that importing the package costs
nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynaroute_mcp.mcp_server.server import DynaRouteMCPServer

    __version__: str

__all__ = ["DynaRouteMCPServer", "__version__"]


def __getattr__(name: str) -> Any:  # Any: each name has a type of its own, above
    if name == "DynaRouteMCPServer":
        return import_module("dynaroute_mcp.mcp_server.server").DynaRouteMCPServer
    if name == "__version__":
        return import_module("importlib.metadata").version("dynaroute-mcp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
