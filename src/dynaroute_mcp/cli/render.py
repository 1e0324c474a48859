"""Tables and facts for people: aligned, coloured on a terminal, whole and plain in a pipe."""

from collections.abc import Iterable, Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dynaroute_mcp.cli.text import clean, one_line

_PIPE_COLUMNS = 10_000
"""Width where nobody looks: a line is never broken before `grep` sees it."""

Column = tuple[str, str]
"""Heading and style; one that ends in `!` is never broken, one that ends in `>` is aligned to the right besides."""


def say(text: str) -> None:
    """Print text that others wrote, safely."""
    click.echo(clean(text))


def facts(rows: Mapping[str, str | None]) -> None:
    """Print `name  value` lines; what is `None` is left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None:
            grid.add_row(name, one_line(value))
    _print(grid)


def table(columns: Iterable[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings."""
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading, style in columns:
        right, whole = style.endswith(">"), style.endswith(("!", ">"))
        grid.add_column(
            heading,
            style=style.rstrip("!>"),
            justify="right" if right else "left",
            no_wrap=whole,
            overflow="fold",
        )
    for row in rows:
        grid.add_row(*(one_line(cell) for cell in row))
    _print(grid)


SHOWN_LOSERS = 8
"""How many models that were not chosen are shown unless all are asked for."""


def losers(rows: Sequence[tuple[str, str]], *, shown: int) -> None:
    """Print which models were not chosen and why, the nearest first."""
    if not rows:
        return
    click.echo()
    table([("not chosen", ""), ("because", "")], rows[:shown])
    if len(rows) > shown:
        note(f"and {len(rows) - shown} more")


def verdicts(rows: Iterable[tuple[str, str, str, str]]) -> None:
    """Print findings: state, what about, what was found, and below it the next step."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for state, about, found, next_step in rows:
        grid.add_row(Text(state, style=_COLOURS[state]), one_line(about), one_line(found))
        if next_step:
            grid.add_row("", "", Text(f"-> {one_line(next_step)}", style="bold"))
    _print(grid)


_COLOURS = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def note(text: str) -> None:
    """Print a remark below a table."""
    _print(Text(one_line(text), style="dim"))


def _print(renderable: Table | Text) -> None:
    console = Console(markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    with console.capture() as printed:
        console.print(renderable)
    click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))
