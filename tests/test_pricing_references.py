"""Our prices against genai-prices and model-prices, where the `catalog` extra is installed."""

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dynaroute_mcp.catalog import load_catalog, load_overrides
from dynaroute_mcp.pricing import Processing, price
from dynaroute_mcp.pricing.check import check
from dynaroute_mcp.types import Usage

pytest.importorskip("genai_prices")
pytest.importorskip("model_prices")
reference = pytest.importorskip("dynaroute_mcp.pricing.reference")

CATALOG = load_catalog()
GENAI, MODEL_PRICES = reference.GenaiPrices(), reference.ModelPrices()
INSTANTS = (
    datetime(2026, 11, 22, 12, tzinfo=UTC),
    datetime(2026, 11, 24, 2, 30, tzinfo=UTC),
    datetime(2026, 12, 1, 12, tzinfo=UTC),
    datetime(2027, 1, 1, 12, tzinfo=UTC),
)
SIZES = (0, 1, 999, 32_001, 100_001, 200_001, 300_000)


def test_no_price_differs_without_an_excuse() -> None:
    found = check(CATALOG, [GENAI, MODEL_PRICES], date(2026, 11, 22), load_overrides())

    assert [drift for drift in found.drifts if drift.excuse is None] == []
    assert found.missing == ()
    assert found.compared > 900


def test_a_thousand_mixed_records_cost_the_same_as_there() -> None:
    dice = random.Random(20261122)
    models = [model for model in CATALOG.models if not model.retired(INSTANTS[0].date())]
    compared = 0
    for _ in range(1_000):
        model, at = dice.choice(models), dice.choice(INSTANTS)
        usage = Usage(
            uncached_input_tokens=dice.choice(SIZES),
            cache_read_tokens=dice.choice(SIZES),
            cache_write_5m_tokens=dice.choice(SIZES[:3]),
            cache_write_1h_tokens=dice.choice(SIZES[:3]) if model.provider == "anthropic" else 0,
            output_tokens=dice.choice(SIZES),
        )
        processing: Processing = dice.choice(("standard", "batch"))
        list_ = MODEL_PRICES if model.provider == "dashscope" else GENAI
        theirs = list_.total_usd(model, at, usage, processing)
        ours = price(CATALOG, model.id, at, usage, processing=processing)
        if theirs is None or model.retired(at.date()):
            continue
        compared += 1
        assert ours is not None, (model.id, at, processing)
        assert abs(ours.total_usd - theirs) <= Decimal("1e-9"), (model.id, at, usage, processing)

    assert compared > 700


def test_a_list_that_does_not_know_a_model_says_none() -> None:
    qwen = CATALOG.get_model("qwen3.8-max")
    nobody = qwen.model_copy(update={"provider": "cohere", "wire_id": "nobody"})
    luna = CATALOG.get_model("gpt-6-luna")

    assert GENAI.total_usd(qwen, INSTANTS[0], Usage(output_tokens=1), "standard") is None
    assert GENAI.total_usd(nobody, INSTANTS[0], Usage(output_tokens=1), "standard") is None
    assert MODEL_PRICES.total_usd(nobody, INSTANTS[0], Usage(output_tokens=1), "standard") is None
    assert MODEL_PRICES.total_usd(luna, INSTANTS[0], Usage(output_tokens=1), "standard") is None


def test_their_tables_are_our_rows() -> None:
    day = date(2026, 11, 22)
    for name in ("claude-haiku-5-5", "gpt-4.1", "gemini-4-argon", "qwen3.7-flash", "command-a"):
        model = CATALOG.get_model(name)
        ours = CATALOG.find_price(model.id, INSTANTS[0])
        theirs = GENAI.tables(model, day) or MODEL_PRICES.tables(model, day)
        assert ours is not None
        assert theirs is not None
        assert (theirs[0].usd_per_mtok, theirs[0].tiers, theirs[1]) == (
            ours.usd_per_mtok,
            ours.tiers,
            ours.batch,
        )

    nobody = CATALOG.get_model("gpt-4.1").model_copy(update={"wire_id": "nobody"})
    assert GENAI.tables(nobody, day) is None
    assert MODEL_PRICES.tables(nobody, day) is None
