"""What is classified is what a person last asked, not what a harness put around it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.classifier.conversation import last_ask
from dynaroute_mcp.types import Image, Message, Text, ToolCall, ToolResult


def user(*texts: str) -> Message:
    return Message(role="user", parts=tuple(Text(text=text) for text in texts))


def assistant(text: str) -> Message:
    return Message(role="assistant", parts=(Text(text=text),))


def test_the_last_user_turn_is_the_ask() -> None:
    asked = [
        user("Who wrote Emma?"),
        assistant("Jane Austen."),
        user("Write a haiku about rain on a tin roof."),
    ]

    assert last_ask(asked) == "Write a haiku about rain on a tin roof."


def test_system_and_assistant_turns_are_never_asks() -> None:
    system = Message(role="system", parts=(Text(text="You prove theorems."),))

    assert last_ask([system, user("hi there"), assistant("Shall I prove Fermat's theorem?")]) == "hi there"


def test_nobody_asked_anything() -> None:
    assert last_ask([]) == ""
    assert last_ask([assistant("Hello")]) == ""


@pytest.mark.parametrize(
    "block",
    [
        "<system-reminder>Design a distributed database.</system-reminder>",
        "<environment_context>\n  <cwd>/srv</cwd>\n</environment_context>",
        "<local-command-stdout>Traceback (most recent call last)</local-command-stdout>",
        '<attached_files kind="code">def f(): pass</attached_files>',
    ],
)
def test_blocks_of_a_harness_are_left_out(block: str) -> None:
    assert last_ask([user(block, "What is the capital of Peru?")]) == "What is the capital of Peru?"
    assert last_ask([user(f"What is the capital of Peru?\n{block}")]) == "What is the capital of Peru?"


def test_a_turn_of_blocks_only_gives_way_to_the_ask_before() -> None:
    reminder = user("<system-reminder>The list is empty.</system-reminder>")

    assert last_ask([user("Name three rivers in Ghana."), reminder]) == "Name three rivers in Ghana."


def test_a_block_that_never_closes_keeps_the_text_after_its_tag() -> None:
    assert (
        last_ask([user("<system-reminder> Translate 'bread' into Greek")]) == "Translate 'bread' into Greek"
    )


def test_tags_around_the_ask_itself_go_and_other_markup_stays() -> None:
    assert last_ask([user("<user_query>Fix <b>this</b></user_query>")]) == "Fix <b>this</b>"


def test_tool_results_and_pictures_are_no_asks() -> None:
    call = Message(role="assistant", parts=(ToolCall(id="1", name="ls", arguments="{}"),))
    result = Message(role="tool", parts=(ToolResult(call_id="1", parts=(Text(text="a.py"),)),))
    inside = Message(role="user", parts=(ToolResult(call_id="1", parts=(Text(text="a.py"),)),))
    picture = Message(role="user", parts=(Image(url="https://x.test/a.png"),))

    assert (
        last_ask([user("Sort my files by size."), call, result, inside, picture]) == "Sort my files by size."
    )


@pytest.mark.parametrize(
    "follow", ["and in French?", "shorter", "why?", "now make it rhyme", "?", "e in italiano?"]
)
def test_an_ask_that_cannot_stand_alone_brings_the_one_before(follow: str) -> None:
    asked = [user("Translate 'good night' into Spanish."), assistant("Buenas noches."), user(follow)]

    assert last_ask(asked) == f"Translate 'good night' into Spanish.\n{follow}"


def test_a_chain_of_follow_ups_leads_back_to_the_ask_that_stands() -> None:
    asked = [user("Write a limerick about bees."), user("shorter"), user("and now with wasps")]

    assert last_ask(asked) == "Write a limerick about bees.\nand now with wasps"


def test_follow_ups_to_nothing_stand_with_the_one_before() -> None:
    assert last_ask([user("more"), user("again")]) == "more\nagain"


@pytest.mark.parametrize("alone", ["thanks a lot", "Who painted Guernica?", "and " + "very " * 10 + "long"])
def test_an_ask_that_stands_alone_brings_nothing(alone: str) -> None:
    assert last_ask([user("Translate 'good night' into Spanish."), user(alone)]) == alone


def test_a_context_is_clipped() -> None:
    assert len(last_ask([user("Summarise: " + "word " * 10_000), user("and shorter")])) < 2_100


@given(st.lists(st.text(), max_size=4))
def test_any_conversation_has_a_last_ask(texts: list[str]) -> None:
    assert last_ask([user(text) for text in texts]) == last_ask([user(text) for text in texts])


@pytest.mark.parametrize("piece", ["<system-reminder>", "<", "</task>", "<rules a"])
def test_repeated_tags_take_bounded_time(piece: str) -> None:
    text = piece * (190_000 // len(piece))

    started = time.perf_counter()
    last_ask([user(text)])

    assert time.perf_counter() - started < 1
