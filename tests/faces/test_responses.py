"""The Responses API, whole and streamed: what OpenAI's clients read, what is refused, what went wrong."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from inline_snapshot import snapshot
from tests.faces.gateway_door import Wire, door
from tests.faces.responses_door import RESPONSES, ask, kinds, told
from tests.scripted import LUNA, Script, failure

from dynaroute_mcp.errors import ProviderTimedOut, ProviderUnavailable
from dynaroute_mcp.gateway.responses_decode import sealed
from dynaroute_mcp.types import (
    Finished,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    TokenChance,
    ToolCallDelta,
    Usage,
)

USAGE = Usage(
    uncached_input_tokens=900,
    cache_read_tokens=60,
    cache_write_5m_tokens=40,
    output_tokens=500,
    reasoning_tokens=50,
)
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
TURN: tuple[StreamEvent, ...] = (
    ReasoningDelta(text="Let me "),
    ReasoningDelta(text="look."),
    ReasoningDelta(signature="SIG"),
    TextDelta(text="I "),
    TextDelta(text="look."),
    ToolCallDelta(index=0, id="call_1", name="look"),
    ToolCallDelta(index=0, arguments='{"city":'),
    ToolCallDelta(index=1, id="call_2", name="look", arguments="{}", signature="THOUGHT"),
    ToolCallDelta(index=0, arguments='"Paris"}'),
    Finished(finish_reason="tool_calls", usage=USAGE),
)


def ends(reason: FinishReason, *events: StreamEvent) -> Script:
    return Script(events=(*events, Finished(finish_reason=reason, usage=USAGE)))


@pytest.mark.parametrize("path", [RESPONSES, "/responses"])
async def test_a_response_has_openais_shape_at_both_addresses(tmp_path: Path, path: str) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        asked = {
            "model": "gpt-6-luna",
            "input": "Hello",
            "instructions": "Be short",
            "tools": [TOOL],
            "store": True,
            "truncation": "auto",
            "metadata": {"a": "b"},
            "max_output_tokens": 700,
        }
        response = await at.client.post(path, json=asked, headers={"X-Request-ID": "mine"})

    body = response.json()
    info, cost = body.pop("_custom_routing_info"), body["usage"].pop("cost")
    assert response.status_code == 200, response.text
    assert info["dropped_params"] == ["store", "truncation"]
    assert float(response.headers["X-TokenRouter-Cost"]) == pytest.approx(cost["total_cost"])
    assert body["output"][0].pop("id") == f"msg_{info['request_id'].removeprefix('req_')}0000"
    assert body == snapshot(
        {
            "id": "resp_mine",
            "object": "response",
            "created_at": 1795305600,
            "status": "completed",
            "model": "gpt-6-luna",
            "output": [
                {
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {
                            "type": "output_text",
                            "text": "from openai/gpt-6-luna",
                            "annotations": [],
                            "logprobs": [],
                        }
                    ],
                }
            ],
            "error": None,
            "incomplete_details": None,
            "usage": {
                "input_tokens": 1000,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 40},
                "output_tokens": 500,
                "output_tokens_details": {"reasoning_tokens": 50},
                "total_tokens": 1500,
            },
            "background": False,
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
            "instructions": "Be short",
            "max_output_tokens": 700,
            "metadata": {"a": "b"},
            "parallel_tool_calls": True,
            "prompt_cache_key": None,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": None,
            "temperature": None,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [
                {
                    "type": "function",
                    "name": "look",
                    "description": None,
                    "parameters": {"type": "object"},
                    "strict": True,
                }
            ],
            "top_logprobs": 0,
            "top_p": None,
            "user": None,
        }
    )


async def test_a_stream_tells_every_item_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async with door(tmp_path, Script(events=TURN)) as at:
        response = await ask(at, stream=True)

    events = told(response.text)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert kinds(events) == snapshot(
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    )


async def test_a_stream_and_a_whole_answer_end_with_the_same_items(tmp_path: Path) -> None:
    ttl = {"X-GR-Cache-TTL": "60"}
    async with door(tmp_path, Script(events=TURN)) as at:
        events = told((await ask(at, stream=True, headers=ttl)).text)
        whole = await ask(at, headers=ttl)
        again = told((await ask(at, stream=True, headers=ttl)).text)

    last = events[-1]["response"]
    provider = last["_custom_routing_info"]["provider"]
    for item in last["output"]:
        del item["id"]
    assert whole.headers["X-GR-Cache"] == "HIT"
    assert [{**item, "id": None} for item in whole.json()["output"]] == [
        {**item, "id": None} for item in last["output"]
    ]
    assert [event["item"] for event in again if event["type"].endswith("item.done")] == whole.json()["output"]
    assert last["output"][0].pop("encrypted_content") == sealed(provider, "SIG", None)
    assert last["output"] == snapshot(
        [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Let me look."}]},
            {
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
            },
            {
                "type": "function_call",
                "status": "completed",
                "call_id": "call_1",
                "name": "look",
                "arguments": '{"city":"Paris"}',
            },
            {
                "type": "function_call",
                "status": "completed",
                "call_id": "call_2",
                "name": "look",
                "arguments": "{}",
                "extra_content": {"google": {"thought_signature": "THOUGHT"}},
            },
        ]
    )


async def test_usage_and_routing_ride_on_the_last_event(tmp_path: Path) -> None:
    async with door(tmp_path, ends("stop", TextDelta(text="Hi"))) as at:
        events = told((await ask(at, stream=True, metadata={"a": 1})).text)

    first, last = events[0]["response"], events[-1]["response"]
    assert (first["status"], first["usage"], first["output"]) == ("in_progress", None, [])
    assert last["usage"]["cost"]["total_cost"] > 0
    assert last["usage"]["input_tokens_details"] == {"cached_tokens": 60, "cache_write_tokens": 40}
    assert last["_custom_routing_info"]["request_id"]
    assert last["metadata"] == {"a": 1}


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_an_answer_that_was_cut_is_incomplete(tmp_path: Path, reason: FinishReason, why: str) -> None:
    async with door(tmp_path, ends(reason, TextDelta(text="Ha"))) as at:
        events = told((await ask(at, stream=True)).text)

    last = events[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": why}
    assert last["response"]["output"][0]["status"] == "incomplete"


async def test_an_answer_without_anything_is_an_empty_message(tmp_path: Path) -> None:
    async with door(tmp_path, ends("stop")) as at:
        events = told((await ask(at, stream=True)).text)

    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""
    assert "output_text.delta" not in kinds(events)


async def test_a_signature_beside_a_text_is_an_item_of_its_own_and_the_text_goes_on(tmp_path: Path) -> None:
    script = ends("stop", TextDelta(text="a"), ReasoningDelta(signature="S"), TextDelta(text="b"))
    async with door(tmp_path, script) as at:
        events = told((await ask(at, stream=True)).text)

    message, thought = events[-1]["response"]["output"]
    assert message["content"][0]["text"] == "ab"
    assert (thought["type"], thought["summary"]) == ("reasoning", [])


async def test_blocks_of_reasoning_stay_apart(tmp_path: Path) -> None:
    script = ends(
        "stop",
        ReasoningDelta(text="one"),
        ReasoningDelta(signature="S1"),
        ReasoningDelta(redacted="R"),
        ReasoningDelta(text="open"),
        TextDelta(text="Hi"),
    )
    async with door(tmp_path, script) as at:
        events = told((await ask(at, stream=True)).text)

    shown = events[-1]["response"]
    output, provider = shown["output"], shown["_custom_routing_info"]["provider"]
    assert [item.get("encrypted_content") for item in output] == [
        sealed(provider, "S1", None),
        sealed(provider, None, "R"),
        None,
        None,
    ]
    assert [[part["text"] for part in item.get("summary", [])] for item in output] == [
        ["one"],
        [],
        ["open"],
        [],
    ]


async def test_probabilities_of_tokens_come_with_their_text(tmp_path: Path) -> None:
    chance = TokenChance(token="Hi", logprob=-0.1, top_logprobs=(TokenChance(token="Ho", logprob=-2.0),))
    async with door(tmp_path, ends("stop", TextDelta(text="Hi", logprobs=(chance,)))) as at:
        events = told((await ask(at, stream=True, model="gpt-4.1", top_logprobs=1)).text)
        asked = at.script.calls[0].request.parameters

    rows = events[-1]["response"]["output"][0]["content"][0]["logprobs"]
    assert (rows[0]["token"], rows[0]["top_logprobs"][0]["token"]) == ("Hi", "Ho")
    assert [each["logprobs"] for each in events if each["type"] == "response.output_text.delta"] == [rows]
    assert (asked.logprobs, asked.top_logprobs) == (True, 1)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_the_first_content_is_an_http_error(tmp_path: Path, stream: bool) -> None:
    async with door(tmp_path, Script(always=failure(ProviderTimedOut))) as at:
        response = await ask(at, stream=stream)

    error = response.json()["error"]
    assert (response.status_code, error["reason"]) == (504, "provider_timed_out")
    assert error["attempts"]


async def test_a_stream_that_breaks_ends_with_an_error_and_what_there_is(tmp_path: Path) -> None:
    script = Script(events=(TextDelta(text="Half"),), breaks=failure(ProviderUnavailable))
    async with door(tmp_path, script) as at:
        response = await ask(at, stream=True)
        row = await at.core.reports.call(response.headers["X-DynaRoute-Request-ID"])

    error, failed = told(response.text)[-2:]
    assert (error["type"], error["code"], error["error"]["reason"]) == (
        "error",
        "stream_broken",
        "stream_broken",
    )
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": error["message"]}
    assert failed["response"]["output"][0]["content"][0]["text"] == "Half"
    assert failed["response"]["output"][0]["status"] == "incomplete"
    assert row.status == "partial"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_cancels_the_call(tmp_path: Path, stream: bool) -> None:
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
        wire = Wire(at.app, {"authorization": f"Bearer {at.key}"}, path=RESPONSES)
        with anyio.fail_after(3):
            await wire.ask(json.dumps({"input": "Hello", "stream": stream}).encode())
        total = (await at.core.reports.usage(await at.core.accounts.caller_for(at.key))).total

    assert (total.requests, total.in_flight, total.cost_usd > 0) == (1, 0, True)
    assert script.closed == int(stream)


async def test_the_routers_own_fields_and_headers_are_heeded(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        overridden = (await ask(at, level_override=5, exclude_models=["openai"])).json()
        best = await ask(at, strategy="cheapest", headers={"X-Routing-Strategy": "best"})
        dear = await ask(at, budget_dollars=0)
        named = await ask(at, model="gpt-6-luna")

    info = overridden["_custom_routing_info"]
    assert (info["final_level_by_router"], info["level_overridden"]) == (5, True)
    assert info["provider"] != "openai"
    assert best.json()["_custom_routing_info"]["strategy"] == "best"
    assert dear.json()["error"]["reason"] == "budget_exceeded"
    assert at.script.asked[-1] == LUNA
    assert named.json()["model"] == "gpt-6-luna"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "jane.doe@example.com"}, "input"),
        ({"input": "Hi", "instructions": "jane.doe@example.com"}, "input"),
        ({"input": "Hi", "tools": [{**TOOL, "description": "jane.doe@example.com"}]}, "tools"),
    ],
)
async def test_personal_data_is_refused_by_the_fields_own_name(
    tmp_path: Path, fields: dict[str, Any], param: str
) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post(RESPONSES, json=fields, headers={"X-GR-Guardrails": "moderate"})

    error = response.json()["error"]
    assert (error["reason"], error["param"]) == ("guardrail_violation", param)
    assert at.script.calls == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_nothing_of_a_response_can_be_read_or_deleted_later(tmp_path: Path, method: str) -> None:
    async with door(tmp_path) as at:
        made = (await ask(at)).json()["id"]
        response = await at.client.request(method, f"{RESPONSES}/{made}")

    assert response.status_code == 404
    assert "nothing of a response is kept here" in response.json()["error"]["message"]
