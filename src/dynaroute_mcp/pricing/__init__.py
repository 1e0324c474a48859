"""Tokens to dollars, and dollars to savings. Pure, exact, `Decimal` only; rounding is the store's business.

A price is a function of model, instant, prompt size and processing. Unknown is `None` and never 0: only a model
that says it is free costs nothing.
"""

from dynaroute_mcp.pricing.cost import (
    NOTHING,
    Processing,
    Rates,
    current_rates,
    maximum_usd,
    price,
    quote,
    time_factor,
)
from dynaroute_mcp.pricing.savings import gpt41_saving, saving, saving_pct

__all__ = [
    "NOTHING",
    "Processing",
    "Rates",
    "current_rates",
    "gpt41_saving",
    "maximum_usd",
    "price",
    "quote",
    "saving",
    "saving_pct",
    "time_factor",
]
