import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.providers.usage import MAX_TOKENS, Reported, believe, tokens
from dynaroute_mcp.types import Usage

COUNTS = st.one_of(
    st.none(),
    st.integers(0, 10_000),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)
REPORTS = st.builds(
    Reported,
    input=COUNTS,
    cache_read=COUNTS,
    cache_write_5m=COUNTS,
    cache_write_1h=COUNTS,
    output=COUNTS,
    reasoning=COUNTS,
    inclusive=st.booleans(),
)


def settle(reported: Reported | None) -> Usage:
    return believe(reported, input_estimate=100, output_estimate=lambda: 7)


@given(reported=st.one_of(st.none(), REPORTS))
def test_buckets_are_finite_and_never_negative_whatever_was_reported(reported: Reported | None) -> None:
    usage = settle(reported)

    buckets = (
        usage.uncached_input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
        usage.output_tokens,
    )
    assert all(0 <= bucket <= MAX_TOKENS for bucket in buckets)
    assert {type(bucket) for bucket in buckets} == {int}
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens


@given(
    total=st.integers(0, MAX_TOKENS),
    read=st.integers(0, MAX_TOKENS),
    written=st.integers(0, MAX_TOKENS),
    output=st.integers(0, MAX_TOKENS),
)
def test_buckets_add_up_to_the_providers_total(total: int, read: int, written: int, output: int) -> None:
    usage = settle(Reported(input=total, cache_read=read, cache_write_5m=written, output=output))

    assert usage.total_tokens == total + output


@given(fresh=st.integers(0, 10**6), read=st.integers(0, 10**6), written=st.integers(0, 10**6))
def test_cached_tokens_beside_the_input_are_added_to_it(fresh: int, read: int, written: int) -> None:
    usage = settle(Reported(input=fresh, cache_read=read, cache_write_1h=written, output=1, inclusive=False))

    assert (usage.uncached_input_tokens, usage.cache_read_tokens, usage.cache_write_1h_tokens) == (
        fresh,
        read,
        written,
    )
    assert usage.source == "provider"


def test_nothing_reported_is_estimated_and_says_so() -> None:
    assert settle(None) == Usage(uncached_input_tokens=100, output_tokens=7, source="estimated")


def test_zero_is_a_value_and_no_gap() -> None:
    assert settle(Reported(input=0, output=0)) == Usage(source="provider")


@pytest.mark.parametrize("nonsense", [-5, 1e30, math.nan, math.inf, "12", True, [], {}, 10**9 + 1, -0.5])
def test_nonsense_is_replaced_by_the_estimate_and_flagged(nonsense: object) -> None:
    usage = settle(Reported(input=nonsense, output=nonsense))

    assert usage == Usage(uncached_input_tokens=100, output_tokens=7, source="clamped")


def test_one_missing_side_is_estimated_and_the_other_kept() -> None:
    assert settle(Reported(input=5)) == Usage(uncached_input_tokens=5, output_tokens=7, source="estimated")


def test_more_cached_than_sent_is_cut_and_flagged() -> None:
    usage = settle(Reported(input=10, cache_read=8, cache_write_5m=8, output=1))

    assert usage == Usage(cache_read_tokens=8, cache_write_5m_tokens=2, output_tokens=1, source="clamped")


def test_more_reasoning_than_output_is_cut_and_flagged() -> None:
    usage = settle(Reported(input=1, output=5, reasoning=9))

    assert (usage.output_tokens, usage.reasoning_tokens, usage.source) == (5, 5, "clamped")


def test_cached_tokens_without_a_total_stand_within_the_estimate() -> None:
    usage = settle(Reported(cache_read=400, output=1))

    assert (usage.input_tokens, usage.cache_read_tokens, usage.source) == (400, 400, "estimated")


def test_a_whole_float_is_a_count() -> None:
    assert tokens(12.0) == 12
