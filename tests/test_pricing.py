"""Prices are exact, dated and never guessed; savings are signed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.pricing import (
    NOTHING,
    Processing,
    current_rates,
    dollars_of,
    expected_cost,
    gpt41_saving,
    maximum_cost,
    price,
    quote,
    saving,
    saving_pct,
    tariff_at,
)
from dynaroute_mcp.types import Usage

CATALOG = load_catalog()
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""A Sunday."""
TUESDAY = datetime(2026, 11, 24, tzinfo=UTC)
LUNA, HAIKU, SONNET = "openai/gpt-6-luna", "anthropic/claude-haiku-5-5", "anthropic/claude-sonnet-5-5"
MODELS = sorted(CATALOG.prices)

counts = st.integers(min_value=0, max_value=2_000_000)
usages = st.builds(
    Usage,
    uncached_input_tokens=counts,
    cache_read_tokens=counts,
    cache_write_5m_tokens=counts,
    cache_write_1h_tokens=counts,
    output_tokens=counts,
)


def total(model_id: str, usage: Usage, at: datetime = NOW, processing: Processing = "standard") -> Decimal:
    cost = price(CATALOG, model_id, at, usage, processing=processing)
    assert cost is not None
    return cost.total_usd


def tokens(prompt: int, completion: int = 0) -> Usage:
    return Usage(uncached_input_tokens=prompt, output_tokens=completion)


def test_the_documents_example_costs_what_it_says() -> None:
    usage = tokens(1_000, 500)
    cost = price(CATALOG, "gemini/gemini-2.5-flash", NOW, usage)
    assert cost is not None
    saved = gpt41_saving(CATALOG, cost, usage)
    assert saved is not None

    assert (cost.input_usd, cost.output_usd, cost.total_usd) == (
        Decimal("0.0003"),
        Decimal("0.00125"),
        Decimal("0.00155"),
    )
    assert saved.baseline_usd == Decimal("0.006")
    assert saved.saved_usd == Decimal("0.00445")
    assert round(saved.saved_pct, 2) == Decimal("74.17")


def test_a_dearer_model_shows_a_loss() -> None:
    usage = tokens(1_000, 500)
    cost = quote(CATALOG, "anthropic/claude-sonnet-4-5", NOW, 1_000, 500)
    assert cost is not None
    saved = gpt41_saving(CATALOG, cost, usage)
    assert saved is not None

    assert cost.total_usd == Decimal("0.0105")
    assert (saved.saved_usd, saved.saved_pct) == (Decimal("-0.0045"), Decimal(-75))


def test_a_price_names_its_row_and_the_catalog_it_rests_on() -> None:
    cost = quote(CATALOG, "openai/gpt-4.1", NOW, 1, 1)

    assert cost is not None
    assert cost.basis.startswith("openai/gpt-4.1@20")
    assert cost.basis.endswith(f"#{CATALOG.digest}")


def test_an_unknown_price_is_none_and_never_zero() -> None:
    assert price(CATALOG, "nobody/nothing", NOW, tokens(1)) is None
    assert price(CATALOG, LUNA, datetime(2020, 1, 1, tzinfo=UTC), tokens(1)) is None
    assert maximum_cost((tariff_at(CATALOG, NOW),), "nobody/nothing", 1, 1) is None
    assert saving(CATALOG, "nobody/nothing", tokens(1), Decimal(1), NOW) is None


def test_a_free_model_costs_nothing_and_says_so() -> None:
    free = CATALOG.get_model(LUNA).model_copy(update={"id": "openai/free", "free": True})
    catalog = replace(CATALOG, by_id={**CATALOG.by_id, free.id: free})
    cost = price(catalog, free.id, NOW, tokens(1_000, 1_000))

    assert cost is not None
    assert cost.total_usd == 0
    assert cost.basis.startswith("openai/free@free")


@pytest.mark.parametrize(
    ("prompt", "expected"), [(99_000, "0.0104"), (100_000, "0.0105"), (120_000, "0.0625")]
)
def test_a_long_prompt_is_billed_whole_at_the_tiers_rate(prompt: int, expected: str) -> None:
    assert total(HAIKU, tokens(prompt, 1_000)) == Decimal(expected)


def test_cached_tokens_count_towards_a_tiers_bound() -> None:
    usage = Usage(uncached_input_tokens=1_000, cache_read_tokens=99_001)

    assert total(HAIKU, usage) == Decimal("0.0005") + Decimal(99001) * Decimal("0.05") / 1_000_000


def test_each_cache_bucket_has_its_own_rate() -> None:
    million = 1_000_000

    assert total(SONNET, Usage(cache_read_tokens=million)) == Decimal("0.1")
    assert total(SONNET, Usage(cache_write_5m_tokens=million)) == Decimal("2.5")
    assert total(SONNET, Usage(cache_write_1h_tokens=million)) == Decimal(4)


