from dataclasses import fields, replace
from typing import Any, get_args

import pytest
from tests.providers.examples import ALL, WEATHER, ask, call, say

from dynaroute_mcp.catalog import Constraints, Extra
from dynaroute_mcp.errors import ProviderRefusedRequest
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.parameters import asked, settle
from dynaroute_mcp.providers.verdicts import TABLE, Wording
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Image,
    Message,
    Parameters,
    Reasoning,
    ResponseFormat,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)


def only(name: str, value: object) -> Parameters:
    return replace(Parameters(), **{name: value})  # type: ignore[arg-type]


WORDINGS: tuple[Wording, ...] = get_args(Wording)
IMAGE = Image(url="https://example.com/a.png")
PDF = Document(media_type="application/pdf", data="JVBERi0=")
EXAMPLES: dict[str, ChatRequest] = {
    "tools": ask(tools=[WEATHER]),
    "tool_choice": ask(tools=[WEATHER], tool_choice=ToolChoice(mode="required")),
    "response_format": ask(response_format=ResponseFormat(kind="schema", schema={"type": "object"})),
    "images": ask(say("user", IMAGE)),
    "documents": ask(say("user", PDF)),
    "reasoning": ask(
        say("assistant", Reasoning(text="Hm.", signature="s", provider="acme")), say("user", "?")
    ),
    "prefill": ask(say("user", "?"), say("assistant", "The answer is")),
    "messages[].name": ask(replace(say("user", "?"), name="ann")),
    "cache_control": ask(say("user", Text(text="?", cache_ttl="5m"))),
    **{
        name: ask(tools=[WEATHER] if name == "parallel_tool_calls" else [], parameters=only(name, value))
        for name, value in {
            "max_tokens": 10,
            "temperature": 0.0,
            "top_p": 0.5,
            "top_k": 5,
            "stop": ("x",),
            "seed": 0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.5,
            "logit_bias": {"1": 1.0},
            "logprobs": True,
            "top_logprobs": 0,
            "n": 2,
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "verbosity": "low",
            "user": "u1",
            "safety_identifier": "s1",
            "prompt_cache_key": "k1",
            "store": True,
            "metadata": {"team": "a"},
        }.items()
    },
}
TAKES_ALL = Constraints(thinking="effort", efforts=("low", "medium", "high"))
EXTRAS: frozenset[Extra] = frozenset(get_args(Extra))


def capable(request: ChatRequest, **more: object) -> Call:
    chosen: Any = {"constraints": TAKES_ALL, "takes": EXTRAS, **more}  # fields of provider and model, by name
    return call("openai", request, **chosen)


def test_the_table_knows_every_parameter_and_every_dialect() -> None:
    assert {field.name for field in fields(Parameters)} <= set(TABLE)
    assert set(TABLE) == set(EXAMPLES)
    assert all(set(row) == set(WORDINGS) for row in TABLE.values())


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("name", TABLE)
def test_every_row_of_the_table_does_what_it_says(name: str, wording: Wording) -> None:
    request = EXAMPLES[name]
    verdict = TABLE[name][wording]
    assert name in asked(request)

    if verdict == "refused":
        with pytest.raises(ProviderRefusedRequest):
            settle(capable(request), wording)
        return
    settled = settle(capable(request), wording)
    kept = name in asked(settled.request)
    assert (name in settled.dropped) == (verdict == "dropped")
    assert kept == (verdict == "mapped") or name == "prefill"


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_request_that_asks_for_nothing_loses_nothing(wording: Wording) -> None:
    settled = settle(capable(ask()), wording)

    assert (settled.request, settled.dropped) == (ask(), ())


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (
            {"sampling": False},
            {"temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logit_bias"}
            | {"logprobs", "top_logprobs"},
        ),
        ({"stop_sequences": False}, {"stop"}),
        ({"penalties": False}, {"presence_penalty", "frequency_penalty"}),
        ({"seed": False}, {"seed"}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls"}),
        ({"efforts": ()}, {"reasoning_effort"}),
        ({"forced_tool_choice": False}, {"tool_choice"}),
    ],
)
def test_a_models_flags_drop_what_its_dialect_knows(flags: dict[str, object], names: set[str]) -> None:
    constraints = Constraints.model_validate({**TAKES_ALL.model_dump(), **flags})

    dropped = {
        name
        for name, request in EXAMPLES.items()
        if TABLE[name]["openai"] == "mapped"
        and name in settle(capable(request, constraints=constraints), "openai").dropped
    }

    assert dropped == names - {"top_k"}


