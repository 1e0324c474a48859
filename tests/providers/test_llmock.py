"""The adapters against `llmock`, a fake of all the APIs that we did not write, over real sockets."""

from collections.abc import Iterator

import llmock.scenarios as script
import pytest
from llmock.testing import LLMockServer
from tests.providers.examples import ALL, NOW, TOOL_TALK, WEATHER, ask, call, dialect_of

from dynaroute_mcp.catalog import Constraints
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.errors import (
    ProviderContextOverflow,
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderModelMissing,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.providers.base import Call, Clocks
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.types import (
    ChatRequest,
    Completion,
    Finished,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

pytestmark = pytest.mark.e2e

DIALECTS: tuple[DialectName, ...] = ("openai", "anthropic", "gemini")
QUICK = Clocks(connect_s=1, first_token_s=1, idle_s=0.2, total_s=1)
CITIES = (
    script.ToolCall("get_weather", {"city": "Paris"}),
    script.ToolCall("get_weather", {"city": "Rome"}),
)


@pytest.fixture(scope="module")
def _server() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def server(_server: LLMockServer) -> Iterator[LLMockServer]:
    yield _server
    _server.state.scenarios.clear()


def pointed(server: LLMockServer, dialect: DialectName, request: ChatRequest | None = None) -> Call:
    return call(dialect, request, base_url=server.base_url(dialect), clocks=QUICK)


async def whole(one: Call) -> Completion:
    async with Wire.open(now=lambda: NOW) as wire:
        return await dialect_of(wire, one).complete(one)


async def streamed(one: Call) -> list[StreamEvent]:
    async with Wire.open(now=lambda: NOW) as wire, dialect_of(wire, one).stream(one) as events:
        return [event async for event in events]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_answer_whole_and_in_a_stream(server: LLMockServer, dialect: DialectName) -> None:
    server.state.scenarios.add(script.Reply(text="Paris, 你好.", times=2))

    answer = await whole(pointed(server, dialect))
    *deltas, last = await streamed(pointed(server, dialect))

    assert (answer.message.text, answer.finish_reason, answer.usage.source) == (
        "Paris, 你好.",
        "stop",
        "provider",
    )
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "Paris, 你好."
    assert isinstance(last, Finished)
    assert (last.finish_reason, last.usage) == ("stop", answer.usage)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_parallel_tool_calls_and_their_results(server: LLMockServer, dialect: DialectName) -> None:
    server.state.scenarios.add(script.Reply(tool_calls=CITIES, times=2))
    request = ask(tools=[WEATHER])

    answer = await whole(pointed(server, dialect, request))
    *deltas, last = await streamed(pointed(server, dialect, request))
    after = await whole(pointed(server, dialect, ask(*TOOL_TALK, tools=[WEATHER])))

    calls = [part for part in answer.message.parts if isinstance(part, ToolCall)]
    assert [one.arguments.replace(" ", "") for one in calls] == ['{"city":"Paris"}', '{"city":"Rome"}']
    assert len({one.id for one in calls}) == 2
    assert answer.finish_reason == "tool_calls"
    pieces = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert {piece.index for piece in pieces} == {0, 1}
    assert (
        "".join(piece.arguments for piece in pieces if piece.index == 1).replace(" ", "") == '{"city":"Rome"}'
    )
    assert isinstance(last, Finished)
    assert last.finish_reason == "tool_calls"
    assert (after.finish_reason, bool(after.message.text)) == ("stop", True)


async def test_the_responses_api_whole_and_in_a_stream(server: LLMockServer) -> None:
    server.state.scenarios.add(script.Reply(text="Paris.", times=2))
    one = call(
        "openai",
        base_url=server.base_url("openai"),
        constraints=Constraints(needs_responses=True),
        capabilities=ALL - {"reasoning"},
    )

    answer = await whole(one)
    *deltas, last = await streamed(one)

    assert (answer.message.text, answer.usage.source) == ("Paris.", "provider")
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "Paris."
    assert isinstance(last, Finished)
    assert last.usage == answer.usage


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRefusedRequest),
        (401, ProviderKeyRejected),
        (403, ProviderKeyRejected),
        (404, ProviderModelMissing),
        (408, ProviderUnavailable),
        (413, ProviderRefusedRequest),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
        (529, ProviderUnavailable),
    ],
)
async def test_errors_in_the_shape_of_each_provider(
    server: LLMockServer, dialect: DialectName, status: int, kind: type[ProviderError]
) -> None:
    server.state.scenarios.add(script.Fail(status, retry_after=2 if status == 429 else None, times=2))

    with pytest.raises(kind) as caught:
        await whole(pointed(server, dialect))
    with pytest.raises(kind):
        await streamed(pointed(server, dialect))

    assert caught.value.status == status
    if status == 429:
        assert caught.value.retry_after_s == 2.0


async def test_an_overlong_prompt_is_known_by_its_code(server: LLMockServer) -> None:
    server.state.scenarios.add(script.Fail(400, code="context_length_exceeded"))

    with pytest.raises(ProviderContextOverflow):
        await whole(pointed(server, "openai"))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("disconnect", (ProviderUnavailable,)),
        ("truncate", (ProviderGarbled,)),
        ("malformed", (ProviderGarbled,)),
        ("stall", (ProviderTimedOut,)),
    ],
)
async def test_a_stream_that_breaks_is_never_a_success(
    server: LLMockServer,
    dialect: DialectName,
    fault: script.StreamFaultKind,
    kinds: tuple[type[ProviderError], ...],
) -> None:
    server.state.scenarios.add(script.Reply(text="one two three four five six seven eight"))
    server.state.scenarios.add(script.StreamFault(fault, after_chunks=4, stall_seconds=0.5))

    with pytest.raises(kinds):
        await streamed(pointed(server, dialect))
