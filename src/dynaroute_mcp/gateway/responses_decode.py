"""From a body of OpenAI's Responses API to a request of the core."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from dynaroute_mcp.gateway import decode
from dynaroute_mcp.gateway import responses_wire as wire
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.wire import PlainFormat, ReasoningDetail
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

FIELDS: Final[Mapping[str, str]] = {"messages": "input", "response_format": "text.format"}
"""What chat completions call otherwise."""

_LOGPROBS: Final = "message.output_text.logprobs"
_SEAL: Final = "dr1."
"""Begins what `sealed` made: others' encrypted reasoning can be read by nobody here."""


def sealed(provider: str, signature: str | None, redacted: str | None) -> str | None:
    """Wrap what lets a model go on from a block of reasoning, to be sent back as `encrypted_content`."""
    if not (signature or redacted):
        return None
    block = {"provider": provider, "signature": signature, "data": redacted}
    return _SEAL + urlsafe_b64encode(as_json(block)).decode()


def _unsealed(text: str) -> ReasoningDetail | None:
    if not text.startswith(_SEAL):
        return None
    try:
        return ReasoningDetail.model_validate_json(urlsafe_b64decode(text.removeprefix(_SEAL)))
    except ValueError:
        return None


def chat_request(
    body: wire.ResponsesBody, *, strategy: str | None = None
) -> tuple[ChatRequest, tuple[str, ...]]:
    """Turn a body into a request, beside the names of what was left out; see `decode.chat_request`.

    Raises:
        Refusal: 400; a field can't be honoured.
    """
    rest = decode.left_over(body, wire.REFUSED)
    decode.refuse_infinity(body.metadata, "metadata")
    request = ChatRequest(
        messages=tuple(_messages(body)),
        model=decode.model_of(body),
        tools=tuple(_tool(each) for each in body.tools or ()),
        tool_choice=_tool_choice(body.tool_choice),
        response_format=_response_format(body.text),
        parameters=_parameters(body),
        routing=decode.routing_of(body, strategy),
    )
    return request, tuple(sorted({*rest, *_moot(body), *_unknown_said(body)}))


def _moot(body: wire.ResponsesBody) -> Iterable[str]:
    """Name what is not done here whatever it says."""
    if body.store:
        yield "store"
    if body.truncation == "auto":
        yield "truncation"


def _unknown_said(body: wire.ResponsesBody) -> Iterable[str]:
    """Name what of the conversation nobody knows, or nobody here can read."""
    for item in () if isinstance(body.input, str) else body.input:
        yield from decode.unknown(item.model_extra or {}, "input[].")
        if isinstance(item, wire.ReasoningItem):
            if item.encrypted_content and _unsealed(item.encrypted_content) is None:
                yield "input[].encrypted_content"
            continue
        where = "output" if isinstance(item, wire.OutputItem) else "content"
        said: object = getattr(item, where, None)
        for part in said if isinstance(said, list) else ():
            yield from decode.unknown(part.model_extra or {}, f"input[].{where}[].")
    for tool in body.tools or ():
        yield from decode.unknown(tool.model_extra or {}, "tools[].")


def _messages(body: wire.ResponsesBody) -> Iterator[Message]:
    if body.instructions:
        yield Message(role="system", parts=(Text(text=body.instructions),))
    if isinstance(body.input, str):
        yield Message(role="user", parts=(Text(text=body.input),))
        return
    for is_turn, items in groupby(body.input, key=_is_model):
        if not is_turn:
            yield from map(_message, items)
        elif parts := tuple(part for item in items for part in _answered(item)):
            yield Message(role="assistant", parts=parts)


def _is_model(item: wire.Item) -> bool:
    """Whether a model made it: what it made without a break is one turn."""
    return isinstance(item, wire.AssistantItem | wire.CallItem | wire.ReasoningItem)


def _message(item: wire.Item) -> Message:
    if isinstance(item, wire.OutputItem):
        parts = tuple(part for part in _parts(item.output) if isinstance(part, Text | Image))
        return Message(role="tool", parts=(ToolResult(call_id=item.call_id, parts=parts),))
    assert isinstance(item, wire.SystemItem | wire.UserItem), "the others are of a model"
    role = "user" if isinstance(item, wire.UserItem) else "system"
    return Message(role=role, parts=tuple(_parts(item.content)))  # type: ignore[arg-type]  # role


def _answered(item: wire.Item) -> Iterator[Part]:
    if isinstance(item, wire.AssistantItem):
        yield from _parts(item.content)
    elif isinstance(item, wire.CallItem):
        google = item.extra_content.google if item.extra_content else None
        yield ToolCall(
            id=item.call_id,
            name=item.name,
            arguments=item.arguments,
            signature=google.thought_signature if google else None,
        )
    elif isinstance(item, wire.ReasoningItem):
        yield from _reasoning(item)


def _reasoning(item: wire.ReasoningItem) -> Iterator[Reasoning]:
    text = "".join(part.text for part in item.summary or item.content or ())
    if item.encrypted_content:
        block = _unsealed(item.encrypted_content)
        if block is not None:
            yield Reasoning(
                text=text, signature=block.signature, redacted=block.data, provider=block.provider
            )
    elif text:
        yield Reasoning(text=text)


def _parts(
    content: str | list[wire.UserPart] | list[wire.ToolPart] | list[wire.AssistantPart] | list[wire.TextPart],
) -> Iterator[Part]:
    if isinstance(content, str):
        if content:
            yield Text(text=content)
        return
    for part in content:
        if isinstance(part, wire.TextPart):
            yield Text(text=part.text)
        elif isinstance(part, wire.RefusalPart):
            yield Text(text=part.refusal)
        elif isinstance(part, wire.FilePart):
            media_type, data = decode.split_data(part.file_data)
            yield Document(media_type=media_type, name=part.filename, data=data)
        else:
            yield decode.image(part.image_url, part.detail)


def _tool(tool: wire.FunctionTool) -> Tool:
    decode.refuse_infinity(tool.parameters, "tools")
    return Tool(
        name=tool.name,
        description=tool.description or "",
        parameters=tool.parameters or {},
        strict=tool.strict,
    )


def _tool_choice(choice: wire.NamedTool | str | None) -> ToolChoice | None:
    if isinstance(choice, wire.NamedTool):
        return ToolChoice(mode="named", name=choice.name)
    return decode.CHOICES[choice] if choice else None


def _response_format(asked: wire.TextOptions | None) -> ResponseFormat | None:
    wanted = asked.format if asked else None
    if wanted is None:
        return None
    if isinstance(wanted, PlainFormat):
        return decode.FORMATS[wanted.type]
    return decode.schema_format(wanted, "text.format")


def _parameters(body: wire.ResponsesBody) -> Parameters:
    chances = bool(body.top_logprobs) or _LOGPROBS in (body.include or ())
    return Parameters(
        max_tokens=body.max_output_tokens,
        logprobs=chances or None,
        top_logprobs=body.top_logprobs if chances else None,
        reasoning_effort=body.reasoning.effort if body.reasoning else None,
        verbosity=body.text.verbosity if body.text else None,
        **decode.direct(body),
    )
