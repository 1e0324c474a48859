"""The official SDKs as judges: they take the answers that our adapters read, and send what our adapters send.

The answers have the shapes of the vendors' API references (OpenAI:
platform.openai.com/docs/api-reference/chat; Anthropic: docs.claude.com/en/api/messages; Google:
ai.google.dev/api/generate-content; as the SDKs of 2026-11-22 know them), with words and numbers of ours. Each
call is made twice, by the SDK and by our adapter, to the same server.
"""

import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.providers.examples import KEY, NOW, PIXEL, TOOL_TALK, WEATHER, ask, call, dialect_of, say
from tests.providers.sdk_server import Asked, Document, Recorded, recorded

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.types import (
    ChatRequest,
    Completion,
    Finished,
    Image,
    Parameters,
    ResponseFormat,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Usage,
)

anthropic = pytest.importorskip("anthropic")
genai = pytest.importorskip("google.genai")
openai = pytest.importorskip("openai")
types = genai.types

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
PLAIN = ask(
    say("system", "Be brief."),
    say("user", "Name a river."),
    parameters=Parameters(max_tokens=200, temperature=0.5, top_p=0.9, stop=("END",)),
)
SEEING = ask(say("user", "What is this?", Image(data=PIXEL, media_type="image/png")))
SHAPED = ask(
    say("user", "Weather in Rome?"),
    response_format=ResponseFormat(kind="schema", name="weather", schema=SCHEMA, strict=True),
)
CALLING = replace(ask(*TOOL_TALK, tools=(WEATHER,)), tool_choice=ToolChoice(mode="required"))
REQUESTS = {"plain": PLAIN, "image": SEEING, "schema": SHAPED, "parallel tool calls": CALLING}


@dataclass(frozen=True)
class Told:
    """What an answer says, however it was read."""

    text: str
    calls: tuple[tuple[str, str, Any], ...]
    """Id (where the dialect has one), name and arguments."""
    finish: str


@dataclass(frozen=True)
class Replies:
    """One answer, whole and as a stream, and what it says."""

    whole: Document
    stream: Sequence[Document]
    told: Told
    usage: Usage


async def ours(
    server: Recorded, dialect: Any, request: ChatRequest, *, constraints: Constraints | None = None
) -> tuple[Completion, list[StreamEvent]]:
    path = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}[dialect]
    address = server.address + path
    one = call(dialect, request, base_url=address, max_output_tokens=200, constraints=constraints)
    async with Wire.open(now=lambda: NOW) as wire:
        spoken = dialect_of(wire, one)
        whole = await spoken.complete(one)
        async with spoken.stream(one) as events:
            return whole, [event async for event in events]


def told(answer: Completion) -> Told:
    calls = [part for part in answer.message.parts if isinstance(part, ToolCall)]
    return Told(
        answer.message.text,
        tuple((each.id, each.name, json.loads(each.arguments)) for each in calls),
        answer.finish_reason,
    )


def streamed(events: list[StreamEvent]) -> tuple[Told, Usage]:
    put_together: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            known = put_together.setdefault(event.index, [event.id or "", event.name or "", ""])
            known[2] += event.arguments
    last = events[-1]
    assert isinstance(last, Finished)
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = tuple((number, name, json.loads(text)) for number, name, text in put_together.values())
    return Told(said, calls, last.finish_reason), last.usage


def same(theirs: Asked, mine: Asked) -> None:
    """Compare two requests by path, body and the key, which each carries once, in a header.

    Anthropic's SDK sends it as a bearer's since 2.0; its API takes `x-api-key` as before.
    """
    assert theirs.path == mine.path
    for asked in (theirs, mine):
        carrying = {name for name, value in asked.headers.items() if KEY in value}
        assert len(carrying) == 1
        assert carrying <= {"authorization", "x-api-key", "x-goog-api-key"}
    assert meant(theirs.body) == meant(mine.body)


