"""Replies of OpenAI's Responses API, whole and in a stream. It does no I/O."""

from collections.abc import Iterator
from typing import Annotated

from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Ending
from dynaroute_mcp.providers.parsing import Lenient, Name, Theirs
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.types import (
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)


def read_reply(call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
    """Read a whole reply; see `Translation`."""
    response = _parse(call, reply)
    parts = tuple(
        part for position, item in enumerate(response.output or ()) for part in _parts(call, item, position)
    )
    return parts, _ending(call, response)


class _Details(Theirs):
    cached_tokens: object = None
    cache_write_tokens: object = None
    reasoning_tokens: object = None


class _Usage(Theirs):
    """Counts; every value may be nonsense."""

    input_tokens: object = None
    input_tokens_details: Annotated[_Details | None, Lenient] = None
    output_tokens: object = None
    output_tokens_details: Annotated[_Details | None, Lenient] = None


class _Text(Theirs):
    type: Name = None
    text: str | None = None
    refusal: str | None = None


class _Item(Theirs):
    """One item of the output: a message, a call, or a block of reasoning."""

    type: Name = None
    id: Name = None
    content: list[_Text] | None = None
    summary: list[_Text] | None = None
    encrypted_content: Name = None
    call_id: Name = None
    name: Name = None
    arguments: str | None = None


class _Incomplete(Theirs):
    reason: Name = None


class _Response(Theirs):
    id: Name = None
    model: Name = None
    status: Name = None
    output: list[_Item] | None = None
    incomplete_details: _Incomplete | None = None
    usage: Annotated[_Usage | None, Lenient] = None
    error: object = None


class _Event(Theirs):
    """One event of a stream."""

    type: Name = None
    output_index: int = 0
    item: _Item | None = None
    delta: str | None = None
    response: _Response | None = None
    error: object = None


def _parse(call: Call, document: object) -> _Response:
    response = failure.parsed(call, _Response, document, "response")
    call.meter.reported = _reported(response.usage)
    _raise_error(call, response, document)
    return response


def _raise_error(call: Call, response: _Response, document: object) -> None:
    if response.error:
        raise failure.in_band(call, document)
    if response.status in {"failed", "cancelled"}:
        raise failure.unavailable(call, "it broke off its answer with a fault of its own")


def _ending(call: Call, response: _Response) -> Ending:
    return Ending(
        finish_reason=_finish(call, response),
        reported=_reported(response.usage),
        wire_model=response.model or call.model.wire_id,
        response_id=response.id,
    )


def _finish(call: Call, response: _Response) -> FinishReason:
    items = response.output or []
    if response.status == "incomplete":
        why = response.incomplete_details.reason if response.incomplete_details is not None else None
        return "content_filter" if why == "content_filter" else "length"
    if response.status != "completed" or not items:
        raise failure.garbled(call, "it is no completed response")
    if any(block.refusal for item in items for block in item.content or ()):
        return "content_filter"
    return "tool_calls" if any(item.type == "function_call" for item in items) else "stop"


def _parts(call: Call, item: _Item, position: int) -> Iterator[Part]:
    if item.type == "message":
        text = "".join((block.text or "") + (block.refusal or "") for block in item.content or ())
        if text:
            yield Text(text=text)
    elif item.type == "reasoning":
        yield Reasoning(
            text="\n\n".join(block.text or "" for block in item.summary or ()),
            signature=item.id,
            redacted=item.encrypted_content,
            provider=call.endpoint.provider.id,
        )
    elif item.type == "function_call":
        name = failure.tool_name(call, item.name)
        yield ToolCall(id=item.call_id or f"call_{position}", name=name, arguments=item.arguments or "{}")


def _reported(usage: _Usage | None) -> Reported | None:
    if usage is None:
        return None
    read, written = usage.input_tokens_details or _Details(), usage.output_tokens_details or _Details()
    return Reported(
        input=usage.input_tokens,
        cache_read=read.cached_tokens,
        cache_write_5m=read.cache_write_tokens,
        output=usage.output_tokens,
        reasoning=written.reasoning_tokens,
    )


_LAST = frozenset({"response.completed", "response.incomplete"})
_TEXTS = frozenset({"response.output_text.delta", "response.refusal.delta"})


class ResponseReader:
    """Reads the events of one stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._response: _Response | None = None
        self._tools: dict[int, int] = {}

    @property
    def ended(self) -> bool:
        """Whether the whole response has come, which is always the last event."""
        return self._response is not None

    @property
    def finished(self) -> bool:
        """Whether the whole response has come; its usage stands in it."""
        return self._response is not None

    def feed(self, document: object) -> Iterator[StreamEvent]:
        """Translate one event; see `StreamReader`."""
        event = failure.parsed(self._call, _Event, document, "event")
        if event.error or event.type == "error":
            raise failure.in_band(self._call, document)
        if event.response is not None:
            self._call.meter.reported = _reported(event.response.usage)
            inner = document.get("response") if isinstance(document, dict) else None
            _raise_error(self._call, event.response, inner)
        if event.type in _LAST:
            self._response = event.response
        elif event.type in _TEXTS and event.delta:
            yield TextDelta(text=event.delta)
        elif event.type == "response.reasoning_summary_text.delta" and event.delta:
            yield ReasoningDelta(text=event.delta)
        elif event.type == "response.function_call_arguments.delta":
            yield ToolCallDelta(index=self._tool(event.output_index), arguments=event.delta or "")
        elif event.item is not None:
            yield from self._item(event, event.item)

    def ending(self) -> Ending:
        """Tell how the stream ended; see `StreamReader`."""
        if self._response is None:
            raise failure.garbled(self._call, "its stream ended without a completed response")
        return _ending(self._call, self._response)

    def _item(self, event: _Event, item: _Item) -> Iterator[StreamEvent]:
        if event.type == "response.output_item.added" and item.type == "function_call":
            number = self._tools.setdefault(event.output_index, len(self._tools))
            yield ToolCallDelta(
                index=number,
                id=item.call_id or f"call_{number}",
                name=failure.tool_name(self._call, item.name),
            )
        elif event.type == "response.output_item.done" and item.type == "reasoning":
            yield ReasoningDelta(signature=item.id, redacted=item.encrypted_content)

    def _tool(self, output_index: int) -> int:
        if output_index not in self._tools:
            raise failure.garbled(self._call, "it sends arguments for no tool call")
        return self._tools[output_index]
