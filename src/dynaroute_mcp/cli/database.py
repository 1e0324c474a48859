"""`db`: check, copy, shrink and export the database."""

import csv
import json
from pathlib import Path
from typing import IO, Final

import click

from dynaroute_mcp.cli.render import facts, note
from dynaroute_mcp.cli.session import emit, json_option, settings, with_core
from dynaroute_mcp.cli.text import counted, escape
from dynaroute_mcp.results import iso
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.store.base import CallFilter, CallRow
from dynaroute_mcp.store.driver import how_to_restore
from dynaroute_mcp.store.upkeep import Checkup, backup, check, vacuum
from dynaroute_mcp.types import in_all

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so would be run by a spreadsheet."""


@click.group()
def db() -> None:
    """Check, copy, shrink and export the database."""


@db.command("check")
@json_option
@click.pass_context
def check_command(ctx: click.Context, *, as_json: bool) -> None:
    """Read the whole database and say whether it is sound. Exit code 10 when it is not."""
    found = check(settings().database)
    if as_json:
        emit(
            {
                "ok": not found.problems,
                "path": str(found.path),
                "problems": list(found.problems),
                "calls": found.calls,
                "keys": found.keys,
                "file_bytes": found.file_bytes,
                "log_bytes": found.log_bytes,
                "sqlite": found.sqlite.version,
                "wal_reset_bug": found.sqlite.affected,
            }
        )
    else:
        _show(found)
    ctx.exit(10 if found.problems else 0)


@db.command("backup")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def backup_command(target: Path, *, as_json: bool) -> None:
    """Write a consistent copy to TARGET, while others go on writing."""
    database = settings().database
    backup(database, target)
    size = target.stat().st_size
    if as_json:
        emit({"path": str(database), "target": str(target.absolute()), "file_bytes": size})
    else:
        click.echo(
            f"{database} is copied to {target} ({_size(size)}); keep it as safe as the database itself"
        )


@db.command("vacuum")
@json_option
def vacuum_command(*, as_json: bool) -> None:
    """Give back the space of deleted rows. Other processes wait meanwhile."""
    database = settings().database
    before, after = vacuum(database)
    if as_json:
        emit({"path": str(database), "bytes_before": before, "bytes_after": after})
    else:
        click.echo(f"{database}: {_size(before)} before, {_size(after)} after")


@db.command()
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.File("w", encoding="utf-8", lazy=False),
    default="-",
    help="File; else stdout.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many calls.")
@click.option("--sandbox", is_flag=True, help="Simulated calls in place of real ones.")
def export(form: str, output: IO[str], limit: int | None, *, sandbox: bool) -> None:
    """Write every recorded call as CSV or JSON lines, newest first. There are no prompts in it: none are stored."""

    async def work(core: Core) -> None:
        calls = core.store.calls(CallFilter(sandbox=sandbox), limit=limit)
        writer = csv.DictWriter(output, fieldnames=COLUMNS, lineterminator="\n")
        if form == "csv":
            writer.writeheader()
        async for call in calls:
            row = _row(call)
            if form == "csv":
                writer.writerow({name: _cell(value) for name, value in row.items()})
            else:
                output.write(escape(json.dumps(row, ensure_ascii=False)) + "\n")
        output.flush()  # click closes the file, and says nothing of a disk that is full

    with_core(work)


def _row(call: CallRow) -> dict[str, object]:
    intent, outcome = call.intent, call.outcome
    cost = outcome.cost.total_usd if outcome and outcome.cost else None
    usage = in_all(outcome.usage, outcome.attempts) if outcome else None
    return dict(
        zip(
            COLUMNS,
            (
                iso(intent.started_at),
                intent.request_id,
                intent.caller.owner,
                intent.caller.key_id,
                intent.project,
                outcome.model_id if outcome else intent.model_id,
                outcome.provider if outcome else intent.provider,
                str(intent.category),
                int(intent.level),
                str(intent.strategy),
                call.status,
                usage.input_tokens if usage else None,
                usage.output_tokens if usage else None,
                usage.cache_read_tokens if usage else None,
                usage.reasoning_tokens if usage else None,
                None if cost is None else f"{cost:.9f}",
                f"{outcome.gpt41_usd:.9f}" if outcome else None,
                f"{outcome.gpt41_usd - cost:.9f}" if outcome and cost is not None else None,
                outcome.latency_ms if outcome else None,
                outcome.first_token_ms if outcome else None,
                outcome.error_code if outcome else None,
            ),
            strict=True,
        )
    )


COLUMNS: Final = (
    "timestamp", "request_id", "user_id", "key_id", "project", "model_used", "provider", "category", "level",
    "strategy", "status", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost_usd",
    "gpt41_usd", "saved_usd", "latency_ms", "first_token_ms", "error_code",
)  # fmt: skip


def _cell(value: object) -> object:
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value)
        else value
    )


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _show(found: Checkup) -> None:
    facts(
        {
            "database": str(found.path),
            "state": "; ".join(found.problems) or "sound",
            "holds": f"{counted(found.calls, 'call')}, {counted(found.keys, 'key')}",
            "size": f"{_size(found.file_bytes)}, and {_size(found.log_bytes)} of log",
            "SQLite": f"{found.sqlite.version} ({found.sqlite.library}); {found.sqlite.safeguard}",
        }
    )
    if found.network_file_system:
        note(
            f"on {found.network_file_system}: SQLite needs a local disk; set DYNAROUTE_DATABASE to a path on one"
        )
    if found.problems:
        note(how_to_restore(found.path))


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