def test_a_bucket_without_a_rate_of_its_own_is_plain_input() -> None:
    rates = current_rates(CATALOG, "cohere/command-a-03-2025", NOW)

    assert rates is not None
    assert rates.cache_read_usd_per_mtok == rates.cache_write_1h_usd_per_mtok == Decimal("2.5")


@pytest.mark.parametrize(
    ("at", "peak"),
    [
        (TUESDAY.replace(hour=0, minute=59), False),
        (TUESDAY.replace(hour=1), True),
        (TUESDAY.replace(hour=4), False),
        (TUESDAY.replace(hour=9, minute=59), True),
        (TUESDAY.replace(hour=10), False),
        (datetime(2026, 11, 21, 2, tzinfo=UTC), False),
        (datetime(2026, 10, 1, 2, tzinfo=UTC), False),
        (datetime.fromisoformat("2026-11-24T10:00:00+08:00"), True),
    ],
)
def test_peak_hours_cost_double_on_working_days(at: datetime, peak: bool) -> None:
    assert total("deepseek/deepseek-flash", tokens(1_000_000), at) == Decimal("0.30" if peak else "0.15")


def test_a_batch_costs_its_share_and_is_unknown_where_none_is_offered() -> None:
    assert total(LUNA, tokens(100_000, 100_000), processing="batch") == Decimal("0.03")
    assert total("xai/grok-4.3", tokens(100_000), processing="batch") == Decimal("0.1")
    assert price(CATALOG, "deepseek/deepseek-flash", NOW, tokens(1), processing="batch") is None


def test_the_maximum_takes_the_dearest_bucket_and_the_dearest_instant() -> None:
    quiet, peak = TUESDAY.replace(hour=0, minute=58), TUESDAY.replace(hour=1, minute=10)

    now, later = tariff_at(CATALOG, quiet), tariff_at(CATALOG, peak)

    plain = maximum_cost((tariff_at(CATALOG, NOW),), SONNET, 1_000_000, 1_000_000)
    at_peak = maximum_cost((now, later), "deepseek/deepseek-flash", 1_000_000, 0)
    assert plain is not None
    assert at_peak is not None
    assert (dollars_of(plain), dollars_of(at_peak)) == (Decimal("12.5"), Decimal("0.30"))


def test_the_baseline_gets_the_benefit_of_the_cache_too() -> None:
    usage = Usage(uncached_input_tokens=1_000, cache_read_tokens=9_000, output_tokens=500)
    saved = saving(CATALOG, "gpt-4.1", usage, Decimal(0), NOW)
    assert saved is not None

    assert saved.baseline_usd == Decimal("0.002") + Decimal("0.0045") + Decimal("0.004")


def test_moving_a_conversation_is_charged_to_the_router() -> None:
    cold = Usage(uncached_input_tokens=10_000)
    stayed = saving(CATALOG, "gpt-4.1", cold, Decimal(0), NOW, warm_tokens=8_000)
    beyond = saving(CATALOG, "gpt-4.1", cold, Decimal(0), NOW, warm_tokens=99_000)
    assert stayed is not None
    assert beyond is not None

    assert stayed.baseline_usd == Decimal("0.004") + Decimal("0.004")
    assert beyond.baseline_usd == Decimal("0.005")


def test_any_model_may_be_the_baseline_at_its_price_of_the_day() -> None:
    saved = saving(
        CATALOG, "gemini-4-argon", tokens(1_000_000), Decimal(1), datetime(2026, 12, 1, tzinfo=UTC)
    )

    assert saved is not None
    assert (saved.baseline_usd, saved.saved_pct) == (Decimal(4), Decimal(75))


def test_a_baseline_that_costs_nothing_saves_no_percentage() -> None:
    assert saving_pct(Decimal(0), Decimal(1)) == 0
    assert NOTHING.total_usd == 0


@given(model_id=st.sampled_from(MODELS), usage=usages)
def test_a_price_is_never_negative_and_has_every_nano_dollar(model_id: str, usage: Usage) -> None:
    cost = price(CATALOG, model_id, NOW, usage)

    assert cost is None or cost.total_usd >= 0
    assert cost is None or cost.total_usd == cost.total_usd.quantize(Decimal("1e-16"))


