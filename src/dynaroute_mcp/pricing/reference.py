"""Other people's price lists, for the check: they come with the `catalog` extra and are no part of a running server."""

from datetime import datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Final

import genai_prices
import model_prices  # type: ignore[import-untyped]  # the package ships no types

from dynaroute_mcp.catalog import Model
from dynaroute_mcp.pricing.cost import Processing
from dynaroute_mcp.types import Usage

_GENAI: Final = {
    "anthropic": "anthropic",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google": "google",
    "groq": "groq",
    "meta": "meta",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "openai": "openai",
    "together": "together",
    "xai": "x-ai",
    "zai": "zai",
}
"""Our providers by their ids there; Alibaba's own list is not in it."""
_MODEL_PRICES: Final = {"dashscope": "alibaba", "cohere": "cohere"}


class GenaiPrices:
    """Pydantic's genai-prices: the first reference."""

    name = f"genai-prices {version('genai-prices')}"

    def total_usd(self, model: Model, at: datetime, usage: Usage, processing: Processing) -> Decimal | None:
        """Price a call there; `None` when it does not know the model, or no batch price of it."""
        provider = _GENAI.get(model.provider)
        if provider is None:
            return None
        wanted = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=usage.output_tokens,
        )
        try:
            found = genai_prices.calc_price(
                wanted,
                model.wire_id.lower(),
                provider_id=provider,
                genai_request_timestamp=at,
                price_context={"processing": processing} if processing == "batch" else None,
            )
        except LookupError:
            return None
        variants = found.model.price_variants or ()
        if processing == "batch" and not any(each.when == {"processing": "batch"} for each in variants):
            return None
        return found.total_price


class ModelPrices:
    """model-prices: the second reference, and the only one for Alibaba's own list."""

    name = f"model-prices {version('model-prices')}"

    def total_usd(self, model: Model, at: datetime, usage: Usage, processing: Processing) -> Decimal | None:
        """Price a call there; `None` when it does not know the model, and for batches."""
        provider = _MODEL_PRICES.get(model.provider)
        if provider is None or processing == "batch":
            return None
        usd = model_prices.cost(
            model.wire_id,
            input_tokens=usage.uncached_input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_5m_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            at=at,
            provider=provider,
        )
        return None if usd is None else Decimal(str(usd))
