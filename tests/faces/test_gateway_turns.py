"""Turns as they go in and come out: tools, reasoning, files and refusals, whole, and from the cache as a stream."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faces.gateway_door import CHAT, HELLO, door, events_in
from tests.scripted import Script

from dynaroute_mcp.gateway.quota import headers_of
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.types import (
    Completion,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)

CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}
PAPER = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}


class Says(Script):
    """Answers with given parts."""

    parts: tuple[Part, ...] = ()

    async def complete(self, call: Call) -> Completion:
        answer = await super().complete(call)
        return replace(
            answer, message=Message(role="assistant", parts=self.parts), finish_reason="tool_calls"
        )


def says(*parts: Part) -> Says:
    script = Says()
    script.parts = parts
    return script


async def test_earlier_turns_reach_the_core_whole(tmp_path: Path) -> None:
    google = {"google": {"thought_signature": "proof"}}
    detail = {"type": "reasoning.text", "text": "Hm", "signature": "s", "provider": "anthropic"}
    async with door(tmp_path) as at:
        response = await at.chat(
            model="gemini-2.5-flash",
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "Look"}, PICTURE, PAPER]},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "I look"}, {"type": "refusal", "refusal": "No"}],
                    "refusal": "Never",
                    "reasoning_details": [detail],
                    "tool_calls": [CALL | {"extra_content": google}, CALL | {"id": "call_2"}],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "seen"}]},
                {"role": "assistant", "content": "Well"},
                {"role": "user", "content": ""},
            ],
            tools=[{"type": "function", "function": {"name": "look"}}],
            tool_choice={"type": "function", "function": {"name": "look"}},
            response_format={"type": "json_object"},
            stop=["a", "b"],
        )

    assert response.status_code == 200, response.text
    sent = at.script.calls[0].request
    assert [message.parts for message in sent.messages] == [
        (
            Text(text="Look"),
            Image(url="https://pictures.example/a.png"),
            Document(media_type="application/pdf", name="a.pdf", data="AAAA"),
        ),
        (
            Reasoning(text="Hm", signature="s", provider="anthropic"),
            Text(text="I look"),
            Text(text="No"),
            Text(text="Never"),
            ToolCall(id="call_1", name="look", arguments="{}", signature="proof"),
            ToolCall(id="call_2", name="look", arguments="{}"),
        ),
        (ToolResult(call_id="call_1", parts=(Text(text="seen"),)),),
        (Text(text="Well"),),
        (),
    ]
    assert sent.tool_choice == ToolChoice(mode="named", name="look")
    assert sent.response_format is not None
    assert sent.response_format.kind == "json"
    assert sent.parameters.stop == ("a", "b")


async def test_marks_of_what_to_cache_reach_the_core_wherever_clients_put_them(tmp_path: Path) -> None:
    """On parts, as aider does; on whole messages, as OpenHands marks what tools gave back; and on tools."""
    short, long = ({"cache_control": {"type": "ephemeral"} | ttl} for ttl in ({}, {"ttl": "1h"}))
    function = {"name": "look"}
    async with door(tmp_path) as at:
        response = await at.chat(
            messages=[
                {"role": "system", "content": "Be kind."} | long,
                {"role": "user", "content": [{"type": "text", "text": "Look"} | short, PAPER | short]},
                {"role": "user", "content": [{"type": "text", "text": "!"}, PICTURE | short]},
                {"role": "user", "content": [{"type": "text", "text": "?"} | long]} | short,
                {"role": "assistant", "content": [{"type": "text", "text": "I look"} | short]},
                {"role": "assistant", "content": "So", "tool_calls": [CALL | short, CALL | {"id": "b"}]}
                | short,
                {"role": "tool", "tool_call_id": "call_1", "content": "seen"} | short,
                {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "x"} | long]},
                {"role": "user", "content": ""} | short,
            ],
            tools=[
                {"type": "function", "function": function} | long,
                {"type": "function", "function": function | short},
                {"type": "function", "function": function, "cache_control": None},
            ],
        )

    assert response.status_code == 200, response.text
    sent = at.script.calls[0].request
    marks = [[getattr(part, "cache_ttl", "-") for part in message.parts] for message in sent.messages]
    assert marks == [
        ["1h"],
        ["5m", "5m"],
        [None, "5m"],
        ["1h"],
        ["5m"],
        [None, "5m", "5m"],
        ["5m"],
        ["1h"],
        [],
    ]
    assert [tool.cache_ttl for tool in sent.tools] == ["1h", "5m", None]
    assert sent.cache_ttls == {"5m", "1h"}
    assert response.json()["_custom_routing_info"]["dropped_params"] == []


async def test_an_answer_shows_calls_and_reasoning_as_clients_send_them_back(tmp_path: Path) -> None:
    script = says(
        Reasoning(text="Hm", signature="s"),
        Reasoning(redacted="sealed"),
        ToolCall(id="call_1", name="look", arguments="{}", signature="proof"),
        ToolCall(id="call_2", name="look", arguments="{}"),
    )
    async with door(tmp_path, script) as at:
        first = (await at.chat(model="claude-haiku-5-5")).json()["choices"][0]
        turns: list[Any] = [
            *HELLO["messages"],
            first["message"],
            {"role": "tool", "tool_call_id": "call_1", "content": ""},
        ]
        again = await at.chat(model="claude-haiku-5-5", messages=turns)

    message = first["message"]
    assert (first["finish_reason"], message["content"], message["reasoning_content"]) == (
        "tool_calls",
        None,
        "Hm",
    )
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Hm", "signature": "s", "provider": "anthropic"},
        {"type": "reasoning.encrypted", "data": "sealed", "provider": "anthropic"},
    ]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "proof"}}
    assert again.status_code == 200, again.text
    assert at.script.calls[1].request.messages[1].parts[-1] == ToolCall(
        id="call_2", name="look", arguments="{}"
    )


async def test_reasoning_comes_back_from_clients_that_keep_its_text_alone(tmp_path: Path) -> None:
    """As Vercel's AI SDK and pydantic-ai do; DeepSeek refuses a turn that called tools without it."""
    turn = {"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": [CALL]}
    detail = {"text": "Hm", "signature": "s", "provider": "anthropic"}
    async with door(tmp_path) as at:
        for more in ({}, {"reasoning_details": [detail]}, {"reasoning_content": ""}):
            result = {"role": "tool", "tool_call_id": "call_1", "content": "seen"}
            await at.chat(messages=[*HELLO["messages"], turn | more, result])

    sent = [call.request.messages[1].parts[:-1] for call in at.script.calls]
    assert sent == [
        (Reasoning(text="Hm"),),
        (Reasoning(text="Hm", signature="s", provider="anthropic"),),
        (),
    ]


