"""What a caller has left, as headers: ours by the published names, and OpenAI's that SDKs read."""

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from dynaroute_mcp.accounts import Subscription
from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.gateway.session import Session

logger = logging.getLogger(__name__)


async def quota_headers(session: Session, now: datetime) -> dict[str, str]:
    """Tell the caller's limits and what is left of them; nothing where no plan limits, or the books can't be read."""
    if session.caller.plan is None:
        return {}
    try:
        subscription = await session.core.accounts.subscription(session.caller)
    except StoreUnavailable as error:
        logger.warning("limits can't be told", extra={"reason": str(error)})
        return {}
    return headers_of(subscription, now)


def headers_of(subscription: Subscription, now: datetime) -> dict[str, str]:
    """Write a plan and its use as headers; an unlimited figure has none."""
    plan, spent = subscription.plan, subscription.spent
    if plan is None:
        return {}
    minute_ends = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    headers = dict[str, str]()
    if plan.requests_per_minute is not None:
        left = max(0, plan.requests_per_minute - spent.requests_this_minute)
        headers |= {
            "X-RateLimit-Limit": str(plan.requests_per_minute),
            "X-RateLimit-Remaining": str(left),
            "X-RateLimit-Reset": str(int(minute_ends.timestamp())),
            "X-RateLimit-Limit-Requests": str(plan.requests_per_minute),
            "X-RateLimit-Remaining-Requests": str(left),
            "X-RateLimit-Reset-Requests": _span(minute_ends - now),
        }
    if plan.requests_per_day is not None:
        headers |= {
            "X-RateLimit-Limit-Day": str(plan.requests_per_day),
            "X-RateLimit-Remaining-Day": str(max(0, plan.requests_per_day - spent.requests_today)),
        }
    if plan.usd_per_month is not None:
        left_usd = max(Decimal(0), plan.usd_per_month - spent.usd_this_month)
        headers |= {
            "X-RateLimit-Spend-Limit": f"{plan.usd_per_month:.2f}",
            "X-RateLimit-Spend-Remaining": f"{left_usd:.2f}",
        }
    if plan.tokens_per_month is not None:
        headers |= {
            "X-RateLimit-Limit-Tokens": str(plan.tokens_per_month),
            "X-RateLimit-Remaining-Tokens": str(max(0, plan.tokens_per_month - spent.tokens_this_month)),
            "X-RateLimit-Reset-Tokens": _span(subscription.renews_at - now),
        }
    return headers


def _span(left: timedelta) -> str:
    """Write a span as OpenAI does: `12s`."""
    return f"{max(1, -int(-left.total_seconds() // 1))}s"
