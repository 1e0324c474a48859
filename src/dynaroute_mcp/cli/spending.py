"""`usage` and `explain`: what was used, spent and saved, and why a request went where it went."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypedDict, Unpack, cast, get_args

import click

from dynaroute_mcp.cli.render import facts, losers, note, table
from dynaroute_mcp.cli.session import emit, json_option, with_core
from dynaroute_mcp.cli.text import counted, pct, usd, when
from dynaroute_mcp.policy import retold
from dynaroute_mcp.reports import Period, Repriced, Summary
from dynaroute_mcp.results import UsageSummary, iso
from dynaroute_mcp.results.base import usd as as_usd
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.store.base import CallFilter, CallRow, Repricing, Totals
from dynaroute_mcp.types import Caller, Outcome, in_all


class UsageOptions(TypedDict):
    """What to sum up."""

    period: str
    by: str
    owner: str | None
    everyone: bool
    sandbox: bool
    recent: int
    as_json: bool


@click.group(invoke_without_command=True)
@click.option("--period", type=click.Choice(get_args(Period)), default="month", show_default=True)
@click.option("--by", type=click.Choice(["model", "category", "day"]), default="model", show_default=True)
@click.option("--owner", help="Another owner's usage.")
@click.option("--everyone", is_flag=True, help="The usage of all owners of this database.")
@click.option("--sandbox", is_flag=True, help="Simulated calls, which are in no other sum.")
@click.option(
    "--recent", type=click.IntRange(0, 1000), default=5, show_default=True, help="Newest calls to list."
)
@json_option
@click.pass_context
def usage(ctx: click.Context, **options: Unpack[UsageOptions]) -> None:
    """Sum up what was used, spent and saved.

    Savings are against GPT-4.1 on the same tokens, and negative where a model was dearer.
    """
    if ctx.invoked_subcommand is not None:
        return
    if options["owner"] and options["everyone"]:
        raise click.UsageError("--owner and --everyone exclude each other", ctx)
    period = cast("Period", options["period"])  # click.Choice has checked it

    async def work(core: Core) -> None:
        caller = await core.caller()
        if options["owner"]:
            caller = Caller(owner=options["owner"])
        if options["sandbox"]:
            caller = replace(caller, sandbox=True)
        everyone = options["everyone"]
        summary = await core.reports.usage(caller, period, everyone=everyone)
        simulated = await core.reports.usage(replace(caller, sandbox=True), period, everyone=everyone)
        which = CallFilter(owner=None if everyone else caller.owner, sandbox=summary.sandbox)
        calls = await core.reports.recent(which, options["recent"])
        days = await core.store.totals(replace(which, since=core.reports.since(period)), by="day")
        days = sorted(days, key=lambda row: row.group)
        if options["as_json"]:
            result = UsageSummary.of(
                summary, await core.accounts.subscription(caller), simulated.total.requests
            )
            emit(
                {
                    **result.payload(),
                    "by_day": [_day(row) for row in days],
                    "recent": [_brief(call) for call in calls],
                }
            )
            return
        groups = {"model": summary.by_model, "category": summary.by_category, "day": days}[options["by"]]
        _show_summary(summary, options["by"], groups)
        _show_calls(calls)
        if simulated.total.requests and not summary.sandbox:
            apart = counted(simulated.total.requests, "simulated call")
            note(f"{apart} kept apart: `dynaroute usage --sandbox`")

    with_core(work)


@usage.command(short_help="Price recorded calls anew, by today's catalog.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@json_option
def reprice(*, dry_run: bool, as_json: bool) -> None:
    """Price recorded calls anew, by today's catalog and the day of each call.

    For prices that were wrong when they were recorded. Each changed call keeps what it had cost; limits and
    budgets keep counting what was charged then. A cost that is not known any more stays.
    """

    async def work(core: Core) -> tuple[Repriced, ...]:
        return await core.reports.reprice(write=not dry_run)

    found = with_core(work)
    if as_json:
        emit({"written": not dry_run, "models": [_difference(row) for row in found]})
        return
    if found:
        table(
            [
                ("model", ""),
                ("calls", ">"),
                ("recorded", ">"),
                ("by today's catalog", ">"),
                ("unpriced", ">"),
            ],
            [
                (
                    row.model_id,
                    f"{row.calls:,}",
                    usd(row.before_usd),
                    usd(row.after_usd),
                    str(row.unpriced_before),
                )
                for row in found
            ],
        )
    calls = sum(row.calls for row in found)
    note(
        f"{counted(calls, 'call')} {'would cost something else' if dry_run else 'priced anew'}"
        if calls
        else "nothing differs"
    )


@click.command()
@click.argument("request_id")
@json_option
def explain(request_id: str, *, as_json: bool) -> None:
    """Tell why a recorded request went to its model.

    REQUEST_ID stands at the end of every answer. Prompts and answers are not stored, and not shown here.
    """

    async def work(core: Core) -> None:
        call = await core.reports.call(request_id)
        decision: Mapping[str, object] = retold(json.loads(call.intent.decision))
        if as_json:
            shown = {"decision": _figures(decision), "attempts": _attempts(call.outcome)}
            emit({**_brief(call), **_pricing(call), **shown})
        else:
            _show_call(call, decision)

    with_core(work)


def _show_summary(summary: Summary, by: str, groups: Sequence[Totals]) -> None:
    total = summary.total
    saved = total.gpt41_usd - total.cost_usd
    share = 100 * saved / total.gpt41_usd if total.gpt41_usd else Decimal(0)
    failed = total.requests - total.successful
    facts(
        {
            "period": f"{summary.period}, simulated calls only" if summary.sandbox else summary.period,
            "requests": f"{total.requests:,}" + (f", {failed:,} failed" if failed else ""),
            "tokens": f"{total.input_tokens:,} in, {total.output_tokens:,} out",
            "cost": usd(total.cost_usd),
            "GPT-4.1": usd(total.gpt41_usd),
            "saved": f"{usd(saved)} ({pct(share)})",
            "unpriced": f"{counted(total.unpriced, 'call')} without a known price or end, in no sum"
            if total.unpriced
            else None,
            "estimated": f"{counted(total.estimated, 'call')} with estimated tokens"
            if total.estimated
            else None,
            "running": f"{total.in_flight:,}" if total.in_flight else None,
        }
    )
    if not groups:
        return
    click.echo()
    table(
        [(by, ""), ("requests", ">"), ("tokens", ">"), ("cost", ">"), ("saved", "green>")],
        [
            (
                row.group,
                f"{row.requests:,}",
                f"{row.input_tokens + row.output_tokens:,}",
                usd(row.cost_usd),
                usd(row.gpt41_usd - row.cost_usd),
            )
            for row in groups
        ],
    )


def _show_calls(calls: Sequence[CallRow]) -> None:
    if not calls:
        return
    click.echo()
    failed = any(call.status != "ok" for call in calls)
    table(
        [
            ("when (UTC)", "!"),
            ("request", "!"),
            ("model", ""),
            ("level", ">"),
            ("cost", ">"),
            *([("status", "!")] if failed else []),
        ],
        [
            (
                f"{call.intent.started_at:%m-%d %H:%M}",
                call.intent.request_id,
                call.outcome.model_id if call.outcome else call.intent.model_id,
                str(int(call.intent.level)),
                usd(call.outcome.cost.total_usd if call.outcome and call.outcome.cost else None),
                *([call.status] if failed else []),
            )
            for call in calls
        ],
    )


def _show_call(call: CallRow, decision: Mapping[str, object]) -> None:
    intent, outcome = call.intent, call.outcome
    facts(
        {
            "request": intent.request_id,
            "when": when(intent.started_at),
            "owner": intent.caller.owner,
            "status": f"{call.status} ({outcome.error_code})"
            if outcome and outcome.error_code
            else call.status,
            "model": f"{intent.model_id} (simulated)" if intent.sandbox else intent.model_id,
            "category": f"{intent.category} (confidence {intent.confidence:.2f})",
            "level": f"{intent.level:d} of 5; demanded {decision.get('demanded_level')}",
            "strategy": intent.strategy,
            "reason": str(decision.get("reason")),
            "signals": "; ".join(_strings(decision.get("signals"))) or None,
            "expected": _expected(decision),
            "reserved": usd(intent.reserved_usd),
            "cost": usd(outcome.cost.total_usd) if outcome and outcome.cost else None,
            "price": outcome.cost.basis if outcome and outcome.cost else None,
            "before": "; ".join(_earlier(row) for row in call.repriced) or None,
            "GPT-4.1": usd(outcome.gpt41_usd) if outcome else None,
            "tried": "; ".join(f"{a.model_id}: {a.message or a.outcome}" for a in outcome.attempts) or None
            if outcome
            else None,
        }
    )
    for remark in (*_strings(decision.get("notes")), *_strings(decision.get("turning_points"))):
        note(remark)
    _show_candidates(_rows(decision.get("candidates")))
    rejected = [(str(row["model"]), str(row["reason"])) for row in _rows(decision.get("losers"))]
    losers(rejected, shown=len(rejected))
    if more := decision.get("more_losers"):
        note(f"and {more} more that stood further off")


def _expected(decision: Mapping[str, object]) -> str | None:
    """The range in which the cost was expected, and the models next to it."""
    winner = next(iter(_rows(decision.get("candidates"))), None)
    if winner is None or "min_usd" not in decision:
        return None
    told = f"{_dollars(winner['expected_usd'])}, from {_dollars(decision['min_usd'])} to {_dollars(winner['max_usd'])}"
    for word in ("cheaper", "better"):
        other = decision.get(word)
        if isinstance(other, dict):
            told += f"; {word}: {other['model']}, {_dollars(other['expected_usd'])}"
    return told


def _earlier(row: Repricing) -> str:
    cost = f"{usd(row.cost.total_usd)} by {row.cost.basis}" if row.cost else "without a price"
    return f"{cost}, until {when(row.at)}"


def _pricing(call: CallRow) -> dict[str, object]:
    cost = call.outcome.cost if call.outcome else None
    return {
        "price_basis": cost.basis if cost else None,
        "repriced": [
            {
                "at": iso(row.at),
                "total_cost": as_usd(row.cost.total_usd) if row.cost else None,
                "price_basis": row.cost.basis if row.cost else None,
            }
            for row in call.repriced
        ],
    }


def _difference(row: Repriced) -> dict[str, object]:
    return {
        "litellm_id": row.model_id,
        "calls": row.calls,
        "recorded_cost": as_usd(row.before_usd),
        "total_cost": as_usd(row.after_usd),
        "unpriced_before": row.unpriced_before,
    }


def _show_candidates(rows: Sequence[Mapping[str, object]]) -> None:
    click.echo()
    table(
        [("candidate", ""), ("quality", ">"), ("expected", ">"), ("at most", ">")],
        [
            (
                str(row["model"]),
                f"{row['quality']:.2f}",
                _dollars(row["expected_usd"]),
                _dollars(row["max_usd"]),
            )
            for row in rows
        ],
    )


def _day(row: Totals) -> dict[str, object]:
    return {
        "day": row.group,
        "requests": row.requests,
        "total_cost": as_usd(row.cost_usd),
        "gpt41_equivalent_cost": as_usd(row.gpt41_usd),
    }


def _brief(call: CallRow) -> dict[str, object]:
    intent, outcome = call.intent, call.outcome
    cost = outcome.cost.total_usd if outcome and outcome.cost else None
    usage = in_all(outcome.usage, outcome.attempts) if outcome else None
    return {
        "request_id": intent.request_id,
        "started_at": iso(intent.started_at),
        "user_id": intent.caller.owner,
        "status": call.status,
        "litellm_id": outcome.model_id if outcome else intent.model_id,
        "category": intent.category,
        "level": int(intent.level),
        "strategy": intent.strategy,
        "sandbox": intent.sandbox,
        "prompt_tokens": usage.input_tokens if usage else None,
        "completion_tokens": usage.output_tokens if usage else None,
        "total_cost": as_usd(cost),
        "gpt41_equivalent_cost": as_usd(outcome.gpt41_usd) if outcome else None,
        "latency_ms": outcome.latency_ms if outcome else None,
        "error_code": outcome.error_code if outcome else None,
    }


def _attempts(outcome: Outcome | None) -> list[dict[str, object]]:
    return [
        {"litellm_id": a.model_id, "outcome": a.outcome, "status": a.status, "latency_ms": a.latency_ms}
        for a in (outcome.attempts if outcome else ())
    ]


def _figures(value: object) -> object:
    """Dollars as numbers, as everywhere else: they are recorded exactly, as text, under names in `_usd`."""
    if isinstance(value, Mapping):
        return {
            name: as_usd(Decimal(item)) if name.endswith("_usd") and isinstance(item, str) else _figures(item)
            for name, item in value.items()
        }
    return [_figures(item) for item in value] if isinstance(value, list | tuple) else value


def _dollars(text: object) -> str:
    return usd(None if text is None else Decimal(str(text)))


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _rows(value: object) -> list[Mapping[str, object]]:
    return value if isinstance(value, list) else []
