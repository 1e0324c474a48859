"""The package's public names, and what importing it must not load."""

import subprocess
import sys

import pytest

import dynaroute_mcp

HEAVY = ("yaml", "sqlite3", "tiktoken", "rich", "click", "dynaroute_mcp.runtime", "dynaroute_mcp.catalog")
"""What a server needs only once a call comes, and so must not wait for before `initialize` is answered."""


def test_the_public_names_are_these_and_load_when_asked_for() -> None:
    assert dynaroute_mcp.__all__ == ["DynaRouteMCPServer", "__version__"]
    assert dynaroute_mcp.DynaRouteMCPServer.__name__ == "DynaRouteMCPServer"
    assert dynaroute_mcp.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'Router'"):
        _ = dynaroute_mcp.Router


def test_the_mcp_server_loads_nothing_heavy_of_ours_at_import() -> None:
    script = (
        "import sys, mcp.server\n"
        "before = set(sys.modules)\n"
        "import dynaroute_mcp.mcp_server.stdio\n"
        "print('\\n'.join(set(sys.modules) - before))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "dynaroute_mcp.mcp_server.server" in loaded
    assert [name for name in HEAVY if name in loaded] == []
