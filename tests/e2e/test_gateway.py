"""Real clients before a real process: OpenAI's SDK, the published client, raw sockets, signals."""

import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel
from tests.e2e.gateway_process import ADMIN, WORDS, Gateway, Upstream, gateway, upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]
openai = pytest.importorskip("openai", reason="the SDK is not installed")

ASK: Any = [{"role": "user", "content": "Say hello"}]
MODEL = "gpt-4.1"


@pytest.fixture(scope="module")
def behind() -> Iterator[Upstream]:
    with upstream() as told:
        yield told


@pytest.fixture(scope="module")
def at(behind: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway"), behind.url) as running:
        yield running


@pytest.fixture(scope="module")
def sdk(at: Gateway) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{at.url}/v1", api_key=at.key(), max_retries=0) as client:
        yield client


class City(BaseModel):
    city: str
    people: int


def test_the_sdk_gets_an_answer_with_its_cost(sdk: Any) -> None:
    answer = sdk.chat.completions.create(model="auto", messages=ASK, extra_body={"level_override": 1})

    assert answer.choices[0].message.content == "".join(WORDS)
    assert answer.usage.total_tokens == 15
    assert answer.usage.cost["total_cost"] > 0
    assert answer.model_extra["_custom_routing_info"]["final_level_by_router"] == 1


def test_the_sdk_streams_and_counts(sdk: Any) -> None:
    stream = sdk.chat.completions.create(
        model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "".join(WORDS)
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [15]


def test_the_sdk_accumulates_a_stream_of_its_own(sdk: Any) -> None:
    with sdk.chat.completions.stream(model=MODEL, messages=ASK) as stream:
        final = stream.get_final_completion()

    assert final.choices[0].message.content == "".join(WORDS)


def test_the_sdk_calls_tools_and_sends_results_back(sdk: Any, behind: Upstream) -> None:
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    answer = sdk.chat.completions.create(model=MODEL, messages=ASK, tools=[tool], tool_choice="required")
    said = answer.choices[0].message
    result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "12 degrees"}
    sdk.chat.completions.create(model=MODEL, messages=[*ASK, said, result])

    assert said.tool_calls[0].function.name == "weather"
    assert answer.choices[0].finish_reason == "tool_calls"
    assert [message["role"] for message in behind.asked[-1]["messages"]] == ["user", "assistant", "tool"]
    assert behind.asked[-1]["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'


def test_the_sdk_parses_structured_output(sdk: Any, behind: Upstream) -> None:
    answer = sdk.chat.completions.parse(model=MODEL, messages=ASK, response_format=City)

    assert answer.choices[0].message.parsed == City(city="Paris", people=2_100_000)
    assert behind.asked[-1]["response_format"]["json_schema"]["schema"]["required"] == ["city", "people"]


def test_the_sdk_shows_pictures(sdk: Any, behind: Upstream) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    ask: Any = [{"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}]
    sdk.chat.completions.create(model=MODEL, messages=ask)

    assert behind.asked[-1]["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png")


def test_the_sdk_lists_models_and_reads_one(sdk: Any) -> None:
    listed = [model.id for model in sdk.models.list()]

    assert "openai/gpt-4.1" in listed
    assert sdk.models.retrieve(MODEL).owned_by == "openai"


def test_the_sdk_raises_its_own_errors(at: Gateway, sdk: Any) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(model="gpt-99", messages=ASK)
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.chat.completions.create(model=MODEL, messages=[], temperature=9)
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="dr_nobody").models.list()

    assert unknown.value.param == "model"
    assert wrong.value.request_id
    assert wrong.value.type == "invalid_request_error"


async def test_the_async_sdk_answers_and_streams(at: Gateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{at.url}/v1", api_key=at.key("bob"), max_retries=0) as client:
        whole = await client.chat.completions.create(model=MODEL, messages=ASK)
        stream = await client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]

    assert whole.choices[0].message.content == "".join(pieces) == "".join(WORDS)


def test_the_published_client_works_with_its_address_changed(at: Gateway) -> None:
    dynaroute = pytest.importorskip("dynaroute", reason="dynaroute-client is not installed")
    client = dynaroute.DynaRouteClient(api_key=at.key("carol"))
    client.base_url = at.url

    response = client.chat(ASK)
    text = ""
    for chunk in client.chat(ASK, stream=True):  # the loop of its README
        content = chunk.get("choices", [{}])[0].get("delta", {}).get("content", "")
        if content:
            text += content

    cost, info = response["usage"]["cost"], response["_custom_routing_info"]
    assert response["choices"][0]["message"]["content"] == text == "".join(WORDS)
    assert float(cost["gpt41_total_cost"]) > 0
    assert isinstance(info["final_level_by_router"], int)
    client.headers["Authorization"] = "Bearer dr_nobody"
    with pytest.raises(dynaroute.AuthenticationError):
        client.chat(ASK)


def test_mcp_lives_beside_the_gateway_on_the_same_core(at: Gateway) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    closed = httpx2.post(f"{at.url}/mcp", json=body)
    listed = httpx2.post(
        f"{at.url}/mcp",
        json=body,
        headers={
            "Authorization": f"Bearer {at.key()}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-11-25",
        },
    )

    assert closed.status_code == 401
    assert listed.status_code in {200, 400}, listed.text


def test_one_body_with_two_lengths_is_one_refusal_on_a_closed_connection(at: Gateway) -> None:
    raw = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", at.port), timeout=5) as wire:
        wire.sendall(raw)
        got = b""
        while piece := wire.recv(65_536):
            got += piece

    assert got.startswith(b"HTTP/1.1 400")
    assert got.count(b"HTTP/1.1") == 1


def test_a_client_that_neither_reads_nor_asks_is_cut_off(behind: Upstream, tmp_path: Path) -> None:
    behind.pieces = ("x" * 1_000_000,) * 30
    try:
        with gateway(tmp_path, behind.url, stalled_s=0.5) as own:
            key = own.key()
            with (
                socket.create_connection(("127.0.0.1", own.port), timeout=10) as silent,
                socket.create_connection(("127.0.0.1", own.port), timeout=10) as greedy,
            ):
                silent.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHo")
                body = b'{"model":"gpt-4.1","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
                greedy.sendall(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                    + f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                silence = _ended(silent)
                time.sleep(1.5)  # a real client that reads nothing, against a real clock
                read = _drain(greedy)
            usage = httpx2.get(f"{own.url}/v1/usage", headers={"Authorization": f"Bearer {key}"}).json()
    finally:
        behind.pieces = WORDS

    assert silence
    assert read < 30_000_000
    assert usage["requests"]["total"] == 1
    assert usage["cost"]["actual"] > 0


def test_a_signal_to_stop_lets_running_requests_end(behind: Upstream, tmp_path: Path) -> None:
    with gateway(tmp_path, behind.url) as own:
        key = own.key()
        answers: list[httpx2.Response] = []

        def ask() -> None:
            answers.append(
                httpx2.post(
                    f"{own.url}/v1/chat/completions",
                    json={"model": MODEL, "messages": ASK},
                    headers={"Authorization": f"Bearer {key}"},
                )
            )

        behind.wait_s = 0.8
        asking, before = threading.Thread(target=ask), len(behind.asked)
        asking.start()
        _until(lambda: len(behind.asked) > before, "True")
        own.signal(signal.SIGTERM)
        asking.join(10)
        behind.wait_s = 0.0
        code = own.process.wait(10)

    assert [answer.status_code for answer in answers] == [200]
    assert code in {0, -signal.SIGTERM, 128 + signal.SIGTERM}


@pytest.mark.skipif(os.name != "posix", reason="elsewhere no loop takes signals")
def test_one_more_signal_cuts_off_what_runs_and_the_books_know_it(
    behind: Upstream, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with gateway(tmp_path, behind.url) as own:
        headers = {"Authorization": f"Bearer {own.key()}"}
        asked, before = {"model": MODEL, "messages": ASK}, len(behind.asked)
        behind.wait_s = 5.0
        answers: list[httpx2.Response | httpx2.HTTPError] = []

        def ask() -> None:
            try:
                answers.append(
                    httpx2.post(f"{own.url}/v1/chat/completions", json=asked, headers=headers, timeout=20)
                )
            except httpx2.HTTPError as error:
                answers.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        _until(lambda: len(behind.asked) > before, "True")
        own.signal(signal.SIGINT)
        _until(lambda: _is_closed(own.url), "True")
        own.signal(signal.SIGINT)
        asking.join(10)
        behind.wait_s = 0.0
        code = own.process.wait(10)
    with closing(sqlite3.connect(tmp_path / "dynaroute.db")) as books:
        status = books.execute("SELECT status FROM calls").fetchall()

    assert not (isinstance(answers[0], httpx2.Response) and answers[0].is_success)
    assert status == [("cancelled",)]
    assert code in {0, -signal.SIGINT, 128 + signal.SIGINT}
    logged = capfd.readouterr().err
    assert "running requests are cut off" in logged
    assert "ASGI callable" not in logged


def _is_closed(url: str) -> bool:
    try:
        httpx2.get(f"{url}/health")
    except httpx2.HTTPError:
        return True
    return False


def test_an_idle_mcp_stream_does_not_hold_up_the_end(behind: Upstream, tmp_path: Path) -> None:
    with gateway(tmp_path, behind.url) as own:
        headers = {"Authorization": f"Bearer {own.key()}", "Accept": "text/event-stream"}
        with httpx2.stream("GET", f"{own.url}/sse", headers=headers) as stream:
            first = next(stream.iter_lines())
            own.signal(signal.SIGTERM)
            began = time.monotonic()
            own.process.wait(20)
            took_s = time.monotonic() - began

    assert first == "event: endpoint"
    assert took_s < 10


@pytest.mark.skipif(os.name != "posix", reason="SIGHUP is of POSIX")
def test_a_hangup_reads_the_configuration_anew_and_a_wrong_one_is_left(
    behind: Upstream, tmp_path: Path
) -> None:
    def strategy() -> str:
        answer = httpx2.post(
            f"{own.url}/v1/chat/completions",
            json={"messages": ASK},
            headers={"Authorization": f"Bearer {ADMIN}"},
        )
        return str(answer.json()["_custom_routing_info"]["strategy"])

    with gateway(tmp_path, behind.url) as own:
        before = strategy()
        own.configure(strategy="best")
        own.signal(signal.SIGHUP)
        after = _until(strategy, "best")
        own.configure(strategy="nonsense")
        own.signal(signal.SIGHUP)
        time.sleep(0.3)  # nothing to see but that nothing changes
        still = strategy()

    assert (before, after, still) == ("balanced", "best", "best")


def _until(look: Any, wanted: str) -> str:
    for _ in range(100):
        if (seen := str(look())) == wanted:
            return seen
        time.sleep(0.05)
    return str(look())


def _ended(wire: socket.socket) -> bool:
    try:
        return wire.recv(1) == b""
    except ConnectionResetError:
        return True


def _drain(wire: socket.socket) -> int:
    size = 0
    try:
        while piece := wire.recv(1 << 20):
            size += len(piece)
    except ConnectionResetError:
        pass
    return size
