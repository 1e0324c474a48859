"""What of a request is passed on, what is named as left out, and what comes back for it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.faces.gateway_door import CHAT, HELLO, door, events_in
from tests.scripted import Script

from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.types import Completion, Finished, Message, Text, TextDelta, TokenChance, Usage

CHANCE = TokenChance(
    token="Hi", logprob=-0.1, bytes=(72, 105), top_logprobs=(TokenChance(token="Ho", logprob=-3.0),)
)
SHOWN: dict[str, Any] = {
    "content": [
        {
            "token": "Hi",
            "logprob": -0.1,
            "bytes": [72, 105],
            "top_logprobs": [{"token": "Ho", "logprob": -3.0, "bytes": None}],
        }
    ],
    "refusal": None,
}


class Sure(Script):
    """Tells how sure it is."""

    async def complete(self, call: Call) -> Completion:
        answer = await super().complete(call)
        parts = (Text(text="Hi", logprobs=(CHANCE,)),)
        return replace(answer, message=Message(role="assistant", parts=parts))


async def test_what_changes_neither_price_nor_choice_reaches_the_provider(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.chat(
            user="me",
            safety_identifier="hash",
            prompt_cache_key="k",
            store=True,
            metadata={"team": "a"},
            logprobs=True,
            top_logprobs=2,
            service_tier="flex",
            messages=[{"role": "user", "name": "ann", "content": "Hello"}],
        )

    sent = at.script.calls[0].request
    assert response.json()["_custom_routing_info"]["dropped_params"] == ["service_tier"]
    assert (sent.parameters.user, sent.parameters.safety_identifier) == ("me", "hash")
    assert (sent.parameters.prompt_cache_key, sent.parameters.store) == ("k", True)
    assert (sent.parameters.logprobs, sent.parameters.top_logprobs) == (True, 2)
    assert sent.parameters.metadata == {"team": "a"}
    assert sent.messages[0].name == "ann"


@pytest.mark.parametrize(
    ("fields", "dropped"),
    [
        ({"metadata": {"team": "a"}}, ["metadata"]),
        ({"metadata": {"team": "a"}, "store": False}, ["metadata"]),
        ({"metadata": {"trace": {"id": 1}}, "store": True}, ["metadata"]),
        ({"metadata": {"team": "a" * 513}, "store": True}, ["metadata"]),
        ({"metadata": {str(number): "" for number in range(17)}, "store": True}, ["metadata"]),
        ({"metadata": {}, "store": False, "logprobs": False, "top_logprobs": 0}, []),
        ({"top_logprobs": 2}, ["top_logprobs"]),
        ({"functions": [], "tools": [], "background": False, "plugins": []}, []),
        ({"enable_thinking": False, "min_p": 0}, ["enable_thinking", "min_p"]),
    ],
)
async def test_what_stands_without_what_it_belongs_to_is_left_out(
    tmp_path: Path, fields: dict[str, Any], dropped: list[str]
) -> None:
    async with door(tmp_path) as at:
        response = await at.chat(**fields)

    sent = at.script.calls[0].request
    assert response.status_code == 200, response.text
    assert response.json()["_custom_routing_info"]["dropped_params"] == dropped
    assert (sent.parameters.metadata, sent.parameters.top_logprobs, sent.tools) == (None, None, ())


async def test_an_empty_search_is_still_a_search(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.chat(web_search_options={})

    assert response.json()["error"]["param"] == "web_search_options"


async def test_what_of_the_messages_is_not_passed_on_is_named(tmp_path: Path) -> None:
    cached = {"cache_control": {"type": "for good"}}
    call = {"id": "c", "type": "function", "index": 0, "function": {"name": "look", "arguments": "{}"}}
    turns = [
        {"role": "system", "content": "Be kind."} | cached,
        {"role": "user", "content": [{"type": "text", "text": "Look"} | cached]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call | {"note": 1}],
            "annotations": [],
            "audio": None,
        },
        {"role": "tool", "tool_call_id": "c", "name": "look", "content": "seen"},
    ]
    tool = {"type": "function", "function": {"name": "look"} | cached} | cached
    async with door(tmp_path) as at:
        response = await at.chat(messages=turns, tools=[tool])

    assert response.json()["_custom_routing_info"]["dropped_params"] == [
        "messages[].cache_control",
        "messages[].content[].cache_control",
        "messages[].name",
        "messages[].tool_calls[].note",
        "tools[].cache_control",
        "tools[].function.cache_control",
    ]
    assert at.script.calls[0].request.cache_ttls == frozenset()


@pytest.mark.parametrize("mark", ["ephemeral", True, 5, ["ephemeral"], {"type": "ephemeral", "ttl": "2h"}])
async def test_a_mark_in_other_words_is_named_and_the_request_answered(tmp_path: Path, mark: object) -> None:
    cached = {"cache_control": mark}
    turns = [
        {"role": "system", "content": "Be kind."} | cached,
        {"role": "user", "content": [{"type": "text", "text": "Look"} | cached]},
    ]
    tool = {"type": "function", "function": {"name": "look"} | cached} | cached
    async with door(tmp_path) as at:
        response = await at.chat(messages=turns, tools=[tool])

    assert response.json()["_custom_routing_info"]["dropped_params"] == [
        "messages[].cache_control",
        "messages[].content[].cache_control",
        "tools[].cache_control",
        "tools[].function.cache_control",
    ]
    assert at.script.calls[0].request.cache_ttls == frozenset()


async def test_probabilities_are_shown_whole_in_a_stream_and_from_the_cache(tmp_path: Path) -> None:
    ttl, asked = {"X-GR-Cache-TTL": "5"}, HELLO | {"logprobs": True}
    pieces = (
        TextDelta(text="Hi", logprobs=(CHANCE,)),
        TextDelta(text="", logprobs=(CHANCE,)),
        Finished(finish_reason="stop", usage=Usage()),
    )
    async with door(tmp_path, Sure(events=pieces)) as at:
        streamed = await at.events(logprobs=True)
        whole = (await at.client.post(CHAT, json=asked, headers=ttl)).json()
        replayed = events_in((await at.client.post(CHAT, json=asked | {"stream": True}, headers=ttl)).text)
        kept = events_in(
            (await at.client.post(CHAT, json=asked | {"stream": True, "seed": 1}, headers=ttl)).text
        )
        again = (await at.client.post(CHAT, json=asked | {"seed": 1}, headers=ttl)).json()

    told = [event["choices"][0]["logprobs"] for event in streamed[:-1]]
    assert told == [None, SHOWN, SHOWN, None]
    assert whole["choices"][0]["logprobs"] == SHOWN
    assert [event["choices"][0]["logprobs"] for event in replayed[:-1]] == [None, SHOWN, None]
    assert kept[-1] == "[DONE]"
    assert again["choices"][0]["logprobs"]["content"] == SHOWN["content"] * 2


async def test_over_budget_names_the_field_of_this_face_and_what_the_cheapest_needs(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        routed = await at.chat(budget_dollars=1e-7)
        named = await at.chat(budget_dollars=1e-7, model="gpt-4.1")

    for response in (routed, named):
        error = response.json()["error"]
        assert (response.status_code, error["reason"], error["param"]) == (
            400,
            "budget_exceeded",
            "budget_dollars",
        )
        assert error["message"].endswith("; raise budget_dollars, or set a lower max_tokens")
    assert "the cheapest needs up to $" in routed.json()["error"]["message"]


async def test_the_router_is_listed_first_as_the_model_auto(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        listed, slashed, plain = [
            (await at.client.get(path)).json() for path in ("/v1/models", "/v1/models/", "/models/")
        ]
        found = [
            (await at.client.get(f"/v1/models/{name}")).json()
            for name in ("auto", "Router", "dynaroute/auto")
        ]

    auto, *models = listed["data"]
    assert slashed == plain == listed
    assert found == [auto] * 3
    assert (auto["id"], auto["owned_by"], auto["pricing"], auto["price_tier"]) == (
        "auto",
        "dynaroute",
        None,
        None,
    )
    assert auto.keys() == {name for model in models for name in model} - {"retires_at"}
    assert auto["context_length"] == max(model["context_length"] for model in models if model["available"])
    assert (auto["available"], auto["levels"], listed["total"]) == (
        True,
        [1, 2, 3, 4, 5],
        len(listed["data"]),
    )
    assert {"tools", "vision"} <= set(auto["capabilities"])


@pytest.mark.parametrize(
    ("query", "is_listed"),
    [
        ({"capabilities": "tools,vision"}, True),
        ({"routable_only": "true"}, True),
        ({"task_type": "text_generation", "category": "llm"}, True),
        ({"provider": "openai"}, False),
        ({"price_tier": "economy"}, False),
        ({"type": "proxied"}, False),
        ({"capabilities": "flight"}, False),
        ({"category": "image"}, False),
    ],
)
async def test_the_router_is_not_listed_under_a_filter_that_it_cannot_keep(
    tmp_path: Path, query: dict[str, str], is_listed: bool
) -> None:
    async with door(tmp_path) as at:
        listed = (await at.client.get("/v1/models", params=query)).json()["data"]

    assert [row["id"] for row in listed if row["owned_by"] == "dynaroute"] == ["auto"] * is_listed
    assert not is_listed or listed[0]["id"] == "auto"


async def test_without_any_provider_the_router_says_that_it_can_call_none(tmp_path: Path) -> None:
    async with door(tmp_path, variables={}) as at:
        auto = (await at.client.get("/v1/models/auto")).json()

    assert (auto["available"], auto["context_length"] > 0) == (False, True)
