import pytest
from tests.providers.examples import (
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
from dynaroute_mcp.errors import ProviderContentBlocked, ProviderGarbled, ProviderUnavailable
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
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "Hi."}]}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11},
    "modelVersion": "model-1-002",
    "responseId": "r1",
}
LEVELS = Constraints(thinking="effort", efforts=("low", "high"))
BUDGET = Constraints(thinking="budget", efforts=("none", "low", "medium", "high"))


def reply(*parts: dict[str, object], finish: str | None = "STOP", **more: object) -> dict[str, object]:
    ended = {"finishReason": finish} if finish else {}
    return {"candidates": [{"content": {"parts": list(parts)}, **ended}], **more}


async def test_a_plain_request_and_its_reply() -> None:
    provider = answers(OK)

    answer = await complete(provider, call("gemini", ask(say("system", "Be kind."), say("user", "Hello"))))

    (sent,) = provider.sent
    assert sent.url == "https://api.example.com/v1beta/models/model-1:generateContent"
    assert sent.headers["x-goog-api-key"] == KEY
    assert KEY not in sent.url
    assert sent.body == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
    }
    assert answer.message == say("assistant", "Hi.")
    assert answer.usage == Usage(uncached_input_tokens=9, output_tokens=2)
    assert (answer.finish_reason, answer.wire_model, answer.provider_request_id) == (
        "stop",
        "model-1-002",
        "r1",
    )


async def test_the_version_stands_in_the_address_once_and_no_key_is_no_header() -> None:
    provider = answers(OK)

    await complete(provider, call("gemini", base_url="http://127.0.0.1:9/gemini", api_key=None))

    assert provider.sent[0].url == "http://127.0.0.1:9/gemini/v1beta/models/model-1:generateContent"
    assert "x-goog-api-key" not in provider.sent[0].headers


async def test_every_parameter_of_the_dialect_is_sent() -> None:
    provider = answers(OK)
    parameters = Parameters(
        max_tokens=50,
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        stop=("END",),
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
    )

    await complete(provider, call("gemini", ask(parameters=parameters), max_output_tokens=40))

    assert provider.sent[0].body["generationConfig"] == {
        "maxOutputTokens": 40,
        "temperature": 0.0,
        "topP": 0.9,
        "topK": 40,
        "stopSequences": ["END"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
    }


@pytest.mark.parametrize(
    ("constraints", "effort", "wire"),
    [
        (LEVELS, "high", {"thinkingLevel": "high", "includeThoughts": True}),
        (LEVELS, "medium", {"thinkingLevel": "low", "includeThoughts": True}),
        (BUDGET, "medium", {"thinkingBudget": 8_192, "includeThoughts": True}),
        (BUDGET, "none", {"thinkingBudget": 0, "includeThoughts": False}),
        (Constraints(), "high", None),
    ],
)
async def test_effort_is_asked_for_in_the_models_own_way(
    constraints: Constraints, effort: Effort, wire: object
) -> None:
    provider = answers(OK)
    request = ask(parameters=Parameters(reasoning_effort=effort))

    await complete(provider, call("gemini", request, constraints=constraints, max_output_tokens=32_000))

    generation = provider.sent[0].body.get("generationConfig", {})
    assert isinstance(generation, dict)
    assert generation.get("thinkingConfig") == wire


@pytest.mark.parametrize(
    ("wanted", "wire"),
    [
        (ResponseFormat(kind="json"), {"responseMimeType": "application/json"}),
        (
            ResponseFormat(kind="schema", schema={"type": "object", "additionalProperties": False}),
            {
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "additionalProperties": False},
            },
        ),
    ],
)
async def test_the_form_of_the_answer_is_put_into_words(wanted: ResponseFormat, wire: object) -> None:
    provider = answers(OK)

    await complete(provider, call("gemini", ask(response_format=wanted)))

    assert provider.sent[0].body["generationConfig"] == wire


