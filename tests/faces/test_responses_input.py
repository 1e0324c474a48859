"""Bodies of the Responses API: what becomes of each field, what is refused and why, and that none is a crash."""

import json
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from tests.faces.gateway_door import door
from tests.faces.responses_door import ask

from dynaroute_mcp.gateway import decode
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.responses_decode import chat_request, sealed
from dynaroute_mcp.gateway.responses_wire import ResponsesBody
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Image,
    Message,
    Parameters,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

PNG = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,BBBB"
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}


def read(**fields: object) -> tuple[ChatRequest, tuple[str, ...]]:
    return chat_request(decode.body_of(ResponsesBody, json.dumps({"input": "Hi", **fields}).encode()))


def items(*said: object) -> ChatRequest:
    return read(input=list(said))[0]


def refusal(**fields: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(**fields)
    assert caught.value.status == 400
    return caught.value


def test_instructions_and_a_text_are_two_messages() -> None:
    request, dropped = read(instructions="Be short")

    assert [(each.role, each.text) for each in request.messages] == [("system", "Be short"), ("user", "Hi")]
    assert dropped == ()


def test_a_conversation_keeps_its_turns() -> None:
    request = items(
        {"role": "developer", "content": "Be short"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "And kind"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
                {"type": "input_image", "image_url": "https://example.com/a.png"},
                {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": sealed("openai", "rs_up", "ENC"),
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "I look", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "No"},
            ],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "look",
            "arguments": "{}",
            "status": "completed",
            "extra_content": {"google": {"thought_signature": "T"}},
        },
        {"type": "function_call", "call_id": "call_2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        {
            "type": "function_call_output",
            "call_id": "call_2",
            "output": [{"type": "input_text", "text": "wet"}, {"type": "input_image", "image_url": PNG}],
        },
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": ""},
    )

    assert list(request.messages) == snapshot(
        [
            Message(role="system", parts=(Text(text="Be short"),)),
            Message(role="system", parts=(Text(text="And kind"),)),
            Message(
                role="user",
                parts=(
                    Text(text="What is this?"),
                    Image(data="AAAA", media_type="image/png", detail="low"),
                    Image(url="https://example.com/a.png"),
                    Document(media_type="application/pdf", name="a.pdf", data="BBBB"),
                ),
            ),
            Message(
                role="assistant",
                parts=(
                    Reasoning(text="Hm", signature="rs_up", redacted="ENC", provider="openai"),
                    Text(text="I look"),
                    Text(text="No"),
                    ToolCall(id="call_1", name="look", arguments="{}", signature="T"),
                    ToolCall(id="call_2", name="look", arguments="{}"),
                ),
            ),
            Message(role="tool", parts=(ToolResult(call_id="call_1", parts=(Text(text="sunny"),)),)),
            Message(
                role="tool",
                parts=(
                    ToolResult(
                        call_id="call_2", parts=(Text(text="wet"), Image(data="AAAA", media_type="image/png"))
                    ),
                ),
            ),
            Message(role="assistant", parts=(Text(text="It rains."),)),
            Message(role="user", parts=()),
        ]
    )


def test_reasoning_goes_back_only_as_what_it_is_known_to_be() -> None:
    plain = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm"}]}
    request, dropped = read(
        input=[
            {"role": "user", "content": "Hi"},
            plain,
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "So"}]},
            plain | {"encrypted_content": "gAAAA"},
            plain | {"encrypted_content": "dr1.none"},
            plain | {"encrypted_content": "dr1.\u00e4"},
        ]
    )

    assert [getattr(part, "text", None) for part in request.messages[1].parts] == ["Hm", "So"]
    assert dropped == ("input[].encrypted_content",)


def test_parameters_have_their_own_names() -> None:
    request, dropped = read(
        model="auto",
        max_output_tokens=77,
        temperature=0,
        top_p=0.5,
        tools=[TOOL | {"description": "Looks", "strict": True}],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        text={
            "format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}},
            "verbosity": "low",
        },
        reasoning={"effort": "high", "summary": "auto"},
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        truncation="disabled",
        store=False,
        metadata={"a": "b"},
    )

    assert request.parameters == Parameters(
        max_tokens=77,
        temperature=0,
        top_p=0.5,
        logprobs=True,
        parallel_tool_calls=False,
        reasoning_effort="high",
        verbosity="low",
        user="u",
        safety_identifier="s",
        prompt_cache_key="k",
    )
    assert request.tools == (
        Tool(name="look", description="Looks", parameters={"type": "object"}, strict=True),
    )
    assert request.tool_choice == ToolChoice(mode="named", name="look")
    assert request.response_format == ResponseFormat(kind="schema", name="x", schema={"type": "object"})
    assert (request.model, dropped) == (None, ())


@pytest.mark.parametrize(
    ("text", "kind"), [({"type": "text"}, "text"), ({"type": "json_object"}, "json"), (None, None)]
)
def test_a_plain_form_of_the_answer(text: object, kind: str | None) -> None:
    found = read(text={"format": text})[0].response_format

    assert (found.kind if found else None) == kind


