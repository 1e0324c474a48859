"""Example rows of the store's tests, with the fields that a test cares about as arguments."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from dynaroute_mcp.store.base import CallFilter, CounterRow, Hold, KeyRow, Metric, Store
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import Attempt, Caller, CallStatus, Cost, Intent, Outcome, Usage

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens the database of a test, each time anew, as another process would."""

EVERYTHING = CallFilter()

NOW = datetime(2026, 11, 22, 1, 14, 30, 250_001, tzinfo=UTC)


def key_row(name: str = "1", *, owner: str = "alice", created_at: datetime = NOW) -> KeyRow:
    return KeyRow(
        key_id=f"key_{name}",
        digest=sha256(name.encode()).digest(),
        first8="dr_AbCdE",
        last4="wxyz",
        owner=owner,
        plan="free",
        created_at=created_at,
    )


def intent(
    request_id: str = "req_1",
    *,
    owner: str = "alice",
    key_id: str | None = None,
    started_at: datetime = NOW,
    model_id: str = "gpt-4.1",
    category: Category = Category.LOGIC,
    sandbox: bool = False,
) -> Intent:
    return Intent(
        request_id=request_id,
        caller=Caller(owner=owner, key_id=key_id, plan="free", strategy=Strategy.CHEAPEST),
        started_at=started_at,
        deadline_at=started_at + timedelta(seconds=720),
        model_id=model_id,
        provider="openai",
        category=category,
        level=Level(3),
        strategy=Strategy.BALANCED,
        confidence=0.75,
        classifier_tier="L1",
        input_tokens=1_000,
        reserved_usd=Decimal("0.006"),
        sandbox=sandbox,
        decision='{"chosen": "gpt-4.1"}',
        project="web",
    )


def outcome(
    request_id: str = "req_1",
    *,
    status: CallStatus = "ok",
    cost: Cost | None = Cost(  # noqa: B008  # frozen
        input_usd=Decimal("0.0003"), output_usd=Decimal("0.00125"), basis="google/gemini-2.5-flash@2026-11-01"
    ),
    usage: Usage = Usage(uncached_input_tokens=900, cache_read_tokens=100, output_tokens=500),  # noqa: B008
    model_id: str = "gemini-2.5-flash",
) -> Outcome:
    return Outcome(
        request_id=request_id,
        finished_at=NOW + timedelta(seconds=2),
        status=status,
        model_id=model_id,
        provider="google",
        usage=usage,
        cost=cost,
        gpt41_usd=Decimal("0.006"),
        baseline_usd=Decimal("0.0105"),
        latency_ms=2_000,
        first_token_ms=300,
        attempts=(
            Attempt(
                model_id="gpt-4.1",
                provider="openai",
                outcome="provider_rate_limited",
                status=429,
                latency_ms=9,
                usage=Usage(
                    uncached_input_tokens=1,
                    cache_read_tokens=2,
                    cache_write_5m_tokens=3,
                    cache_write_1h_tokens=4,
                    output_tokens=6,
                    reasoning_tokens=5,
                    source="clamped",
                ),
            ),
            Attempt(model_id=model_id, provider="google", outcome="ok", status=200, latency_ms=1_991),
        ),
        finish_reason="stop",
    )


def hold(
    amount: int = 1,
    ceiling: int | None = None,
    *,
    scope: str = "owner:alice",
    metric: Metric = "requests",
    window: str = "minute:2026-11-22T01:14Z",
    name: str = "requests_per_minute",
    resets_at: datetime = NOW + timedelta(seconds=30),  # frozen
) -> Hold:
    return Hold(
        scope=scope,
        metric=metric,
        window=window,
        amount=amount,
        ceiling=ceiling,
        name=name,
        resets_at=resets_at,
    )


def counter(used: int, reserved: int, **of: str) -> CounterRow:
    like = hold(**of)  # type: ignore[arg-type]  # names of text fields only
    return CounterRow(scope=like.scope, metric=like.metric, window=like.window, used=used, reserved=reserved)
