"""Conversations: known by their beginning or their session, held for an hour, never by their text."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynaroute_mcp import conversations
from dynaroute_mcp.conversations import Conversations
from dynaroute_mcp.policy import Pin
from dynaroute_mcp.types import CacheTtl, Caller, ChatRequest, Message, Routing, Text, Usage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ALICE, BOB = Caller(owner="alice"), Caller(owner="bob")
USED = Usage(uncached_input_tokens=700, cache_read_tokens=200, output_tokens=150, reasoning_tokens=50)

SESSION = Routing(session_id="s")


def said(*turns: str, session_id: str | None = None) -> ChatRequest:
    """User and assistant in turn, the user first."""
    messages = tuple(
        Message(role="assistant" if place % 2 else "user", parts=(Text(text=turn),))
        for place, turn in enumerate(turns)
    )
    return ChatRequest(messages=messages, routing=Routing(session_id=session_id))


def test_the_second_turn_finds_the_model_of_the_first_and_what_its_cache_holds() -> None:
    known = Conversations()
    known.answered(said("Hello"), ALICE, "m", USED, NOW, unasked=True)

    pin = known.pin(said("Hello", "Hi", "And now?"), ALICE, NOW + timedelta(minutes=5))

    assert pin is not None
    assert (pin.model_id, pin.warm_tokens) == ("m", 1_000)


def test_a_provider_that_caches_only_what_is_marked_holds_what_it_counted() -> None:
    known = Conversations()
    known.answered(said("Hello"), ALICE, "m", USED, NOW, unasked=False)

    pin = known.pin(said("Hello", "Hi", "And now?"), ALICE, NOW)

    assert pin is not None
    assert pin.warm_tokens == 200


def marked(request: ChatRequest, *ttls: CacheTtl) -> ChatRequest:
    """The same with its last message marked once for each."""
    *before, last = request.messages
    parts = tuple(Text(text=last.text, cache_ttl=ttl) for ttl in ttls)
    return replace(request, messages=(*before, replace(last, parts=parts)))


@pytest.mark.parametrize(
    ("first", "then", "minutes", "warm"),
    [
        (("5m",), ("5m",), 5, 200),
        (("5m",), ("1h",), 5, 200),
        (("5m",), ("5m",), 6, 0),
        (("5m",), (), 1, 0),
        (("1h",), ("5m",), 60, 200),
        (("1h", "5m"), ("1h",), 6, 0),
        ((), (), 60, 200),
    ],
)
def test_a_cache_that_was_marked_is_warm_in_time_for_turns_that_are_marked_too(
    first: tuple[CacheTtl, ...], then: tuple[CacheTtl, ...], minutes: int, warm: int
) -> None:
    known, start, next_turn = Conversations(), said("Hello"), said("Hello", "Hi", "And now?")
    begun = marked(start, *first) if first else start
    known.answered(replace(begun, routing=SESSION), ALICE, "m", USED, NOW, unasked=False)

    follow_up = replace(marked(next_turn, *then) if then else next_turn, routing=SESSION)
    pin = known.pin(follow_up, ALICE, NOW + timedelta(minutes=minutes))

    assert pin == Pin(model_id="m", warm_tokens=warm)


def test_a_provider_that_caches_by_itself_needs_no_mark() -> None:
    known = Conversations()
    known.answered(marked(said("Hello"), "5m"), ALICE, "m", USED, NOW, unasked=True)

    pin = known.pin(said("Hello", "Hi", "And now?"), ALICE, NOW + timedelta(minutes=50))

    assert pin == Pin(model_id="m", warm_tokens=1_000)


def test_a_first_turn_is_on_no_model_even_when_it_repeats_an_old_one() -> None:
    known = Conversations()
    known.answered(said("Hello"), ALICE, "m", USED, NOW, unasked=True)

    assert known.pin(said("Hello"), ALICE, NOW) is None


def test_a_session_is_known_by_its_id_whatever_was_said() -> None:
    known = Conversations()
    known.answered(said("Hello", session_id="s1"), ALICE, "m", USED, NOW, unasked=True)

    assert known.pin(said("Something else", session_id="s1"), ALICE, NOW) is not None
    assert known.pin(said("Something else", session_id="s2"), ALICE, NOW) is None


def test_nobody_is_on_another_owners_conversation() -> None:
    known = Conversations()
    known.answered(said("Hello"), ALICE, "m", USED, NOW, unasked=True)

    assert known.pin(said("Hello", "Hi", "And now?"), BOB, NOW) is None


def test_an_hour_without_a_turn_is_forgotten() -> None:
    known = Conversations()
    known.answered(said("Hello"), ALICE, "m", USED, NOW, unasked=True)

    assert known.pin(said("Hello", "Hi", "And?"), ALICE, NOW + timedelta(hours=1, seconds=1)) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "_KEPT", 2)
    known = Conversations()
    for start in ("a", "b", "c"):
        known.answered(said(start), ALICE, "m", USED, NOW, unasked=True)

    assert known.pin(said("a", "x", "y"), ALICE, NOW) is None
    assert known.pin(said("c", "x", "y"), ALICE, NOW) is not None