async def test_a_conversation_with_parallel_tool_calls_goes_out_whole() -> None:
    provider = answers(OK)

    await complete(provider, call("gemini", ask(*TOOL_TALK, tools=[WEATHER])))

    (sent,) = provider.sent
    assert sent.body["contents"] == [
        {"role": "user", "parts": [{"text": "Weather in Paris and Rome?"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "get_weather", "args": {"city": "Paris"}, "id": "call_a"}},
                {"functionCall": {"name": "get_weather", "args": {"city": "Rome"}, "id": "call_b"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "get_weather", "response": {"result": "18 C"}, "id": "call_a"}},
                {
                    "functionResponse": {
                        "name": "get_weather",
                        "response": {"error": "no data"},
                        "id": "call_b",
                    }
                },
            ],
        },
    ]
    assert sent.body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "Current weather of a city.",
                    "parameters": {
                        "type": "OBJECT",
                        "properties": {"city": {"type": "STRING"}},
                        "required": ["city"],
                    },
                }
            ]
        }
    ]
    assert "toolConfig" not in sent.body


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(mode="auto"), {"mode": "AUTO"}),
        (ToolChoice(mode="none"), {"mode": "NONE"}),
        (ToolChoice(mode="required"), {"mode": "ANY"}),
        (ToolChoice(mode="named", name="f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
async def test_the_choice_of_tools_is_put_into_words(choice: ToolChoice, wire: object) -> None:
    provider = answers(OK)

    await complete(provider, call("gemini", ask(tools=[Tool(name="f")], tool_choice=choice)))

    assert provider.sent[0].body["toolConfig"] == {"functionCallingConfig": wire}
    assert provider.sent[0].body["tools"] == [{"functionDeclarations": [{"name": "f", "description": ""}]}]


async def test_signatures_go_back_and_a_stand_in_takes_the_place_of_a_missing_one() -> None:
    provider = answers(OK)
    own = say(
        "assistant",
        Reasoning(text="Hm.", signature="s0", provider="acme"),
        Reasoning(text="unsigned", provider="acme"),
        Text(text="I look."),
        Reasoning(signature="s1", provider="acme"),
        ToolCall(id="a", name="f", arguments="{}", signature="s2"),
    )
    foreign = say(
        "assistant",
        ToolCall(id="call_dr_0", name="f", arguments="[1]"),
        ToolCall(id="c", name="f", arguments="{oops"),
    )

    await complete(
        provider, call("gemini", ask(say("user", "?"), own, say("user", "!"), foreign), constraints=LEVELS)
    )

    contents = provider.sent[0].body["contents"]
    assert isinstance(contents, list)
    assert contents[1]["parts"] == [
        {"text": "Hm.", "thought": True, "thoughtSignature": "s0"},
        {"text": "I look."},
        {"text": "", "thoughtSignature": "s1"},
        {"functionCall": {"name": "f", "args": {}, "id": "a"}, "thoughtSignature": "s2"},
    ]
    assert contents[3]["parts"] == [
        {
            "functionCall": {"name": "f", "args": {"arguments": [1]}},
            "thoughtSignature": "skip_thought_signature_validator",
        },
        {"functionCall": {"name": "f", "args": {"arguments": "{oops"}, "id": "c"}},
    ]


async def test_images_and_files_go_out_as_data_or_by_address() -> None:
    provider = answers(OK)
    parts = (
        Image(data=PIXEL, media_type="image/png"),
        Image(url="https://example.com/a.webp?size=1"),
        Image(url="https://example.com/a"),
        Document(media_type="application/pdf", url="https://example.com/a.pdf"),
        ToolResult(
            call_id="x", name="look", parts=(Text(text="a"), Image(data=PIXEL, media_type="image/png"))
        ),
        ToolResult(call_id="y"),
    )

    await complete(provider, call("gemini", ask(Message(role="user", parts=parts))))

    contents = provider.sent[0].body["contents"]
    assert isinstance(contents, list)
    assert contents[0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/a.webp?size=1"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.com/a.pdf"}},
        {"functionResponse": {"name": "look", "response": {"result": "a"}, "id": "x"}},
        {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
        {"functionResponse": {"name": "y", "response": {"result": ""}, "id": "y"}},
    ]


PARTS: tuple[dict[str, object], ...] = (
    {"text": "Hm.", "thought": True},
    {"text": "I "},
    {"text": "look."},
    {"text": "", "thoughtSignature": "s1"},
    {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s2"},
    {"functionCall": {"name": "g", "id": "g1"}},
)
METADATA = {
    "promptTokenCount": 1_000,
    "cachedContentTokenCount": 800,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 300,
    "toolUsePromptTokenCount": 50,
    "totalTokenCount": 1_370,
}
COUNTED = Usage(uncached_input_tokens=250, cache_read_tokens=800, output_tokens=320, reasoning_tokens=300)


async def test_parallel_calls_thoughts_and_signatures_come_back() -> None:
    answer = await complete(answers(reply(*PARTS, usageMetadata=METADATA)), call("gemini"))

    assert answer.message.parts == (
        Reasoning(text="Hm.", provider="acme"),
        Text(text="I look."),
        Reasoning(signature="s1", provider="acme"),
        ToolCall(id="call_dr_0", name="f", arguments='{"x":1}', signature="s2"),
        ToolCall(id="g1", name="g", arguments="{}"),
    )
    assert answer.finish_reason == "tool_calls"
    assert answer.usage == COUNTED
    assert answer.usage.total_tokens == METADATA["totalTokenCount"]


async def test_a_stream_ends_with_the_body_and_its_last_usage_counts() -> None:
    body = sse(
        reply(PARTS[0], finish=None, usageMetadata={"promptTokenCount": 1_000, "totalTokenCount": 1_000}),
        reply(*PARTS[1:5], finish=None),
        reply(PARTS[5], usageMetadata=METADATA, modelVersion="m", responseId="r"),
    )
    provider = streams(body)

    events = await collect(provider, call("gemini"))

    assert (
        provider.sent[0].url == "https://api.example.com/v1beta/models/model-1:streamGenerateContent?alt=sse"
    )
    assert "stream" not in provider.sent[0].body
    assert events == [
        ReasoningDelta(text="Hm."),
        TextDelta(text="I "),
        TextDelta(text="look."),
        ReasoningDelta(signature="s1"),
        ToolCallDelta(index=0, id="call_dr_0", name="f", arguments='{"x":1}', signature="s2"),
        ToolCallDelta(index=1, id="g1", name="g", arguments="{}"),
        Finished(finish_reason="tool_calls", usage=COUNTED, wire_model="m", provider_request_id="r"),
    ]


@pytest.mark.parametrize(
    ("metadata", "usage"),
    [
        ({"promptTokenCount": 5, "totalTokenCount": 5}, Usage(uncached_input_tokens=5)),
        (
            {"promptTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 12},
            Usage(uncached_input_tokens=5, output_tokens=7, reasoning_tokens=7),
        ),
        ({"promptTokenCount": 5}, Usage(uncached_input_tokens=5, output_tokens=2, source="estimated")),
        (
            {"promptTokenCount": -5, "candidatesTokenCount": "x"},
            Usage(uncached_input_tokens=11, output_tokens=2, source="clamped"),
        ),
        (None, Usage(uncached_input_tokens=11, output_tokens=2, source="estimated")),
    ],
)
async def test_zeros_are_left_out_by_gemini_and_nonsense_is_replaced(metadata: object, usage: Usage) -> None:
    answer = await complete(answers(reply({"text": "a b"}, usageMetadata=metadata)), call("gemini"))

    assert answer.usage == usage


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
    ],
)
async def test_finish_reasons_are_understood(wire: str, ours: str) -> None:
    assert (await complete(answers(reply({"text": "x"}, finish=wire)), call("gemini"))).finish_reason == ours


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"candidates": []},
        {"candidates": [{}]},
        reply({"text": "x"}, finish=None),
        reply({"text": "x"}, finish="MALFORMED_FUNCTION_CALL"),
        reply({"text": "x"}, finish="OTHER"),
        reply({"text": 5}),
        reply({"functionCall": {"args": {}}}),
    ],
)
async def test_a_reply_without_an_answer_is_garbled(document: object) -> None:
    with pytest.raises(ProviderGarbled):
        await complete(answers(document), call("gemini"))


