"""Every fault of the matrix on real sockets: what the client gets, who is asked, and what is in the books."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from resource import RUSAGE_SELF, getrusage
from typing import Any

import anyio
import httpx2
import pytest
from llmock.verdict import judge
from tests.e2e.matrix_case import Outcome, Run, runs
from tests.e2e.matrix_stage import ADMIN, KEYS, MODELS, PRICES, SAID, Stage, open_stage, patience_s
from tests.faces.gateway_door import events_in
from tests.faces.mcp_clients import in_memory, text

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import ProviderError, StreamBroken
from dynaroute_mcp.gateway.app import create_app
from dynaroute_mcp.runtime import AMBIENT, Core
from dynaroute_mcp.store.base import CallFilter, CallRow
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import ChatRequest, Finished, Message, Routing, Text, TextDelta

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(30)]

FALSE_ALARMS = {"truncated_stream_accepted", "malformed_chunk_ignored", "gave_up"}
"""Findings of llmock's that hold for an SDK but not for a gateway, which falls back or has passed text on."""
STATUSES = {"ok": "ok", "error": "error", "broken": "partial"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("matrix")
    async with open_stage(folder) as opened:
        yield opened
    stored = b"".join(file.read_bytes() for file in folder.rglob("dynaroute.db*"))
    assert not [key for key in KEYS.values() if key.encode() in stored]


@dataclass(kw_only=True)
class Got:
    """What a client got."""

    outcome: Outcome
    text: str = ""
    finish: str | None = None
    code: str | None = None
    status: int | None = None
    """Over HTTP."""
    shown: str = ""
    """All that a client could read."""


def prompt_of(run: Run) -> str:
    return f"Say hello to {run.id}, please."


async def whole(core: Core, request: ChatRequest) -> Got:
    try:
        answer = await core.router.complete(request, LOCAL)
    except ProviderError as error:
        return Got(outcome="error", code=error.code, shown=repr(error) + str(error.attempts))
    said = answer.completion.message.text
    return Got(outcome="ok", text=said, finish=answer.completion.finish_reason, shown=repr(answer))


async def streamed(core: Core, request: ChatRequest) -> Got:
    got = Got(outcome="ok")
    try:
        async with core.router.stream(request, LOCAL) as routed:
            async for event in routed:
                assert got.finish is None, "nothing may follow the end"
                got.text += event.text if isinstance(event, TextDelta) else ""
                got.finish = event.finish_reason if isinstance(event, Finished) else None
                got.shown += repr(event)
    except StreamBroken as error:
        got.outcome, got.code = "broken", error.code
        got.shown += f"{error!r}{error.attempts}"
    except ProviderError as error:
        got.outcome, got.code = "error", error.code
        got.shown += f"{error!r}{error.attempts}"
    return got


async def told(core: Core, prompt: str) -> Got:
    async with in_memory(core) as client:
        result = await client.call_tool("dynaroute_route_prompt", {"prompt": prompt, "level_override": 1})
    shown = text(result)
    if result.is_error:
        found = re.match(r"(?:Error executing tool \w+: )?\[(\w+)\]", shown)
        assert found, shown
        return Got(outcome="broken" if found[1] == "stream_broken" else "error", code=found[1], shown=shown)
    answer = result.structured_content or {}
    return Got(
        outcome="ok", text=answer["response"], finish=answer["finish_reason"], shown=shown + str(answer)
    )


async def over_http(core: Core, prompt: str, *, stream: bool) -> Got:
    async def current() -> Core:
        return core

    transport = httpx2.ASGITransport(app=create_app(current, AMBIENT))
    asked = {"messages": [{"role": "user", "content": prompt}], "level_override": 1, "stream": stream}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        response = await client.post("/v1/chat/completions", json=asked, headers=headers)
    got = Got(outcome="ok", status=response.status_code, shown=f"{response.text}{response.headers}")
    if response.status_code != 200:
        got.outcome, got.code = "error", response.json()["error"]["reason"]
    elif stream:
        read_events(got, events_in(response.text))
    else:
        (choice,) = response.json()["choices"]
        got.text, got.finish = choice["message"]["content"], choice["finish_reason"]
    return got


def read_events(got: Got, events: list[Any]) -> None:
    """Read a stream of the gateway's as its client would."""
    *pieces, last = events
    for piece in pieces:
        for choice in piece["choices"]:
            got.text += choice["delta"].get("content") or ""
            got.finish = choice["finish_reason"] or got.finish
    if last != "[DONE]":
        got.outcome, got.code = "broken", last["error"]["reason"]


async def ask(core: Core, run: Run) -> Got:
    prompt = prompt_of(run)
    if run.mode == "tool":
        return await told(core, prompt)
    if run.mode in {"http-whole", "http-stream"}:
        return await over_http(core, prompt, stream=run.mode == "http-stream")
    request = ChatRequest(
        messages=(Message(role="user", parts=(Text(text=prompt),)),),
        routing=Routing(level_override=Level.L1),
    )
    return await (whole if run.mode == "whole" else streamed)(core, request)


@pytest.mark.parametrize("run", [pytest.param(run, id=run.id) for run in runs()])
async def test_a_fault_costs_the_client_no_more_than_it_must(
    stage: Stage, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    case, core = run.case, stage.core(run.case, run.dialect)
    stage.prepare(case)
    caplog.set_level("DEBUG", logger="dynaroute_mcp")
    began_at, began, peak = AMBIENT.clock(), anyio.current_time(), getrusage(RUSAGE_SELF).ru_maxrss

    got = await ask(core, run)

    assert anyio.current_time() - began < case.within_s
    check_client(run, got)
    primary, fallback = stage.asked(case)
    rows = [row async for row in core.store.calls(CallFilter(since=began_at))]
    assert len(rows) == 1
    check_row(run, got, rows[0], primary, fallback)
    assert all(gap >= case.gap_s for gap in stage.gaps_s(case))
    assert not stage.raw.stolen
    readable = got.shown + caplog.text + repr(rows) + repr([one.__dict__ for one in caplog.records])
    assert not [key for key in KEYS.values() if key in readable]
    assert prompt_of(run) not in caplog.text + repr(rows)
    assert case.alert == any(one.levelname == "WARNING" for one in caplog.records)
    grown_mib = (getrusage(RUSAGE_SELF).ru_maxrss - peak) / 1024
    assert case.rss_mib is None or grown_mib < case.rss_mib
    check_verdict(stage, run)


def check_client(run: Run, got: Got) -> None:
    case = run.case
    assert got.outcome in case.client, got
    assert case.code is None or got.code == case.code
    assert got.outcome != "error" or got.status in {None, case.status or 502}
    if got.outcome == "ok":
        assert got.finish == (case.finish if case.fallback[1] == 0 else got.finish)
        assert got.finish is not None
        assert case.any_text or got.text in {case.text, SAID["fallback"], SAID.get(case.at)}
        assert case.text is None or case.text in got.text
        got.shown.encode()  # no lone surrogate leaves
    elif got.outcome == "broken" and run.mode != "tool":
        assert got.finish is None
        assert got.text
        assert SAID[case.at].startswith(got.text)


def check_row(run: Run, got: Got, row: CallRow, primary: int | None, fallback: int) -> None:
    case, outcome = run.case, row.outcome
    assert row.status == STATUSES[got.outcome]
    assert outcome is not None
    tries = [attempt.provider for attempt in outcome.attempts]
    assert case.primary[0] <= tries.count("primary") <= case.primary[1]
    assert case.fallback[0] <= tries.count("fallback") <= case.fallback[1]
    assert primary in {None, tries.count("primary")}
    assert fallback == tries.count("fallback")
    assert [attempt.outcome == "ok" for attempt in outcome.attempts[:-1]] == [False] * (len(tries) - 1)
    answered = "fallback" if got.text == SAID["fallback"] or (got.outcome == "ok" and fallback) else "primary"
    assert (outcome.provider, outcome.model_id) == (answered, MODELS[answered])
    usage = outcome.usage
    assert all(0 <= count <= 10**9 for count in (usage.input_tokens, usage.output_tokens))
    price_in, price_out = PRICES[answered]
    assert outcome.cost is not None
    micro = price_in * usage.input_tokens + price_out * usage.output_tokens
    for attempt in outcome.attempts:  # what came to nothing is paid for where its provider says so
        if attempt.usage is not None:
            paid_in, paid_out = PRICES[attempt.provider]
            micro += paid_in * attempt.usage.input_tokens + paid_out * attempt.usage.output_tokens
    assert outcome.cost.total_usd == micro / 1_000_000
    if got.outcome == "error":
        assert (usage.total_tokens, outcome.error_code) == (0, got.code)
    elif answered == "primary":
        assert usage.source in case.source
    if case.cost is not None:
        assert (outcome.cost.total_usd > Decimal(0)) == (case.cost == "positive")


def check_verdict(stage: Stage, run: Run) -> None:
    """Hear what llmock has to say of us as a client."""
    for server in (stage.llmock, stage.fallback):
        verdict = judge(server.state.journal.records(wait=patience_s(run.case)))
        assert not [one for one in verdict.findings if one.code not in FALSE_ALARMS], verdict.render()
