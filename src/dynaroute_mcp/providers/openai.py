"""Requests in OpenAI's chat completions, which most vendors and local servers speak. It does no I/O."""

from collections.abc import Iterator, Sequence
from typing import Final

from dynaroute_mcp.providers.base import Call, Ending, Outgoing
from dynaroute_mcp.providers.openai_reply import ChatReader, read_reply
from dynaroute_mcp.providers.parameters import Settled, settle
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Image,
    Message,
    Parameters,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

Piece = dict[str, object]


def bearer(call: Call) -> dict[str, str]:
    """The header that carries the key; none for keyless servers."""
    key = call.endpoint.api_key
    return {} if key is None else {"authorization": f"Bearer {key}"}


def data_url(part: Image | Document) -> str:
    """The address of a picture or file, its content inlined when it came by content."""
    return part.url or f"data:{part.media_type};base64,{part.data}"


class ChatCompletions:
    """`POST /chat/completions`."""

    def write(self, call: Call, *, stream: bool) -> Outgoing:
        """Put a call into chat completions; see `Translation`."""
        settled = settle(call, "openai")
        body: dict[str, object] = {
            "model": call.model.wire_id,
            "messages": _talk(call, settled.request),
            **_parameters(call, settled),
            **_tools(settled),
        }
        if stream:
            body["stream"] = True
            if call.endpoint.provider.usage_in_stream:
                body["stream_options"] = {"include_usage": True}
        return Outgoing(path="/chat/completions", headers=bearer(call), body=body, dropped=settled.dropped)

    def read(self, call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
        """Read a whole reply; see `Translation`."""
        return read_reply(call, reply)

    def reader(self, call: Call) -> ChatReader:
        """Begin to read a stream; see `Translation`."""
        return ChatReader(call)


def _talk(call: Call, request: ChatRequest) -> list[Piece]:
    """All messages, as this provider wants them to follow each other."""
    provider = call.endpoint.provider
    messages = list(_messages(request.messages))
    if provider.takes_reasoning and (request.tools or any("tool_calls" in one for one in messages)):
        messages = [{**_THOUGHTLESS, **one} if one["role"] == "assistant" else one for one in messages]
    if provider.strict_turns:
        messages = list(_strict(messages))
    return messages


_THOUGHTLESS: Final[Piece] = {"reasoning_content": " "}
"""Of an answer that another model gave: beside tools, one without any is a 400, and an empty one too
(NousResearch/hermes-agent#17341, 2026-04-29)."""


def _strict(messages: Sequence[Piece]) -> Iterator[Piece]:
    before = None
    for message in messages:
        if before == "tool" and message["role"] == "user":
            yield {"role": "assistant", "content": "OK."}
        is_open = message is messages[-1] and message["role"] == "assistant"
        yield {**message, "prefix": True} if is_open else message
        before = message["role"]


def _messages(messages: Sequence[Message]) -> Iterator[dict[str, object]]:
    """One message of ours is one of theirs, except that each tool result is a message of its own.

    A picture of a result, which no `tool` message holds, follows as the user's: behind all results of the turn,
    because nothing may stand between them.
    """
    seen: list[Image] = []
    for message in messages:
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        rest = [part for part in message.parts if not isinstance(part, ToolResult)]
        if seen and not results:
            yield {"role": "user", "content": _content(seen)}
            seen = []
        yield from map(_tool_message, results)
        seen += [part for result in results for part in result.parts if isinstance(part, Image)]
        if message.role == "assistant":
            yield {**_assistant_message(rest), **_named(message)}
        elif rest or not results:
            role = "user" if message.role == "tool" else message.role
            yield {"role": role, "content": _content([*seen, *rest]), **_named(message)}
            seen = []
    if seen:
        yield {"role": "user", "content": _content(seen)}


def _named(message: Message) -> dict[str, object]:
    return {"name": message.name} if message.name else {}


def _tool_message(result: ToolResult) -> dict[str, object]:
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    return {"role": "tool", "tool_call_id": result.call_id, "content": text}


def _assistant_message(parts: Sequence[Part]) -> dict[str, object]:
    text = "\n".join(part.text for part in parts if isinstance(part, Text))
    plain = (part for part in parts if isinstance(part, Reasoning) and part.signature is None)
    reasoning = "".join(
        part.text for part in plain
    )  # a signed one is of OpenAI's other API, and unknown to this one
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in parts
        if isinstance(part, ToolCall)
    ]
    message: dict[str, object] = {"role": "assistant", "content": text or (None if calls else "")}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    return message


def _content(parts: Sequence[Part]) -> str | list[dict[str, object]]:
    if all(isinstance(part, Text) for part in parts):
        return "\n".join(part.text for part in parts if isinstance(part, Text))
    return [wire for part in parts if (wire := _content_part(part)) is not None]


def _content_part(part: Part) -> dict[str, object] | None:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": data_url(part), **detail}}
        case Document():
            name = part.name or "document"
            return {"type": "file", "file": {"filename": name, "file_data": data_url(part)}}
        case _:
            return None


def _parameters(call: Call, settled: Settled) -> dict[str, object]:
    values = settled.request.parameters
    bound = None if values.max_tokens is None else call.max_output_tokens
    wire: dict[str, object | None] = {
        call.model.constraints.max_tokens_field: bound,
        "temperature": values.temperature,
        "top_p": values.top_p,
        "stop": list(values.stop) or None,
        call.endpoint.provider.seed_field: values.seed,
        "presence_penalty": values.presence_penalty,
        "frequency_penalty": values.frequency_penalty,
        "logit_bias": None if values.logit_bias is None else dict(values.logit_bias),
        "logprobs": values.logprobs,
        "top_logprobs": values.top_logprobs,
        "parallel_tool_calls": values.parallel_tool_calls,
        "reasoning_effort": values.reasoning_effort,
        "response_format": _response_format(settled.request.response_format),
        "store": values.store,
        "metadata": None if values.metadata is None else dict(values.metadata),
        **identity(values),
    }
    return {name: value for name, value in wire.items() if value is not None}


def identity(values: Parameters) -> dict[str, str | None]:
    """For whom a request is, and with which others it shares a cache; the same in both of OpenAI's APIs."""
    return {
        "user": values.user,
        "safety_identifier": values.safety_identifier,
        "prompt_cache_key": values.prompt_cache_key,
    }


def _response_format(wanted: ResponseFormat | None) -> dict[str, object] | None:
    if wanted is None:
        return None
    if wanted.kind == "json":
        return {"type": "json_object"}
    schema: dict[str, object] = {"name": wanted.name, "schema": dict(wanted.schema or {})}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _tools(settled: Settled) -> dict[str, object]:
    request = settled.request
    wire: dict[str, object] = {}
    if request.tools:
        wire["tools"] = [{"type": "function", "function": function(tool)} for tool in request.tools]
        if request.tool_choice is not None:
            wire["tool_choice"] = _tool_choice(request.tool_choice)
    return wire


def function(tool: Tool) -> dict[str, object]:
    """A tool as OpenAI describes functions."""
    wire: dict[str, object] = {"name": tool.name, "description": tool.description}
    wire["parameters"] = dict(tool.parameters) or {"type": "object", "properties": {}}
    if tool.strict is not None:
        wire["strict"] = tool.strict
    return wire


def _tool_choice(choice: ToolChoice) -> str | dict[str, object]:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode
