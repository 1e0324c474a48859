"""`python -m dynaroute_mcp` and `dynaroute-mcp-server`: the MCP server on stdio, at once."""

import sys

from dynaroute_mcp.mcp_server.stdio import serve

_HELP = """Usage: dynaroute-mcp-server

  Serve DynaRoute's MCP tools on standard input and output, at once.

  An MCP client starts this, and it ends with its client: `dynaroute config`
  prints what to tell yours. There is nothing to type here, and no option but
  --help; settings come from the environment and ~/.dynaroute/config.yaml.
"""


def serve_stdio() -> None:
    """Serve MCP on standard input and output until the client is gone; `--help` says so to a person."""
    if {"-h", "--help"}.intersection(sys.argv[1:]):
        sys.stdout.write(_HELP)
        return
    serve()


if __name__ == "__main__":
    serve_stdio()
