"""Whatever a provider answers, the outcome is an answer or a `ProviderError`."""

import json
from typing import Final

import anyio
import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.providers.examples import FakeProvider, call, collect, complete

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.errors import ProviderError
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.types import Completion, Finished, Message, Text, TextDelta

WORDS: Final = [
    "choices",
    "message",
    "delta",
    "content",
    "finish_reason",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "index",
    "id",
    "error",
    "code",
    "type",
    "text",
    "thinking",
    "stop_reason",
    "input_tokens",
    "output_tokens",
    "content_block",
    "partial_json",
    "candidates",
    "parts",
    "finishReason",
    "functionCall",
    "args",
    "usageMetadata",
    "promptTokenCount",
    "promptFeedback",
    "blockReason",
    "output",
    "status",
    "item",
    "response",
    "delta",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        ["stop", "STOP", "end_turn", "tool_use", "completed", "message_stop", "message_delta", "\ud800"]
    ),
    st.sampled_from(
        ["content_block_start", "content_block_delta", "response.completed", "function_call", "text"]
    ),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)
    ),
    max_leaves=16,
)
CALLS: dict[str, Call] = {
    "openai": call("openai"),
    "anthropic": call("anthropic"),
    "gemini": call("gemini"),
    "responses": call("openai", constraints=Constraints(needs_responses=True)),
}
DEEP = 1_500


def provider(content: bytes, status: int = 200) -> FakeProvider:
    return FakeProvider(httpx2.Response(status, content=content))


def check(one: Call, content: bytes, status: int = 200) -> None:
    async def both() -> None:
        try:
            answer = await complete(provider(content, status), one)
            assert_clean(answer)
        except ProviderError as error:
            str(error).encode()
        try:
            events = await collect(provider(b"data: " + content + b"\n\n", status), one)
            assert isinstance(events[-1], Finished)
            for event in events:
                repr(event).encode()
        except ProviderError as error:
            str(error).encode()

    anyio.run(both)


def assert_clean(answer: Completion) -> None:
    repr(answer).encode()
    assert 0 <= answer.usage.total_tokens <= 4 * 10**9


@pytest.mark.parametrize("one", CALLS.values(), ids=CALLS.keys())
@settings(deadline=None)
@given(document=DOCUMENTS, status=st.sampled_from([200, 200, 200, 400, 429, 500]))
def test_arbitrary_json_is_an_answer_or_a_provider_error(one: Call, document: object, status: int) -> None:
    check(one, json.dumps(document).encode(), status)


@pytest.mark.parametrize("one", CALLS.values(), ids=CALLS.keys())
@settings(deadline=None)
@given(content=st.binary(max_size=60))
@example(content=b"[" * 100_000)
@example(content=b'{"choices":' * 100_000)
def test_arbitrary_bytes_are_a_provider_error(one: Call, content: bytes) -> None:
    check(one, content)


@pytest.mark.parametrize("depth", [100, 330, 480, 640, 950, DEEP])
@pytest.mark.parametrize("one", CALLS.values(), ids=CALLS.keys())
def test_arguments_of_any_depth_are_an_answer_or_a_provider_error(one: Call, depth: int) -> None:
    deep = "[" * depth + '"\\ud800"' + "]" * depth
    replies = (
        f'{{"choices":[{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{{"a":{deep}}}}}}}]}},"finish_reason":"stop"}}]}}',
        f'{{"type":"message","content":[{{"type":"tool_use","name":"f","input":{deep}}}],"stop_reason":"tool_use"}}',
        f'{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"f","args":{deep}}}}}]}},"finishReason":"STOP"}}]}}',
    )
    for reply in replies:
        check(one, reply.encode())


SURROGATES: dict[DialectName, tuple[str, ...]] = {
    "openai": ('{"choices":[{"delta":{"content":"a\\ud800\\u0000b"},"finish_reason":"stop"}]}',),
    "anthropic": (
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\ud800\\u0000b"}}',
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"}}',
    ),
    "gemini": ('{"candidates":[{"content":{"parts":[{"text":"a\\ud800\\u0000b"}]},"finishReason":"STOP"}]}',),
}


@pytest.mark.parametrize("dialect", SURROGATES)
async def test_a_lone_surrogate_in_a_stream_is_made_harmless(dialect: DialectName) -> None:
    body = "".join(f"data: {document}\n\n" for document in SURROGATES[dialect]).encode()

    events = await collect(provider(body), call(dialect))

    assert events[0] == TextDelta(text="a?\0b")


async def test_half_a_character_in_our_own_request_is_replaced_on_its_way_out() -> None:
    fake = provider(b"{}")
    request = call("openai").request
    asked = type(request)(messages=(Message(role="user", parts=(Text(text="x\ud800"),)),))

    with pytest.raises(ProviderError):
        await complete(fake, call("openai", asked))

    assert fake.sent[0].body["messages"] == [{"role": "user", "content": "x?"}]
