"""Requests in Gemini's generateContent. It does no I/O."""

import mimetypes
from collections.abc import Mapping
from urllib.parse import quote

from dynaroute_mcp.providers.base import Call, Ending, Outgoing
from dynaroute_mcp.providers.call_ids import OWN_ID
from dynaroute_mcp.providers.conversation import alternate, arguments_object, system_text
from dynaroute_mcp.providers.gemini_reply import ContentReader, read_reply
from dynaroute_mcp.providers.parameters import Settled, settle
from dynaroute_mcp.providers.schema import for_gemini
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
    ToolChoice,
    ToolResult,
)

_NO_SIGNATURE = "skip_thought_signature_validator"
"""What Gemini 3 takes in place of the signature of a call that another model made
(ai.google.dev/gemini-api/docs/thought-signatures, read 2026-11)."""


class GenerateContent:
    """`POST /models/{model}:generateContent` and its streaming twin."""

    def write(self, call: Call, *, stream: bool) -> Outgoing:
        """Put a call into generateContent; see `Translation`."""
        settled = settle(call, "gemini")
        request = settled.request
        body: dict[str, object] = {"contents": _contents(call, request), **_tools(request)}
        system = system_text(request)
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        generation = _generation(call, settled)
        if generation:
            body["generationConfig"] = generation
        key = call.endpoint.api_key
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return Outgoing(
            path=call.endpoint.path("v1beta", f"/models/{quote(call.model.wire_id, safe='')}:{verb}"),
            headers={} if key is None else {"x-goog-api-key": key},
            body=body,
            dropped=settled.dropped,
        )

    def read(self, call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
        """Read a whole reply; see `Translation`."""
        return read_reply(call, reply)

    def reader(self, call: Call) -> ContentReader:
        """Begin to read a stream; see `Translation`."""
        return ContentReader(call)


def _contents(call: Call, request: ChatRequest) -> list[dict[str, object]]:
    """Messages as turns of `user` and `model` that alternate."""
    names = {
        part.id: part.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCall)
    }
    turns = alternate(
        ("model" if message.role == "assistant" else "user", _parts(call, message, names))
        for message in request.messages
        if message.role != "system"
    )
    return [{"role": role, "parts": parts} for role, parts in turns]


def _parts(call: Call, message: Message, names: Mapping[str, str]) -> list[dict[str, object]]:
    wire: list[dict[str, object]] = []
    for part in message.parts:
        match part:
            case Text():
                # an empty part is a 400 (router-for-me/CLIProxyAPI#1292, 2026-01-28)
                wire += [{"text": part.text}] if part.text else []
            case Image() | Document():
                wire.append(_media(part))
            case ToolCall():
                first = not any("functionCall" in other for other in wire)
                wire.append(_function_call(call, part, is_first=first))
            case ToolResult():
                wire.extend(_function_response(part, names))
            case Reasoning():
                wire.extend(_thought(part))
    return wire


def _thought(part: Reasoning) -> list[dict[str, object]]:
    """Thoughts go back only when they are signed; a signature without text came beside an answer's own text."""
    if part.signature is None:
        return []
    thought = {"thought": True} if part.text else {}
    return [{"text": part.text, **thought, "thoughtSignature": part.signature}]


def _media(part: Image | Document) -> dict[str, object]:
    if part.url is None:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    kind = part.media_type or mimetypes.guess_type(part.url.partition("?")[0])[0] or "image/jpeg"
    return {"fileData": {"mimeType": kind, "fileUri": part.url}}


def _function_call(call: Call, part: ToolCall, *, is_first: bool) -> dict[str, object]:
    """A call with its signature; Gemini 3 demands one on the first call of a turn, whoever made it."""
    wire: dict[str, object] = {
        "functionCall": {"name": part.name, "args": arguments_object(part.arguments), **_id(part.id)}
    }
    if part.signature is not None:
        wire["thoughtSignature"] = part.signature
    elif is_first and call.model.constraints.thinking == "effort":
        wire["thoughtSignature"] = _NO_SIGNATURE
    return wire


def _function_response(result: ToolResult, names: Mapping[str, str]) -> list[dict[str, object]]:
    text = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    name = result.name or names.get(result.call_id) or result.call_id
    response = {
        "name": name,
        "response": {"error" if result.is_error else "result": text},
        **_id(result.call_id),
    }
    images = [_media(part) for part in result.parts if isinstance(part, Image)]
    return [{"functionResponse": response}, *images]


def _id(call_id: str) -> dict[str, str]:
    """Only ids that Gemini gave are sent back to it."""
    return {} if call_id.startswith(OWN_ID) else {"id": call_id}


def _generation(call: Call, settled: Settled) -> dict[str, object]:
    values = settled.request.parameters
    wire: dict[str, object | None] = {
        "maxOutputTokens": None if values.max_tokens is None else call.max_output_tokens,
        "temperature": values.temperature,
        "topP": values.top_p,
        "topK": values.top_k,
        "stopSequences": list(values.stop) or None,
        "seed": values.seed,
        "presencePenalty": values.presence_penalty,
        "frequencyPenalty": values.frequency_penalty,
        "thinkingConfig": _thinking(settled),
    }
    wanted = settled.request.response_format
    if wanted is not None:
        wire["responseMimeType"] = "application/json"
        if wanted.kind == "schema":
            wire["responseJsonSchema"] = dict(wanted.schema or {})
    return {name: value for name, value in wire.items() if value is not None}


def _thinking(settled: Settled) -> dict[str, object] | None:
    effort = settled.request.parameters.reasoning_effort
    if effort is None:
        return None
    if settled.thinking_budget is not None:
        return {"thinkingBudget": settled.thinking_budget, "includeThoughts": settled.thinking_budget > 0}
    return {"thinkingLevel": effort, "includeThoughts": effort != "none"}


def _tools(request: ChatRequest) -> dict[str, object]:
    if not request.tools:
        return {}
    wire: dict[str, object] = {
        "tools": [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
    }
    if request.tool_choice is not None:
        wire["toolConfig"] = {"functionCallingConfig": _calling(request.tool_choice)}
    return wire


def _declaration(tool: Tool) -> dict[str, object]:
    """A function; parameters without properties are left out, because an empty object is refused."""
    wire: dict[str, object] = {"name": tool.name, "description": tool.description}
    parameters = for_gemini(tool.parameters)
    if parameters.get("type") == "OBJECT":
        wire["parameters"] = parameters
    return wire


def _calling(choice: ToolChoice) -> dict[str, object]:
    if choice.mode == "named":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice.mode]}
