# ruff: noqa: S608  # queries are built from constants; every value is a parameter
"""The jobs that the writer does: each decides first and writes then, inside the batch's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dynaroute_mcp.errors import InvalidRequest, LimitExceeded, NotFound
from dynaroute_mcp.store.base import FeedbackRow, Hold, KeyRow, Metric
from dynaroute_mcp.store.ledger import Exceeded, pack, unpack
from dynaroute_mcp.store.rows import (
    FEEDBACK_COLUMNS,
    INTENT_COLUMNS,
    KEY_COLUMNS,
    OUTCOME_COLUMNS,
    amount,
    feedback_values,
    from_nano,
    intent_values,
    key_values,
    outcome_values,
    read_key,
    text,
    to_micros,
)
from dynaroute_mcp.store.writer import Transaction
from dynaroute_mcp.types import Intent, Outcome

LOST_SLICE: Final = 500
"""Intents given up in one job, so that the lock is held briefly."""


def _marks(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


_ADD_KEY: Final = f"INSERT OR IGNORE INTO keys ({KEY_COLUMNS}) VALUES ({_marks(KEY_COLUMNS)})"
FIND_KEY: Final = f"SELECT {KEY_COLUMNS} FROM keys WHERE digest = ?"
_ADD_FEEDBACK: Final = f"INSERT INTO feedback ({FEEDBACK_COLUMNS}) VALUES ({_marks(FEEDBACK_COLUMNS)})"
_BEGIN: Final = f"""
    INSERT OR IGNORE INTO calls ({INTENT_COLUMNS}, holds, status, model_id, provider)
    VALUES ({_marks(INTENT_COLUMNS)}, ?, 'in_flight', ?, ?)
"""
_SETTLE: Final = f"""
    UPDATE calls SET ({OUTCOME_COLUMNS}) = ({_marks(OUTCOME_COLUMNS)}), holds = NULL WHERE id = ?
"""
_SET_PLAN: Final = """
    INSERT INTO owners (owner, plan, changed_at) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET plan = excluded.plan, changed_at = excluded.changed_at
"""


def add_key(transaction: Transaction, row: KeyRow) -> None:
    """Store a key.

    Raises:
        InvalidRequest: its id or digest is there already.
    """
    if transaction.connection.execute(_ADD_KEY, key_values(row)).rowcount == 0:
        raise InvalidRequest(f"key {row.key_id!r} exists already; make a new one")


def revoke_key(transaction: Transaction, digest: bytes, at: datetime) -> KeyRow | None:
    """Revoke a key unless it is already, and return it as it was."""
    found = transaction.connection.execute(FIND_KEY, (digest,)).fetchone()
    if found is None:
        return None
    transaction.connection.execute(
        "UPDATE keys SET revoked_at = ? WHERE digest = ? AND revoked_at IS NULL", (to_micros(at), digest)
    )
    return read_key(found)


def set_plan(transaction: Transaction, owner: str, plan: str, at: datetime) -> None:
    """Give an owner and all their keys a plan."""
    transaction.connection.execute(_SET_PLAN, (text(owner), plan, to_micros(at)))
    transaction.connection.execute("UPDATE keys SET plan = ? WHERE owner = ?", (plan, text(owner)))


def begin(transaction: Transaction, intent: Intent, holds: Sequence[Hold]) -> None:
    """Write an intent and take its holds, all or none.

    Raises:
        LimitExceeded: a ceiling would be passed.
    """
    exceeded = transaction.ledger.exceeded(holds)
    if exceeded is not None:
        if _exists(transaction, intent.request_id):
            return
        raise _refusal(exceeded, intent)
    values = (*intent_values(intent), pack(holds), intent.model_id, intent.provider)
    if transaction.connection.execute(_BEGIN, values).rowcount == 0:
        return
    transaction.ledger.take(holds)
    if intent.caller.key_id is not None:
        transaction.ledger.count_key(intent.caller.key_id, intent.started_at)


def settle(transaction: Transaction, outcome: Outcome, charged_nano_usd: int | None) -> None:
    """Write an outcome and what was really used, unless one is there already.

    Raises:
        NotFound: there is no such intent.
    """
    found = transaction.connection.execute(
        "SELECT id, status, finished_at, holds FROM calls WHERE request_id = ?", (outcome.request_id,)
    ).fetchone()
    if found is None:
        raise NotFound(f"no request {outcome.request_id!r} was begun in this database")
    row_id, status, finished_at, packed = found
    if finished_at is not None:
        return
    real: dict[Metric, int | None] = {"tokens": outcome.usage.total_tokens, "nano_usd": charged_nano_usd}
    transaction.connection.execute(_SETTLE, (*outcome_values(outcome), row_id))
    transaction.ledger.use(unpack(packed), real, reserved=status == "in_flight")


def mark_lost(transaction: Transaction, before: datetime) -> int:
    """Give up a slice of the intents that should be over; their maximum stays charged."""
    found = transaction.connection.execute(
        "SELECT id, holds FROM calls WHERE status = 'in_flight' AND deadline_at < ? LIMIT ?",
        (to_micros(before), LOST_SLICE),
    ).fetchall()
    transaction.connection.executemany(
        "UPDATE calls SET status = 'lost' WHERE id = ?", [(row_id,) for row_id, _ in found]
    )
    for _, packed in found:
        transaction.ledger.use(unpack(packed), {}, reserved=True)
    return len(found)


def add_feedback(transaction: Transaction, row: FeedbackRow) -> None:
    """Store a correction."""
    transaction.connection.execute(_ADD_FEEDBACK, feedback_values(row))


def _exists(transaction: Transaction, request_id: str) -> bool:
    found = transaction.connection.execute("SELECT 1 FROM calls WHERE request_id = ?", (request_id,))
    return found.fetchone() is not None


def _refusal(exceeded: Exceeded, intent: Intent) -> LimitExceeded:
    hold, wanted = exceeded.hold, amount(exceeded.hold.amount)
    assert hold.ceiling is not None
    wait_s = max(0.0, (hold.resets_at - intent.started_at).total_seconds())
    never = wanted > hold.ceiling
    when = (
        "this request alone is over it, so waiting won't help"
        if never
        else f"it resets at {hold.resets_at:%Y-%m-%d %H:%M:%S} UTC, in {wait_s:.0f} s"
    )
    return LimitExceeded(
        f"limit {hold.name} of {hold.scope}: {_shown(exceeded.taken, hold.metric)} of"
        f" {_shown(hold.ceiling, hold.metric)} taken, this request needs {_shown(wanted, hold.metric)} more;"
        f" {when}. Raise it with `dynaroute plan set {intent.caller.owner} PLAN`, or with a larger budget",
        limit=hold.name,
        resets_at=hold.resets_at,
        retry_after_s=None if never else wait_s,
    )


def _shown(value: int, metric: Metric) -> str:
    if metric == "nano_usd":
        return f"${from_nano(value).normalize():f}"
    return f"{value:,}"
