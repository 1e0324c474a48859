import pytest
from tests.providers.examples import (
    ALL,
    KEY,
    PIXEL,
    TOOL_TALK,
    WEATHER,
    answers,
    ask,
    call,
    collect,
    complete,
    finished,
    say,
    sse,
    streams,
)

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.errors import ProviderGarbled, ProviderRateLimited, ProviderUnavailable
from dynaroute_mcp.types import (
    Document,
    Effort,
    Finished,
    Image,
    Message,
    Parameters,
    Reasoning,
    ReasoningDelta,
    ResponseFormat,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Usage,
)

OK = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "model-1-20261001",
    "content": [{"type": "text", "text": "Hi."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 2},
}
ADAPTIVE = Constraints(thinking="adaptive", efforts=("none", "low", "medium", "high", "max"), sampling=False)
BUDGET = Constraints(thinking="budget", efforts=("none", "low", "medium", "high"))
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}


async def test_a_plain_request_and_its_reply() -> None:
    provider = answers(OK)
    request = ask(
        say("system", "Be kind."), say("user", "Hello"), parameters=Parameters(temperature=0.5, top_k=40)
    )

    answer = await complete(provider, call("anthropic", request))

    (sent,) = provider.sent
    assert sent.url == "https://api.example.com/v1/messages"
    assert sent.headers["x-api-key"] == KEY
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.body == {
        "model": "model-1",
        "max_tokens": 4_096,
        "system": "Be kind.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "temperature": 0.5,
        "top_k": 40,
    }
    assert answer.message == say("assistant", "Hi.")
    assert answer.usage == Usage(uncached_input_tokens=9, output_tokens=2)
    assert (answer.finish_reason, answer.wire_model, answer.provider_request_id) == (
        "stop",
        "model-1-20261001",
        "msg_1",
    )


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("https://api.z.ai/api/anthropic", "https://api.z.ai/api/anthropic/v1/messages"),
        ("http://127.0.0.1:9/anthropic/v1", "http://127.0.0.1:9/anthropic/v1/messages"),
    ],
)
async def test_the_version_stands_in_the_address_once(base_url: str, url: str) -> None:
    provider = answers(OK)

    await complete(provider, call("anthropic", base_url=base_url, api_key=None))

    assert provider.sent[0].url == url
    assert "x-api-key" not in provider.sent[0].headers


async def test_turns_alternate_and_tool_results_stand_first() -> None:
    provider = answers(OK)
    talk = (*TOOL_TALK, say("user", "And Oslo?"))

    await complete(provider, call("anthropic", ask(*talk, tools=[WEATHER])))

    (sent,) = provider.sent
    assert sent.body["system"] == "Be brief."
    assert sent.body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Weather in Paris and Rome?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_a", "name": "get_weather", "input": {"city": "Paris"}},
                {"type": "tool_use", "id": "call_b", "name": "get_weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_a",
                    "content": [{"type": "text", "text": "18 C"}],
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "call_b",
                    "content": [{"type": "text", "text": "no data"}],
                    "is_error": True,
                },
                {"type": "text", "text": "And Oslo?"},
            ],
        },
    ]
    assert sent.body["tools"] == [
        {
            "name": "get_weather",
            "description": "Current weather of a city.",
            "input_schema": dict(WEATHER.parameters),
        }
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "wire"),
    [
        (None, None, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="none"), True, {"type": "none"}),
        (ToolChoice(mode="required"), True, {"type": "any", "disable_parallel_tool_use": False}),
        (ToolChoice(mode="named", name="get_weather"), None, {"type": "tool", "name": "get_weather"}),
    ],
)
async def test_the_choice_of_tools_is_put_into_words(
    choice: ToolChoice | None, parallel: bool | None, wire: object
) -> None:
    provider = answers(OK)
    parameters = Parameters(parallel_tool_calls=parallel)

    await complete(
        provider, call("anthropic", ask(tools=[WEATHER], tool_choice=choice, parameters=parameters))
    )

    assert provider.sent[0].body.get("tool_choice") == wire


