"""`/v1/usage`: what was used, spent and saved, from the books. A key sees its own owner's, the admin token everybody's."""

from typing import Literal, get_args

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from dynaroute_mcp.accounts import Subscription
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.session import session_of
from dynaroute_mcp.reports import Period, Summary
from dynaroute_mcp.results.base import dollars, share_pct
from dynaroute_mcp.types import Caller

PeriodName = Literal["today", "week", "month", "all"]


class Requests(TypedDict):
    """Calls that ended."""

    total: int
    successful: int
    failed: int
    success_rate: float
    """In percent; 0 of nothing."""


class Tokens(TypedDict):
    """Tokens of the calls."""

    prompt: int
    completion: int
    total: int


class Spent(TypedDict):
    """Dollars beside the configured baseline model; signed."""

    actual: float
    baseline: float
    saved: float
    saved_pct: float


class ModelUse(TypedDict):
    """The calls of one model."""

    model: str
    requests: int
    cost: float
    avg_latency_ms: int | None


class Latency(TypedDict):
    """How long calls took; `null` where nothing was measured. Ranks are of the newest 10,000 calls that ended well."""

    p50: int | None
    p95: int | None
    first_token_p50: int | None
    """Of streams: until the first content."""
    first_token_p95: int | None
    mean: int | None
    """Over all finished calls."""


class Limit(TypedDict):
    """A limit; `null` is unlimited."""

    limit: float | None
    used: float


class Limits(TypedDict):
    """The caller's plan, or the key's own limits where they leave less."""

    requests_per_minute: Limit
    requests_per_day: Limit
    tokens_per_month: Limit
    monthly_spend: Limit


class UsageReport(TypedDict):
    """What the caller used in a period."""

    period: PeriodName
    requests: Requests
    tokens: Tokens
    cost: Spent
    models: list[ModelUse]
    latency_ms: Latency
    rate_limits: Limits
    sandbox: bool
    """All of it was simulated."""


class KeyUse(TypedDict):
    """What one key used in a period."""

    id: str
    period: PeriodName
    total_requests: int
    successful_requests: int
    total_prompt_tokens: int
    total_completion_tokens: int
    total_tokens: int
    total_cost: float
    baseline_cost: float
    saved: float
    saved_pct: float
    models_used: dict[str, int]
    """Requests by model."""


class KeySavings(TypedDict):
    """What one key saved against the configured baseline model; signed."""

    id: str
    period: PeriodName
    total_requests: int
    request_count: int
    """The same as `total_requests`, by another contract's name."""
    total_cost: float
    baseline_cost: float
    saved: float
    saved_pct: float


async def own(request: Request) -> Response:
    """Sum up what the caller used; with the admin token, everybody."""
    session, period = session_of(request), _period(request)
    summary = await session.core.reports.usage(session.caller, period, everyone=session.operator)
    subscription = await session.core.accounts.subscription(session.caller)
    return _shown(_report(summary, subscription))


async def of_key(request: Request) -> Response:
    """Sum up what one key used."""
    key_id, summary = await _of_key(request)
    total, spent = summary.total, _spent(summary)
    use: KeyUse = {
        "id": key_id,
        "period": summary.period,
        "total_requests": total.requests,
        "successful_requests": total.successful,
        "total_prompt_tokens": total.input_tokens,
        "total_completion_tokens": total.output_tokens,
        "total_tokens": total.input_tokens + total.output_tokens,
        "total_cost": spent["actual"],
        "baseline_cost": spent["baseline"],
        "saved": spent["saved"],
        "saved_pct": spent["saved_pct"],
        "models_used": {row.group: row.requests for row in summary.by_model},
    }
    return _shown(use)


async def savings_of_key(request: Request) -> Response:
    """Tell what one key saved."""
    key_id, summary = await _of_key(request)
    spent = _spent(summary)
    savings: KeySavings = {
        "id": key_id,
        "period": summary.period,
        "total_requests": summary.total.requests,
        "request_count": summary.total.requests,
        "total_cost": spent["actual"],
        "baseline_cost": spent["baseline"],
        "saved": spent["saved"],
        "saved_pct": spent["saved_pct"],
    }
    return _shown(savings)


async def _of_key(request: Request) -> tuple[str, Summary]:
    session, key_id = session_of(request), str(request.path_params["id"])
    period = _period(request)
    row = await session.key(key_id)
    owner = Caller(owner=row.owner, sandbox=row.sandbox)
    return key_id, await session.core.reports.usage(owner, period, key_id=key_id)


def _report(summary: Summary, subscription: Subscription) -> UsageReport:
    total, waits = summary.total, summary.waits
    return {
        "period": summary.period,
        "requests": {
            "total": total.requests,
            "successful": total.successful,
            "failed": total.requests - total.successful,
            "success_rate": round(100 * total.successful / total.requests, 2) if total.requests else 0.0,
        },
        "tokens": {
            "prompt": total.input_tokens,
            "completion": total.output_tokens,
            "total": total.input_tokens + total.output_tokens,
        },
        "cost": _spent(summary),
        "models": [
            {
                "model": row.group,
                "requests": row.requests,
                "cost": dollars(row.cost_usd),
                "avg_latency_ms": row.latency_ms_mean,
            }
            for row in summary.by_model
        ],
        "latency_ms": {
            "p50": waits.latency_p50_ms,
            "p95": waits.latency_p95_ms,
            "first_token_p50": waits.first_token_p50_ms,
            "first_token_p95": waits.first_token_p95_ms,
            "mean": total.latency_ms_mean,
        },
        "rate_limits": _limits(subscription),
        "sandbox": summary.sandbox,
    }


def _limits(subscription: Subscription) -> Limits:
    plan, used = subscription.plan, subscription.spent
    return {
        "requests_per_minute": {
            "limit": plan.requests_per_minute if plan else None,
            "used": used.requests_this_minute,
        },
        "requests_per_day": {
            "limit": plan.requests_per_day if plan else None,
            "used": used.requests_today,
        },
        "tokens_per_month": {
            "limit": plan.tokens_per_month if plan else None,
            "used": used.tokens_this_month,
        },
        "monthly_spend": {
            "limit": dollars(plan.usd_per_month) if plan and plan.usd_per_month is not None else None,
            "used": dollars(used.usd_this_month),
        },
    }


def _spent(summary: Summary) -> Spent:
    total = summary.total
    saved = total.baseline_usd - total.cost_usd
    return {
        "actual": dollars(total.cost_usd),
        "baseline": dollars(total.baseline_usd),
        "saved": dollars(saved),
        "saved_pct": share_pct(saved, total.baseline_usd),
    }


def _period(request: Request) -> Period:
    asked = request.query_params.get("period", "month")
    found: Period | None = next((each for each in get_args(PeriodName) if each == asked), None)
    if found is None:
        known = ", ".join(get_args(PeriodName))
        raise Refusal(400, f"period must be one of: {known}", reason="invalid_request", param="period")
    return found


def _shown(value: object) -> Response:
    return Response(as_json(value), media_type="application/json")
