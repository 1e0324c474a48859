"""Building blocks of the adapter tests: calls, and a provider that answers from a script and keeps what it was sent."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import httpx2
from tests.providers.mock_client import Mocked

from dynaroute_mcp.catalog import Capability, Constraints, Extra, Model, Provider
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.providers.base import Call, Clocks, Dialect, Endpoint
from dynaroute_mcp.providers.registry import dialects
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.types import (
    ChatRequest,
    Completion,
    Finished,
    Message,
    Parameters,
    Part,
    ResponseFormat,
    Role,
    StreamEvent,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = "sk-test-9f8e7d6c5b4a"
ALL: frozenset[Capability] = frozenset({"tools", "vision", "pdf", "json_mode", "json_schema", "reasoning"})
QUICK = Clocks(connect_s=0.05, first_token_s=0.05, idle_s=0.05, total_s=0.05)
BASE_URLS: Mapping[str, str] = {
    "openai": "https://api.example.com/v1",
    "anthropic": "https://api.example.com/v1",
    "gemini": "https://api.example.com/v1beta",
    "sandbox": "https://api.example.com",
}
PIXEL = "iVBORw0KGgo="
WEATHER = Tool(
    name="get_weather",
    description="Current weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


def estimate(text: str) -> int:
    """Stand in for the real estimator: one token a word."""
    return len(text.split())


def say(role: Role, *parts: Part | str) -> Message:
    return Message(
        role=role, parts=tuple(Text(text=part) if isinstance(part, str) else part for part in parts)
    )


def ask(
    *messages: Message,
    tools: Sequence[Tool] = (),
    tool_choice: ToolChoice | None = None,
    response_format: ResponseFormat | None = None,
    parameters: Parameters | None = None,
) -> ChatRequest:
    return ChatRequest(
        messages=messages or (say("user", "Hello"),),
        tools=tuple(tools),
        tool_choice=tool_choice,
        response_format=response_format,
        parameters=parameters or Parameters(),
    )


def call(
    dialect: DialectName = "openai",
    request: ChatRequest | None = None,
    *,
    constraints: Constraints | None = None,
    capabilities: frozenset[Capability] = ALL,
    clocks: Clocks | None = None,
    base_url: str | None = None,
    api_key: str | None = KEY,
    max_output_tokens: int = 4_096,
    usage_in_stream: bool = True,
    takes_reasoning: bool = False,
    takes: frozenset[Extra] = frozenset(),
    strict_turns: bool = False,
) -> Call:
    provider = Provider(
        id="acme",
        name="Acme",
        dialect=dialect,
        base_url=BASE_URLS[dialect],
        usage_in_stream=usage_in_stream,
        takes_reasoning=takes_reasoning,
        takes=takes,
        strict_turns=strict_turns,
        source="test",
    )
    model = Model(
        id="acme/model-1",
        provider="acme",
        wire_id="model-1",
        name="Model One",
        family="test",
        context_tokens=100_000,
        max_output_tokens=8_192,
        capabilities=capabilities,
        constraints=constraints or Constraints(),
        source="test",
    )
    return Call(
        endpoint=Endpoint(provider=provider, base_url=base_url or BASE_URLS[dialect], api_key=api_key),
        model=model,
        request=request or ask(),
        max_output_tokens=max_output_tokens,
        input_tokens=11,
        clocks=clocks or Clocks(),
    )


TOOL_TALK = (
    say("system", "Be brief."),
    say("user", "Weather in Paris and Rome?"),
    say(
        "assistant",
        ToolCall(id="call_a", name="get_weather", arguments='{"city":"Paris"}'),
        ToolCall(id="call_b", name="get_weather", arguments='{"city":"Rome"}'),
    ),
    say("tool", ToolResult(call_id="call_a", parts=(Text(text="18 C"),))),
    say("tool", ToolResult(call_id="call_b", parts=(Text(text="no data"),), is_error=True)),
)
"""A conversation with parallel tool calls and their results."""


@dataclass
class Sent:
    """A request as it left."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: dict[str, object]


@dataclass
class FakeProvider:
    """Answers every request from a function, or with one response, and keeps the requests."""

    answer: Callable[[httpx2.Request], httpx2.Response] | httpx2.Response
    sent: list[Sent] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else {}
        self.sent.append(Sent(request.method, str(request.url), dict(request.headers), body))
        return self.answer(request) if callable(self.answer) else self.answer

    def wire(self) -> AbstractAsyncContextManager[Wire]:
        return Wire.open(now=lambda: NOW, transport=Mocked(self))


def answers(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> FakeProvider:
    return FakeProvider(httpx2.Response(status, content=json.dumps(document), headers=dict(headers or {})))


def sse(*documents: object, done: bool = False, names: bool = False) -> bytes:
    """Write documents as a stream; `names` adds the event lines that Anthropic and the Responses API send."""
    lines = []
    for document in documents:
        name = f"event: {cast('dict[str, str]', document)['type']}\n" if names else ""
        lines.append(f"{name}data: {json.dumps(document)}\n\n")
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def streams(body: bytes) -> FakeProvider:
    return FakeProvider(httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"}))


def dialect_of(wire: Wire, one: Call) -> Dialect:
    return dialects(wire, estimate=estimate)[one.endpoint.provider.dialect]


async def complete(provider: FakeProvider, one: Call) -> Completion:
    async with provider.wire() as wire:
        return await dialect_of(wire, one).complete(one)


async def collect(provider: FakeProvider, one: Call) -> list[StreamEvent]:
    async with provider.wire() as wire, dialect_of(wire, one).stream(one) as events:
        return [event async for event in events]


async def finished(provider: FakeProvider, one: Call) -> Finished:
    last = (await collect(provider, one))[-1]
    assert isinstance(last, Finished)
    return last
