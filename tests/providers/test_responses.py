import pytest
from tests.providers.examples import (
    ALL,
    PIXEL,
    TOOL_TALK,
    WEATHER,
    answers,
    ask,
    call,
    collect,
    complete,
    say,
    sse,
    streams,
)

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.errors import ProviderGarbled, ProviderRateLimited, ProviderUnavailable
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.types import (
    Document,
    Finished,
    Image,
    Message,
    Parameters,
    Reasoning,
    ReasoningDelta,
    ResponseFormat,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Usage,
)

FLAGS = Constraints(
    tools_need_responses=True, thinking="effort", efforts=("low", "medium", "high"), thinking_always_on=True
)
USAGE = {
    "input_tokens": 300,
    "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 100},
    "output_tokens": 90,
    "output_tokens_details": {"reasoning_tokens": 64},
    "total_tokens": 390,
}
COUNTED = Usage(
    uncached_input_tokens=72,
    cache_read_tokens=128,
    cache_write_5m_tokens=100,
    output_tokens=90,
    reasoning_tokens=64,
)
MESSAGE = {"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "Hi."}]}
OK = {"id": "resp_1", "model": "model-1-x", "status": "completed", "output": [MESSAGE], "usage": USAGE}


def one(*messages: Message, **more: object) -> Call:
    return call("openai", ask(*messages, tools=[WEATHER], **more), constraints=FLAGS)  # type: ignore[arg-type]


async def test_without_tools_the_model_is_still_asked_by_chat_completions() -> None:
    provider = answers({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

    await complete(provider, call("openai", constraints=FLAGS))

    assert provider.sent[0].url.endswith("/chat/completions")


async def test_a_model_of_this_api_only_is_asked_there_without_tools_too() -> None:
    provider = answers(OK)

    await complete(
        provider,
        call("openai", constraints=Constraints(needs_responses=True), capabilities=ALL - {"reasoning"}),
    )

    (sent,) = provider.sent
    assert sent.url == "https://api.example.com/v1/responses"
    assert sent.body == {
        "model": "model-1",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
        "store": False,
    }


async def test_a_conversation_with_tools_goes_out_as_items() -> None:
    provider = answers(OK)
    parameters = Parameters(
        max_tokens=50, parallel_tool_calls=True, reasoning_effort="low", verbosity="low", seed=1, stop=("x",)
    )

    answer = await complete(provider, one(*TOOL_TALK, parameters=parameters))

    (sent,) = provider.sent
    assert sent.body == {
        "model": "model-1",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 4_096,
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"verbosity": "low"},
        "input": [
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Weather in Paris and Rome?"}],
            },
            {
                "type": "function_call",
                "call_id": "call_a",
                "name": "get_weather",
                "arguments": '{"city":"Paris"}',
            },
            {
                "type": "function_call",
                "call_id": "call_b",
                "name": "get_weather",
                "arguments": '{"city":"Rome"}',
            },
            {"type": "function_call_output", "call_id": "call_a", "output": "18 C"},
            {"type": "function_call_output", "call_id": "call_b", "output": "no data"},
        ],
        "tools": [
            {
                "type": "function",
                "strict": False,
                "name": "get_weather",
                "description": "Current weather of a city.",
                "parameters": dict(WEATHER.parameters),
            }
        ],
    }
    assert answer.dropped == ("seed", "stop")
    assert (answer.message.text, answer.finish_reason, answer.usage) == ("Hi.", "stop", COUNTED)
    assert (answer.wire_model, answer.provider_request_id) == ("model-1-x", "resp_1")


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="named", name="get_weather"), {"type": "function", "name": "get_weather"}),
    ],
)
async def test_the_choice_of_tools_is_put_into_words(choice: ToolChoice, wire: object) -> None:
    provider = answers(OK)

    await complete(provider, one(tool_choice=choice))

    assert provider.sent[0].body["tool_choice"] == wire


@pytest.mark.parametrize(
    ("wanted", "wire"),
    [
        (ResponseFormat(kind="json"), {"type": "json_object"}),
        (
            ResponseFormat(kind="schema", name="x", schema={"type": "object"}, strict=True),
            {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True},
        ),
        (
            ResponseFormat(kind="schema", name="x", schema={"type": "object"}),
            {"type": "json_schema", "name": "x", "schema": {"type": "object"}},
        ),
    ],
)
async def test_the_form_of_the_answer_is_put_into_words(wanted: ResponseFormat, wire: object) -> None:
    provider = answers(OK)

    await complete(provider, one(response_format=wanted))

    assert provider.sent[0].body["text"] == {"format": wire}


