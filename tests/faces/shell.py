"""A shell for tests: commands run in this process on a scripted core, with a clock and an environment of their own."""

import itertools
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from tests.scripted import Fixed, Script, Time, scripted_core

from dynaroute_mcp.cli.app import cli
from dynaroute_mcp.cli.session import Surroundings
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.types import Ambient


class Clock(Time):
    """Numbers that go on from command to command, so that no two requests share an id."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def ambient(self) -> Ambient:
        return replace(super().ambient(), randbelow=lambda bound: next(self._numbers) * 7_919 % bound)


@dataclass
class Shell:
    """Runs `dynaroute` commands in one folder; nothing of the real home or environment is seen."""

    folder: Path
    script: Script | None = field(default_factory=Script)
    """What the providers do; `None` is a real core without any key, so the sandbox."""
    time: Time = field(default_factory=Clock)
    environ: dict[str, str] = field(default_factory=dict)
    columns: int = 100

    def __post_init__(self) -> None:
        config = self.folder / "config.yaml"
        config.write_text("discover_local: false\ncalls: {backoff_s: 0.001}\n", encoding="utf-8")
        self.environ |= {
            "DYNAROUTE_CONFIG": str(config),
            "DYNAROUTE_DATABASE": str(self.folder / "dynaroute.db"),
        }
        if self.script is not None:
            self.environ |= {
                "OPENAI_API_KEY": "sk-openai-1234",
                "ANTHROPIC_API_KEY": "sk-anthropic-5678",
                "GEMINI_API_KEY": "g-key-9012",
            }

    def __call__(self, *args: str, stdin: str | bytes | None = None, terminal: bool = False) -> Result:
        look = {"COLUMNS": str(self.columns), "NO_COLOR": "1"}
        runner = CliRunner(env=look | ({"FORCE_COLOR": "1"} if terminal else {"FORCE_COLOR": None}))
        return runner.invoke(cli, args, input=stdin, obj=self._surroundings())

    def json(self, *args: str, stdin: str | None = None) -> Any:  # Any: JSON
        result = self(*args, "--json", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def _surroundings(self) -> Surroundings:
        ambient = self.time.ambient()
        if self.script is None:
            return Surroundings(environ=self.environ, ambient=ambient)
        opener: Callable[[Settings, Ambient], AbstractAsyncContextManager[Core]] = partial(_open, self)
        return Surroundings(environ=self.environ, ambient=ambient, opener=opener)


def _open(shell: Shell, chosen: Settings, _ambient: Ambient) -> AbstractAsyncContextManager[Core]:
    return scripted_core(chosen, shell.script, time=shell.time, classifier=Fixed())