def meant(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what means nothing: empty groups, the role of Google's instructions, proto's second spelling."""
    kept = {name: value for name, value in body.items() if value != {}}
    if isinstance(instruction := kept.get("systemInstruction"), dict):
        kept["systemInstruction"] = {"parts": instruction["parts"]}
    spelt = json.dumps(kept)
    for snake, camel in (("mime_type", "mimeType"), ("parameters_json_schema", "parametersJsonSchema")):
        spelt = spelt.replace(f'"{snake}":', f'"{camel}":')
    spelling: dict[str, Any] = json.loads(spelt)
    return spelling


# ---------------------------------------------------------------- OpenAI

_HEAD = {"id": "chatcmpl-7", "created": 1_790_000_000, "model": "model-1-2026"}
_COUNTS = {
    "prompt_tokens": 120,
    "completion_tokens": 45,
    "total_tokens": 165,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 30},
}
_CALLS = [
    {
        "id": f"call_{n}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": f'{{"city":"{c}"}}'},
    }
    for n, c in enumerate(("Oslo", "Lima"))
]


def _chunk(delta: Document, finish: str | None = None) -> Document:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


_CITIES = (("call_0", "get_weather", {"city": "Oslo"}), ("call_1", "get_weather", {"city": "Lima"}))
_MESSAGE = {"role": "assistant", "content": "Looking.", "refusal": None, "tool_calls": _CALLS}
OPENAI = Replies(
    whole={
        **_HEAD,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "tool_calls", "logprobs": None}],
        "usage": _COUNTS,
    },
    stream=[
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"content": "Look"}),
        _chunk({"content": "ing."}),
        *(
            _chunk({"tool_calls": [{"index": n, **one, "function": {**one["function"], "arguments": ""}}]})  # type: ignore[dict-item]  # a mapping
            for n, one in enumerate(_CALLS)
        ),
        *(
            _chunk({"tool_calls": [{"index": n, "function": {"arguments": one["function"]["arguments"]}}]})  # type: ignore[index]  # a mapping
            for n, one in enumerate(_CALLS)
        ),
        _chunk({}, "tool_calls"),
        {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": _COUNTS},
    ],
    told=Told("Looking.", _CITIES, "tool_calls"),
    usage=Usage(uncached_input_tokens=56, cache_read_tokens=64, output_tokens=45, reasoning_tokens=30),
)
_FUNCTION = {"name": WEATHER.name, "description": WEATHER.description, "parameters": dict(WEATHER.parameters)}
_MODEL = {"model": "model-1"}
OPENAI_CALLS: dict[str, dict[str, Any]] = {
    "plain": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Name a river."},
        ],
        "max_tokens": 200,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
    },
    "image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            }
        ]
    },
    "schema": {
        "messages": [{"role": "user", "content": "Weather in Rome?"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True},
        },
    },
    "parallel tool calls": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather in Paris and Rome?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": f"call_{n}",
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "arguments": json.dumps({"city": c}, separators=(",", ":")),
                        },
                    }
                    for n, c in (("a", "Paris"), ("b", "Rome"))
                ],
            },
            {"role": "tool", "tool_call_id": "call_a", "content": "18 C"},
            {"role": "tool", "tool_call_id": "call_b", "content": "no data"},
        ],
        "tools": [{"type": "function", "function": _FUNCTION}],
        "tool_choice": "required",
    },
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_openais_sdk_sends_what_we_send_and_takes_what_we_read(case: str) -> None:
    with recorded(OPENAI.whole, OPENAI.stream) as server:
        with openai.OpenAI(api_key=KEY, base_url=f"{server.address}/v1", max_retries=0) as client:
            create, asked = client.chat.completions.create, {**_MODEL, **OPENAI_CALLS[case]}
            whole = create(**asked)
            chunks = list(create(**asked, stream=True, stream_options={"include_usage": True}))
        mine, events = await ours(server, "openai", REQUESTS[case])

    same(server.asked[0], server.asked[2])
    same(server.asked[1], server.asked[3])
    type(whole).model_validate(dict(OPENAI.whole))
    for chunk, document in zip(chunks, OPENAI.stream, strict=True):
        type(chunk).model_validate(dict(document))
    theirs = whole.choices[0].message
    calls = tuple(
        (one.id, one.function.name, json.loads(one.function.arguments)) for one in theirs.tool_calls
    )
    assert Told(theirs.content, calls, whole.choices[0].finish_reason) == OPENAI.told
    assert whole.usage.completion_tokens_details.reasoning_tokens == OPENAI.usage.reasoning_tokens
    assert (told(mine), mine.usage) == streamed(events) == (OPENAI.told, OPENAI.usage)


# ---------------------------------------------------------------- OpenAI's Responses

_ITEMS: list[dict[str, Any]] = [
    {"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "sealed"},
    {
        "type": "message",
        "id": "msg_7",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Looking.", "annotations": [], "logprobs": []}],
    },
    *(
        {
            "type": "function_call",
            "id": f"fc_{n}",
            "call_id": f"call_{n}",
            "name": "get_weather",
            "arguments": f'{{"city":"{city}"}}',
            "status": "completed",
        }
        for n, city in enumerate(("Oslo", "Lima"))
    ),
]
_RESPONSE: dict[str, Any] = {
    "id": "resp_7",
    "object": "response",
    "created_at": 1_790_000_000,
    "status": "completed",
    "model": "model-1-2026",
    "output": _ITEMS,
    "parallel_tool_calls": True,
    "tool_choice": "required",
    "tools": [],
    "usage": {
        "input_tokens": 120,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens": 45,
        "output_tokens_details": {"reasoning_tokens": 30},
        "total_tokens": 165,
    },
}


def _item(number: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one item, as far as they carry content."""
    added = {"type": "response.output_item.added", "output_index": number, "item": item}
    done = {**added, "type": "response.output_item.done"}
    where = {"output_index": number, "item_id": item["id"]}
    if item["type"] == "message":
        begun = {**added, "item": {**item, "content": [], "status": "in_progress"}}
        text = {**where, "type": "response.output_text.delta", "content_index": 0, "delta": "Looking."}
        return [begun, {**text, "logprobs": []}, done]
    if item["type"] == "function_call":
        begun = {**added, "item": {**item, "arguments": "", "status": "in_progress"}}
        delta = {**where, "type": "response.function_call_arguments.delta", "delta": item["arguments"]}
        return [begun, delta, done]
    return [added, done]


RESPONSES = [
    {**event, "sequence_number": number}
    for number, event in enumerate(
        (
            {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
            *(event for number, item in enumerate(_ITEMS) for event in _item(number, item)),
            {"type": "response.completed", "response": _RESPONSE},
        )
    )
]


async def test_openais_sdk_speaks_the_responses_api_as_we_do() -> None:
    asked: dict[str, Any] = {
        **_MODEL,
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]}
        ],
        "tools": [{"type": "function", "strict": False, **_FUNCTION}],
        "tool_choice": "required",
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    request = ask(say("user", "Weather?"), tools=(WEATHER,), tool_choice=ToolChoice(mode="required"))
    with recorded(_RESPONSE, RESPONSES) as server:
        with openai.OpenAI(api_key=KEY, base_url=f"{server.address}/v1", max_retries=0) as client:
            whole = client.responses.create(**asked)
            events = list(client.responses.create(**asked, stream=True))
        mine, heard = await ours(server, "openai", request, constraints=Constraints(needs_responses=True))

    same(server.asked[0], server.asked[2])
    same(server.asked[1], server.asked[3])
    type(whole).model_validate(_RESPONSE)
    for event, document in zip(events, RESPONSES, strict=True):
        type(event).model_validate(document)
    assert whole.output_text == OPENAI.told.text
    assert (told(mine), mine.usage) == streamed(heard) == (OPENAI.told, OPENAI.usage)


