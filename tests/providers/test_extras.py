"""Parameters that some providers take and others answer with a 400, and the probabilities that come back for one."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from tests.providers.examples import WEATHER, answers, ask, call, collect, complete, say, sse, streams

from dynaroute_mcp.catalog import Constraints, Extra, load_catalog
from dynaroute_mcp.providers.parameters import settle
from dynaroute_mcp.types import Parameters, Text, TextDelta, TokenChance, ToolCall

ALL: frozenset[Extra] = frozenset(get_args(Extra))
EXTRAS = Parameters(
    user="u1",
    safety_identifier="s1",
    prompt_cache_key="k1",
    store=True,
    metadata={"team": "a"},
    logit_bias={"1": 2.0},
    logprobs=True,
    top_logprobs=2,
)
WORDS: dict[str, Any] = {
    "user": "u1",
    "safety_identifier": "s1",
    "prompt_cache_key": "k1",
    "store": True,
    "metadata": {"team": "a"},
    "logit_bias": {"1": 2.0},
    "logprobs": True,
    "top_logprobs": 2,
}
ANN = replace(say("user", "Hello"), name="ann")
TOLD: dict[str, Any] = {
    "content": [
        {
            "token": "Hi",
            "logprob": -0.1,
            "bytes": [72, 105],
            "top_logprobs": [
                {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]},
                {"token": "Ho", "logprob": -3, "bytes": None},
            ],
        }
    ],
    "refusal": None,
}
HI = TokenChance(token="Hi", logprob=-0.1, bytes=(72, 105))
READ = (replace(HI, top_logprobs=(HI, TokenChance(token="Ho", logprob=-3.0))),)


def reply(logprobs: object, **message: object) -> dict[str, object]:
    return {
        "choices": [{"message": {"content": "Hi", **message}, "logprobs": logprobs, "finish_reason": "stop"}]
    }


@pytest.mark.parametrize("takes", [ALL, frozenset()])
async def test_a_provider_gets_what_the_catalog_says_that_it_takes_and_the_rest_is_named(
    takes: frozenset[Extra],
) -> None:
    provider = answers(reply(None))

    answer = await complete(provider, call("openai", ask(ANN, parameters=EXTRAS), takes=takes))

    body = {name: value for name, value in provider.sent[0].body.items() if name not in {"model", "messages"}}
    assert body == (WORDS if takes else {})
    assert provider.sent[0].body["messages"] == [
        {"role": "user", "content": "Hello"} | ({"name": "ann"} if takes else {})
    ]
    assert answer.dropped == (() if takes else tuple(sorted([*WORDS, "messages[].name"])))


async def test_the_responses_api_gets_for_whom_a_request_is_and_stores_nothing() -> None:
    done = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    provider = answers({"status": "completed", "output": [done]})
    asked = ask(ANN, tools=[WEATHER], parameters=EXTRAS)

    answer = await complete(
        provider, call("openai", asked, takes=ALL, constraints=Constraints(tools_need_responses=True))
    )

    sent = provider.sent[0].body
    assert (sent["user"], sent["safety_identifier"], sent["prompt_cache_key"]) == ("u1", "s1", "k1")
    assert sent["store"] is False
    assert answer.dropped == (
        "logit_bias",
        "logprobs",
        "messages[].name",
        "metadata",
        "store",
        "top_logprobs",
    )


async def test_an_earlier_answer_keeps_its_name_and_a_name_that_openai_refuses_is_left_out() -> None:
    turns = (ANN, replace(say("assistant", "Yes?"), name="bob"), say("user", "Well"))
    provider = answers(reply(None))

    await complete(provider, call("openai", ask(*turns), takes=ALL))
    spaced = settle(call("openai", ask(replace(ANN, name="Ann Lee")), takes=ALL), "openai")

    sent: Any = provider.sent[0].body["messages"]
    assert [message.get("name") for message in sent] == ["ann", "bob", None]
    assert (spaced.request.messages[0].name, spaced.dropped) == (None, ("messages[].name",))


async def test_probabilities_come_back_whole_and_in_pieces() -> None:
    one = call("openai", ask(parameters=Parameters(logprobs=True, top_logprobs=2)), takes=ALL)
    pieces = sse(
        {"choices": [{"delta": {"content": "Hi"}, "logprobs": TOLD}]},
        {"choices": [{"delta": {"content": ""}, "logprobs": TOLD}]},
        {"choices": [{"delta": {}, "logprobs": None, "finish_reason": "stop"}]},
    )

    answer = await complete(answers(reply(TOLD)), one)
    *events, _ = await collect(streams(pieces), one)

    assert answer.message.parts == (Text(text="Hi", logprobs=READ),)
    assert events == [TextDelta(text="Hi", logprobs=READ), TextDelta(text="", logprobs=READ)]


async def test_probabilities_of_a_refusal_stand_behind_those_of_the_text_and_calls_have_some_too() -> None:
    one = call("openai", ask(parameters=Parameters(logprobs=True)), takes=ALL)
    refused = await complete(answers(reply(TOLD | {"refusal": TOLD["content"]}, refusal="No")), one)
    tool = {"id": "c", "function": {"name": "look", "arguments": "{}"}}
    called = await complete(answers(reply(TOLD, content=None, tool_calls=[tool])), one)

    assert refused.message.parts == (Text(text="HiNo", logprobs=READ * 2),)
    assert called.message.parts == (
        Text(text="", logprobs=READ),
        ToolCall(id="c", name="look", arguments="{}"),
    )


@pytest.mark.parametrize(
    "nonsense", [{"tokens": ["Hi"], "token_logprobs": [-0.1]}, {"content": [{"token": 7}]}, "x", [], None]
)
async def test_probabilities_in_another_form_lose_no_answer(nonsense: object) -> None:
    one = call("openai", ask(parameters=Parameters(logprobs=True)), takes=ALL)

    answer = await complete(answers(reply(nonsense)), one)

    assert answer.message.parts == (Text(text="Hi"),)


async def test_probabilities_that_nobody_asked_for_are_left_where_they_are() -> None:
    answer = await complete(answers(reply(TOLD)), call("openai", takes=ALL))

    assert answer.message.parts == (Text(text="Hi"),)


def test_the_catalog_lets_through_what_openai_and_openrouter_document_and_groq_refuses() -> None:
    providers = load_catalog().providers

    assert providers["openai"].takes == ALL
    assert providers["openrouter"].takes == {"user", "logit_bias", "logprobs", "name"}
    assert providers["groq"].takes == frozenset()
