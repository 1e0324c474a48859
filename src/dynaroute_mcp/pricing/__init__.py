"""Tokens to dollars, and dollars to savings. Pure, exact, `Decimal` only; rounding is the store's business.

A price is a function of model, instant, prompt size and processing. Unknown is `None` and never 0: only a
model that says it is free costs nothing.
"""

from dynaroute_mcp.pricing import cost, savings, tariff
from dynaroute_mcp.pricing.cost import (
    NOTHING,
    Processing,
    Rates,
    both,
    current_rates,
    lost,
    price,
    quote,
    time_factor,
)
from dynaroute_mcp.pricing.savings import gpt41_saving, saving, saving_pct
from dynaroute_mcp.pricing.tariff import (
    Step,
    Tariff,
    dollars_of,
    expected_cost,
    maximum_cost,
    tariff_at,
    units_of,
)

__all__ = [
    "NOTHING",
    "Processing",
    "Rates",
    "Step",
    "Tariff",
    "both",
    "current_rates",
    "dollars_of",
    "expected_cost",
    "forget",
    "gpt41_saving",
    "lost",
    "maximum_cost",
    "price",
    "quote",
    "saving",
    "saving_pct",
    "tariff_at",
    "time_factor",
    "units_of",
]


def forget() -> None:
    """Let go of every catalog that something is remembered of; one that is in use is worked out again."""
    cost.forget()
    savings.forget()
    tariff.forget()