# ---------------------------------------------------------------- Anthropic

_BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "Looking."},
    {"type": "tool_use", "id": "call_0", "name": "get_weather", "input": {"city": "Oslo"}},
    {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Lima"}},
]
_USED = {
    "input_tokens": 20,
    "cache_read_input_tokens": 64,
    "cache_creation_input_tokens": 36,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 6},
    "output_tokens": 45,
}
_MESSAGE_HEAD = {"id": "msg_7", "type": "message", "role": "assistant", "model": "model-1-2026"}


def _block(index: int, block: dict[str, Any]) -> list[Document]:
    """The events of one block."""
    if block["type"] == "text":
        begun: Document = {"type": "text", "text": ""}
        delta: Document = {"type": "text_delta", "text": block["text"]}
    else:
        begun = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        {"type": "content_block_delta", "index": index, "delta": delta},
        {"type": "content_block_stop", "index": index},
    ]


ANTHROPIC = Replies(
    whole={
        **_MESSAGE_HEAD,
        "content": _BLOCKS,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": _USED,
    },
    stream=[
        {
            "type": "message_start",
            "message": {
                **_MESSAGE_HEAD,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {**_USED, "output_tokens": 1},
            },
        },
        *(event for index, block in enumerate(_BLOCKS) for event in _block(index, block)),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 45},
        },
        {"type": "message_stop"},
    ],
    told=Told("Looking.", _CITIES, "tool_calls"),
    usage=Usage(
        uncached_input_tokens=20,
        cache_read_tokens=64,
        cache_write_5m_tokens=30,
        cache_write_1h_tokens=6,
        output_tokens=45,
    ),
)


