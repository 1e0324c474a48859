"""Ids of tool calls that a conversation brings along from other vendors."""

import re

import pytest
from tests.providers.examples import ask, call, say

from dynaroute_mcp.providers.call_ids import fitted
from dynaroute_mcp.providers.gemini import GenerateContent
from dynaroute_mcp.providers.verdicts import Wording
from dynaroute_mcp.types import Message, Text, ToolCall, ToolResult

KIMI = "functions.get_weather:0"
LONG = "chatcmpl-tool-0123456789abcdef0123456789abcdef"
OPENAI = "call_PTLP8xhu3uwZk4l3nlnrrJha"


def turn(*ids: str, name: str = "f") -> tuple[Message, Message]:
    calls = say("assistant", *(ToolCall(id=each, name=name, arguments="{}") for each in ids))
    return calls, say("tool", *(ToolResult(call_id=each, parts=(Text(text="1"),)) for each in ids))


def ids(messages: tuple[Message, ...]) -> tuple[list[str], list[str]]:
    parts = [part for message in messages for part in message.parts]
    return (
        [part.id for part in parts if isinstance(part, ToolCall)],
        [part.call_id for part in parts if isinstance(part, ToolResult)],
    )


@pytest.mark.parametrize(
    ("wording", "short", "theirs", "taken"),
    [
        ("anthropic", False, KIMI, "[a-zA-Z0-9_-]+"),
        ("openai", False, LONG, ".{1,40}"),
        ("responses", False, LONG, ".{1,40}"),
        ("openai", True, OPENAI, "[a-zA-Z0-9]{9}"),
        ("openai", True, "call_0", "[a-zA-Z0-9]{9}"),
    ],
)
def test_an_id_that_the_api_refuses_becomes_one_that_it_takes_in_call_and_result(
    wording: Wording, short: bool, theirs: str, taken: str
) -> None:
    calls, results = ids(fitted(turn(theirs, f"{theirs}1"), wording, short=short))

    assert calls == results
    assert len(set(calls)) == len(calls)
    assert all(re.fullmatch(taken, each) for each in calls)


@pytest.mark.parametrize(
    ("wording", "short", "theirs"),
    [
        ("anthropic", False, "toolu_01NGSZ6A8jPBzZr8prgLzR7P"),
        ("anthropic", False, OPENAI),
        ("openai", False, KIMI),
        ("openai", True, "D681PevKs"),
        ("gemini", False, LONG),
    ],
)
def test_an_id_that_the_api_takes_stays(wording: Wording, short: bool, theirs: str) -> None:
    assert fitted(turn(theirs), wording, short=short) == turn(theirs)


def test_ids_that_begin_anew_with_every_answer_are_told_apart_and_stay_the_same_as_the_talk_grows() -> None:
    talk = (*turn("call_dr_0", "call_dr_1"), *turn("call_dr_0"), *turn("call_dr_0"))

    calls, results = ids(fitted(talk, "anthropic", short=False))
    earlier, _ = ids(fitted(talk[:4], "anthropic", short=False))

    assert calls[:2] == ["call_dr_0", "call_dr_1"]
    assert calls == results
    assert len(set(calls)) == len(calls)
    assert calls[:3] == earlier


def test_calls_of_one_turn_that_share_an_id_get_their_results_in_order() -> None:
    calls, results = ids(fitted(turn("x", "x"), "anthropic", short=False))

    assert calls == results
    assert len(set(calls)) == len(calls)


def test_a_result_without_its_call_and_a_second_result_get_ids_that_are_taken() -> None:
    again = say("tool", ToolResult(call_id=KIMI), ToolResult(call_id="a:b"), ToolResult(call_id="c"))

    calls, results = ids(fitted((*turn(KIMI), again), "anthropic", short=False))

    assert results[:2] == [calls[0], calls[0]]
    assert re.fullmatch("call_dr_[0-9a-f]{16}", results[2])
    assert results[3] == "c"


def test_gemini_gets_each_result_under_the_name_of_its_own_call() -> None:
    first, second = turn("call_dr_0", name="look_up"), turn("call_dr_0", name="book")
    request = ask(say("user", "?"), *first, *second)

    body = GenerateContent().write(call("gemini", request), stream=False).body

    contents = body["contents"]
    assert isinstance(contents, list)
    parts = [part for content in contents for part in content["parts"]]
    responses = [part["functionResponse"] for part in parts if "functionResponse" in part]
    assert [each["name"] for each in responses] == ["look_up", "book"]
    assert all("id" not in each for each in responses)