async def test_arguments_that_are_no_object_are_wrapped_and_not_lost() -> None:
    provider = answers(OK)
    calls = [ToolCall(id=str(n), name="f", arguments=text) for n, text in enumerate(["{oops", "[1]", ""])]

    await complete(provider, call("anthropic", ask(say("assistant", *calls), say("user", "?"))))

    messages = provider.sent[0].body["messages"]
    assert isinstance(messages, list)
    assert [block["input"] for block in messages[0]["content"]] == [
        {"arguments": "{oops"},
        {"arguments": [1]},
        {},
    ]


async def test_images_and_files_go_out_as_blocks() -> None:
    provider = answers(OK)
    parts = (
        Image(data=PIXEL, media_type="image/png"),
        Image(url="https://example.com/a.png"),
        Document(media_type="application/pdf", name="a.pdf", data="JVBERi0="),
        Document(media_type="application/pdf", url="https://example.com/a.pdf"),
        Document(media_type="text/plain", data="aGVsbG8="),
        ToolResult(call_id="c", parts=(Image(data=PIXEL, media_type="image/png"),)),
    )

    await complete(provider, call("anthropic", ask(Message(role="user", parts=parts))))

    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    assert provider.sent[0].body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [png]},
                png,
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
                    "title": "a.pdf",
                },
                {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                {"type": "text", "text": "hello"},
            ],
        }
    ]


async def test_thinking_goes_back_signed_and_only_to_its_maker() -> None:
    provider = answers(OK)
    history = say(
        "assistant",
        Reasoning(text="Hm.", signature="sig", provider="acme"),
        Reasoning(redacted="abc", provider="acme"),
        Reasoning(text="unsigned", provider="acme"),
        Reasoning(text="foreign", signature="x", provider="other"),
        Text(text=""),
        "Yes.",
    )

    answer = await complete(provider, call("anthropic", ask(say("user", "?"), history, say("user", "Sure?"))))

    messages = provider.sent[0].body["messages"]
    assert isinstance(messages, list)
    assert messages[1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "Yes."},
    ]
    assert answer.dropped == ("reasoning",)


@pytest.mark.parametrize(
    ("constraints", "effort", "max_tokens", "wire"),
    [
        (ADAPTIVE, "high", 4_096, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (ADAPTIVE, "none", 4_096, {"thinking": {"type": "disabled"}}),
        (ADAPTIVE, "xhigh", 4_096, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        (BUDGET, "low", 16_000, {"thinking": {"type": "enabled", "budget_tokens": 2_048}}),
        (BUDGET, "high", 16_000, {"thinking": {"type": "enabled", "budget_tokens": 8_000}}),
        (BUDGET, "none", 16_000, {"thinking": {"type": "disabled"}}),
        (BUDGET, "high", 2_000, {}),
        (
            Constraints(thinking="effort", efforts=("low",)),
            "low",
            16_000,
            {"output_config": {"effort": "low"}},
        ),
        (Constraints(), "high", 16_000, {}),
        (ADAPTIVE, None, 16_000, {}),
    ],
)
async def test_effort_is_asked_for_in_the_models_own_way(
    constraints: Constraints, effort: Effort, max_tokens: int, wire: dict[str, object]
) -> None:
    provider = answers(OK)
    request = ask(parameters=Parameters(reasoning_effort=effort))

    await complete(
        provider, call("anthropic", request, constraints=constraints, max_output_tokens=max_tokens)
    )

    body = provider.sent[0].body
    assert {name: body[name] for name in ("thinking", "output_config") if name in body} == wire


async def test_a_schema_is_met_by_structured_output_beside_an_effort() -> None:
    provider = answers(OK)
    request = ask(
        response_format=ResponseFormat(kind="schema", schema=SCHEMA),
        parameters=Parameters(reasoning_effort="low"),
    )

    await complete(provider, call("anthropic", request, constraints=ADAPTIVE))

    assert provider.sent[0].body["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"age": {"type": "integer"}},
                "required": ["age"],
                "additionalProperties": False,
            },
        },
    }