def _turn(role: str, *blocks: Document) -> Document:
    return {"role": role, "content": list(blocks)}


def _words(text: str) -> Document:
    return {"type": "text", "text": text}


ANTHROPIC_CALLS: dict[str, dict[str, Any]] = {
    "plain": {
        "system": "Be brief.",
        "messages": [_turn("user", _words("Name a river."))],
        "stop_sequences": ["END"],
    },
    "image": {
        "messages": [
            _turn(
                "user",
                _words("What is this?"),
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            )
        ]
    },
    "schema": {
        "messages": [_turn("user", _words("Weather in Rome?"))],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    },
    "parallel tool calls": {
        "system": "Be brief.",
        "messages": [
            _turn("user", _words("Weather in Paris and Rome?")),
            _turn(
                "assistant",
                *(
                    {"type": "tool_use", "id": f"call_{n}", "name": "get_weather", "input": {"city": c}}
                    for n, c in (("a", "Paris"), ("b", "Rome"))
                ),
            ),
            _turn(
                "user",
                {"type": "tool_result", "tool_use_id": "call_a", "content": [_words("18 C")]},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_b",
                    "content": [_words("no data")],
                    "is_error": True,
                },
            ),
        ],
        "tools": [
            {
                "name": WEATHER.name,
                "description": WEATHER.description,
                "input_schema": dict(WEATHER.parameters),
            }
        ],
        "tool_choice": {"type": "any"},
    },
}


@pytest.mark.parametrize("case", REQUESTS)
async def test_anthropics_sdk_sends_what_we_send_and_takes_what_we_read(case: str) -> None:
    request = REQUESTS[case]
    if case == "plain":  # the SDK of today has no word for them any more
        request = replace(request, parameters=replace(request.parameters, temperature=None, top_p=None))
    with recorded(ANTHROPIC.whole, ANTHROPIC.stream) as server:
        with anthropic.Anthropic(api_key=KEY, base_url=server.address, max_retries=0) as client:
            asked = {**_MODEL, "max_tokens": 200, **ANTHROPIC_CALLS[case]}
            whole = client.messages.create(**asked)
            with client.messages.stream(**asked) as stream:
                final = stream.get_final_message()
        mine, events = await ours(server, "anthropic", request)

    same(server.asked[0], server.asked[2])
    same(server.asked[1], server.asked[3])
    for message in (whole, final):
        type(whole).model_validate(message.model_dump())
        said, *tools = message.content
        calls = tuple((one.id, one.name, one.input) for one in tools)
        assert Told(said.text, calls, "tool_calls") == ANTHROPIC.told
        assert message.usage.cache_read_input_tokens == ANTHROPIC.usage.cache_read_tokens
    type(whole).model_validate(dict(ANTHROPIC.whole))
    assert (told(mine), mine.usage) == streamed(events) == (ANTHROPIC.told, ANTHROPIC.usage)


# ---------------------------------------------------------------- Google

