import pytest
from tests.providers.examples import (
    KEY,
    PIXEL,
    TOOL_TALK,
    WEATHER,
    Sent,
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

OK = {
    "id": "chatcmpl-1",
    "model": "model-1-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


async def test_a_plain_request_and_its_reply() -> None:
    provider = answers(OK)

    answer = await complete(provider, call("openai", ask(say("system", "Be kind."), say("user", "Hello"))))

    (sent,) = provider.sent
    assert sent.url == "https://api.example.com/v1/chat/completions"
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert sent.body == {
        "model": "model-1",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
    }
    assert answer.message == say("assistant", "Hi.")
    assert answer.usage == Usage(uncached_input_tokens=9, output_tokens=2)
    assert (answer.finish_reason, answer.wire_model, answer.provider_request_id) == (
        "stop",
        "model-1-2026",
        "chatcmpl-1",
    )


async def test_every_parameter_of_the_dialect_is_sent() -> None:
    provider = answers(OK)
    parameters = Parameters(
        max_tokens=50,
        temperature=0.0,
        top_p=0.9,
        stop=("END",),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50256": -100},
        parallel_tool_calls=False,
        reasoning_effort="low",
    )
    constraints = Constraints(max_tokens_field="max_completion_tokens", thinking="effort", efforts=("low",))

    await complete(
        provider,
        call(
            "openai",
            ask(tools=[WEATHER], parameters=parameters),
            constraints=constraints,
            max_output_tokens=40,
            takes=frozenset({"logit_bias"}),
        ),
    )

    (sent,) = provider.sent
    rest = {name: value for name, value in sent.body.items() if name not in {"model", "messages", "tools"}}
    assert rest == {
        "max_completion_tokens": 40,
        "temperature": 0.0,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"50256": -100},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
    }


async def test_a_conversation_with_parallel_tool_calls_goes_out_whole() -> None:
    provider = answers(OK)

    await complete(
        provider, call("openai", ask(*TOOL_TALK, tools=[WEATHER], tool_choice=ToolChoice(mode="auto")))
    )

    (sent,) = provider.sent
    assert sent.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in Paris and Rome?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
                },
                {
                    "id": "call_b",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "18 C"},
        {"role": "tool", "tool_call_id": "call_b", "content": "no data"},
    ]
    assert sent.body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Current weather of a city.",
                "parameters": dict(WEATHER.parameters),
            },
        }
    ]
    assert sent.body["tool_choice"] == "auto"


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="required"), "required"),
        (
            ToolChoice(mode="named", name="get_weather"),
            {"type": "function", "function": {"name": "get_weather"}},
        ),
    ],
)
async def test_the_choice_of_tools_is_put_into_words(choice: ToolChoice, wire: object) -> None:
    provider = answers(OK)

    await complete(provider, call("openai", ask(tools=[WEATHER], tool_choice=choice)))

    assert provider.sent[0].body["tool_choice"] == wire


async def test_images_and_files_go_out_as_parts() -> None:
    provider = answers(OK)
    parts = (
        Text(text="Compare."),
        Image(url="https://example.com/a.png", detail="low"),
        Image(data=PIXEL, media_type="image/png"),
        Document(media_type="application/pdf", name="a.pdf", data="JVBERi0="),
    )

    await complete(provider, call("openai", ask(Message(role="user", parts=parts))))

    assert provider.sent[0].body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Compare."},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                },
            ],
        }
    ]


async def test_an_image_in_a_tool_result_follows_it_as_the_users() -> None:
    provider = answers(OK)
    result = ToolResult(call_id="c", parts=(Text(text="see"), Image(url="https://example.com/a.png")))

    await complete(provider, call("openai", ask(say("tool", result))))

    assert provider.sent[0].body["messages"] == [
        {"role": "tool", "tool_call_id": "c", "content": "see"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
        },
    ]


@pytest.mark.parametrize(
    ("later", "roles"),
    [((), []), ((say("user", "And?"),), ["user"]), ((say("assistant", "Ah."),), ["assistant"])],
)
async def test_nothing_stands_between_the_results_of_parallel_calls(
    later: tuple[Message, ...], roles: list[str]
) -> None:
    provider = answers(OK)
    picture = ToolResult(call_id="a", parts=(Image(url="https://example.com/a.png"),))
    text = ToolResult(call_id="b", parts=(Text(text="plain"),))

    await complete(provider, call("openai", ask(say("tool", picture), say("tool", text), *later)))

    messages = provider.sent[0].body["messages"]
    assert isinstance(messages, list)
    assert [each["role"] for each in messages] == ["tool", "tool", "user", *roles]
    assert [each["tool_call_id"] for each in messages[:2]] == ["a", "b"]
    assert messages[2]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    ]


