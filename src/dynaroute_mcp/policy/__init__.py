"""Which model answers a request: hard filters, then what is demanded, then what it costs.

Pure functions over values. The catalog says what models are good for and cost, the classification what a
prompt demands; here the two meet, and every decision can be explained.
"""

from dynaroute_mcp.policy import demand, filters, why
from dynaroute_mcp.policy.choosing import choose
from dynaroute_mcp.policy.demand import levels_served
from dynaroute_mcp.policy.situation import Expectation, Needs, Pin, Situation, needs
from dynaroute_mcp.policy.why import retold

__all__ = ["Expectation", "Needs", "Pin", "Situation", "choose", "forget", "levels_served", "needs", "retold"]


def forget() -> None:
    """Let go of every catalog that something is remembered of; one that is in use is worked out again."""
    demand.forget()
    filters.forget()
    why.forget()