_PARTS: list[dict[str, Any]] = [
    {"text": "Looking."},
    {"functionCall": {"id": "call_0", "name": "get_weather", "args": {"city": "Oslo"}}},
    {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Lima"}}},
]
_TOTALS = {
    "promptTokenCount": 120,
    "cachedContentTokenCount": 64,
    "candidatesTokenCount": 15,
    "thoughtsTokenCount": 30,
    "totalTokenCount": 165,
}


def _content(*parts: Document, **more: object) -> Document:
    return {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}


GEMINI = Replies(
    whole={
        "candidates": [_content(*_PARTS, finishReason="STOP")],
        "usageMetadata": _TOTALS,
        "modelVersion": "model-1-2026",
        "responseId": "resp_7",
    },
    stream=[
        {"candidates": [_content({"text": "Look"})], "usageMetadata": {"promptTokenCount": 120}},
        {"candidates": [_content({"text": "ing."})]},
        {"candidates": [_content(*_PARTS[1:], finishReason="STOP")], "usageMetadata": _TOTALS},
    ],
    told=Told("Looking.", _CITIES, "tool_calls"),
    usage=OPENAI.usage,
)


def _google(case: str) -> dict[str, Any]:
    """The call in the types of Google's own SDK, which puts it into JSON by itself."""
    part, said = types.Part, types.UserContent
    schema, kinds = types.Schema, types.Type
    declared = types.FunctionDeclaration(
        name=WEATHER.name,
        description=WEATHER.description,
        parameters=schema(
            type=kinds.OBJECT, properties={"city": schema(type=kinds.STRING)}, required=["city"]
        ),
    )
    calls: dict[str, dict[str, Any]] = {
        "plain": {
            "contents": [said("Name a river.")],
            "config": types.GenerateContentConfig(
                system_instruction="Be brief.",
                max_output_tokens=200,
                temperature=0.5,
                top_p=0.9,
                stop_sequences=["END"],
            ),
        },
        "image": {
            "contents": [
                types.Content(
                    role="user",
                    parts=[
                        part(text="What is this?"),
                        part(inline_data=types.Blob(data=b64decode(PIXEL), mime_type="image/png")),
                    ],
                )
            ]
        },
        "schema": {
            "contents": [said("Weather in Rome?")],
            "config": types.GenerateContentConfig(
                response_mime_type="application/json", response_json_schema=SCHEMA
            ),
        },
        "parallel tool calls": {
            "contents": [
                said("Weather in Paris and Rome?"),
                types.ModelContent(
                    [
                        part(
                            function_call=types.FunctionCall(
                                id=f"call_{n}", name="get_weather", args={"city": c}
                            )
                        )
                        for n, c in (("a", "Paris"), ("b", "Rome"))
                    ]
                ),
                types.Content(
                    role="user",
                    parts=[
                        part(
                            function_response=types.FunctionResponse(
                                id=f"call_{n}", name="get_weather", response=response
                            )
                        )
                        for n, response in (("a", {"result": "18 C"}), ("b", {"error": "no data"}))
                    ],
                ),
            ],
            "config": types.GenerateContentConfig(
                system_instruction="Be brief.",
                tools=[types.Tool(function_declarations=[declared])],
                tool_config=types.ToolConfig(
                    function_calling_config=types.FunctionCallingConfig(
                        mode=types.FunctionCallingConfigMode.ANY
                    )
                ),
            ),
        },
    }
    return {**_MODEL, **calls[case]}


@pytest.mark.parametrize("case", REQUESTS)
async def test_googles_sdk_sends_what_we_send_and_takes_what_we_read(case: str) -> None:
    with recorded(GEMINI.whole, GEMINI.stream) as server:
        with genai.Client(
            api_key=KEY, http_options=types.HttpOptions(base_url=server.address, api_version="v1beta")
        ) as client:
            whole = client.models.generate_content(**_google(case))
            chunks = list(client.models.generate_content_stream(**_google(case)))
        mine, events = await ours(server, "gemini", REQUESTS[case])

    same(server.asked[0], server.asked[2])
    same(server.asked[1], server.asked[3])
    for document in (GEMINI.whole, *GEMINI.stream):
        types.GenerateContentResponse.model_validate(dict(document))
    calls = tuple((one.id, one.name, one.args) for one in whole.function_calls)
    assert Told(whole.candidates[0].content.parts[0].text, calls, "tool_calls") == GEMINI.told
    assert whole.usage_metadata.cached_content_token_count == GEMINI.usage.cache_read_tokens
    assert chunks[-1].usage_metadata.thoughts_token_count == GEMINI.usage.reasoning_tokens
    assert (told(mine), mine.usage) == streamed(events) == (GEMINI.told, GEMINI.usage)