@pytest.mark.parametrize(
    ("request_", "change", "said"),
    [
        (EXAMPLES["images"], {"capabilities": ALL - {"vision"}}, "vision"),
        (
            ask(say("tool", ToolResult(call_id="c", parts=(IMAGE,)))),
            {"capabilities": ALL - {"vision"}},
            "vision",
        ),
        (EXAMPLES["documents"], {"capabilities": ALL - {"pdf"}}, "pdf"),
        (EXAMPLES["tools"], {"capabilities": ALL - {"tools"}}, "tools"),
        (EXAMPLES["prefill"], {"constraints": Constraints(prefill=False)}, "messages"),
        (EXAMPLES["response_format"], {"capabilities": ALL - {"json_schema", "json_mode"}}, "JSON schema"),
        (ask(say("user", Document(media_type="text/plain", data="%%%"))), {}, "base64"),
        (
            ask(say("user", Document(media_type="application/pdf", url="https://example.com/a"))),
            {},
            "addresses",
        ),
    ],
)
def test_what_can_neither_be_sent_nor_left_out_is_refused(
    request_: ChatRequest, change: dict[str, object], said: str
) -> None:
    with pytest.raises(ProviderRefusedRequest, match=said):
        settle(capable(request_, **change), "openai")


def test_the_sandbox_refuses_nothing_for_want_of_a_capability() -> None:
    request = ask(say("user", IMAGE, PDF), tools=[WEATHER])

    settled = settle(capable(request, capabilities=frozenset()), "sandbox")

    assert settled.dropped == ("documents", "images", "tools")
    assert settled.request.messages == (say("user"),)


def test_one_answer_is_what_everybody_gives() -> None:
    assert settle(capable(ask(parameters=Parameters(n=1))), "openai").dropped == ()


@pytest.mark.parametrize(
    ("constraints", "asked_for", "sent", "dropped"),
    [
        (TAKES_ALL, "low", "low", ()),
        (TAKES_ALL, "none", "low", ("reasoning_effort",)),
        (TAKES_ALL, "minimal", "low", ("reasoning_effort",)),
        (TAKES_ALL, "max", "high", ("reasoning_effort",)),
        (Constraints(thinking="effort"), "low", None, ("reasoning_effort",)),
        (Constraints(thinking="budget"), "low", None, ("reasoning_effort",)),
        (Constraints(), "high", None, ("reasoning_effort",)),
        (Constraints(), "none", None, ()),
    ],
)
def test_an_effort_that_the_model_lacks_becomes_its_nearest(
    constraints: Constraints, asked_for: str, sent: str | None, dropped: tuple[str, ...]
) -> None:
    request = ask(parameters=Parameters(reasoning_effort=asked_for))  # type: ignore[arg-type]

    settled = settle(capable(request, constraints=constraints), "openai")

    assert (settled.request.parameters.reasoning_effort, settled.dropped) == (sent, dropped)


@pytest.mark.parametrize(
    ("asked_for", "dropped"), [(None, ()), ("none", ()), ("high", ("reasoning_effort",))]
)
def test_a_model_that_takes_tools_only_without_effort_gets_none(
    asked_for: str | None, dropped: tuple[str, ...]
) -> None:
    constraints = Constraints(thinking="effort", efforts=("none", "low", "high"), tools_need_effort_none=True)
    request = ask(tools=[WEATHER], parameters=Parameters(reasoning_effort=asked_for))  # type: ignore[arg-type]

    settled = settle(capable(request, constraints=constraints), "openai")
    without_tools = settle(capable(replace(request, tools=()), constraints=constraints), "openai")

    assert (settled.request.parameters.reasoning_effort, settled.dropped) == ("none", dropped)
    assert without_tools.request.parameters.reasoning_effort == asked_for


def test_a_thinking_claude_takes_neither_sampling_nor_a_forced_tool() -> None:
    request = ask(
        tools=[WEATHER],
        tool_choice=ToolChoice(mode="named", name="get_weather"),
        parameters=Parameters(reasoning_effort="low", temperature=0.2, top_p=0.5, top_k=3),
    )
    constraints = Constraints(thinking="budget", efforts=("low",))

    settled = settle(capable(request, constraints=constraints), "anthropic")

    assert settled.dropped == ("temperature", "tool_choice", "top_k", "top_p")
    assert settled.request.tool_choice == ToolChoice(mode="auto")
    assert settled.thinking_budget == 2_048