async def test_reasoning_goes_back_to_the_provider_that_made_it() -> None:
    provider = answers(OK)
    history = say("assistant", Reasoning(text="Hm.", provider="acme"), "Yes.")

    await complete(provider, call("openai", ask(say("user", "?"), history, say("user", "Sure?"))))

    messages = provider.sent[0].body["messages"]
    assert isinstance(messages, list)
    assert messages[1] == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}


@pytest.mark.parametrize(
    ("block", "takes_reasoning", "is_sent"),
    [
        (Reasoning(text="Hm."), True, True),
        (Reasoning(text="Hm."), False, False),
        (Reasoning(text="Hm.", signature="s"), True, False),
        (Reasoning(text="Hm.", provider="other"), True, False),
    ],
)
async def test_plain_reasoning_of_an_unnamed_provider_goes_to_those_that_take_it(
    block: Reasoning, takes_reasoning: bool, is_sent: bool
) -> None:
    provider = answers(OK)
    history = say("assistant", block, ToolCall(id="c", name="look", arguments="{}"))
    request = ask(say("user", "?"), history, say("tool", ToolResult(call_id="c", parts=())))

    completion = await complete(provider, call("openai", request, takes_reasoning=takes_reasoning))

    messages = provider.sent[0].body["messages"]
    assert isinstance(messages, list)
    assert messages[1].get("reasoning_content") == ("Hm." if is_sent else " " if takes_reasoning else None)
    assert completion.dropped == (() if is_sent else ("reasoning",))


@pytest.mark.parametrize(
    ("wanted", "wire"),
    [
        (ResponseFormat(kind="json"), {"type": "json_object"}),
        (
            ResponseFormat(kind="schema", name="x", schema={"type": "object"}, strict=True),
            {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True},
            },
        ),
        (
            ResponseFormat(kind="schema", schema={"type": "object"}),
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}},
        ),
    ],
)
async def test_the_form_of_the_answer_is_put_into_words(wanted: ResponseFormat, wire: object) -> None:
    provider = answers(OK)

    await complete(provider, call("openai", ask(response_format=wanted)))

    assert provider.sent[0].body["response_format"] == wire


async def test_a_strict_tool_without_arguments_has_a_whole_schema() -> None:
    provider = answers(OK)
    tool = type(WEATHER)(name="now", strict=True)

    await complete(provider, call("openai", ask(tools=[tool])))

    assert provider.sent[0].body["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "now",
                "description": "",
                "parameters": {"type": "object", "properties": {}},
                "strict": True,
            },
        }
    ]


async def test_a_keyless_server_gets_no_key() -> None:
    provider = answers(OK)

    await complete(provider, call("openai", api_key=None))

    assert "authorization" not in provider.sent[0].headers


async def test_parallel_tool_calls_come_back_whole() -> None:
    message = {
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            {"type": "function", "function": {"name": "h", "arguments": {"y": [2]}}},
        ],
    }

    answer = await complete(
        answers({"choices": [{"message": message, "finish_reason": "tool_calls"}]}), call("openai")
    )

    assert answer.finish_reason == "tool_calls"
    assert answer.message.parts == (
        ToolCall(id="a", name="f", arguments='{"x": 1}'),
        ToolCall(id="b", name="g", arguments="{}"),
        ToolCall(id="call_2", name="h", arguments='{"y":[2]}'),
    )


