"""Values to rows and back. Money is integer nano-dollars, time is integer microseconds since 1970 UTC.

Figures are clamped to what no honest call reaches, so that sums over many rows stay inside 64 bits.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from dynaroute_mcp.store.base import CallRow, FeedbackRow, Lengths, Repricing
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import Attempt, Caller, Cost, Intent, Outcome, Usage

Row = tuple[Any, ...]
"""A row as SQLite gives it; its columns are those of the tuple of names beside each reader."""

MAX_AMOUNT = 10**15
"""Tokens, or nano-dollars (a million dollars), of one row or counter."""
NANO = Decimal(10) ** 9

INTENT_COLUMNS = (
    "request_id, owner, key_id, plan, caller_sandbox, caller_strategy, started_at, deadline_at,"
    " intended_model_id, intended_provider, category, level, strategy, confidence, classifier_tier,"
    " estimated_input_tokens, reserved_nano_usd, sandbox, decision, project"
)
OUTCOME_COLUMNS = (
    "finished_at, status, model_id, provider, uncached_input_tokens, cache_read_tokens,"
    " cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, usage_source,"
    " cost_nano_usd, input_cost_nano_usd, price_basis, gpt41_nano_usd, baseline_nano_usd, latency_ms,"
    " first_token_ms, attempts, error_code, finish_reason"
)
FEEDBACK_COLUMNS = (
    "prompt_sha256, predicted_category, predicted_level, right_category, right_level, at, text, request_id"
)

_MAX_USD = MAX_AMOUNT / NANO
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INTENT_WIDTH = INTENT_COLUMNS.count(",") + 1
_USAGE_WIDTH = 7


def to_micros(at: datetime) -> int:
    """Count microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Undo `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def to_nano(usd: Decimal) -> int:
    """Round dollars to nano-dollars, half to even, clamped to a million dollars either way."""
    if not -_MAX_USD <= usd <= _MAX_USD:
        usd = _MAX_USD if usd > 0 else -_MAX_USD
    return int((usd * NANO).to_integral_value(ROUND_HALF_EVEN))


def from_nano(nano: int) -> Decimal:
    """Turn nano-dollars into dollars, exactly."""
    return Decimal(nano).scaleb(-9)


def amount(value: int) -> int:
    """Clamp a count to [0, MAX_AMOUNT]."""
    return value if 0 <= value <= MAX_AMOUNT else max(0, min(MAX_AMOUNT, value))


def text(value: str) -> str:
    """Make any text storable: half of a surrogate pair, which UTF-8 can't hold, is written as an escape."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")


def json_text(value: object) -> str:
    """Write JSON without spaces: what a column keeps whole."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:  # half of a surrogate pair, which it leaves to others to escape
        return json.dumps(value, separators=(",", ":"))


def intent_values(intent: Intent) -> Row:
    """Lay an intent out in the order of `INTENT_COLUMNS`."""
    caller = intent.caller
    return (
        intent.request_id,
        text(caller.owner),
        caller.key_id,
        caller.plan,
        caller.sandbox,
        caller.strategy,
        to_micros(intent.started_at),
        to_micros(intent.deadline_at),
        intent.model_id,
        intent.provider,
        intent.category,
        intent.level,
        intent.strategy,
        intent.confidence,
        intent.classifier_tier,
        amount(intent.input_tokens),
        nano_or_null(intent.reserved_usd),
        intent.sandbox,
        text(intent.decision),
        None if intent.project is None else text(intent.project),
    )


def outcome_values(outcome: Outcome) -> Row:
    """Lay an outcome out in the order of `OUTCOME_COLUMNS`; its cost is rounded once, as a whole."""
    usage, cost = outcome.usage, outcome.cost
    return (
        to_micros(outcome.finished_at),
        outcome.status,
        outcome.model_id,
        outcome.provider,
        *_usage_values(usage),
        *cost_values(cost),
        to_nano(outcome.gpt41_usd),
        to_nano(outcome.baseline_usd),
        amount(outcome.latency_ms),
        None if outcome.first_token_ms is None else amount(outcome.first_token_ms),
        _attempts_text(outcome.attempts),
        outcome.error_code,
        outcome.finish_reason,
    )


def read_call(row: Row) -> CallRow:
    """Read a row of `INTENT_COLUMNS`, then `OUTCOME_COLUMNS`, then what it cost before."""
    intent, outcome, repriced = row[:_INTENT_WIDTH], row[_INTENT_WIDTH:-1], row[-1]
    finished_at, status, *_ = outcome
    return CallRow(
        intent=_read_intent(intent),
        outcome=None if finished_at is None else _read_outcome(intent[0], outcome),
        status=status,
        repriced=tuple(
            Repricing(at=from_micros(at), cost=None if total is None else _read_cost(total, for_input, basis))
            for at, total, for_input, basis in json.loads(repriced or "[]")
        ),
    )


def cost_values(cost: Cost | None) -> tuple[int | None, int | None, str | None]:
    """Lay a cost out: the whole, rounded once, its input's part, and what it rests on."""
    return (
        (None, None, None) if cost is None else (to_nano(cost.total_usd), to_nano(cost.input_usd), cost.basis)
    )


def read_lengths(row: Row) -> Lengths:
    """Read a row of `work.LENGTHS`."""
    category, level, calls, visible, thinking, reasoning = row
    return Lengths(
        category=Category(category),
        level=Level(level),
        calls=calls,
        visible_tokens=round(visible),
        thinking_calls=thinking,
        reasoning_tokens=round(reasoning),
    )


def feedback_values(row: FeedbackRow) -> Row:
    """Lay a correction out in the order of `FEEDBACK_COLUMNS`."""
    return (
        row.prompt_sha256,
        row.predicted_category,
        row.predicted_level,
        row.right_category,
        row.right_level,
        to_micros(row.at),
        None if row.text is None else text(row.text),
        row.request_id,
    )


def read_feedback(row: Row) -> FeedbackRow:
    """Read a row of `FEEDBACK_COLUMNS`."""
    digest, predicted_category, predicted_level, right_category, right_level, at, prompt, request_id = row
    return FeedbackRow(
        request_id=request_id,
        prompt_sha256=digest,
        predicted_category=Category(predicted_category),
        predicted_level=Level(predicted_level),
        right_category=Category(right_category),
        right_level=Level(right_level),
        at=from_micros(at),
        text=prompt,
    )


def _read_intent(row: Row) -> Intent:
    request_id, owner, key_id, plan, caller_sandbox, caller_strategy, started, deadline, *rest = row
    model_id, provider, category, level, strategy, confidence, tier, tokens, reserved, *last = rest
    sandbox, decision, project = last
    return Intent(
        request_id=request_id,
        caller=Caller(
            owner=owner,
            key_id=key_id,
            plan=plan,
            sandbox=bool(caller_sandbox),
            strategy=None if caller_strategy is None else Strategy(caller_strategy),
        ),
        started_at=from_micros(started),
        deadline_at=from_micros(deadline),
        model_id=model_id,
        provider=provider,
        category=Category(category),
        level=Level(level),
        strategy=Strategy(strategy),
        confidence=confidence,
        classifier_tier=tier,
        input_tokens=tokens,
        reserved_usd=None if reserved is None else from_nano(reserved),
        sandbox=bool(sandbox),
        decision=decision,
        project=project,
    )


def _read_outcome(request_id: str, row: Row) -> Outcome:
    finished_at, status, model_id, provider, *rest = row
    cost, input_cost, basis, gpt41, baseline, latency, *last = rest[_USAGE_WIDTH:]
    first_token, attempts, error_code, finish_reason = last
    return Outcome(
        request_id=request_id,
        finished_at=from_micros(finished_at),
        status=status,
        model_id=model_id,
        provider=provider,
        usage=_read_usage(rest[:_USAGE_WIDTH]),
        cost=None if cost is None else _read_cost(cost, input_cost, basis),
        gpt41_usd=from_nano(gpt41),
        baseline_usd=from_nano(baseline),
        latency_ms=latency,
        first_token_ms=first_token,
        attempts=_read_attempts(attempts),
        error_code=error_code,
        finish_reason=finish_reason,
    )


def _read_cost(total: int, for_input: int, basis: str) -> Cost:
    return Cost(input_usd=from_nano(for_input), output_usd=from_nano(total - for_input), basis=basis)


def _attempts_text(attempts: tuple[Attempt, ...]) -> str:
    return json_text(
        [
            [
                *(a.model_id, a.provider, a.outcome, a.status, amount(a.latency_ms), a.message),
                *(_usage_values(a.usage) if a.usage else ()),
            ]
            for a in attempts
        ]
    )


def _usage_values(usage: Usage) -> Row:
    return (
        amount(usage.uncached_input_tokens),
        amount(usage.cache_read_tokens),
        amount(usage.cache_write_5m_tokens),
        amount(usage.cache_write_1h_tokens),
        amount(usage.output_tokens),
        amount(usage.reasoning_tokens),
        usage.source,
    )


def _read_usage(row: Sequence[Any]) -> Usage:  # Any: as SQLite and JSON give it
    uncached, cache_read, write_5m, write_1h, output, reasoning, source = row
    return Usage(
        uncached_input_tokens=uncached,
        cache_read_tokens=cache_read,
        cache_write_5m_tokens=write_5m,
        cache_write_1h_tokens=write_1h,
        output_tokens=output,
        reasoning_tokens=reasoning,
        source=source,
    )


def _read_attempts(packed: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            model_id=model_id,
            provider=provider,
            outcome=outcome,
            status=status,
            latency_ms=latency_ms,
            message=message,
            usage=_read_usage(taken) if taken else None,
        )
        for model_id, provider, outcome, status, latency_ms, message, *taken in json.loads(packed)
    )


def micros_or_null(at: datetime | None) -> int | None:
    """Count microseconds of a time that may not have come."""
    return None if at is None else to_micros(at)


def time_or_none(micros: int | None) -> datetime | None:
    """Undo `micros_or_null`."""
    return None if micros is None else from_micros(micros)


def nano_or_null(usd: Decimal | None) -> int | None:
    """Round dollars that may be unknown."""
    return None if usd is None else to_nano(usd)