async def test_an_older_model_meets_a_schema_by_a_forced_tool_whose_input_is_the_answer() -> None:
    block = {"type": "tool_use", "id": "t", "name": "json_answer", "input": {"age": 3}}
    whole = answers({**OK, "content": [block], "stop_reason": "tool_use"})
    pieces = streams(
        sse(
            {
                "type": "message_start",
                "message": {"id": "msg_1", "usage": {"input_tokens": 4, "output_tokens": 1}},
            },
            {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"age"'},
            },
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": ":3}"},
            },
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop"},
            names=True,
        )
    )
    one = call(
        "anthropic",
        ask(response_format=ResponseFormat(kind="schema", schema=SCHEMA)),
        capabilities=ALL - {"json_schema"},
    )

    answer = await complete(whole, one)
    events = await collect(pieces, one)

    assert whole.sent[0].body["tool_choice"] == {"type": "tool", "name": "json_answer"}
    assert whole.sent[0].body["tools"] == [
        {"name": "json_answer", "description": "Give the answer in this form.", "input_schema": SCHEMA}
    ]
    assert (answer.message.parts, answer.finish_reason) == ((Text(text='{"age":3}'),), "stop")
    assert events[:-1] == [TextDelta(text='{"age"'), TextDelta(text=":3}")]
    assert isinstance(events[-1], Finished)
    assert events[-1].finish_reason == "stop"


async def test_tool_calls_thinking_and_their_signatures_come_back() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
    ]

    answer = await complete(answers({**OK, "content": content, "stop_reason": "tool_use"}), call("anthropic"))

    assert answer.message.parts == (
        Reasoning(text="Hm.", signature="sig", provider="acme"),
        Reasoning(redacted="abc", provider="acme"),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments="{}"),
    )
    assert answer.finish_reason == "tool_calls"


async def test_cached_tokens_lie_beside_the_input_in_both_lifetimes() -> None:
    usage = {
        "input_tokens": 50,
        "cache_read_input_tokens": 100_000,
        "cache_creation_input_tokens": 248,
        "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 503,
        "output_tokens_details": {"thinking_tokens": 400},
    }

    answer = await complete(answers({**OK, "usage": usage}), call("anthropic"))

    assert answer.usage == Usage(
        uncached_input_tokens=50,
        cache_read_tokens=100_000,
        cache_write_5m_tokens=148,
        cache_write_1h_tokens=100,
        output_tokens=503,
        reasoning_tokens=400,
    )


async def test_cache_writes_without_a_lifetime_are_the_short_one() -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 70, "output_tokens": 1}

    answer = await complete(answers({**OK, "usage": usage}), call("anthropic"))

    assert answer.usage == Usage(uncached_input_tokens=5, cache_write_5m_tokens=70, output_tokens=1)


@pytest.mark.parametrize(
    "split",
    [{"ephemeral_1h_input_tokens": 60}, {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 60}],
)
async def test_cache_writes_of_which_only_the_long_ones_are_told_apart_are_counted_once(
    split: dict[str, int],
) -> None:
    usage = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 70,
        "cache_creation": split,
        "output_tokens": 1,
    }

    answer = await complete(answers({**OK, "usage": usage}), call("anthropic"))

    assert answer.usage == Usage(
        uncached_input_tokens=5, cache_write_5m_tokens=10, cache_write_1h_tokens=60, output_tokens=1
    )


async def test_a_stream_of_every_kind_of_block() -> None:
    body = sse(
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "model": "m",
                "usage": {"input_tokens": 25, "cache_read_input_tokens": 10, "output_tokens": 1},
            },
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "A"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "B"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "redacted_thinking", "data": "abc"},
        },
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": "So"}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "!"}},
        {
            "type": "content_block_start",
            "index": 3,
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 3,
            "delta": {"type": "input_json_delta", "partial_json": ""},
        },
        {
            "type": "content_block_delta",
            "index": 3,
            "delta": {"type": "input_json_delta", "partial_json": '{"x":1}'},
        },
        {"type": "content_block_stop", "index": 3},
        {
            "type": "content_block_start",
            "index": 4,
            "content_block": {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        },
        {"type": "content_block_stop", "index": 4},
        {"type": "a_kind_of_tomorrow"},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 40}},
        {"type": "message_stop"},
        names=True,
    )
    provider = streams(body)

    events = await collect(provider, call("anthropic"))

    assert provider.sent[0].body["stream"] is True
    assert events == [
        ReasoningDelta(text="A"),
        ReasoningDelta(text="B"),
        ReasoningDelta(signature="sig"),
        ReasoningDelta(redacted="abc"),
        TextDelta(text="So"),
        TextDelta(text="!"),
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x":1}'),
        ToolCallDelta(index=1, id="b", name="g"),
        ToolCallDelta(index=1, arguments="{}"),
        Finished(
            finish_reason="tool_calls",
            usage=Usage(uncached_input_tokens=25, cache_read_tokens=10, output_tokens=40),
            wire_model="m",
            provider_request_id="msg_1",
        ),
    ]


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
async def test_stop_reasons_are_understood(wire: str, ours: str) -> None:
    assert (await complete(answers({**OK, "stop_reason": wire}), call("anthropic"))).finish_reason == ours