def test_what_nobody_knows_is_named_and_left_out() -> None:
    _, dropped = read(
        input=[
            {
                "role": "user",
                "content": [{"type": "input_text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
                "agent": "a",
            },
            {"type": "function_call_output", "call_id": "c", "output": [], "took": 1},
        ],
        tools=[TOOL | {"defer_loading": True}],
        service_tier="flex",
        seed=[],
        stop="x",
        store=True,
        truncation="auto",
    )

    assert dropped == snapshot(
        (
            "input[].agent",
            "input[].content[].cache_control",
            "input[].took",
            "service_tier",
            "stop",
            "store",
            "tools[].defer_loading",
            "truncation",
        )
    )


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        (
            {"previous_response_id": "resp_1"},
            "previous_response_id",
            "send the whole conversation as `input`",
        ),
        ({"conversation": "conv_1"}, "conversation", "send the whole conversation as `input`"),
        ({"background": True}, "background", "stream the answer instead"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "send its text as `instructions` and `input`"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "store: false"),
        ({"input": [{"id": "msg_1"}]}, "input[0]", "store: false"),
        (
            {"input": [{"type": "web_search_call", "id": "ws_1"}]},
            "input[0]",
            "must be one of message, function_call,",
        ),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0]", "must be one of user, assistant,"),
        ({"input": [5]}, "input[0]", "send an object"),
        ({"input": []}, "input", "send a text, or an array of items"),
        ({"input": None}, "input", "send a text, or an array of items"),
        ({"input": " "}, "input", "send some text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0]",
            "can't be fetched from here; send its address or content as `image_url`",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x/a.pdf"}]}]},
            "input[0].content[0]",
            "send the file as `file_data`",
        ),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "only tools of type `function`"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0]", "only tools of type `function`"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice.type", "send 'function'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_plain_words(
    fields: dict[str, Any], param: str, says: str
) -> None:
    caught = refusal(**fields)

    assert caught.param == param
    assert says in str(caught)


@pytest.mark.parametrize(
    "fields",
    [
        '"tools": [{"type": "function", "name": "look", "parameters": {"maximum": 1e999}}]',
        '"text": {"format": {"type": "json_schema", "name": "x", "schema": {"maximum": 1e999}}}',
        '"metadata": {"a": [1e999]}',
    ],
)
def test_a_number_that_no_json_holds_is_refused(fields: str) -> None:
    body = decode.body_of(ResponsesBody, f'{{"input": "Hi", {fields}}}'.encode())
    with pytest.raises(Refusal, match=r"(tools|text\.format|metadata): a number is too large"):
        chat_request(body)


def test_of_items_that_are_wrong_throughout_one_fault_is_told() -> None:
    assert str(refusal(input=[0] * 1_000)) == "input[0]: send an object"


ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    [],
    [1],
    [{}],
    {},
    {"type": []},
    {"type": "x", "id": 1},
)
USER = {
    "role": "user",
    "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": PNG}],
}
FULL: dict[str, Any] = {
    "input": [
        USER,
        {"role": "user", "content": [{"type": "input_file", "file_data": PDF, "filename": "a"}]},
        {"type": "reasoning", "id": "r", "summary": [{"text": "x"}], "encrypted_content": "x"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
    ],
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}, "verbosity": "low"},
    "reasoning": {"effort": "low"},
    "tools": [TOOL],
    "tool_choice": {"type": "function", "name": "look"},
    **dict.fromkeys(set(ResponsesBody.model_fields) - {"input", "text", "reasoning", "tools", "tool_choice"}),
    "previous_response_id": None,
    "background": None,
}


def variants(value: object) -> list[object]:
    """The same with every odd value in every place."""
    found: list[object] = [*ODD]
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, inner in places:
        for odd in variants(inner):
            copy: Any = value.copy()  # type: ignore[attr-defined]  # a dict or a list
            copy[place] = odd
            found.append(copy)
    return found


@pytest.mark.parametrize(
    "said",
    [
        {"role": "user", "content": " "},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": ""}]},
        {"type": "reasoning", "summary": []},
    ],
)
async def test_a_conversation_without_a_word_is_empty(tmp_path: Path, said: object) -> None:
    async with door(tmp_path) as at:
        response = await ask(at, [said])

    assert response.status_code == 400
    assert "the prompt is empty" in response.json()["error"]["message"]


async def test_no_type_at_any_place_is_a_crash(tmp_path: Path) -> None:
    bodies = [*variants(FULL)]
    statuses = dict[int, int]()
    async with door(tmp_path) as at:
        for body in bodies:
            content = json.dumps(body)
            response = await at.speaker("admin-token-of-the-operator").post("/v1/responses", content=content)
            assert response.status_code in (200, 400, 404), (body, response.text)
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        fine = await ask(at, FULL["input"], tools=[TOOL])

    assert fine.status_code == 200, fine.text
    assert statuses[400] > len(bodies) / 3
