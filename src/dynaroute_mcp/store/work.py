# ruff: noqa: S608  # queries are built from constants; every value is a parameter
"""The jobs that the writer does.

Each function lays out its values where it is called and returns the part that needs the lock: it decides
first and writes then, so that a job that raises has changed nothing.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from dynaroute_mcp.errors import LimitExceeded, NotFound
from dynaroute_mcp.store.base import CounterRow, FeedbackRow, Hold, Metric
from dynaroute_mcp.store.ledger import Exceeded, claims_of, pack
from dynaroute_mcp.store.rows import (
    FEEDBACK_COLUMNS,
    INTENT_COLUMNS,
    OUTCOME_COLUMNS,
    amount,
    cost_values,
    feedback_values,
    from_nano,
    intent_values,
    outcome_values,
    text,
    to_micros,
)
from dynaroute_mcp.store.writer import Transaction, Work
from dynaroute_mcp.types import Cost, Intent, Outcome, in_all

LOST_SLICE: Final = 500
"""Intents given up in one job, so that the lock is held briefly."""


def _marks(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


_ADD_FEEDBACK: Final = (
    f"INSERT OR REPLACE INTO feedback ({FEEDBACK_COLUMNS}) VALUES ({_marks(FEEDBACK_COLUMNS)})"
)
_BEGIN: Final = f"""
    INSERT INTO calls ({INTENT_COLUMNS}, holds, status, model_id, provider)
    VALUES ({_marks(INTENT_COLUMNS)}, ?, 'in_flight', ?, ?) ON CONFLICT (request_id) DO NOTHING
"""
_SETTLE: Final = f"""
    UPDATE calls SET ({OUTCOME_COLUMNS}, lost_input_tokens, lost_output_tokens) = ({_marks(OUTCOME_COLUMNS)}, ?, ?),
        holds = NULL WHERE id = ?
"""
_FIND_CALL: Final = "SELECT id, status, finished_at, holds FROM calls WHERE request_id = ?"
_FIND_OVERDUE: Final = "SELECT id, holds FROM calls WHERE status = 'in_flight' AND deadline_at < ? LIMIT ?"
_MARK_LOST: Final = "UPDATE calls SET status = 'lost' WHERE id = ?"
LENGTHS: Final = """
    SELECT category, level, count(*), avg(output_tokens - reasoning_tokens),
        count(*) FILTER (WHERE reasoning_tokens > 0),
        coalesce(avg(reasoning_tokens) FILTER (WHERE reasoning_tokens > 0), 0)
    FROM calls
    WHERE id > (SELECT max(id) FROM calls) - ? AND NOT sandbox AND status = 'ok' AND usage_source = 'provider'
    GROUP BY category, level
"""
_FIND_COST: Final = """
    SELECT id, cost_nano_usd, input_cost_nano_usd, price_basis, repriced
    FROM calls WHERE request_id = ? AND finished_at IS NOT NULL
"""
_REPRICE: Final = """
    UPDATE calls SET cost_nano_usd = ?, input_cost_nano_usd = ?, price_basis = ?, repriced = ? WHERE id = ?
