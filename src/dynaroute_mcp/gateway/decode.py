"""From bytes to a request of the core: strict JSON, then the models of `wire`, then our own values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from dynaroute_mcp.gateway import wire
from dynaroute_mcp.gateway.faults import told
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.results import is_crowded
from dynaroute_mcp.taxonomy import Level, Strategy
from dynaroute_mcp.types import (
    CacheTtl,
    ChatRequest,
    Document,
    Image,
    Message,
    Parameters,
    Part,
    Reasoning,
    ResponseFormat,
    Routing,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

AUTO: Final = frozenset({"", "auto", "router", "dynaroute", "dynaroute/auto", "openrouter/auto"})
"""Names that let the router choose."""

FORMATS: Final[Mapping[str, ResponseFormat]] = {
    "text": ResponseFormat(kind="text"),
    "json_object": ResponseFormat(kind="json"),
}
_DIRECT: Final = frozenset(
    {"temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias"}
    | {"n", "parallel_tool_calls", "reasoning_effort", "verbosity"}
    | {"user", "safety_identifier", "prompt_cache_key"}
)
"""Parameters that mean the same here and there."""

CHOICES: Final[Mapping[str, ToolChoice]] = {
    "auto": ToolChoice(mode="auto"),
    "none": ToolChoice(mode="none"),
    "required": ToolChoice(mode="required"),
}
MAX_VALUES: Final = 100_000
"""In one body, at whatever depth. What a text takes is counted in bytes; a value takes a hundred times its own."""
_MAX_SHOWN: Final = 600
_SUSPICIOUS: Final = MAX_VALUES // 8
"""Commas from which the values are counted: what has fewer and more values nests deeper than any field of ours."""
_NOTHING: Final[tuple[object, ...]] = (None, [], {})
"""What asks for nothing under any name."""
_MAX_LABELS, _MAX_LABEL_NAME, _MAX_LABEL = 16, 64, 512
"""Of `metadata`, by OpenAI's API reference (OpenAPI document 2.3.0)."""

B = TypeVar("B", bound=BaseModel)


def body_of(model: type[B], raw: bytes) -> B:
    """Read a body.

    Raises:
        Refusal: 400, with the field at fault in `param`.
    """
    try:
        values = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, f"the body is not valid JSON: {error}", reason="invalid_request") from None
    if not isinstance(values, dict):
        raise Refusal(400, "the body must be a JSON object", reason="invalid_request")
    if raw.count(b",") > _SUSPICIOUS and is_crowded(values, MAX_VALUES):
        raise Refusal(
            400,
            f"the body holds more than {MAX_VALUES:,} values; send less at once",
            reason="invalid_request",
        )
    if model is wire.ChatBody and not isinstance(values.get("messages"), list):
        raise Refusal(
            400, "No messages array found in request", reason="invalid_request", param="messages"
        )  # this sentence is part of the published contract
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise explained(error, values) from None


def explained(error: ValidationError, values: object) -> Refusal:
    """Say which field is at fault and what it takes, without showing what it held."""
    details = error.errors(include_url=False, include_input=False)
    param, problem = max(
        ((_path(each, values), each) for each in details), key=lambda found: _depth(found[0])
    )
    message = f"{param or 'body'}: {told(problem)}"[:_MAX_SHOWN]
    return Refusal(400, message, reason="invalid_request", param=param or None)


def chat_request(body: wire.ChatBody, *, strategy: str | None = None) -> tuple[ChatRequest, tuple[str, ...]]:
    """Turn a body into a request, beside the names of what was left out.

    Args:
        body: as validated.
        strategy: of the request's header, which wins over the body's.

    Raises:
        Refusal: 400; a field can't be honoured.
    """
    rest = left_over(body, wire.REFUSED)
    request = ChatRequest(
        messages=tuple(_messages(body.messages)),
        model=model_of(body),
        tools=tuple(_tool(each) for each in body.tools or ()),
        tool_choice=_tool_choice(body.tool_choice),
        response_format=_response_format(body.response_format),
        parameters=_parameters(body),
        routing=routing_of(body, strategy),
    )
    return request, tuple(sorted({*rest, *_unknown_said(body), *_moot(body)}))


def model_of(body: wire.Asked) -> str | None:
    """The model that the caller insists on."""
    return None if body.model is None or body.model.strip().casefold() in AUTO else body.model


def left_over(body: wire.Asked, refused: Mapping[str, str]) -> Sequence[str]:
    """Name the fields of a body that nobody knows and that say something.

    Raises:
        Refusal: 400; one of them can't be honoured.
    """
    extra = body.model_extra or {}
    for name, why in refused.items():
        if extra.get(name) not in (None, False, []):
            raise Refusal(400, f"`{name}` {why}", reason="invalid_request", param=name)
    return [*unknown({name: value for name, value in extra.items() if name not in refused})]


