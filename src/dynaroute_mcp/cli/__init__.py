"""The command line: one module a group of commands, loaded only when one of them is asked for."""

from dynaroute_mcp.cli.app import main

__all__ = ["main"]