async def test_a_cached_answer_streams_with_its_calls_and_reasoning(tmp_path: Path) -> None:
    script = says(
        Reasoning(text="Hm", signature="s"),
        Text(text="Look"),
        ToolCall(id="call_1", name="look", arguments="{}", signature="thought"),
        ToolCall(id="call_2", name="look", arguments="{}"),
    )
    ttl = {"X-GR-Cache-TTL": "5"}
    async with door(tmp_path, script) as at:
        await at.client.post(CHAT, json=HELLO, headers=ttl)
        replayed = await at.client.post(CHAT, json=HELLO | {"stream": True}, headers=ttl)

    *chunks, done = events_in(replayed.text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert done == "[DONE]"
    assert deltas[0] == {"role": "assistant"}
    assert {"content": "Look"} in deltas
    assert any("reasoning_details" in delta and delta["reasoning_content"] == "Hm" for delta in deltas)
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "call_1"), (1, "call_2")]
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "thought"}}


async def test_the_header_of_a_strategy_wins_over_the_body(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        body = HELLO | {"strategy": "cheapest"}
        both = await at.client.post(CHAT, json=body, headers={"X-Routing-Strategy": "Best"})
        own = await at.chat(strategy="price-optimized")
        wrong = await at.client.post(CHAT, json=HELLO, headers={"X-Routing-Strategy": "fast"})

    told = [each.json()["_custom_routing_info"]["strategy"] for each in (both, own)]
    assert told == ["best", "cheapest"]
    assert wrong.json()["error"]["param"] == "X-Routing-Strategy"


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        ("requests_per_minute", "X-RateLimit-Limit"),
        ("requests_per_day", "X-RateLimit-Limit-Day"),
        ("usd_per_month", "X-RateLimit-Spend-Limit"),
        ("tokens_per_month", "X-RateLimit-Limit-Tokens"),
    ],
)
async def test_an_unlimited_figure_has_no_header(tmp_path: Path, field: str, kept: str) -> None:
    async with door(tmp_path) as at:
        caller = await at.core.accounts.caller_for(at.key)
        subscription = await at.core.accounts.subscription(caller)
    others = {name: left for name, left in subscription.left.items() if name != field}

    assert kept in headers_of(subscription.left, at.time.now())
    assert kept not in headers_of(others, at.time.now())
    assert headers_of({}, at.time.now()) == {}


