"""`python -m dynaroute_mcp` and `dynaroute-mcp-server`: the MCP server on stdio, at once."""

from dynaroute_mcp.mcp_server.stdio import serve


def serve_stdio() -> None:
    """Serve MCP on standard input and output until the client is gone."""
    serve()


if __name__ == "__main__":
    serve_stdio()
