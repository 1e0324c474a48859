"""Requests in OpenAI's Responses API, for models that take tools only there. It does no I/O.

Nothing is stored at OpenAI: reasoning comes encrypted and goes back as it came.
"""

from collections.abc import Iterator

from dynaroute_mcp.providers.base import Call, Ending, Outgoing
from dynaroute_mcp.providers.openai import bearer, data_url, function, identity
from dynaroute_mcp.providers.parameters import Settled, settle
from dynaroute_mcp.providers.responses_reply import ResponseReader, read_reply
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)


class Responses:
    """`POST /responses`."""

    def write(self, call: Call, *, stream: bool) -> Outgoing:
        """Put a call into the Responses API; see `Translation`."""
        settled = settle(call, "responses")
        body: dict[str, object] = {
            "model": call.model.wire_id,
            "input": [item for message in settled.request.messages for item in _items(message)],
            "store": False,
            **_parameters(call, settled),
            **_tools(settled.request),
        }
        if "reasoning" in call.model.capabilities:
            body["include"] = ["reasoning.encrypted_content"]
        if stream:
            body["stream"] = True
        return Outgoing(path="/responses", headers=bearer(call), body=body, dropped=settled.dropped)

    def read(self, call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
        """Read a whole reply; see `Translation`."""
        return read_reply(call, reply)

    def reader(self, call: Call) -> ResponseReader:
        """Begin to read a stream; see `Translation`."""
        return ResponseReader(call)


def _items(message: Message) -> Iterator[dict[str, object]]:
    """Items of one message in their order; only what is plain content shares an item."""
    content: list[dict[str, object]] = []
    for part in message.parts:
        match part:
            case Reasoning():
                yield from _reasoning(part)
            case ToolCall():
                yield from _message(message, content)
                content = []
                yield {
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": part.arguments,
                }
            case ToolResult():
                yield {"type": "function_call_output", "call_id": part.call_id, "output": _output(part)}
            case _:
                content.append(_content(part, is_output=message.role == "assistant"))
    yield from _message(message, content)


def _message(message: Message, content: list[dict[str, object]]) -> Iterator[dict[str, object]]:
    if content:
        role = "user" if message.role == "tool" else message.role
        yield {"type": "message", "role": role, "content": content}


def _content(part: Text | Image | Document, *, is_output: bool = False) -> dict[str, object]:
    match part:
        case Text():
            return {"type": "output_text" if is_output else "input_text", "text": part.text}
        case Image():
            return {"type": "input_image", "image_url": data_url(part), "detail": part.detail or "auto"}
        case Document():
            if part.url is not None:
                return {"type": "input_file", "file_url": part.url}
            return {"type": "input_file", "filename": part.name or "document", "file_data": data_url(part)}


def _output(result: ToolResult) -> str | list[dict[str, object]]:
    if all(isinstance(part, Text) for part in result.parts):
        return "\n".join(part.text for part in result.parts if isinstance(part, Text))
    return [_content(part) for part in result.parts]


def _reasoning(part: Reasoning) -> Iterator[dict[str, object]]:
    """A block goes back only whole: with its id, which we keep as the signature, and its encrypted content."""
    if part.signature is not None and part.redacted is not None:
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        yield {
            "type": "reasoning",
            "id": part.signature,
            "summary": summary,
            "encrypted_content": part.redacted,
        }


def _parameters(call: Call, settled: Settled) -> dict[str, object]:
    values = settled.request.parameters
    text: dict[str, object] = {}
    if settled.request.response_format is not None:
        text["format"] = _format(settled.request.response_format)
    if values.verbosity is not None:
        text["verbosity"] = values.verbosity
    effort = values.reasoning_effort
    wire: dict[str, object | None] = {
        "max_output_tokens": None if values.max_tokens is None else call.max_output_tokens,
        "temperature": values.temperature,
        "top_p": values.top_p,
        "parallel_tool_calls": values.parallel_tool_calls,
        "reasoning": None if effort is None else {"effort": effort, "summary": "auto"},
        "text": text or None,
        **identity(values),
    }
    return {name: value for name, value in wire.items() if value is not None}


def _format(wanted: ResponseFormat) -> dict[str, object]:
    if wanted.kind == "json":
        return {"type": "json_object"}
    wire: dict[str, object] = {
        "type": "json_schema",
        "name": wanted.name,
        "schema": dict(wanted.schema or {}),
    }
    if wanted.strict is not None:
        wire["strict"] = wanted.strict
    return wire


def _tools(request: ChatRequest) -> dict[str, object]:
    if not request.tools:
        return {}
    # Here `strict` defaults to true, in chat completions to false (OpenAI's migration guide, read 2026-11).
    tools = [{"type": "function", "strict": False, **function(tool)} for tool in request.tools]
    if request.tool_choice is None:
        return {"tools": tools}
    return {"tools": tools, "tool_choice": _tool_choice(request.tool_choice)}


def _tool_choice(choice: ToolChoice) -> str | dict[str, object]:
    if choice.mode == "named":
        return {"type": "function", "name": choice.name}
    return choice.mode