@pytest.mark.parametrize(
    "reply",
    [
        {},
        [],
        {**OK, "stop_reason": None},
        {**OK, "content": None},
        {**OK, "content": "text"},
        {**OK, "content": [{"type": "tool_use"}]},
    ],
)
async def test_a_reply_without_an_answer_is_garbled(reply: object) -> None:
    with pytest.raises(ProviderGarbled):
        await complete(answers(reply), call("anthropic"))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start", "message": "x"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{"},
        },
        {"type": "message_stop"},
    ],
)
async def test_a_stream_that_makes_no_sense_is_garbled(event: dict[str, object]) -> None:
    with pytest.raises(ProviderGarbled):
        await collect(streams(sse(event)), call("anthropic"))


async def test_an_error_event_has_the_class_of_its_type() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

    with pytest.raises(ProviderUnavailable):
        await collect(streams(sse(error, names=True)), call("anthropic"))
    with pytest.raises(ProviderRateLimited):
        await complete(answers({"type": "error", "error": {"type": "rate_limit_error"}}), call("anthropic"))


async def test_usage_that_never_came_is_estimated() -> None:
    body = sse(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a b c"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    )

    end = await finished(streams(body), call("anthropic"))

    assert end.usage == Usage(uncached_input_tokens=11, output_tokens=3, source="estimated")


async def test_a_tool_keeps_its_strictness() -> None:
    provider = answers(OK)

    await complete(provider, call("anthropic", ask(tools=[Tool(name="now", strict=True)])))

    assert provider.sent[0].body["tools"] == [
        {
            "name": "now",
            "description": "",
            "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
            "strict": True,
        }
    ]


@pytest.mark.parametrize(
    ("stop_reason", "last", "passes"),
    [
        ("end_turn", say("user", "Hello"), False),
        ("end_turn", say("tool", ToolResult(call_id="c")), True),
        ("refusal", say("user", "Hello"), True),
        ("max_tokens", say("user", "Hello"), True),
    ],
)
async def test_an_empty_answer_passes_only_where_it_may_be_meant(
    stop_reason: str, last: Message, passes: bool
) -> None:
    one = call("anthropic", ask(last))
    whole = answers({**OK, "content": [], "stop_reason": stop_reason})
    pieces = streams(
        sse({"type": "message_delta", "delta": {"stop_reason": stop_reason}}, {"type": "message_stop"})
    )

    if passes:
        assert (await complete(whole, one)).message.parts == ()
        assert len(await collect(pieces, one)) == 1
    else:
        with pytest.raises(ProviderGarbled, match="empty"):
            await complete(whole, one)
        with pytest.raises(ProviderGarbled, match="empty"):
            await collect(pieces, one)


async def test_no_block_is_blank_and_an_answer_to_be_continued_ends_in_a_word() -> None:
    provider = answers(OK)
    call_it, result = ToolCall(id="c", name="f", arguments="{}"), ToolResult(call_id="c")
    talk = (
        say("user", "Hi", " "),
        say("assistant", "\n", call_it),
        say("tool", result),
        say("assistant", "It is \n"),
    )

    await complete(provider, call("anthropic", ask(*talk)))

    sent = provider.sent[0].body["messages"]
    assert isinstance(sent, list)
    assert [[block["type"] for block in turn["content"]] for turn in sent] == [
        ["text"],
        ["tool_use"],
        ["tool_result"],
        ["text"],
    ]
    assert sent[-1]["content"] == [{"type": "text", "text": "It is"}]
