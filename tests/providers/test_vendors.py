"""Usage as each vendor of OpenAI's dialect reports it; the figures are made up, the fields are theirs."""

import pytest
from tests.providers.examples import answers, call, complete, finished, sse, streams

from dynaroute_mcp.types import Usage

VENDORS = {
    "openai": (
        {
            "prompt_tokens": 2_006,
            "completion_tokens": 300,
            "total_tokens": 2_306,
            "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": 0},
        },
        Usage(uncached_input_tokens=86, cache_read_tokens=1_920, output_tokens=300, reasoning_tokens=192),
    ),
    "openai with paid cache writes": (
        {
            "prompt_tokens": 2_000,
            "completion_tokens": 10,
            "total_tokens": 2_010,
            "prompt_tokens_details": {"cached_tokens": 500, "cache_write_tokens": 1_400},
        },
        Usage(
            uncached_input_tokens=100, cache_read_tokens=500, cache_write_5m_tokens=1_400, output_tokens=10
        ),
    ),
    "deepseek": (
        {
            "prompt_tokens": 120,
            "completion_tokens": 40,
            "total_tokens": 160,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 56,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        Usage(uncached_input_tokens=56, cache_read_tokens=64, output_tokens=40, reasoning_tokens=30),
    ),
    "xai counts reasoning beside the completion": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {"cached_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        Usage(uncached_input_tokens=26, cache_read_tokens=6, output_tokens=103, reasoning_tokens=94),
    ),
    "mistral": (
        {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55, "num_cached_tokens": 16},
        Usage(uncached_input_tokens=34, cache_read_tokens=16, output_tokens=5),
    ),
    "moonshot": (
        {"prompt_tokens": 19, "completion_tokens": 21, "total_tokens": 40, "cached_tokens": 10},
        Usage(uncached_input_tokens=9, cache_read_tokens=10, output_tokens=21),
    ),
    "zai": (
        {
            "prompt_tokens": 8,
            "completion_tokens": 12,
            "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        Usage(uncached_input_tokens=8, output_tokens=12),
    ),
    "qwen with an explicit cache": (
        {
            "prompt_tokens": 3_019,
            "completion_tokens": 104,
            "total_tokens": 3_123,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_creation_input_tokens": 2_048},
        },
        Usage(uncached_input_tokens=971, cache_write_5m_tokens=2_048, output_tokens=104),
    ),
    "openrouter": (
        {
            "prompt_tokens": 10_339,
            "completion_tokens": 60,
            "total_tokens": 10_399,
            "cost": 0.0071,
            "prompt_tokens_details": {"cached_tokens": 10_318, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        Usage(uncached_input_tokens=21, cache_read_tokens=10_318, output_tokens=60, reasoning_tokens=4),
    ),
    "ollama": (
        {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324},
        Usage(uncached_input_tokens=26, output_tokens=298),
    ),
}


@pytest.mark.parametrize(("reported", "expected"), VENDORS.values(), ids=VENDORS.keys())
async def test_a_vendors_usage_falls_into_buckets_that_do_not_overlap(
    reported: dict[str, object], expected: Usage
) -> None:
    whole = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": reported}
    pieces = sse(
        {"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": reported},
    )

    answer = await complete(answers(whole), call("openai"))
    end = await finished(streams(pieces), call("openai"))

    assert answer.usage == expected
    assert end.usage == expected
    assert answer.usage.total_tokens == reported["total_tokens"]


@pytest.mark.parametrize(
    "last",
    [
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": VENDORS["ollama"][0]}},
        {"choices": [{"delta": {}, "finish_reason": "stop", "usage": VENDORS["ollama"][0]}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": VENDORS["ollama"][0]},
    ],
    ids=["groq", "moonshot", "mistral"],
)
async def test_usage_in_the_last_chunk_is_found_wherever_it_stands(last: dict[str, object]) -> None:
    end = await finished(streams(sse({"choices": [{"delta": {"content": "x"}}]}, last)), call("openai"))

    assert end.usage == VENDORS["ollama"][1]


@pytest.mark.parametrize("usage", [None, "lots", [], 7, {}])
async def test_usage_that_is_no_usage_leaves_the_answer_whole(usage: object) -> None:
    reply = {"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}], "usage": usage}

    answer = await complete(answers(reply), call("openai"))

    assert answer.message.text == "a b"
    assert answer.usage == Usage(uncached_input_tokens=11, output_tokens=2, source="estimated")


@pytest.mark.parametrize("count", [-1, 1e30, "12", [1]])
async def test_hostile_counts_leave_the_answer_whole_and_the_books_sane(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "prompt_tokens_details": "x"}
    reply = {"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}], "usage": usage}

    answer = await complete(answers(reply), call("openai"))

    assert answer.usage == Usage(uncached_input_tokens=11, output_tokens=2, source="clamped")