async def test_a_stream_asks_for_usage_and_gives_text_as_it_comes() -> None:
    chunks = [
        {"id": "c1", "model": "m", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
        {"choices": [{"delta": {"content": "Par"}}]},
        {"choices": [{"delta": {"content": "is"}}]},
        {"choices": [{"delta": {}, "finish_reason": "length"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}},
    ]
    provider = streams(sse(*chunks, done=True))

    events = await collect(provider, call("openai"))

    assert provider.sent[0].body["stream"] is True
    assert provider.sent[0].body["stream_options"] == {"include_usage": True}
    assert events == [
        TextDelta(text="Par"),
        TextDelta(text="is"),
        Finished(
            finish_reason="length",
            usage=Usage(uncached_input_tokens=5, output_tokens=2),
            wire_model="m",
            provider_request_id="c1",
        ),
    ]


async def test_a_provider_that_does_not_know_the_option_is_not_asked_for_usage() -> None:
    provider = streams(sse({"choices": [{"delta": {}, "finish_reason": "stop"}]}))

    await collect(provider, call("openai", usage_in_stream=False))

    assert "stream_options" not in provider.sent[0].body


def _piece(index: int | None, arguments: str, **first: object) -> dict[str, object]:
    place = {} if index is None else {"index": index}
    name = {"name": first["name"]} if "name" in first else {}
    id_ = {"id": first["id"]} if "id" in first else {}
    return {
        "choices": [
            {"delta": {"tool_calls": [{**place, **id_, "function": {**name, "arguments": arguments}}]}}
        ]
    }


END_CALLS = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}


async def test_parallel_tool_calls_arrive_in_pieces() -> None:
    body = sse(
        _piece(0, "", id="a", name="f"),
        _piece(0, '{"x":'),
        _piece(1, "{}", id="b", name="g"),
        _piece(0, "1}"),
        END_CALLS,
        done=True,
    )

    *deltas, end = await collect(streams(body), call("openai"))

    assert deltas == [
        ToolCallDelta(index=0, id="a", name="f"),
        ToolCallDelta(index=0, arguments='{"x":'),
        ToolCallDelta(index=1, id="b", name="g", arguments="{}"),
        ToolCallDelta(index=0, arguments="1}"),
    ]
    assert isinstance(end, Finished)
    assert end.finish_reason == "tool_calls"


async def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    body = sse(_piece(0, "{}", id="a", name="f"), _piece(0, "{}", id="b", name="g"), END_CALLS)

    *deltas, _ = await collect(streams(body), call("openai"))

    assert deltas == [
        ToolCallDelta(index=0, id="a", name="f", arguments="{}"),
        ToolCallDelta(index=1, id="b", name="g", arguments="{}"),
    ]


async def test_a_call_without_id_and_index_gets_ours_and_a_plain_stop_is_corrected() -> None:
    body = sse(_piece(None, "{}", name="f"), {"choices": [{"delta": {}, "finish_reason": "stop"}]})

    *deltas, end = await collect(streams(body), call("openai"))

    assert deltas == [ToolCallDelta(index=0, id="call_0", name="f", arguments="{}")]
    assert isinstance(end, Finished)
    assert end.finish_reason == "tool_calls"


async def test_a_call_without_a_name_is_garbled() -> None:
    reply = {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {}}]}, "finish_reason": "stop"}]}

    with pytest.raises(ProviderGarbled):
        await complete(answers(reply), call("openai"))
    with pytest.raises(ProviderGarbled):
        await collect(streams(sse(_piece(0, "{}", id="a"))), call("openai"))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_is_kept_apart_from_the_text(field: str) -> None:
    whole = {"choices": [{"message": {"content": "4", field: "2+2"}, "finish_reason": "stop"}]}
    pieces = sse(
        {"choices": [{"delta": {field: "2+2"}}]},
        {"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]},
    )

    answer = await complete(answers(whole), call("openai"))
    events = await collect(streams(pieces), call("openai"))

    assert answer.message.parts == (Reasoning(text="2+2", provider="acme"), Text(text="4"))
    assert events[:2] == [ReasoningDelta(text="2+2"), TextDelta(text="4")]


async def test_structured_content_is_read_as_text_and_thought() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}, {"type": "text"}]},
        {"type": "thinking", "thinking": "."},
        {"type": "text", "text": "Yes"},
    ]

    answer = await complete(
        answers({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}), call("openai")
    )

    assert answer.message.parts == (Reasoning(text="Hm.", provider="acme"), Text(text="Yes"))


async def test_a_refusal_is_text_that_ends_as_content_filter() -> None:
    whole = {"choices": [{"message": {"content": None, "refusal": "I can't."}, "finish_reason": "stop"}]}
    pieces = sse({"choices": [{"delta": {"refusal": "I can't."}, "finish_reason": "stop"}]})

    answer = await complete(answers(whole), call("openai"))
    end = await finished(streams(pieces), call("openai"))

    assert (answer.message.text, answer.finish_reason) == ("I can't.", "content_filter")
    assert end.finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
        ("sensitive", "content_filter"),
        ("model_length", "length"),
        ("eos", "stop"),
    ],
)
async def test_finish_reasons_of_all_vendors_are_understood(wire: str, ours: str) -> None:
    reply = {"choices": [{"message": {"content": "x"}, "finish_reason": wire}]}

    assert (await complete(answers(reply), call("openai"))).finish_reason == ours