@pytest.mark.parametrize(
    ("values", "sent", "dropped"),
    [
        (Parameters(temperature=0.2, top_p=0.9), Parameters(temperature=0.2), ("top_p",)),
        (Parameters(top_p=0.9), Parameters(top_p=0.9), ()),
        (Parameters(temperature=1.7), Parameters(temperature=1.0), ("temperature",)),
        (Parameters(temperature=1.0), Parameters(temperature=1.0), ()),
        (Parameters(stop=("\n", "END")), Parameters(stop=("END",)), ("stop",)),
        (Parameters(stop=("\n\n",)), Parameters(), ("stop",)),
    ],
)
def test_what_claude_refuses_is_left_out_or_weakened(
    values: Parameters, sent: Parameters, dropped: tuple[str, ...]
) -> None:
    settled = settle(capable(ask(parameters=values), constraints=Constraints(thinking="budget")), "anthropic")

    assert (settled.request.parameters, settled.dropped) == (sent, dropped)
    assert settle(capable(ask(parameters=values)), "openai").request.parameters == values


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (ResponseFormat(kind="json"), "Answer with one JSON object"),
        (ResponseFormat(kind="schema", schema={"type": "object"}), '{"type": "object"}'),
    ],
)
def test_a_model_that_takes_no_form_beside_tools_is_asked_for_it_in_words(
    wanted: ResponseFormat, said: str
) -> None:
    constraints = Constraints(json_with_tools=False)
    request = ask(tools=[WEATHER], response_format=wanted)

    beside = settle(capable(request, constraints=constraints), "gemini")
    alone = settle(capable(replace(request, tools=()), constraints=constraints), "gemini")

    assert (beside.dropped, beside.request.response_format) == (("response_format",), None)
    assert beside.request.tools == (WEATHER,)
    assert said in beside.request.messages[0].text
    assert (alone.dropped, alone.request.response_format) == ((), wanted)


SIGNED = Reasoning(text="Hm.", signature="s", provider="acme")
CALL = ToolCall(id="a", name="f", arguments="{}")
RESULT = ToolResult(call_id="a")
OPEN = (say("user", "?"), say("assistant", CALL), say("tool", RESULT))


@pytest.mark.parametrize(
    ("talk", "thinks"),
    [
        (OPEN, False),
        ((*OPEN, say("user", "And?")), False),
        ((say("user", "?"), say("assistant", "Well.", CALL), say("user", RESULT)), False),
        ((say("user", "?"), say("assistant", Reasoning(text="lost"), CALL), say("tool", RESULT)), False),
        ((say("user", "?"), say("assistant", SIGNED, CALL), say("tool", RESULT)), True),
        ((*OPEN[:1], say("assistant", SIGNED, CALL), say("tool", RESULT), *OPEN[1:]), True),
        (
            (
                *OPEN,
                say("assistant", "Done."),
                say("user", "And?"),
                say("assistant", "So."),
                say("user", "?"),
            ),
            True,
        ),
        ((say("user", "?"),), True),
    ],
)
def test_a_claude_asked_by_budget_does_not_begin_to_think_within_a_turn(
    talk: tuple[Message, ...], thinks: bool
) -> None:
    request = ask(*talk, tools=[WEATHER], parameters=Parameters(reasoning_effort="low"))
    constraints = Constraints(thinking="budget", efforts=("low",))

    settled = settle(capable(request, constraints=constraints), "anthropic")
    adaptive = settle(capable(request, constraints=TAKES_ALL), "anthropic")

    assert settled.thinking_budget == (2_048 if thinks else None)
    assert ("reasoning_effort" in settled.dropped) is not thinks
    assert adaptive.request.parameters.reasoning_effort == "low"


def test_a_claude_that_always_thinks_is_asked_for_its_least_instead_of_none() -> None:
    constraints = Constraints(thinking="adaptive", efforts=("low", "high"), thinking_always_on=True)
    request = ask(parameters=Parameters(reasoning_effort="none"))

    settled = settle(capable(request, constraints=constraints), "anthropic")

    assert settled.request.parameters.reasoning_effort == "low"
    assert settled.dropped == ("reasoning_effort",)


def test_a_schema_by_forced_tool_leaves_no_room_for_thinking() -> None:
    request = replace(EXAMPLES["response_format"], parameters=Parameters(reasoning_effort="low"))
    older = {"constraints": Constraints(thinking="budget"), "capabilities": ALL - {"json_schema"}}

    settled = settle(capable(request, **older), "anthropic")

    assert settled.dropped == ("reasoning_effort",)
    assert settled.request.parameters.reasoning_effort is None


