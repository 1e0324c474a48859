"""The `dynaroute` command: finds a command, runs it, and turns what went wrong into one line and an exit code.

A command's module is imported only when that command runs, so that `--help` and `--version` answer at once.
"""

import difflib
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TextIO

import click

from dynaroute_mcp.cli.failure import INTERRUPTED, find_ours, report
from dynaroute_mcp.errors import InvalidRequest

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a disk says that takes no more of the output."""


class Entry(NamedTuple):
    """Where a command is, and what it is for."""

    section: str
    module: str
    help: str


COMMANDS: Final = {
    "route": Entry("Ask", "ask", "Answer a prompt with the cheapest model that is good enough."),
    "classify": Entry("Ask", "ask", "Label a prompt: its category and its level. No model is called."),
    "explain": Entry("Ask", "spending", "Tell why a recorded request went to its model."),
    "feedback": Entry("Ask", "feedback", "Correct a label, and list or export what was corrected."),
    "models": Entry("Money", "pricelist", "List models, what they cost and whether they can be called."),
    "cost": Entry("Money", "pricelist", "Price a number of tokens on a model, beside GPT-4.1."),
    "usage": Entry("Money", "spending", "Sum up what was used, spent and saved."),
    "keys": Entry("People", "people", "Make, check, change, revoke and list API keys."),
    "plan": Entry("People", "people", "Show or set what an owner may use."),
    "serve": Entry("Serve", "service", "Serve the API and the MCP tools over HTTP, or stdio."),
    "mcp": Entry("Serve", "stdio", "Serve the MCP tools over stdio, at once."),
    "config": Entry("Serve", "clients", "Print the configuration that an MCP client needs."),
    "doctor": Entry("Upkeep", "doctor", "Check the installation and say what to do next."),
    "discover": Entry("Upkeep", "discover", "List and test the models of local servers."),
    "catalog": Entry("Upkeep", "catalog", "Compare the prices with other lists, and update them."),
    "tokens": Entry("Upkeep", "tokens", "Count tokens, and install what exact counts need."),
    "db": Entry("Upkeep", "database", "Check, copy, shrink and export the database."),
}


class Commands(click.Group):
    """Loads commands on demand and reports our errors without a traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words; `--json` among them holds for what is wrong with the others too."""
        ctx.meta["dynaroute.json"] = "--json" in takewhile("--".__ne__, args)
        with _one_line_where_full():
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Name the commands in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import the module that holds a command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"dynaroute_mcp.cli.{entry.module}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is an error that offers the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            _refuse(ctx, args[0])
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """List the commands by section, without importing any."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section]
                )

    def invoke(self, ctx: click.Context) -> Any:  # click's own signature
        """Run the command; what it raises of ours becomes a line on stderr and an exit code."""
        try:
            with _one_line_where_full():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            as_json = bool(ctx.meta.get("dynaroute.json"))
            ours = find_ours(error)
            if ours is None and as_json and isinstance(error, click.UsageError):
                ours = InvalidRequest(error.format_message())
            if ours is not None:
                ctx.exit(report(ours, as_json=as_json))
            raise


@contextmanager
def _one_line_where_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise click.ClickException(f"the output can't be written ({error.strerror})") from error
        raise


def _refuse(ctx: click.Context, name: str) -> NoReturn:
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    offer = f"did you mean {near[0]!r}?" if near else "`dynaroute --help` lists them"
    raise click.UsageError(f"no such command {name!r}; {offer}", ctx)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="What prints a result takes --json (for scripts), everything --help. Exit codes: docs/errors.md.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Configuration file, in place of DYNAROUTE_CONFIG."
)
@click.version_option(version("dynaroute-mcp"), prog_name="dynaroute")
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Route each prompt to the cheapest model that is good enough, and see what that saved."""
    ctx.meta["dynaroute.config"] = config
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False  # rich alone would leave bold and dim on, and knows nothing of click's own


def main() -> None:
    """Run the command line of this process."""
    write_any_text(sys.stdout, sys.stderr)
    try:
        cli(prog_name="dynaroute")
    finally:
        if sys.stdout is not None:
            _drop_the_rest(sys.stdout)


def _drop_the_rest(stream: TextIO) -> None:
    """Let go of what a full disk did not take: Python would try again at its end, complain, and exit with 120."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def write_any_text(*streams: object) -> None:
    """Have streams of another encoding than UTF-8 write `?` for what they lack: an answer that was paid must not be lost."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
