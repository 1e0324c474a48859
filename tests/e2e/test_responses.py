"""The Responses API of a real gateway process, asked by OpenAI's own SDK."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from tests.e2e.gateway_process import WORDS, Gateway, Upstream, gateway, upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]
openai = pytest.importorskip("openai", reason="the SDK is not installed")

MODEL = "gpt-4.1"
TOOL: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
TEXT = "".join(WORDS)


@pytest.fixture(scope="module")
def behind() -> Iterator[Upstream]:
    with upstream() as told:
        yield told


@pytest.fixture(scope="module")
def at(behind: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("responses"), behind.url) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(at: Gateway) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{at.url}/v1", api_key=at.key(), max_retries=0) as client:
        yield client


class City(BaseModel):
    city: str
    people: int


def test_the_sdk_gets_a_response_with_its_cost(sdk: Any) -> None:
    answer = sdk.responses.create(model="auto", input="Hello", extra_body={"level_override": 1})

    assert (answer.output_text, answer.status) == (TEXT, "completed")
    assert answer.usage.total_tokens == 15
    assert answer.usage.cost["total_cost"] > 0
    assert answer.model_extra["_custom_routing_info"]["final_level_by_router"] == 1


def test_the_sdk_accumulates_a_stream(sdk: Any) -> None:
    with sdk.responses.stream(model=MODEL, input="Hello") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert "".join(deltas) == final.output_text == TEXT
    assert final.usage.total_tokens == 15


def test_the_sdk_calls_tools_and_sends_results_back(sdk: Any, behind: Upstream) -> None:
    asked: list[Any] = [{"role": "user", "content": "Weather?"}]
    answer = sdk.responses.create(model=MODEL, input=asked, tools=[TOOL], tool_choice="required")
    (call,) = answer.output
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"}
    sdk.responses.create(model=MODEL, input=[*asked, *answer.output, result])

    assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city": "Paris"}')
    assert [message["role"] for message in behind.asked[-1]["messages"]] == ["user", "assistant", "tool"]
    assert behind.asked[-1]["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'


def test_the_sdk_parses_structured_output(sdk: Any, behind: Upstream) -> None:
    answer = sdk.responses.parse(model=MODEL, input="Paris?", text_format=City)

    assert answer.output_parsed == City(city="Paris", people=2_100_000)
    assert behind.asked[-1]["response_format"]["json_schema"]["schema"]["required"] == ["city", "people"]


def test_the_sdk_raises_its_own_errors(sdk: Any) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.responses.create(model="gpt-99", input="Hello")
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.responses.create(model=MODEL, input="Hello", previous_response_id="resp_1")
    with pytest.raises(openai.NotFoundError, match="nothing of a response is kept"):
        sdk.responses.retrieve("resp_1")

    assert unknown.value.param == "model"
    assert wrong.value.param == "previous_response_id"


async def test_the_async_sdk_answers_and_streams(at: Gateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key=at.key("bob"), max_retries=0) as client:
        whole = await client.responses.create(model=MODEL, input="Hello")
        stream = await client.responses.create(model=MODEL, input="Hello", stream=True)
        events = [event async for event in stream]

    assert whole.output_text == TEXT
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == TEXT
