"""Tables and facts for people: aligned, coloured on a terminal, whole and plain in a pipe."""

from collections.abc import Iterable, Mapping, Sequence

import click
from rich.cells import cell_len
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
    _print(_facts((name, value) for name, value in rows.items() if value is not None))


def _facts(rows: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, one_line(value))
    return grid


def table(columns: Iterable[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings; nothing without rows, and row by row where the terminal is too narrow for them."""
    headings = tuple(columns)
    cells = [tuple(one_line(cell) for cell in row) for row in rows]
    if not cells:
        return
    console = _console()
    if _least_width(headings, cells) > console.width:
        _row_by_row(headings, cells)
        return
    too_much = _width(headings, cells, most=console.width) - console.width
    if too_much > 0:
        cells = _parted(headings, cells, too_much)
    grid = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for heading, style in headings:
        grid.add_column(
            heading,
            style=style.rstrip("!>"),
            justify="right" if style.endswith(">") else "left",
            no_wrap=_is_whole(style),
            overflow="fold",
        )
    for row in cells:
        grid.add_row(*row)
    _print(grid)


_GAP = 2
"""Cells between two columns."""
_FOLDED_CELLS = 16
"""Width to which a column that may be broken is folded at most; below it words fall apart."""


def _is_whole(style: str) -> bool:
    return style.endswith(("!", ">"))


def _least_width(headings: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """Cells that rows need side by side before a figure is cut off or a word falls apart."""
    return _width(headings, rows, most=_FOLDED_CELLS)


def _width(headings: Sequence[Column], rows: Sequence[Sequence[str]], *, most: int) -> int:
    """Cells that rows need side by side where a column that may be broken takes so many at most."""
    total = _GAP * (len(headings) - 1)
    for (heading, style), column in zip(headings, zip(*rows, strict=True), strict=True):
        needed = max(cell_len(text) for text in (heading, *column))
        total += needed if _is_whole(style) else min(needed, most)
    return total


def _parted(
    headings: Sequence[Column], rows: Sequence[tuple[str, ...]], too_much: int
) -> list[tuple[str, ...]]:
    """Break ids and paths that will not fit behind their last slash: in the widest column, which is narrowed first."""
    widths = [
        0 if _is_whole(style) else max(map(cell_len, column))
        for (_, style), column in zip(headings, zip(*rows, strict=True), strict=True)
    ]
    widest = widths.index(max(widths))
    room = widths[widest] - too_much
    return [
        (
            *row[:widest],
            _in_two(row[widest]) if cell_len(row[widest]) > room else row[widest],
            *row[widest + 1 :],
        )
        for row in rows
    ]


def _in_two(cell: str) -> str:
    before, slash, after = cell.rpartition("/")
    return cell if " " in cell or not before else f"{before}{slash}\n{after}"


def _row_by_row(headings: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print each row as `heading  value` lines, with a line between two rows; empty cells are left out."""
    for number, row in enumerate(rows):
        if number:
            click.echo()
        _print(_facts((heading, cell) for (heading, _), cell in zip(headings, row, strict=True) if cell))


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


def note(text: str, *, err: bool = False) -> None:
    """Print a remark below a table; on stderr where stdout is a value that a script takes."""
    _print(Text(one_line(text), style="dim"), err=err)


def _console(*, err: bool = False) -> Console:
    console = Console(markup=False, emoji=False, highlight=False, stderr=err)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    return console


def _print(renderable: Table | Text, *, err: bool = False) -> None:
    console = _console(err=err)
    with console.capture() as printed:
        console.print(renderable)
    click.echo("\n".join(line.rstrip() for line in printed.get().splitlines()), err=err)