async def test_images_files_and_results_with_images_go_out() -> None:
    provider = answers(OK)
    png = Image(data=PIXEL, media_type="image/png")
    talk = (
        say(
            "user",
            "See",
            Image(url="https://example.com/a.png", detail="low"),
            Document(media_type="application/pdf", data="JVBERi0="),
            Document(media_type="application/pdf", url="https://example.com/a.pdf"),
        ),
        say("tool", ToolResult(call_id="c", parts=(Text(text="t"), png)), png),
    )

    await complete(provider, one(*talk))

    data = f"data:image/png;base64,{PIXEL}"
    assert provider.sent[0].body["input"] == [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                {
                    "type": "input_file",
                    "filename": "document",
                    "file_data": "data:application/pdf;base64,JVBERi0=",
                },
                {"type": "input_file", "file_url": "https://example.com/a.pdf"},
            ],
        },
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [
                {"type": "input_text", "text": "t"},
                {"type": "input_image", "image_url": data, "detail": "auto"},
            ],
        },
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": data, "detail": "auto"}],
        },
    ]


async def test_reasoning_goes_back_whole_or_not_at_all() -> None:
    provider = answers(OK)
    history = say(
        "assistant",
        Reasoning(text="Hm.", signature="rs_1", redacted="enc", provider="acme"),
        Reasoning(signature="rs_2", redacted="enc2", provider="acme"),
        Reasoning(text="no proof", provider="acme"),
        "I look.",
        ToolCall(id="a", name="f", arguments="{}"),
    )

    await complete(provider, one(history))

    assert provider.sent[0].body["input"] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "enc",
        },
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "enc2"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    ]


async def test_parallel_calls_and_reasoning_come_back() -> None:
    output = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"text": "A"}, {"text": "B"}],
            "encrypted_content": "enc",
        },
        {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call", "name": "g", "arguments": ""},
        {"type": "web_search_call", "id": "w"},
        {"type": "message", "content": []},
    ]

    answer = await complete(answers({**OK, "output": output}), one())

    assert answer.message.parts == (
        Reasoning(text="A\n\nB", signature="rs_1", redacted="enc", provider="acme"),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="call_2", name="g", arguments="{}"),
    )
    assert answer.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("change", "finish"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "output": []}, "length"),
        (
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
            "content_filter",
        ),
    ],
)
async def test_endings_are_understood(change: dict[str, object], finish: str) -> None:
    assert (await complete(answers({**OK, **change}), one())).finish_reason == finish


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"status": "failed", "error": {"code": "rate_limit_exceeded"}}, ProviderRateLimited),
        ({"status": "failed", "error": None}, ProviderUnavailable),
        ({"status": "cancelled"}, ProviderUnavailable),
        ({"status": "queued"}, ProviderGarbled),
        ({"output": []}, ProviderGarbled),
        ({"output": "text"}, ProviderGarbled),
        ({"output": [{"type": "function_call"}]}, ProviderGarbled),
    ],
)
async def test_a_response_that_is_no_answer_fails(change: dict[str, object], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await complete(answers({**OK, **change}), one())


async def test_a_stream_of_every_kind_of_event() -> None:
    body = sse(
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "reasoning", "id": "rs_1"},
        },
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "Hm"},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"type": "reasoning", "id": "rs_1", "encrypted_content": "enc"},
        },
        {"type": "response.output_text.delta", "output_index": 1, "delta": "So"},
        {"type": "response.refusal.delta", "output_index": 1, "delta": "!"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"x":1}'},
        {"type": "response.function_call_arguments.done", "output_index": 2},
        {"type": "response.completed", "response": {**OK, "output": [MESSAGE, {"type": "function_call"}]}},
        names=True,
    )
    provider = streams(body)

    events = await collect(provider, one())

    assert provider.sent[0].body["stream"] is True
    assert events == [
        ReasoningDelta(text="Hm"),
        ReasoningDelta(signature="rs_1", redacted="enc"),
        TextDelta(text="So"),
        TextDelta(text="!"),
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x":1}'),
        Finished(
            finish_reason="tool_calls", usage=COUNTED, wire_model="model-1-x", provider_request_id="resp_1"
        ),
    ]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded"}, ProviderRateLimited),
        (
            {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}},
            ProviderUnavailable,
        ),
        ({"type": "response.output_text.delta", "delta": "x"}, ProviderGarbled),
        (
            {"type": "response.function_call_arguments.delta", "output_index": 3, "delta": "x"},
            ProviderGarbled,
        ),
        (
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call"}},
            ProviderGarbled,
        ),
        ({"type": "response.created", "response": 7}, ProviderGarbled),
    ],
)
async def test_a_stream_that_breaks_fails_by_the_type_of_its_fault(
    event: dict[str, object], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await collect(streams(sse(event)), one())


async def test_usage_that_is_missing_is_estimated() -> None:
    answer = await complete(answers({**OK, "usage": None}), one())

    assert answer.usage == Usage(uncached_input_tokens=11, output_tokens=1, source="estimated")
