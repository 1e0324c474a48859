"""`X-GR-Guardrails`: obvious personal data goes to nobody, however it is written and wherever it stands."""

from pathlib import Path
from time import perf_counter

import anyio
import pytest
from tests.faces.gateway_door import HELLO, door

from dynaroute_mcp.gateway import guardrail
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.types import ChatRequest, Message, Text

MODERATE = {"X-GR-Guardrails": "moderate"}
MAIL = "jane.doe@example.com"
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": f'{{"to": "{MAIL}"}}'}}


def said(text: str) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", parts=(Text(text=text),)),))


@pytest.mark.parametrize("header", ["moderate", "Moderate "])
async def test_obvious_personal_data_is_refused_before_any_call_and_never_repeated(
    tmp_path: Path, header: str
) -> None:
    secret = "Mail jane.doe@example.com or +49 151 2345 6789, card 4111 1111 1111 1111, 219-09-9999, DE89 3704 0044 0532 0130 00"
    async with door(tmp_path) as at:
        response = await at.client.post(
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": secret}]},
            headers={"X-GR-Guardrails": header},
        )

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "guardrail_violation")
    for name in ("email", "phone_number", "credit_card", "us_social_security_number", "iban"):
        assert name in error["message"]
    assert not any(word in response.text for word in ("jane", "4111", "2345", "9999", "3704"))
    assert at.script.calls == []


async def test_what_only_looks_like_personal_data_passes_and_an_unknown_guardrail_does_not(
    tmp_path: Path,
) -> None:
    plain = "Order 4111 1111 1111 1112, version 1.2.3, 000-12-3456, +1 2, a@b, DE00 3704 0044 0532 0130 00"
    ask = {
        "messages": [
            {"role": "user", "content": plain},
            {"role": "tool", "tool_call_id": "1", "content": "x@y.zz"},
        ]
    }
    async with door(tmp_path) as at:
        passed = await at.client.post(
            "/v1/chat/completions",
            json={"messages": ask["messages"][:1]},
            headers={"X-GR-Guardrails": "moderate"},
        )
        from_a_tool = await at.client.post(
            "/v1/chat/completions", json=ask, headers={"X-GR-Guardrails": "moderate"}
        )
        unknown = await at.client.post("/v1/chat/completions", json=HELLO, headers={"X-GR-Guardrails": "x"})

    assert passed.status_code == 200, passed.text
    assert from_a_tool.status_code == 400
    assert unknown.json()["error"]["param"] == "X-GR-Guardrails"


async def test_a_prompt_to_be_routed_is_guarded_like_a_chat(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        refused = await at.client.post("/v1/route", json={"prompt": f"Write to {MAIL}"}, headers=MODERATE)
        unknown = await at.client.post("/v1/route", json={"prompt": "Hi"}, headers={"X-GR-Guardrails": "x"})
        passed = await at.client.post("/v1/route", json={"prompt": "Hi"}, headers=MODERATE)

    assert [each.status_code for each in (refused, unknown, passed)] == [400, 400, 200]
    assert refused.json()["error"]["reason"] == "guardrail_violation"
    assert len(at.script.calls) == 1


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "system", "content": MAIL},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": "Hm", "reasoning_details": [{"text": MAIL}]},
    ],
)
async def test_every_turn_of_a_conversation_is_guarded(tmp_path: Path, turn: dict[str, object]) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post(
            "/v1/chat/completions", json={"messages": [*HELLO["messages"], turn]}, headers=MODERATE
        )

    assert response.json()["error"]["reason"] == "guardrail_violation"
    assert at.script.calls == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("jane\uff20example.com", "email"),
        ("jane\u200b.doe@example.com", "email"),
        ("4111\u00a01111\u00a01111\u00a01111", "credit_card"),
        ("4111\u20111111\u20111111\u20111111", "credit_card"),
        ("\uff14" + "\uff11" * 15, "credit_card"),
        ("219\u201309\u20139999", "us_social_security_number"),
        ("DE89\u202f3704\u202f0044\u202f0532\u202f0130\u202f00", "iban"),
        ("(415) 555-2671", "phone_number"),
        ("415-555-2671", "phone_number"),
        ("1.415.555.2671", "phone_number"),
    ],
)
def test_another_way_of_writing_hides_nothing(text: str, name: str) -> None:
    assert guardrail.patterns_in(f"It is {text}, I think") == {name}


@pytest.mark.parametrize(
    "text", ["192.168.100.200", "2026-11-22", "978-3-16-148410-0", "90210-1234", "1-2-3"]
)
def test_numbers_of_other_kinds_are_no_personal_data(text: str) -> None:
    assert guardrail.patterns_in(text) == set()


@pytest.mark.parametrize("before", [19_990, 19_999, 20_000, 20_001, 20_511, 20_512, 40_100])
async def test_personal_data_at_a_cut_between_two_pieces_is_found(before: int) -> None:
    with pytest.raises(Refusal, match="email"):
        await guardrail.check("moderate", said("-" * before + " " + MAIL + " " + "-" * 30_000))


async def test_a_cut_makes_no_personal_data_of_what_is_none() -> None:
    digits = "4" * 60_000  # sixteen of them are no card, but for where a piece begins or ends
    await guardrail.check("moderate", said(digits.replace("4444", "4111", 1) + "1" * 15))


async def test_a_long_text_lets_others_be_served_while_it_is_searched() -> None:
    longest_s, done = 0.0, False

    async def other() -> None:
        nonlocal longest_s
        while not done:
            began = perf_counter()
            await anyio.lowlevel.checkpoint()
            longest_s = max(longest_s, perf_counter() - began)

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        began = perf_counter()
        await guardrail.check("moderate", said("1234 " * 100_000))
        took_s = perf_counter() - began
        done = True

    assert longest_s < took_s / 3


TOOL = {"name": "f", "description": "Sends.", "parameters": {"type": "object"}}
SCHEMA = {"name": "answer", "schema": {"properties": {MAIL: {"type": "string"}}}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": TOOL | {"description": f"Mails {MAIL}."}}]),
        ("tools", [{"type": "function", "function": TOOL | {"parameters": {"enum": ["x", MAIL]}}}]),
        ("response_format", {"type": "json_schema", "json_schema": SCHEMA}),
        ("stop", ["x", MAIL]),
        ("messages", [{"role": "user", "name": MAIL, "content": "Hello"}]),
    ],
)
async def test_personal_data_beside_the_messages_goes_to_nobody_either(
    tmp_path: Path, field: str, value: object
) -> None:
    async with door(tmp_path) as at:
        refused = await at.client.post("/v1/chat/completions", json={**HELLO, field: value}, headers=MODERATE)

    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["param"]) == (400, "guardrail_violation", field)
    assert at.script.calls == []