"""


def begin(intent: Intent, holds: Sequence[Hold]) -> Work[None]:
    """Write an intent and take its holds, all or none.

    Raises:
        LimitExceeded: a ceiling would be passed.
    """
    claims = claims_of(holds)
    values = (*intent_values(intent), pack(claims), intent.model_id, intent.provider)
    key_id, at = intent.caller.key_id, to_micros(intent.started_at)

    def run(transaction: Transaction) -> None:
        exceeded = transaction.ledger.exceeded(claims)
        if exceeded is not None:
            if transaction.connection.execute(_FIND_CALL, (intent.request_id,)).fetchone():
                return
            raise _refusal(exceeded, intent)
        if transaction.connection.execute(_BEGIN, values).rowcount == 0:
            return
        transaction.ledger.take(claims)
        if key_id is not None:
            transaction.ledger.count_key(key_id, at)

    return run


def settle(outcome: Outcome, charged_nano_usd: int | None) -> Work[tuple[CounterRow, ...]]:
    """Write an outcome and what was really used, unless one is there already; tell the counters that it changed.

    Raises:
        NotFound: there is no such intent.
    """
    values = outcome_values(outcome)
    whole, usage = in_all(outcome.usage, outcome.attempts), outcome.usage
    lost = whole.input_tokens - usage.input_tokens, whole.output_tokens - usage.output_tokens
    real = {"tokens": whole.total_tokens, "nano_usd": charged_nano_usd}

    def run(transaction: Transaction) -> tuple[CounterRow, ...]:
        found = transaction.connection.execute(_FIND_CALL, (outcome.request_id,)).fetchone()
        if found is None:
            raise NotFound(f"no request {outcome.request_id!r} was begun in this database")
        row_id, status, finished_at, packed = found
        if finished_at is not None:
            return ()
        transaction.connection.execute(_SETTLE, (*values, *map(amount, lost), row_id))
        return transaction.ledger.use(packed, real, reserved=status == "in_flight")

    return run


def reprice(costs: Mapping[str, Cost | None], at: datetime) -> Work[int]:
    """Put other costs in the place of recorded ones and count the calls that changed."""
    wanted = {text(request_id): cost_values(cost) for request_id, cost in costs.items()}
    micros = to_micros(at)

    def run(transaction: Transaction) -> int:
        changes = []
        for request_id, values in wanted.items():
            found = transaction.connection.execute(_FIND_COST, (request_id,)).fetchone()
            if found is None or tuple(found[1:4]) == values:
                continue
            row_id, *before, history = found
            earlier = [*json.loads(history or "[]"), [micros, *before]]
            changes.append((*values, json.dumps(earlier), row_id))
        transaction.connection.executemany(_REPRICE, changes)
        return len(changes)

    return run


def mark_lost(before: datetime) -> Work[int]:
    """Give up a slice of the intents that should be over; their maximum stays charged."""

    def run(transaction: Transaction) -> int:
        found = transaction.connection.execute(_FIND_OVERDUE, (to_micros(before), LOST_SLICE)).fetchall()
        transaction.connection.executemany(_MARK_LOST, [(row_id,) for row_id, _ in found])
        for _, packed in found:
            transaction.ledger.use(packed, {}, reserved=True)
        return len(found)

    return run


def add_feedback(row: FeedbackRow) -> Work[None]:
    """Store a correction in place of an earlier one of the same request."""
    values = feedback_values(row)

    def run(transaction: Transaction) -> None:
        transaction.connection.execute(_ADD_FEEDBACK, values)

    return run


def _refusal(exceeded: Exceeded, intent: Intent) -> LimitExceeded:
    hold, wanted = exceeded.limit, amount(exceeded.limit.amount)
    assert hold.ceiling is not None
    wait_s = max(0.0, (hold.resets_at - intent.started_at).total_seconds())
    never = wanted > hold.ceiling
    when = (
        "this request alone is over it, so waiting won't help"
        if never
        else f"it resets at {hold.resets_at:%Y-%m-%d %H:%M:%S} UTC, in {wait_s:.0f} s"
    )
    more = "" if hold.metric == "requests" else f", this request needs {_shown(wanted, hold.metric)}"
    return LimitExceeded(
        f"{_who(hold.scope)} may {_told(hold.ceiling, hold.metric)} a {hold.name.rpartition('_')[2]} and has"
        f" {_DONE[hold.metric]} {_shown(exceeded.taken, hold.metric)}{more}; {when}."
        f" {_how_to_raise(hold, intent)}",
        limit=hold.name,
        resets_at=hold.resets_at,
        retry_after_s=None if never else wait_s,
    )


def _who(scope: str) -> str:
    """Whom a limit holds, in words."""
    kind, _, name = scope.partition(":")
    words = {"key": "this key", "all": "this database", "project": f"project {name}"}
    return words.get(kind, f"{name} in the sandbox" if kind == "sandbox" else name)


def _told(ceiling: int, metric: Metric) -> str:
    if metric == "nano_usd":
        return f"spend {_shown(ceiling, metric)}"
    noun = metric.removesuffix("s") if ceiling == 1 else metric
    return f"{'make' if metric == 'requests' else 'use'} {_shown(ceiling, metric)} {noun}"


_DONE: Final[Mapping[Metric, str]] = {
    "requests": "made",
    "tokens": "used or reserved",
    "nano_usd": "spent or reserved",
}


def _how_to_raise(hold: Hold, intent: Intent) -> str:
    scope, owner = hold.scope, intent.caller.owner
    if scope.startswith("key:"):
        option = hold.name.replace("_", "-")
        return f"Raise it with `dynaroute keys edit {scope.removeprefix('key:')} --{option} NUMBER`"
    if scope == "all" or scope.startswith("project:"):
        return "Raise it under `budgets` in the configuration"
    return f"Raise it with `dynaroute plan set {owner} PLAN`"


def _shown(value: int, metric: Metric) -> str:
    if metric == "nano_usd":
        return f"${from_nano(value).normalize():f}"
    return f"{value:,}"
