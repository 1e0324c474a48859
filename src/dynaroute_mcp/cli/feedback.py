"""`feedback`: say what a recorded request should have been labelled, and take what was said to a fit."""

import json
from typing import IO

import click

from dynaroute_mcp.cli.options import LEVELS, complete_category, read_prompt
from dynaroute_mcp.cli.render import note, table
from dynaroute_mcp.cli.session import emit, json_option, surroundings, with_core
from dynaroute_mcp.cli.text import escape, when
from dynaroute_mcp.corrections import Correction, correct
from dynaroute_mcp.mcp_server.arguments import to_category
from dynaroute_mcp.results.corrections import Corrected
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.store.base import FeedbackRow
from dynaroute_mcp.taxonomy import Level


class _Feedback(click.Group):
    """Takes `feedback REQUEST_ID` for `feedback add REQUEST_ID`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].startswith("req_"):
            return super().resolve_command(ctx, ["add", *args])
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise click.UsageError(
                f"{args[0]!r} is no request id: that begins with req_ and stands at the end of each answer;"
                f" nor is it one of {', '.join(self.commands)}",
                ctx,
            )
        return super().resolve_command(ctx, args)


@click.group(cls=_Feedback)
def feedback() -> None:
    """Correct a label, and list or export what was corrected.

    `feedback REQUEST_ID PROMPT` is short for `feedback add REQUEST_ID PROMPT`. Nothing learns from it by
    itself.
    """


@feedback.command()
@click.argument("request_id")
@click.argument("prompt", required=False)
@click.option("--category", shell_complete=complete_category, help="The right category.")
@click.option("--level", type=LEVELS, help="The right level.")
@click.option("--keep-text", is_flag=True, help="Store the prompt too, so that a fit can use it.")
@json_option
def add(
    request_id: str,
    prompt: str | None,
    *,
    category: str | None,
    level: int | None,
    keep_text: bool,
    as_json: bool,
) -> None:
    """Say what a request should have been labelled.

    REQUEST_ID stands at the end of every answer. PROMPT is the text that was sent, or `-` for stdin: no
    prompt is stored with a request. Only its digest is kept here too, unless --keep-text is given.
    """
    given = Correction(
        request_id=request_id,
        prompt=read_prompt(prompt),
        category=to_category(category or ""),
        level=None if level is None else Level(level),
        keep_text=keep_text,
    )

    async def work(core: Core) -> FeedbackRow:
        caller = await core.caller()
        by = caller if caller.key_id else None
        return await correct(core.store, given, by=by, at=surroundings().ambient.clock())

    row = with_core(work)
    if as_json:
        emit(Corrected.of(row))
    else:
        click.echo(
            f"recorded: {_label(row.predicted_category, row.predicted_level)} should be "
            f"{_label(row.right_category, row.right_level)}"
        )
        note("the prompt is kept with it" if row.text else "only a digest of the prompt is kept")


@feedback.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most rows.")
@json_option
def list_command(*, limit: int, as_json: bool) -> None:
    """List corrections, newest first."""
    rows = with_core(lambda core: core.store.list_feedback(limit=limit))
    if as_json:
        emit({"feedback": [Corrected.of(row).payload() for row in rows]})
        return
    table(
        [("when (UTC)", "!"), ("predicted", ""), ("right", ""), ("text", "")],
        [
            (
                when(row.at),
                _label(row.predicted_category, row.predicted_level),
                _label(row.right_category, row.right_level),
                "kept" if row.text else "",
            )
            for row in rows
        ],
    )
    if not rows:
        note("nothing was corrected yet; `dynaroute feedback REQUEST_ID PROMPT` does it")


@feedback.command(short_help="Write all corrections as JSON lines, oldest first.")
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8", lazy=False),
    default="-",
    help="File to write; stdout by default.",
)
def export(output: IO[str]) -> None:
    """Write all corrections as JSON lines, oldest first.

    `python -m training.fit --feedback FILE` reads them.
    """
    for row in reversed(with_core(lambda core: core.store.list_feedback())):
        output.write(escape(json.dumps(Corrected.of(row).payload(), ensure_ascii=False)) + "\n")
    output.flush()  # click closes the file, and says nothing of a disk that is full


def _label(category: str, level: int) -> str:
    return f"{category}, level {level:d}"