async def test_a_blocked_prompt_is_a_refusal_on_grounds_of_safety() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}

    with pytest.raises(ProviderContentBlocked):
        await complete(answers(blocked), call("gemini"))
    with pytest.raises(ProviderContentBlocked):
        await collect(streams(sse(blocked)), call("gemini"))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_blocked_prompt_is_billed_as_input_where_google_counts_it(*, streamed: bool) -> None:
    counts = {"promptTokenCount": 12_559, "totalTokenCount": 12_559}
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": counts}
    asked = call("gemini")

    with pytest.raises(ProviderContentBlocked):
        await (collect(streams(sse(blocked)), asked) if streamed else complete(answers(blocked), asked))

    taken = asked.meter.taken(0)
    assert taken is not None
    assert (taken.input_tokens, taken.output_tokens, taken.source) == (12_559, 0, "provider")


async def test_an_error_in_a_stream_has_the_class_of_its_code() -> None:
    error = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}}

    with pytest.raises(ProviderUnavailable):
        await collect(streams(sse(reply({"text": "x"}, finish=None), error)), call("gemini"))


async def test_a_candidate_without_content_may_still_end_well() -> None:
    end = await finished(streams(sse({"candidates": [{"finishReason": "STOP"}]})), call("gemini"))

    assert end.finish_reason == "stop"


async def test_a_tool_from_a_model_name_with_a_slash_is_still_one_path_segment() -> None:
    one = call("gemini")
    provider = answers(OK)
    model = one.model.model_copy(update={"wire_id": "tuned/x y"})

    await complete(
        provider, type(one)(**{name: getattr(one, name) for name in one.__slots__} | {"model": model})
    )

    assert provider.sent[0].url.endswith("/models/tuned%2Fx%20y:generateContent")


async def test_an_empty_text_is_no_part() -> None:
    provider = answers(OK)
    call_it = ToolCall(id="c", name="f", arguments="{}")
    talk = (say("user", "Hi"), say("assistant", "", call_it), say("tool", ToolResult(call_id="c")))

    await complete(provider, call("gemini", ask(*talk)))

    contents = provider.sent[0].body["contents"]
    assert isinstance(contents, list)
    assert [len(content["parts"]) for content in contents] == [1, 1, 1]