@pytest.mark.parametrize(
    "older",
    [
        {"constraints": Constraints(forced_tool_choice=False)},
        {"constraints": Constraints(thinking_always_on=True)},
        {"constraints": Constraints(), "request": replace(EXAMPLES["response_format"], tools=(WEATHER,))},
    ],
)
def test_a_claude_that_can_not_be_forced_to_answer_by_tool_refuses_a_schema(older: dict[str, object]) -> None:
    request = older.pop("request", EXAMPLES["response_format"])
    assert isinstance(request, ChatRequest)

    with pytest.raises(ProviderRefusedRequest):
        settle(capable(request, capabilities=ALL - {"json_schema"}, **older), "anthropic")


def test_a_model_with_json_but_no_schema_gets_the_schema_in_words() -> None:
    settled = settle(capable(EXAMPLES["response_format"], capabilities=ALL - {"json_schema"}), "openai")

    assert settled.dropped == ("response_format",)
    assert settled.request.response_format == ResponseFormat(kind="json", schema={"type": "object"})
    assert settled.request.messages[0].role == "system"
    assert '{"type": "object"}' in settled.request.messages[0].text


def test_a_model_with_schemas_but_no_json_mode_is_asked_for_json_in_words() -> None:
    wanted = ResponseFormat(kind="json")

    settled = settle(capable(ask(response_format=wanted), capabilities=ALL - {"json_mode"}), "openai")

    assert (settled.request.response_format, settled.dropped) == (None, ("response_format",))
    assert "JSON object" in settled.request.messages[0].text


def test_claude_has_no_json_mode_and_is_asked_in_words() -> None:
    settled = settle(capable(ask(response_format=ResponseFormat(kind="json"))), "anthropic")

    assert settled.dropped == ("response_format",)
    assert settled.request.response_format is None
    assert settled.request.messages[0].role == "system"


def test_reasoning_of_another_provider_is_left_out_and_signalled() -> None:
    history = say("assistant", Reasoning(text="Hm.", provider="other"), Reasoning(text="Ah."), "Yes.")

    settled = settle(capable(ask(history, say("user", "?"))), "openai")

    assert settled.dropped == ("reasoning",)
    assert settled.request.messages[0] == say("assistant", "Yes.")


def test_text_files_need_no_capability() -> None:
    note = Document(media_type="text/plain; charset=utf-8", data="aGVsbG8=")

    settled = settle(capable(ask(say("user", note)), capabilities=frozenset()), "openai")

    assert settled.request.messages[0].parts == (Text(text="hello"),)


def test_a_choice_without_tools_is_not_sent() -> None:
    settled = settle(capable(ask(tool_choice=ToolChoice(mode="none"))), "openai")

    assert (settled.request.tool_choice, settled.dropped) == (None, ())


def test_calls_in_the_history_survive_whatever_the_model() -> None:
    history = say("assistant", ToolCall(id="a", name="f", arguments="{}"))

    assert settle(capable(ask(history, say("user", "?"))), "openai").request.messages[0] == history


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_bound_above_what_the_model_can_give_is_lowered_and_signalled(wording: Wording) -> None:
    asked_for = call("openai", ask(parameters=Parameters(max_tokens=32_000)))
    within = settle(replace(asked_for, max_output_tokens=32_000), wording)
    above = settle(replace(asked_for, max_output_tokens=16_384), wording)

    assert (within.dropped, above.dropped) == ((), ("max_tokens",))
    assert above.request.parameters.max_tokens == 32_000  # which bound is sent is the call's


@pytest.mark.parametrize(("wording", "roles"), [("openai", "ss"), ("anthropic", "su"), ("gemini", "su")])
def test_where_only_the_system_speaks_its_last_word_is_the_users(wording: Wording, roles: str) -> None:
    settled = settle(capable(ask(say("system", "Be brief."), say("system", "Greet me."))), wording)

    assert "".join(message.role[0] for message in settled.request.messages) == roles
    assert settled.dropped == ()


def test_a_jpg_is_called_as_the_standard_calls_it() -> None:
    settled = settle(capable(ask(say("user", Image(data="AA==", media_type="image/jpg")))), "anthropic")

    assert settled.request.messages[0].parts == (Image(data="AA==", media_type="image/jpeg"),)