def unknown(extra: Mapping[str, object], where: str = "") -> Iterable[str]:
    """Name the fields that nobody knows and that say something."""
    return (f"{where}{name}" for name, value in extra.items() if value not in _NOTHING)


def _unknown_said(body: wire.ChatBody) -> Iterable[str]:
    """Name what of the conversation nobody knows, such as `messages[].content[].citations`."""
    for message in body.messages:
        yield from _unknown_of(message, "messages[].")
        if isinstance(message.content, list):
            for part in message.content:
                yield from _unknown_of(part, "messages[].content[].")
        if isinstance(message, wire.AssistantMessage):
            for call in message.tool_calls or ():
                yield from _unknown_of(call, "messages[].tool_calls[].")
    for tool in body.tools or ():
        yield from _unknown_of(tool, "tools[].")
        yield from _unknown_of(tool.function, "tools[].function.")


def _unknown_of(said: wire.Said | wire.ToolSpec | wire.Function, where: str) -> Iterable[str]:
    if said.model_extra:
        yield from unknown(said.model_extra, where)
    if said.cache_control and not isinstance(said.cache_control, wire.CacheControl):
        yield f"{where}cache_control"


def _moot(body: wire.ChatBody) -> Iterable[str]:
    """Name what belongs to something that was not asked for, and is therefore left out."""
    if body.metadata and _labels(body) is None:
        yield "metadata"
    if body.top_logprobs and not body.logprobs:
        yield "top_logprobs"


def strategy_of(header: str | None, field: str | None = None) -> Strategy | None:
    """Find the strategy of a request: the header wins over the field.

    Raises:
        Refusal: 400; the header holds none.
    """
    name = header.strip().casefold() if header else field
    if name is None:
        return None
    if name not in wire.STRATEGIES:
        known = ", ".join(wire.STRATEGIES)
        raise Refusal(
            400,
            f"X-Routing-Strategy must be one of: {known}",
            reason="invalid_request",
            param="X-Routing-Strategy",
        )
    return wire.STRATEGIES[name]


def _path(error: ErrorDetails, values: object) -> str:
    """Say where in the caller's own body an error is; the names of pydantic's unions are left out."""
    path, here = "", values
    for step in error["loc"]:
        if isinstance(here, list) and isinstance(step, int):
            path, here = f"{path}[{step}]", here[step] if step < len(here) else None
        elif isinstance(here, dict) and step in here:
            path, here = f"{path}.{step}", here[str(step)]
    if error["type"] == "missing":
        path = f"{path}.{error['loc'][-1]}"
    return path.removeprefix(".")


def _depth(path: str) -> int:
    return path.count(".") + path.count("[")


def _messages(messages: Sequence[wire.AnyMessage]) -> Iterable[Message]:
    for message in messages:
        if isinstance(message, wire.ToolMessage):
            yield Message(role="tool", parts=(_tool_result(message),))
            continue
        if isinstance(message, wire.AssistantMessage):
            parts = tuple(_assistant_parts(message))
        else:
            parts = _parts(message.content)
        role = "system" if isinstance(message, wire.SystemMessage) else message.role
        yield Message(role=role, parts=_marked(parts, _ttl(message.cache_control)), name=message.name)


def _tool_result(message: wire.ToolMessage) -> ToolResult:
    parts = tuple(part for part in _parts(message.content) if isinstance(part, Text | Image))
    marks = [part.cache_ttl for part in parts if part.cache_ttl]
    ttl = _ttl(message.cache_control) or (marks[-1] if marks else None)
    return ToolResult(call_id=message.tool_call_id, parts=parts, cache_ttl=ttl)


def _ttl(*wishes: wire.Marked) -> CacheTtl | None:
    """How long something is to be cached; `None` where that is not asked for."""
    return next((wish.ttl or "5m" for wish in wishes if isinstance(wish, wire.CacheControl)), None)


def _marked(parts: tuple[Part, ...], ttl: CacheTtl | None) -> tuple[Part, ...]:
    """Mark the end of a message, unless it is marked already."""
    if ttl is None or not parts or isinstance(parts[-1], Reasoning) or parts[-1].cache_ttl:
        return parts
    return (*parts[:-1], replace(parts[-1], cache_ttl=ttl))


def _parts(content: str | Sequence[wire.TextPart | wire.ImagePart | wire.FilePart]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(text=content),) if content else ()
    return tuple(_part(part) for part in content)


def _part(part: wire.TextPart | wire.ImagePart | wire.FilePart) -> Part:
    ttl = _ttl(part.cache_control)
    if isinstance(part, wire.TextPart):
        return Text(text=part.text, cache_ttl=ttl)
    if isinstance(part, wire.FilePart):
        media_type, data = split_data(part.file.file_data)
        return Document(media_type=media_type, name=part.file.filename, data=data, cache_ttl=ttl)
    given = part.image_url
    url, detail = (given, None) if isinstance(given, str) else (given.url, given.detail)
    return image(url, detail, ttl)


