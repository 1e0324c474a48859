"""The stdio server as a client starts it: a process, two pipes, lines of JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


class StdioServer:
    """A running server; every line that it writes to stdout is kept."""

    def __init__(self, folder: Path, *command: str, **env: str) -> None:
        self.lines: list[bytes] = []
        self._numbers = 0
        self._errors = (folder / "stderr.log").open("wb")
        (folder / "config.yaml").touch()
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DYNAROUTE_DATABASE": str(folder / "dynaroute.db"),
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE")},
            **env,
        }
        self.process = subprocess.Popen(
            command or (sys.executable, "-m", "dynaroute_mcp"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=given,
            cwd=folder,
        )
        self.log = folder / "stderr.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            assert pipe is not None
            pipe.close()

    def write(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def send(self, method: str, params: dict[str, Any] | None = None, *, number: object = None) -> None:
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        if number is not None:
            message["id"] = number
        self.write(json.dumps(message).encode() + b"\n")

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.lines.append(line)
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return its answer, whatever comes in between."""
        self._numbers += 1
        self.send(method, params, number=self._numbers)
        while (answer := self.read()).get("id") != self._numbers:
            pass
        return answer

    def initialize(self) -> dict[str, Any]:
        answer = self.ask("initialize", INITIALIZE)
        self.send("notifications/initialized")
        return answer

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        answer = self.ask("tools/call", {"name": f"dynaroute_{tool}", "arguments": arguments})
        result: dict[str, Any] = answer["result"]
        return result

    def rest(self) -> bytes:
        """Close the input and return what is still written."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        return self.process.stdout.read()
