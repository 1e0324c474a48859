"""Other people's price lists, for the check: they come with the `catalog` extra and are no part of a running server."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Final, Protocol

import genai_prices
import model_prices  # type: ignore[import-untyped]  # the package ships no types
from genai_prices.types import ModelPrice, PriceCalculation, TieredPrices

from dynaroute_mcp.catalog import Model, RateTable, Tier, UsdPerMtok
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
_RATE_KEYS: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
"""Our buckets by their keys there."""
_MODEL_PRICES: Final = {"dashscope": "alibaba", "cohere": "cohere"}


class GenaiPrices:
    """Pydantic's genai-prices: the first reference."""

    name = f"genai-prices {version('genai-prices')}"

    def total_usd(self, model: Model, at: datetime, usage: Usage, processing: Processing) -> Decimal | None:
        """Price a call there; `None` when it does not know the model, or no batch price of it."""
        wanted = genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=usage.output_tokens,
        )
        found = self._look_up(model, at, wanted, processing)
        return None if found is None else found.total_price

    def tables(self, model: Model, on: date) -> tuple[RateTable, RateTable | None] | None:
        """Standard and batch rates on a day; `None` when it does not know the model."""
        at = datetime.combine(on, time(12), tzinfo=UTC)
        anything = genai_prices.Usage(input_tokens=1)
        standard = self._look_up(model, at, anything, "standard")
        batch = self._look_up(model, at, anything, "batch")
        if standard is None:
            return None
        return _table(standard.model_price), _table(batch.model_price) if batch else None

    def _look_up(
        self, model: Model, at: datetime, usage: genai_prices.Usage, processing: Processing
    ) -> PriceCalculation | None:
        provider = _GENAI.get(model.provider)
        if provider is None:
            return None
        try:
            found = genai_prices.calc_price(
                usage,
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
        return found


def _table(prices: ModelPrice) -> RateTable:
    """Their rates by bucket and tier in our form; a bucket that has no tier of its own keeps its rate."""
    theirs = {bucket: getattr(prices, key) for bucket, key in _RATE_KEYS.items()}
    known = {bucket: rate for bucket, rate in theirs.items() if rate is not None}
    bounds = {tier.start for rate in known.values() if isinstance(rate, TieredPrices) for tier in rate.tiers}
    return RateTable(
        usd_per_mtok=_rates_above(known, 0),
        tiers=tuple(
            Tier(above_tokens=bound, usd_per_mtok=_rates_above(known, bound)) for bound in sorted(bounds)
        ),
    )


def _rates_above(known: Mapping[str, Decimal | TieredPrices], bound: int) -> UsdPerMtok:
    rates = {}
    for bucket, rate in known.items():
        if isinstance(rate, TieredPrices):
            passed = [tier.price for tier in rate.tiers if tier.start <= bound]
            rates[bucket] = passed[-1] if passed else rate.base
        else:
            rates[bucket] = rate
    return UsdPerMtok.model_validate(rates)


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

    def tables(self, model: Model, on: date) -> tuple[RateTable, RateTable | None] | None:
        """Standard rates on a day; `None` when it does not know the model. It has no batch rates."""
        provider = _MODEL_PRICES.get(model.provider)
        at = datetime.combine(on, time(12), tzinfo=UTC)
        found = model_prices.rates(model.wire_id, at=at, provider=provider) if provider else None
        if found is None:
            return None
        tiers = tuple(Tier(above_tokens=tier.above, usd_per_mtok=_plain(tier)) for tier in found.tiers)
        return RateTable(usd_per_mtok=_plain(found), tiers=tiers), None


class _PlainRates(Protocol):
    input: float
    output: float
    cache_read: float | None
    cache_write: float | None


def _plain(rates: _PlainRates) -> UsdPerMtok:
    given = (rates.input, rates.output, rates.cache_read, rates.cache_write)
    usd = [None if figure is None else str(figure) for figure in given]
    return UsdPerMtok.model_validate(
        dict(zip(("input", "output", "cache_read", "cache_write_5m"), usd, strict=True))
    )
