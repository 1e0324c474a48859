"""Values that several commands read the same way: a prompt, a category, dollars, a key."""

import difflib
import sys
from decimal import Decimal, InvalidOperation

import click
from click.shell_completion import CompletionItem

from dynaroute_mcp.errors import UnknownName
from dynaroute_mcp.taxonomy import Category, Strategy

STRATEGIES = click.Choice([strategy.value for strategy in Strategy])
LEVELS = click.IntRange(1, 5)


class CategoryName(click.ParamType[Category]):
    """One of the 31 categories, whatever its case; completes in the shell."""

    name = "category"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,  # noqa: ARG002 -- click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> Category:
        """Find the category.

        Raises:
            UnknownName: there is none; offers the nearest three.
        """
        wanted = str(value).strip().casefold()
        known = {category.casefold(): category for category in Category}
        if wanted not in known:
            near = difflib.get_close_matches(wanted, known, n=3, cutoff=0)
            raise UnknownName("category", str(value), [known[name] for name in near])
        return known[wanted]

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 -- click's signature
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the categories that begin like what is typed."""
        return [
            CompletionItem(category.value)
            for category in Category
            if category.casefold().startswith(incomplete.casefold())
        ]


class Usd(click.ParamType[Decimal]):
    """A positive amount of dollars, exact."""

    name = "usd"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read a decimal number."""
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount of dollars, such as 0.05", param, ctx)
        if not (amount.is_finite() and amount > 0):
            self.fail(f"{value!r} must be more than 0", param, ctx)
        return amount


def read_prompt(argument: str | None) -> str:
    """Take the prompt from the argument, or from stdin where it is `-` or missing; bytes that are no UTF-8 become U+FFFD."""
    if argument is not None and argument != "-":
        return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _stdin("give a prompt, or `-` to read it from stdin", asked=argument == "-")


def read_key(argument: str | None) -> str:
    """Take an API key from stdin (`-`), from a hidden prompt (missing), or from the argument, which others can see."""
    if argument is None and sys.stdin.isatty():
        return str(click.prompt("API key", hide_input=True, err=True)).strip()
    if argument is None or argument == "-":
        return _stdin("give a key, or `-` to read it from stdin", asked=True).strip()
    if argument.startswith("dr_"):
        click.echo(
            "Note: a key on the command line shows in `ps` and in the shell's history; `-` reads it from stdin",
            err=True,
        )
    return argument.strip()


def _stdin(missing: str, *, asked: bool) -> str:
    if not asked and sys.stdin.isatty():
        raise click.UsageError(missing)
    return sys.stdin.buffer.read().decode("utf-8", "replace")