def part_of(kind: str, value: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": [{"type": kind, kind: value}]}]}


@pytest.mark.parametrize("address", ["https://a.example/x.png", "data:image/png;base64,AAAA"])
async def test_a_picture_may_come_as_its_address_alone(tmp_path: Path, address: str) -> None:
    async with door(tmp_path) as at:
        bare = await at.chat(**part_of("image_url", address))
        whole = await at.chat(**part_of("image_url", {"url": address}))
    first, second = (call.request.messages for call in at.script.calls)

    assert (bare.status_code, whole.status_code) == (200, 200)
    assert first == second


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"n": 2}, "n: a request has one answer; leave `n` out, and send the request again for another"),
        ({"n": "two"}, "n: send a whole number"),
        (
            part_of("file", {"file_id": "file-1"}),
            "messages[0].content[0].file: a file that a provider keeps (`file_id`) can't be reached from here; "
            "send it whole as `file_data`, such as `data:application/pdf;base64,...`",
        ),
        (
            part_of("file", {"file_data": "https://a.example/a.pdf"}),
            "messages[0].content[0].file.file_data: send the file itself as `data:application/pdf;base64,...`; "
            "it is fetched from nowhere",
        ),
        (
            part_of("image_url", "file:///etc/passwd"),
            "messages[0].content[0].image_url: send an http(s) address, or the picture itself as "
            "`data:image/png;base64,...`",
        ),
        (part_of("image_url", {}), "messages[0].content[0].image_url.url: this field is missing"),
        (
            part_of("input_audio", {"data": "AA"}),
            "messages[0].content[0]: 'type' must be one of 'text', 'image_url', 'file'",
        ),
        ({"messages": ["Hello"]}, "messages[0]: send an object"),
        ({"messages": [{"content": "Hello"}]}, "messages[0]: 'role' is missing"),
        ({"temperature": 3}, "temperature: send 2 or less"),
        ({"tool_choice": "any"}, "tool_choice: send 'auto', 'none' or 'required'"),
        (
            {"tools": [{"type": "function", "function": {"name": "what is it"}}]},
            "tools[0].function.name: send 1 to 128 letters, digits, `_`, `-`, `.` or `:`",
        ),
    ],
)
async def test_a_field_that_does_not_fit_is_refused_in_words_that_say_what_to_send(
    tmp_path: Path, body: dict[str, object], said: str
) -> None:
    async with door(tmp_path) as at:
        response = await at.chat(**body)

    assert response.status_code == 400
    assert response.json()["error"]["message"] == said
