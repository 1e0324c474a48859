"""Requests in Anthropic's Messages API. It does no I/O."""

from dynaroute_mcp.providers.anthropic_reply import ANSWER_TOOL, MessagesReader, answers_by_tool, read_reply
from dynaroute_mcp.providers.base import Call, Ending, Outgoing
from dynaroute_mcp.providers.conversation import Piece, alternate, arguments_object, system_text
from dynaroute_mcp.providers.marks import bound, mark
from dynaroute_mcp.providers.parameters import Settled, settle
from dynaroute_mcp.providers.schema import for_anthropic
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

API_VERSION = "2023-06-01"
"""Not the newest: 2026-10-21 refuses temperature, top_p and top_k, which older models still take under this one
(platform.claude.com/docs/en/api/versioning, read 2026-11-22)."""


class Messages:
    """`POST /messages`."""

    def write(self, call: Call, *, stream: bool) -> Outgoing:
        """Put a call into the Messages API; see `Translation`."""
        settled = settle(call, "anthropic")
        request = settled.request
        tools, system, turns = _tools(request), _system(request), _turns(request)
        said = [block for _, blocks in turns for block in blocks]
        weakened = {"cache_control"} if bound([*tools, *system, *said], request) else set()
        body: dict[str, object] = {
            "model": call.model.wire_id,
            "max_tokens": call.max_output_tokens,
            "messages": [{"role": role, "content": blocks} for role, blocks in turns],
            **_parameters(call, settled),
        }
        if tools:
            body |= {"tools": tools, **_tool_choice(request)}
        if system_said := system_text(request):
            marked = any("cache_control" in block for block in system)
            body["system"] = system if marked else system_said
        if answers_by_tool(call, request):
            body |= _answer_tool(request)
        if stream:
            body["stream"] = True
        headers = {"anthropic-version": API_VERSION}
        if call.endpoint.api_key is not None:
            headers["x-api-key"] = call.endpoint.api_key
        return Outgoing(
            path=call.endpoint.path("v1", "/messages"),
            headers=headers,
            body=body,
            dropped=tuple(sorted({*settled.dropped, *weakened})),
        )

    def read(self, call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
        """Read a whole reply; see `Translation`."""
        return read_reply(call, reply)

    def reader(self, call: Call) -> MessagesReader:
        """Begin to read a stream; see `Translation`."""
        return MessagesReader(call)


def _system(request: ChatRequest) -> list[Piece]:
    """What the system messages say, block by block."""
    parts = (part for message in request.messages if message.role == "system" for part in message.parts)
    return [
        {"type": "text", "text": part.text} | mark(part.cache_ttl)
        for part in parts
        if isinstance(part, Text) and part.text.strip()
    ]


def _turns(request: ChatRequest) -> list[tuple[str, list[Piece]]]:
    """Messages as turns that alternate: neighbours of one role become one.

    An answer that is to be continued may not end in blanks (langchain-ai/langchain-google#1733, 2026-04-29).
    """
    turns = alternate(
        ("assistant" if message.role == "assistant" else "user", _blocks(message))
        for message in request.messages
        if message.role != "system"
    )
    role, blocks = turns[-1] if turns else ("user", [])
    if role == "assistant" and isinstance(said := blocks[-1].get("text"), str):
        blocks[-1] = {**blocks[-1], "text": said.rstrip()}
    return turns


def _blocks(message: Message) -> list[Piece]:
    """Blocks of one message; tool results come first, because nothing may stand before them."""
    ordered = sorted(message.parts, key=lambda part: not isinstance(part, ToolResult))
    return [block for part in ordered if (block := _block(part)) is not None]


def _block(part: Part) -> Piece | None:
    """A part of a message, with its mark; reasoning takes none."""
    content = _content(part)
    return content if content is None or isinstance(part, Reasoning) else content | mark(part.cache_ttl)


def _content(part: Part) -> Piece | None:
    match part:
        case Text():
            # nothing but blanks is a 400 (home-assistant/core#175637, 2026-07-04)
            return {"type": "text", "text": part.text} if part.text.strip() else None
        case Image():
            return {"type": "image", "source": _source(part)}
        case Document():
            name = {"title": part.name} if part.name else {}
            return {"type": "document", "source": _source(part), **name}
        case ToolCall():
            arguments = arguments_object(part.arguments)
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
        case ToolResult():
            inner = [block for piece in part.parts if (block := _content(piece)) is not None]
            failed = {"is_error": True} if part.is_error else {}
            return {"type": "tool_result", "tool_use_id": part.call_id, "content": inner, **failed}
        case Reasoning():
            return _thinking(part)


def _source(part: Image | Document) -> dict[str, object]:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _thinking(part: Reasoning) -> dict[str, object] | None:
    """A block of thinking is valid only with its signature."""
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    if part.signature is None:
        return None
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _parameters(call: Call, settled: Settled) -> dict[str, object]:
    values = settled.request.parameters
    wire: dict[str, object | None] = {
        "temperature": values.temperature,
        "top_p": values.top_p,
        "top_k": values.top_k,
        "stop_sequences": list(values.stop) or None,
        **_reasoning(call, settled),
    }
    wanted = settled.request.response_format
    if wanted is not None and not answers_by_tool(call, settled.request):
        schema = {"type": "json_schema", "schema": for_anthropic(wanted.schema or {})}
        config = wire.get("output_config")
        wire["output_config"] = {**(config if isinstance(config, dict) else {}), "format": schema}
    return {name: value for name, value in wire.items() if value is not None}


def _reasoning(call: Call, settled: Settled) -> dict[str, object]:
    effort = settled.request.parameters.reasoning_effort
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}}
    if settled.thinking_budget is not None:
        return {"thinking": {"type": "enabled", "budget_tokens": settled.thinking_budget}}
    config: dict[str, object] = {"output_config": {"effort": effort}}
    if call.model.constraints.thinking == "adaptive":
        config["thinking"] = {"type": "adaptive"}
    return config


def _tools(request: ChatRequest) -> list[Piece]:
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": _input_schema(tool),
            **({} if tool.strict is None else {"strict": tool.strict}),
            **mark(tool.cache_ttl),
        }
        for tool in request.tools
    ]


def _input_schema(tool: Tool) -> dict[str, object]:
    """What a tool takes; a strict one's schema has the limits of structured outputs."""
    schema = dict(tool.parameters) or {"type": "object", "properties": {}}
    return for_anthropic(schema) if tool.strict else schema


def _tool_choice(request: ChatRequest) -> dict[str, object]:
    choice, parallel = request.tool_choice, request.parameters.parallel_tool_calls
    mode = "auto" if choice is None else choice.mode
    if choice is None and parallel is None:
        return {}
    if mode == "none":
        return {"tool_choice": {"type": "none"}}
    wire: dict[str, object] = {"type": {"required": "any", "named": "tool"}.get(mode, "auto")}
    if choice is not None and choice.name is not None and mode == "named":
        wire["name"] = choice.name
    if parallel is not None:
        wire["disable_parallel_tool_use"] = not parallel
    return {"tool_choice": wire}


def _answer_tool(request: ChatRequest) -> dict[str, object]:
    wanted = request.response_format
    schema = dict(wanted.schema or {}) if wanted is not None else {}
    tool = {"name": ANSWER_TOOL, "description": "Give the answer in this form.", "input_schema": schema}
    return {"tools": [tool], "tool_choice": {"type": "tool", "name": ANSWER_TOOL}}
