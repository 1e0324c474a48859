import pytest
from tests.providers.examples import FakeProvider, answers, call, dialect_of

from dynaroute_mcp.providers.self_test import SelfTest, highest_level, self_test
from dynaroute_mcp.taxonomy import Level


async def outcome(provider: FakeProvider, *times: float) -> SelfTest:
    one = call("openai")
    ticks = iter(times)
    async with provider.wire() as wire:
        return await self_test(dialect_of(wire, one), one.endpoint, one.model, monotonic=lambda: next(ticks))


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ("1. Paris\n2. 27\n3. Ann", Level.L3),
        ("1: Paris.\n2: $27\n3: Ann", Level.L3),
        ("**1.** Paris\n**2.** 27 dollars\n**3.** Dan", Level.L2),
        ("1. Paris\n2. 15\n3. Ann", Level.L1),
        ("1. Lyon\n2. 27\n3. Ann", None),
        ("Paris 27 Ann", None),
        ("", None),
    ],
)
def test_a_model_is_trusted_up_to_its_first_miss(answer: str, level: Level | None) -> None:
    assert highest_level(answer) == level


async def test_one_prompt_shows_speed_and_level() -> None:
    reply = {
        "choices": [{"message": {"content": "1. Paris\n2. 27\n3. no idea"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 30},
    }
    provider = answers(reply)

    result = await outcome(provider, 10.0, 12.0)

    assert result == SelfTest(highest_level=Level.L2, took_s=2.0, output_tokens=30)
    assert result.tokens_per_s == 15.0
    assert (provider.sent[0].body["temperature"], provider.sent[0].body["max_tokens"]) == (0.0, 1_024)


async def test_a_clock_that_stands_still_gives_no_speed() -> None:
    reply = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}

    result = await outcome(answers(reply), 1.0, 1.0)
    assert (result.tokens_per_s, result.highest_level) == (None, None)


async def test_a_server_that_fails_is_trusted_with_nothing() -> None:
    result = await outcome(answers({}, status=500), 0.0)

    assert (result.tokens_per_s, result.highest_level) == (None, None)
    assert result.error is not None
    assert "status 500" in result.error
