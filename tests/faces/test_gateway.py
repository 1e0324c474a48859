"""The chat route, whole and streamed: what OpenAI's clients read, what the published clients read, what went wrong."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.faces.gateway_door import CHAT, HELLO, Wire, door
from tests.scripted import LUNA, Script, failure

from dynaroute_mcp.errors import (
    DynarouteError,
    ProviderKeyRejected,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.gateway.refusal import STATUS
from dynaroute_mcp.types import Finished, Image, ReasoningDelta, Text, TextDelta, ToolCallDelta, Usage

USAGE = Usage(uncached_input_tokens=1_000, output_tokens=500)


def codes() -> set[str]:
    found, left = set(), [DynarouteError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found.add(kind.code)
    return found


def test_every_error_of_the_tree_has_a_status_and_no_status_is_for_nothing() -> None:
    assert set(STATUS) == codes()


@pytest.mark.parametrize("path", [CHAT, "/chat/completions"])
async def test_a_chat_is_answered_in_openais_shape_at_both_addresses(tmp_path: Path, path: str) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        response = await at.client.post(path, json=HELLO)

    body = response.json()
    assert response.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["choices"][0]["message"]["content"] == f"from {at.script.asked[0]}"
    assert body["choices"][0]["finish_reason"] == "stop"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (1_000, 500)
    assert body["usage"]["total_tokens"] == 1_500


async def test_the_published_clients_find_cost_and_routing_where_they_look(tmp_path: Path) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        body = (await at.chat()).json()

    cost, info = body["usage"]["cost"], body["_custom_routing_info"]
    assert [float(cost[name]) for name in ("gpt41_input_cost", "gpt41_output_cost", "gpt41_total_cost")] == [
        0.002,
        0.004,
        0.006,
    ]
    assert float(cost["input_cost"]) + float(cost["output_cost"]) == pytest.approx(cost["total_cost"])
    assert cost["savings"] == pytest.approx(0.006 - cost["total_cost"])
    assert info["final_category_by_router"] == "Code Generation"
    assert f"{info['final_level_by_router']}/5" == "1/5"
    assert info["router_status_message"].startswith(
        "Classified as Code Generation (confidence 1.00), level 1"
    )
    assert body["greatrouter"]["estimated_cost_dollars"] > 0


async def test_cost_headers_stand_on_a_whole_answer(tmp_path: Path) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        response = await at.chat()

    total = response.json()["usage"]["cost"]["total_cost"]
    assert float(response.headers["X-TokenRouter-Cost"]) == pytest.approx(total)
    assert float(response.headers["X-TokenRouter-Saved"]) == pytest.approx(0.006 - total)
    assert response.headers["X-TokenRouter-Saved-Pct"].count(".") == 1
    assert response.headers["X-TokenRouter-Request-ID"].startswith("req_")


async def test_a_whole_request_reaches_the_provider_as_it_was_meant(tmp_path: Path) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    ]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    schema = {"name": "thing", "schema": {"type": "object"}, "strict": True}
    async with door(tmp_path) as at:
        response = await at.chat(
            messages=[{"role": "developer", "content": "Be short"}, {"role": "user", "content": content}],
            tools=[tool],
            tool_choice="auto",
            response_format={"type": "json_schema", "json_schema": schema},
            max_completion_tokens=77,
            temperature=0,
            stop="END",
            seed=7,
        )

    assert response.status_code == 200, response.text
    sent = at.script.calls[0].request
    assert sent.messages[0].role == "system"
    assert sent.messages[1].parts == (
        Text(text="What is this?"),
        Image(data="AAAA", media_type="image/png", detail="low"),
    )
    assert sent.tools[0].name == "look"
    assert sent.response_format is not None
    assert sent.response_format.schema == {"type": "object"}
    assert (sent.parameters.max_tokens, sent.parameters.stop, sent.parameters.seed) == (77, ("END",), 7)


async def test_an_explicit_model_is_called_and_an_unknown_one_is_not_found(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        known, unknown = await at.chat(model="gpt-6-luna"), await at.chat(model="gpt-99")

    assert at.script.asked == [LUNA]
    assert known.json()["model"] == "gpt-6-luna"
    assert unknown.status_code == 404
    assert unknown.json()["error"]["param"] == "model"


@pytest.mark.parametrize("model", ["auto", "router", "", None])
async def test_a_model_called_auto_lets_the_router_choose(tmp_path: Path, model: str | None) -> None:
    async with door(tmp_path) as at:
        response = await at.chat(model=model, level_override=5)

    assert response.json()["_custom_routing_info"]["level_overridden"] is True


async def test_a_stream_opens_with_the_role_and_ends_with_usage_on_the_finishing_chunk(
    tmp_path: Path,
) -> None:
    pieces = (TextDelta(text="Hel"), TextDelta(text="lo"), Finished(finish_reason="stop", usage=USAGE))
    async with door(tmp_path, Script(events=pieces)) as at:
        events = await at.events()

    *chunks, done = events
    assert done == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hello"
    assert all(len(chunk["choices"]) == 1 for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["cost"]["gpt41_total_cost"] == 0.006
    assert chunks[-1]["_custom_routing_info"]["final_level_by_router"] == 1


async def test_whoever_asks_for_usage_on_streams_gets_it_once_on_a_chunk_of_its_own(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        *_, finish, usage, done = await at.events(stream_options={"include_usage": True})

    assert done == "[DONE]"
    assert (finish["choices"][0]["finish_reason"], finish["usage"]) == ("stop", None)
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 0)


async def test_tool_calls_and_reasoning_stream_in_pieces(tmp_path: Path) -> None:
    pieces = (
        ReasoningDelta(text="Hm"),
        ReasoningDelta(signature="proof"),
        ToolCallDelta(index=0, id="call_1", name="look", arguments='{"a"', signature="thought"),
        ToolCallDelta(index=0, arguments=":1}"),
        Finished(finish_reason="tool_calls", usage=USAGE),
    )
    async with door(tmp_path, Script(events=pieces)) as at:
        events = await at.events()

    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert deltas[0] == {"role": "assistant"}
    assert calls[0]["id"] == "call_1"
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "thought"}}
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == ["Hm"]
    assert [
        delta["reasoning_details"][0]["signature"] for delta in deltas if "reasoning_details" in delta
    ] == ["proof"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_content_is_a_real_status_with_every_attempt(
    tmp_path: Path, stream: bool
) -> None:
    script = Script(always=failure(ProviderUnavailable, status=503))
    async with door(tmp_path, script) as at:
        response = await at.chat(stream=stream)

    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (502, 502, "upstream_error")
    assert [attempt["outcome"] for attempt in error["attempts"]] == ["provider_unavailable"] * len(
        script.calls
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [(ProviderTimedOut, 504), (ProviderRefusedRequest, 400), (ProviderRateLimited, 503)],
)
async def test_a_providers_failure_has_the_status_of_its_class(
    tmp_path: Path, kind: Any, status: int
) -> None:
    async with door(tmp_path, Script(always=failure(kind, retry_after_s=99.5))) as at:
        response = await at.chat()

    assert response.status_code == status
    assert response.headers["Retry-After"] == "100"


@pytest.mark.parametrize(
    ("kind", "facts", "told"),
    [
        (ProviderKeyRejected, {}, "false"),
        (ProviderUnavailable, {}, None),
        (ProviderRateLimited, {"retry_after_s": 7.0}, None),
        (ProviderRateLimited, {"retry_after_s": 61.0}, "false"),
    ],
)
async def test_openais_clients_are_told_when_to_ask_again_is_in_vain(
    tmp_path: Path, kind: Any, facts: dict[str, float], told: str | None
) -> None:
    async with door(tmp_path, Script(always=failure(kind, **facts))) as at:
        response = await at.chat()

    assert response.headers.get("X-Should-Retry") == told


async def test_a_stream_that_breaks_ends_with_an_error_event_and_is_booked_as_partial(tmp_path: Path) -> None:
    script = Script(events=(TextDelta(text="Half"),), breaks=failure(ProviderUnavailable))
    async with door(tmp_path, script) as at:
        response = await at.chat(stream=True)
        row = await at.core.reports.call(response.headers["X-DynaRoute-Request-ID"])

    events = response.text.split("\n\n")
    error = json.loads(events[-2].removeprefix("data: "))["error"]
    assert response.status_code == 200
    assert (error["reason"], error["code"]) == ("stream_broken", 502)
    assert [tried["outcome"] for tried in error["attempts"]] == ["stream_broken"]
    assert "[DONE]" not in response.text
    assert '"finish_reason":"stop"' not in response.text
    assert row.status == "partial"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_cancels_the_call_and_the_books_know(
    tmp_path: Path, stream: bool
) -> None:
    class Endless(Script):
        async def before(self, call: Any) -> None:
            if not stream:
                wire.hang_up()
                await anyio.sleep_forever()

        async def between(self) -> None:
            wire.hang_up()
            await anyio.sleep_forever()

    script = Endless()
    async with door(tmp_path, script) as at:
        wire = Wire(at.app, {"authorization": f"Bearer {at.key}"})
        with anyio.fail_after(3):
            await wire.ask(json.dumps(HELLO | {"stream": stream}).encode())
        total = (await at.core.reports.usage(await at.core.accounts.caller_for(at.key))).total

    assert (total.requests, total.in_flight) == (1, 0)
    assert total.cost_usd > 0
    assert script.closed == int(stream)


async def test_a_lone_surrogate_from_a_provider_does_not_lose_the_answer(tmp_path: Path) -> None:
    pieces = (TextDelta(text="a\ud800b"), Finished(finish_reason="stop", usage=USAGE))
    async with door(tmp_path, Script(events=pieces)) as at:
        events = await at.events()

    assert events[1]["choices"][0]["delta"]["content"] == "a\ufffdb"


async def test_unknown_fields_are_named_and_never_passed_on(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        body = (
            await at.chat(base_url="http://127.0.0.1:22/", api_base="http://127.0.0.1:22/", user=None)
        ).json()

    assert body["_custom_routing_info"]["dropped_params"] == ["api_base", "base_url"]
    assert at.script.calls[0].endpoint.base_url.startswith("https://")