def image(url: str, detail: str | None, ttl: CacheTtl | None = None) -> Image:
    """A picture by its address, which may be the picture itself as a data URL."""
    if not url.startswith("data:"):
        return Image(url=url, detail=detail, cache_ttl=ttl)
    media_type, data = split_data(url)
    return Image(data=data, media_type=media_type, detail=detail, cache_ttl=ttl)


def split_data(data_url: str) -> tuple[str, str]:
    """Split a data URL into media type and base64."""
    head, _, data = data_url.partition(",")
    return head.removeprefix("data:").partition(";")[0], data


def _assistant_parts(message: wire.AssistantMessage) -> Iterable[Part]:
    for block in message.reasoning_details or ():
        yield Reasoning(
            text=block.text, signature=block.signature, redacted=block.data, provider=block.provider
        )
    if message.reasoning_content and not message.reasoning_details:
        yield Reasoning(text=message.reasoning_content)
    if isinstance(message.content, str) and message.content:
        yield Text(text=message.content)
    elif isinstance(message.content, list):
        for part in message.content:
            text = part.text if isinstance(part, wire.TextPart) else part.refusal
            yield Text(text=text, cache_ttl=_ttl(part.cache_control))
    if message.refusal:
        yield Text(text=message.refusal)
    for call in message.tool_calls or ():
        google = call.extra_content.google if call.extra_content else None
        yield ToolCall(
            id=call.id,
            name=call.function.name,
            arguments=call.function.arguments,
            signature=google.thought_signature if google else None,
            cache_ttl=_ttl(call.cache_control),
        )


def _tool(tool: wire.ToolSpec) -> Tool:
    function = tool.function
    refuse_infinity(function.parameters, "tools")
    return Tool(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters or {},
        strict=function.strict,
        cache_ttl=_ttl(tool.cache_control, function.cache_control),
    )


def _tool_choice(choice: wire.NamedTool | str | None) -> ToolChoice | None:
    if isinstance(choice, wire.NamedTool):
        return ToolChoice(mode="named", name=choice.function.name)
    return CHOICES[choice] if choice else None


def _response_format(asked: wire.PlainFormat | wire.SchemaFormat | None) -> ResponseFormat | None:
    if asked is None:
        return None
    if isinstance(asked, wire.PlainFormat):
        return FORMATS[asked.type]
    return schema_format(asked.json_schema, "response_format")


def schema_format(schema: wire.JsonSchema, where: str) -> ResponseFormat:
    """The form of a given schema."""
    refuse_infinity(schema.schema_, where)
    return ResponseFormat(kind="schema", name=schema.name, schema=schema.schema_, strict=schema.strict)


def _parameters(body: wire.ChatBody) -> Parameters:
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Parameters(
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=stop,
        logprobs=body.logprobs or None,
        top_logprobs=body.top_logprobs if body.logprobs else None,
        store=body.store or None,
        metadata=_labels(body),
        **direct(body),
    )


def direct(body: wire.Asked) -> dict[str, Any]:  # Any: each of its own type, as validated
    """Parameters of a body that mean the same here and there."""
    extra = body.model_extra or {}
    return {name: getattr(body, name) for name in _DIRECT & body.model_fields_set if name not in extra}


def _labels(body: wire.ChatBody) -> Mapping[str, str] | None:
    """The labels that OpenAI takes: a few short texts, of an answer that is to be kept."""
    labels = body.metadata or {}
    short = {
        name: text
        for name, text in labels.items()
        if isinstance(text, str) and len(name) <= _MAX_LABEL_NAME and len(text) <= _MAX_LABEL
    }
    fits = body.store and len(labels) == len(short) <= _MAX_LABELS
    return (short or None) if fits else None


def routing_of(body: wire.Asked, strategy: str | None) -> Routing:
    """What the caller wants of the choice; the header's strategy wins."""
    budget = body.budget_dollars
    return Routing(
        strategy=strategy_of(strategy, body.strategy),
        level_override=Level(body.level_override) if body.level_override is not None else None,
        category_override=body.category_override,
        max_cost_usd=Decimal(str(budget)) if budget is not None else None,
        max_cost_name="budget_dollars",
        timeout_s=body.request_timeout,
        session_id=body.session_id,
        exclude=frozenset(body.exclude_models or ()),
    )


def refuse_infinity(value: object, param: str) -> None:
    """Refuse a number too large for a float, which no JSON that is passed on could hold."""
    if isinstance(value, float) and not math.isfinite(value):
        raise Refusal(400, f"{param}: a number is too large", reason="invalid_request", param=param)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        refuse_infinity(inner, param)
