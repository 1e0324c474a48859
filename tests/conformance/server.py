"""The HTTP server as shipped, for test clients that can send no key: every request is given the admin token.

Usage: python tests/conformance/server.py PORT DATABASE
"""

import sys
from pathlib import Path

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from dynaroute_mcp.mcp_server.web import create_app
from dynaroute_mcp.settings import Settings

TOKEN = "token-of-the-conformance-suite"


class WithKey:
    """Adds the key to requests that bring none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not any(name == b"authorization" for name, _ in scope["headers"]):
            scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {TOKEN}".encode())]
        await self.app(scope, receive, send)


def main(port: int, database: Path) -> None:
    settings = Settings(database=database, discover_local=False, admin_token=SecretStr(TOKEN))
    uvicorn.run(WithKey(create_app(settings)), port=port, log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
