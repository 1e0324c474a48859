"""One of several processes that spend on one database at once: reports how many requests passed, and what they cost.

Usage: python -m tests.e2e.spender SETTINGS_JSON REQUESTS

Says `ready` once its core is open, and starts all requests together when a line comes on stdin. Its clock
stands still, so that no minute ends while a test counts.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import anyio
import anyio.to_thread

from dynaroute_mcp.errors import LimitExceeded
from dynaroute_mcp.runtime import AMBIENT, open_core
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.types import ChatRequest, Message, Parameters, Text

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
MODEL = "openai/gpt-4.1"
ASK = ChatRequest(
    messages=(Message(role="user", parts=(Text(text="Hello"),)),),
    model=MODEL,
    parameters=Parameters(max_tokens=1_000),
)


async def spend(settings: Settings, requests: int) -> dict[str, object]:
    costs: list[Decimal] = []
    refusals: list[str] = []
    async with open_core(settings, replace(AMBIENT, clock=lambda: NOW)) as core:
        caller = await core.caller()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.readline)

        async def one() -> None:
            try:
                answer = await core.router.complete(ASK, caller)
            except LimitExceeded as error:
                refusals.append(error.limit)
            else:
                assert answer.cost is not None
                costs.append(answer.cost.total_usd)

        async with anyio.create_task_group() as tasks:
            for _ in range(requests):
                tasks.start_soon(one)
    return {"passed": len(costs), "usd": str(sum(costs)), "refusals": sorted(set(refusals))}


if __name__ == "__main__":
    chosen = Settings.model_validate(json.loads(sys.argv[1]))
    sys.stdout.write(json.dumps(anyio.run(spend, chosen, int(sys.argv[2]))) + "\n")
