"""What a caller has left, as headers: ours by the published names, and OpenAI's that SDKs read."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.gateway.session import Session
from dynaroute_mcp.limits import NANO
from dynaroute_mcp.types import Left

logger = logging.getLogger(__name__)


async def quota_headers(
    session: Session, now: datetime, left: Mapping[str, Left] | None = None
) -> dict[str, str]:
    """Tell the caller's limits and what is left of them; nothing where no plan limits, or the books can't be read."""
    if session.caller.plan is None:
        return {}
    if left is not None:
        return headers_of(left, now)
    try:
        subscription = await session.core.accounts.subscription(session.caller)
    except StoreUnavailable as error:
        logger.warning("limits can't be told", extra={"reason": str(error)})
        return {}
    return headers_of(subscription.left, now)


def headers_of(left: Mapping[str, Left], now: datetime) -> dict[str, str]:
    """Write what is left of plan and key, by the tighter of both, as headers; an unlimited figure has none."""
    headers = dict[str, str]()
    if minute := left.get("requests_per_minute"):
        headers |= {
            "X-RateLimit-Limit": str(minute.ceiling),
            "X-RateLimit-Remaining": str(minute.left),
            "X-RateLimit-Reset": str(int(minute.resets_at.timestamp())),
            "X-RateLimit-Limit-Requests": str(minute.ceiling),
            "X-RateLimit-Remaining-Requests": str(minute.left),
            "X-RateLimit-Reset-Requests": _span(minute.resets_at - now),
        }
    if day := left.get("requests_per_day"):
        headers |= {"X-RateLimit-Limit-Day": str(day.ceiling), "X-RateLimit-Remaining-Day": str(day.left)}
    if money := left.get("usd_per_month"):
        headers |= {
            "X-RateLimit-Spend-Limit": f"{money.ceiling / NANO:.2f}",
            "X-RateLimit-Spend-Remaining": f"{money.left / NANO:.2f}",
        }
    if tokens := left.get("tokens_per_month"):
        headers |= {
            "X-RateLimit-Limit-Tokens": str(tokens.ceiling),
            "X-RateLimit-Remaining-Tokens": str(tokens.left),
            "X-RateLimit-Reset-Tokens": _span(tokens.resets_at - now),
        }
    return headers


def _span(left: timedelta) -> str:
    """Write a span as OpenAI does: `12s`."""
    return f"{max(1, -int(-left.total_seconds() // 1))}s"