@given(model_id=st.sampled_from(MODELS), prompt=st.integers(0, 10_000), left=counts, right=counts)
def test_a_price_is_additive_in_the_output(model_id: str, prompt: int, left: int, right: int) -> None:
    both = price(CATALOG, model_id, NOW, tokens(prompt, left + right))
    one, other = (
        price(CATALOG, model_id, NOW, tokens(prompt, left)),
        price(CATALOG, model_id, NOW, tokens(0, right)),
    )
    if both is None or one is None or other is None:
        assert both is one is other is None
        return

    lone_output = quote(CATALOG, model_id, NOW, prompt, right)
    assert lone_output is not None
    assert both.output_usd == one.output_usd + lone_output.output_usd
    assert other.input_usd == 0


@given(model_id=st.sampled_from(MODELS), usage=usages, more=st.integers(0, 1_000_000))
def test_more_tokens_never_cost_less(model_id: str, usage: Usage, more: int) -> None:
    less = price(CATALOG, model_id, NOW, usage)
    grown = price(
        CATALOG,
        model_id,
        NOW,
        replace(
            usage,
            uncached_input_tokens=usage.uncached_input_tokens + more,
            output_tokens=usage.output_tokens + more,
        ),
    )

    assert less is None or (grown is not None and grown.total_usd >= less.total_usd)


@given(model_id=st.sampled_from(MODELS), prompt=counts, completion=counts)
def test_the_maximum_bounds_every_mix_of_plain_and_cached_input(
    model_id: str, prompt: int, completion: int
) -> None:
    bound = maximum_cost((tariff_at(CATALOG, NOW),), model_id, prompt, completion)
    mixes = (
        tokens(prompt, completion),
        Usage(cache_read_tokens=prompt, output_tokens=completion),
        Usage(cache_write_5m_tokens=prompt, output_tokens=completion),
    )

    for usage in mixes:
        cost = price(CATALOG, model_id, NOW, usage)
        assert cost is None or (bound is not None and cost.total_usd <= dollars_of(bound))


@given(model_id=st.sampled_from(MODELS), prompt=counts, completion=counts)
def test_the_maximum_of_a_prompt_that_is_cached_for_an_hour_bounds_its_price(
    model_id: str, prompt: int, completion: int
) -> None:
    usage = Usage(cache_write_1h_tokens=prompt, output_tokens=completion)
    bound = maximum_cost((tariff_at(CATALOG, NOW),), model_id, prompt, completion, hour=True)
    cost = price(CATALOG, model_id, NOW, usage)

    assert cost is None or (bound is not None and cost.total_usd <= dollars_of(bound))


@given(
    model_id=st.sampled_from(MODELS),
    at=st.integers(0, 90 * 24 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    uncached=counts,
    cached=counts,
    completion=counts,
)
def test_a_tariff_says_what_the_price_of_the_instant_says(
    model_id: str, at: datetime, uncached: int, cached: int, completion: int
) -> None:
    usage = Usage(uncached_input_tokens=uncached, cache_read_tokens=cached, output_tokens=completion)
    step = tariff_at(CATALOG, at).at_size(uncached + cached).get(model_id)
    cost = price(CATALOG, model_id, at, usage)

    assert (step is None) == (cost is None)
    assert (
        step is None
        or cost is None
        or dollars_of(expected_cost(step, uncached, cached, completion)) == cost.total_usd
    )


def test_a_tariff_is_remembered_until_a_day_or_an_hour_changes_prices() -> None:
    quiet, later, peak = (TUESDAY.replace(hour=hour) for hour in (4, 5, 6))

    assert tariff_at(CATALOG, quiet) is tariff_at(CATALOG, later)
    assert tariff_at(CATALOG, quiet) is not tariff_at(CATALOG, peak)
    assert tariff_at(CATALOG, later) is not tariff_at(CATALOG, TUESDAY.replace(day=25, hour=5))


@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_a_tariff_changes_where_the_price_does(beyond: int) -> None:
    tiered = [(model_id, tier) for model_id in MODELS for tier in tiers_of(model_id)]
    assert tiered

    for model_id, above in tiered:
        size = above + beyond
        step = tariff_at(CATALOG, NOW).at_size(size)[model_id]
        assert dollars_of(expected_cost(step, size, 0, 1_000)) == total(model_id, tokens(size, 1_000))


def tiers_of(model_id: str) -> list[int]:
    row = CATALOG.find_price(model_id, NOW)
    return [tier.above_tokens for tier in row.tiers] if row is not None else []


def test_what_was_read_from_the_cache_anyway_is_not_counted_as_warm_again() -> None:
    usage = Usage(uncached_input_tokens=1_000, cache_read_tokens=500)

    warm = saving(CATALOG, "gpt-4.1", usage, Decimal(0), NOW, warm_tokens=800)
    same = saving(
        CATALOG, "gpt-4.1", Usage(uncached_input_tokens=700, cache_read_tokens=800), Decimal(0), NOW
    )

    assert warm == same
