"""Values that several commands read the same way: a prompt, a key, a level, a category."""

import sys

import click

from dynaroute_mcp.taxonomy import Category, Strategy

STRATEGIES = click.Choice([strategy.value for strategy in Strategy])
LEVELS = click.IntRange(1, 5)


class Asking(click.Command):
    """A command that takes one prompt; words behind it are an error that says what they lack."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read options and prompt."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest:
            raise click.UsageError("a prompt of several words takes quotes around it", ctx)
        return rest


def complete_category(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Offer the categories that begin like what is typed."""
    return [name.value for name in Category if name.casefold().startswith(incomplete.casefold())]


def read_prompt(argument: str | None) -> str:
    """Take the prompt from the argument, or from stdin where it is `-` or missing; bytes that are no UTF-8 become U+FFFD."""
    if argument is not None and argument != "-":
        return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _stdin("give a prompt, or `-` to read it from stdin", asked=argument == "-")


def read_key(argument: str | None) -> str:
    """Take an API key from stdin (`-`), from a hidden prompt (missing), or from the argument, which others can see."""
    if argument is None and sys.stdin is not None and sys.stdin.isatty():
        return str(click.prompt("API key", hide_input=True, err=True)).strip()
    if argument is None or argument == "-":
        return _stdin("give a key, or `-` to read it from stdin", asked=True).strip()
    if not argument.startswith("key_"):  # an id is no secret
        click.echo(
            "Note: a key on the command line shows in `ps` and in the shell's history; `-` reads it from stdin",
            err=True,
        )
    return argument.strip()


def _stdin(missing: str, *, asked: bool) -> str:
    if sys.stdin is None or (not asked and sys.stdin.isatty()):  # None: closed, as a service may find it
        raise click.UsageError(missing)
    return sys.stdin.buffer.read().decode("utf-8", "replace")