@pytest.mark.parametrize("fault", ["error", "network_error", "insufficient_system_resource"])
async def test_a_finish_reason_that_means_a_fault_is_one(fault: str) -> None:
    with pytest.raises(ProviderUnavailable):
        await complete(answers({"choices": [{"message": {}, "finish_reason": fault}]}), call("openai"))


@pytest.mark.parametrize(
    "reply",
    [
        {},
        [],
        "x",
        {"choices": []},
        {"choices": None},
        {"choices": [{}]},
        {"choices": [{"message": {"content": "x"}}]},
        {"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]},
    ],
)
async def test_a_reply_without_an_answer_is_garbled(reply: object) -> None:
    with pytest.raises(ProviderGarbled):
        await complete(answers(reply), call("openai"))


async def test_an_empty_answer_that_ended_well_is_an_answer() -> None:
    reply = {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]}

    assert (await complete(answers(reply), call("openai"))).message.parts == ()


async def test_of_a_crowd_of_choices_the_first_few_are_looked_at() -> None:
    first = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    reply = {"choices": [first, *[{}] * 15, *["no choice at all"] * 1_000]}

    assert (await complete(answers(reply), call("openai"))).message.text == "Hi"


async def test_an_error_inside_a_success_is_an_error() -> None:
    with pytest.raises(ProviderRateLimited):
        await complete(answers({"error": {"code": 429}}), call("openai"))


async def test_a_lone_surrogate_in_an_answer_is_made_harmless() -> None:
    reply = {"choices": [{"message": {"content": "a\ud800\0b"}, "finish_reason": "stop"}]}

    assert (await complete(answers(reply), call("openai"))).message.text == "a?\0b"


async def test_parts_that_have_no_place_in_a_users_message_are_not_put_there() -> None:
    provider = answers(OK)
    odd = ToolCall(id="a", name="f", arguments="{}")

    await complete(
        provider, call("openai", ask(say("user", "See", odd, Image(url="https://example.com/a.png"))))
    )

    assert provider.sent[0].body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ],
        }
    ]


async def test_an_answer_without_thoughts_is_padded_where_a_provider_demands_them_beside_tools() -> None:
    thought = say("assistant", Reasoning(text="Hm."), ToolCall(id="b", name="f", arguments="{}"))
    talk = (
        say("user", "?"),
        say("assistant", ToolCall(id="a", name="f", arguments="{}")),
        say("tool", ToolResult(call_id="a")),
        thought,
        say("tool", ToolResult(call_id="b")),
        say("assistant", "Done."),
        say("user", "And?"),
    )
    provider = answers(OK)

    await complete(provider, call("openai", ask(*talk), takes_reasoning=True))
    await complete(provider, call("openai", ask(*talk)))
    await complete(
        provider, call("openai", ask(say("assistant", "Hi"), say("user", "?")), takes_reasoning=True)
    )

    padded, plain, without_tools = (
        [message.get("reasoning_content") for message in messages(sent) if message["role"] == "assistant"]
        for sent in provider.sent
    )
    assert (padded, plain, without_tools) == ([" ", "Hm.", " "], [None, None, None], [None])


async def test_a_strict_provider_gets_an_answer_behind_a_result_and_a_mark_on_what_is_to_be_continued() -> (
    None
):
    talk = (*TOOL_TALK, say("user", "Well?"), say("assistant", "It is"))
    provider = answers(OK)

    await complete(provider, call("openai", ask(*talk), strict_turns=True))
    await complete(provider, call("openai", ask(*talk)))

    strict, lax = (messages(sent) for sent in provider.sent)
    assert "".join(str(message["role"])[0] for message in strict) == "suattaua"
    assert strict[-1] == {"role": "assistant", "content": "It is", "prefix": True}
    assert [message for message in strict[:-1] if message.get("content") != "OK."] == lax[:-1]


def messages(sent: Sent) -> list[dict[str, object]]:
    found = sent.body["messages"]
    assert isinstance(found, list)
    return found


async def test_a_thought_of_the_responses_api_is_no_field_of_a_chat_completion() -> None:
    provider = answers(OK)
    signed = Reasoning(text="Hm.", signature="rs_1", redacted="x", provider="acme")

    await complete(provider, call("openai", ask(say("assistant", signed, "Hi"), say("user", "?"))))

    assert messages(provider.sent[0])[0] == {"role": "assistant", "content": "Hi"}
