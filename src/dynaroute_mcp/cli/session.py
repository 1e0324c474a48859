"""What every command shares: the settings, a core for as long as the command runs, and the `--json` option."""

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio
import click
from pydantic import BaseModel

from dynaroute_mcp.cli.text import escape
from dynaroute_mcp.logs import configure_logging
from dynaroute_mcp.runtime import AMBIENT, Core, load_settings, open_core
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.types import Ambient

T = TypeVar("T")
CommandT = TypeVar("CommandT", bound=Callable[..., Any])  # any signature: click passes what the options say


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a process stands in; a test passes its own as click's `obj`."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    ambient: Ambient = AMBIENT
    opener: Callable[[Settings, Ambient], AbstractAsyncContextManager[Core]] = open_core


def surroundings() -> Surroundings:
    """Tell where the running command stands."""
    return click.get_current_context().find_object(Surroundings) or Surroundings()


def settings() -> Settings:
    """Read the settings of the running command.

    Raises:
        ConfigurationInvalid: names the file and the field.
    """
    configure_logging()
    return load_settings(click.get_current_context().meta.get("dynaroute.config"), surroundings().environ)


def with_core(work: Callable[[Core], Awaitable[T]]) -> T:
    """Open a core, do the work and close it."""
    chosen, here = settings(), surroundings()

    async def inside() -> T:
        async with here.opener(chosen, here.ambient) as core:
            return await work(core)

    return anyio.run(inside)


def json_option(command: CommandT) -> CommandT:
    """Add `--json`, which errors obey too."""
    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help="Print JSON for scripts."
    )(command)


def _remember(ctx: click.Context, _option: click.Parameter, value: bool) -> bool:  # noqa: FBT001 -- click's way
    ctx.meta["dynaroute.json"] = value
    return value


def emit(result: BaseModel | Mapping[str, object]) -> None:
    """Print one JSON document on stdout."""
    value = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    lossy = not encoding.casefold().startswith("utf")  # escapes keep what it lacks
    click.echo(escape(json.dumps(value, indent=2, ensure_ascii=lossy)))
