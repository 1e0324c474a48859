"""Marks of what is to be cached, as Anthropic is sent them."""

from dataclasses import replace
from typing import Any

import pytest
from tests.providers.examples import PIXEL, WEATHER, answers, ask, call, complete, say

from dynaroute_mcp.types import (
    CacheTtl,
    ChatRequest,
    Document,
    Image,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)

REPLY = {
    "type": "message",
    "content": [{"type": "text", "text": "Hi."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 2},
}
SHORT, LONG = ({"cache_control": {"type": "ephemeral"} | ttl} for ttl in ({}, {"ttl": "1h"}))


async def sent_for(request: ChatRequest) -> tuple[Any, tuple[str, ...]]:
    """What Anthropic is sent, and what is told to be left out or weakened."""
    provider = answers(REPLY)
    answer = await complete(provider, call("anthropic", request))
    return provider.sent[0].body, answer.dropped


async def test_what_is_to_be_cached_is_marked_on_its_own_block() -> None:
    request = ask(
        say("system", Text(text="Be kind.", cache_ttl="1h")),
        say("system", "", " ", "It is noon."),
        say(
            "user",
            Text(text=""),
            Image(data=PIXEL, media_type="image/png"),
            Text(text="Look", cache_ttl="5m"),
        ),
        say(
            "assistant",
            Reasoning(text="Hm", signature="s", provider="acme"),
            ToolCall(id="a", name="f", arguments="{}"),
        ),
        say("tool", ToolResult(call_id="a", parts=(Text(text="seen", cache_ttl="1h"),), cache_ttl="5m")),
        tools=[replace(WEATHER, cache_ttl="1h")],
    )

    body, dropped = await sent_for(request)

    assert body["tools"][0]["cache_control"] == LONG["cache_control"]
    assert body["system"] == [
        {"type": "text", "text": "Be kind."} | LONG,
        {"type": "text", "text": "It is noon."},
    ]
    asked, _, told = (turn["content"] for turn in body["messages"])
    assert [block.get("cache_control") for block in asked] == [None, SHORT["cache_control"]]
    assert told == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "seen"}]} | SHORT
    ]
    assert dropped == ()


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (["5m"] * 6, [None, None, "5m", "5m", "5m", "5m"]),
        (["1h", "1h", "5m", "5m", "5m"], [None, "1h", "5m", "5m", "5m"]),
        (["5m", "1h"], ["5m", "5m"]),
        (["1h", "5m", "1h", "5m"], ["1h", "5m", "5m", "5m"]),
        (["5m", "1h", None, "1h", "1h", "1h"], [None, "1h", None, "1h", "1h", "1h"]),
    ],
)
async def test_of_the_marks_anthropic_takes_four_the_last_ones_and_the_long_ones_first(
    asked: list[CacheTtl | None], sent: list[str | None]
) -> None:
    turns = [say("user", Text(text="word", cache_ttl=ttl)) for ttl in asked]

    body, dropped = await sent_for(ask(*turns))

    marks = [block.get("cache_control") for block in body["messages"][0]["content"]]
    assert [mark and mark.get("ttl", "5m") for mark in marks] == sent
    assert dropped == ("cache_control",)


async def test_marks_are_counted_across_tools_system_and_messages() -> None:
    marked = [Text(text=word, cache_ttl="5m") for word in ("a", "b", "c", "d")]
    request = ask(
        say("user", *marked[:3]), say("system", marked[3]), tools=[replace(WEATHER, cache_ttl="5m")]
    )

    body, dropped = await sent_for(request)

    assert dropped == ("cache_control",)
    assert "cache_control" not in body["tools"][0]
    assert body["system"] == [{"type": "text", "text": "d"} | SHORT]
    assert all("cache_control" in block for block in body["messages"][0]["content"])


async def test_a_text_that_came_as_a_file_keeps_its_mark() -> None:
    file = Document(media_type="text/plain", data="aGk=", cache_ttl="5m")

    body, _ = await sent_for(ask(say("user", file)))

    assert body["messages"][0]["content"] == [{"type": "text", "text": "hi"} | SHORT]


@pytest.mark.parametrize(("role", "blank"), [("user", ""), ("system", " ")])
async def test_a_mark_on_nothing_is_named_as_left_out(role: Any, blank: str) -> None:
    nothing = Text(text=blank, cache_ttl="5m")

    body, dropped = await sent_for(ask(say(role, "Long", nothing), say("user", "Hi")))

    assert "cache_control" not in str(body)
    assert dropped == ("cache_control",)
