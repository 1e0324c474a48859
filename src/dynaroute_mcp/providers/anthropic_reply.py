"""Replies of Anthropic's Messages API, whole and in a stream. It does no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Ending
from dynaroute_mcp.providers.parsing import Lenient, Name, Theirs
from dynaroute_mcp.providers.usage import Reported, tokens
from dynaroute_mcp.types import (
    ChatRequest,
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)

ANSWER_TOOL = "json_answer"
"""Name of the tool that a model without structured output is forced to call when a schema must be met."""


def answers_by_tool(call: Call, request: ChatRequest) -> bool:
    """Whether a schema is to be met by a forced tool, because the model has no structured output."""
    wanted = request.response_format
    has_schema = wanted is not None and wanted.kind == "schema"
    return has_schema and not request.tools and "json_schema" not in call.model.capabilities


def read_reply(call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
    """Read a whole reply; see `Translation`."""
    parsed = _parse(call, reply)
    reported = call.meter.reported = _reported(parsed.usage)
    if parsed.content is None or not parsed.stop_reason:
        raise failure.garbled(call, "it holds no content or no stop reason")
    if not parsed.content:
        _check_silence(call, parsed.stop_reason)
    parts = tuple(
        part for position, block in enumerate(parsed.content) for part in _parts(call, block, position)
    )
    return parts, Ending(
        finish_reason=_finish(
            parsed.stop_reason, calls_tools=any(isinstance(part, ToolCall) for part in parts)
        ),
        reported=reported,
        wire_model=parsed.model or call.model.wire_id,
        response_id=parsed.id,
    )


class _CacheCreation(Theirs):
    ephemeral_5m_input_tokens: object = None
    ephemeral_1h_input_tokens: object = None


class _OutputDetails(Theirs):
    thinking_tokens: object = None


class _Usage(Theirs):
    """Counts; every value may be nonsense."""

    input_tokens: object = None
    output_tokens: object = None
    cache_read_input_tokens: object = None
    cache_creation_input_tokens: object = None
    cache_creation: Annotated[_CacheCreation | None, Lenient] = None
    output_tokens_details: Annotated[_OutputDetails | None, Lenient] = None


class _Block(Theirs):
    """A content block, or the delta of one."""

    type: Name = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: Name = None
    name: Name = None
    input: object = None
    partial_json: str | None = None
    stop_reason: Name = None


class _Message(Theirs):
    type: Name = None
    id: Name = None
    model: Name = None
    content: list[_Block] | None = None
    stop_reason: Name = None
    usage: Annotated[_Usage | None, Lenient] = None
    error: object = None


class _Event(Theirs):
    """One event of a stream."""

    type: Name = None
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Block | None = None
    usage: Annotated[_Usage | None, Lenient] = None
    error: object = None


def _parse(call: Call, document: object) -> _Message:
    message = failure.parsed(call, _Message, document, "message")
    if message.error or message.type == "error":
        raise failure.in_band(call, document)
    return message


_FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def _finish(reason: str, *, calls_tools: bool) -> FinishReason:
    """Read a stop reason; a forced answer is no tool call to the caller, and unknown words mean a plain stop."""
    finish = _FINISH_REASONS.get(reason, "stop")
    return "stop" if finish == "tool_calls" and not calls_tools else finish


def _check_silence(call: Call, stop_reason: str) -> None:
    """Let an empty answer pass only where it may be meant: after a tool's result, or when it was cut or refused.

    Raises:
        ProviderGarbled: there was something to answer.
    """
    last = call.request.messages[-1].parts if call.request.messages else ()
    if _FINISH_REASONS.get(stop_reason) == "stop" and not any(isinstance(part, ToolResult) for part in last):
        raise failure.garbled(call, "it is empty")


def _parts(call: Call, block: _Block, position: int) -> Iterator[Part]:
    provider = call.endpoint.provider.id
    if block.type == "text" and block.text:
        yield Text(text=block.text)
    elif block.type == "thinking":
        yield Reasoning(text=block.thinking or "", signature=block.signature, provider=provider)
    elif block.type == "redacted_thinking":
        yield Reasoning(redacted=block.data, provider=provider)
    elif block.type == "tool_use":
        arguments = failure.json_text(call, block.input) or "{}"
        name = failure.tool_name(call, block.name)
        if _is_answer(call, block):
            yield Text(text=arguments)
        else:
            yield ToolCall(id=block.id or f"call_{position}", name=name, arguments=arguments)


def _is_answer(call: Call, block: _Block) -> bool:
    return block.name == ANSWER_TOOL and answers_by_tool(call, call.request)


def _reported(*reports: _Usage | None) -> Reported | None:
    """Merge the reports of one answer; in a stream the last word on each count is the valid one.

    Counts of a stream only grow, so that a 0 after another number means that it was not counted again.
    """
    known = [report for report in reports if report is not None]
    if not known:
        return None

    def last(counts: Sequence[object]) -> object:
        said = [count for count in reversed(counts) if count is not None]
        return next((count for count in said if count != 0), said[0] if said else None)

    split = [report.cache_creation for report in known if report.cache_creation is not None]
    thought = [report.output_tokens_details for report in known if report.output_tokens_details is not None]
    written = last([report.cache_creation_input_tokens for report in known])
    written_5m = last([one.ephemeral_5m_input_tokens for one in split])
    written_1h = last([one.ephemeral_1h_input_tokens for one in split])
    return Reported(
        input=last([report.input_tokens for report in known]),
        cache_read=last([report.cache_read_input_tokens for report in known]),
        cache_write_5m=written_5m or _rest(written, written_1h),
        cache_write_1h=written_1h,
        output=last([report.output_tokens for report in known]),
        reasoning=last([one.thinking_tokens for one in thought]),
        inclusive=False,
    )


def _rest(whole: object, part: object) -> object:
    """What of a count is not in a part of it that is told apart."""
    counted, told = tokens(whole), tokens(part)
    return whole if counted is None or told is None else max(counted - told, 0)


class MessagesReader:
    """Reads the events of one stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._stop_reason: str | None = None
        self._first_usage: _Usage | None = None
        self._last_usage: _Usage | None = None
        self._model = call.model.wire_id
        self._id: str | None = None
        self._tools: dict[int, int] = {}
        self._answers: set[int] = set()
        self._others: set[int] = set()
        """Blocks of a kind that nobody asked for, such as a tool of the server's own; what they hold is left out."""
        self._unfilled: dict[int, object] = {}
        self._is_silent = True
        self.ended = False

    @property
    def finished(self) -> bool:
        """Whether a stop reason has come."""
        return self._stop_reason is not None

    def feed(self, document: object) -> Iterator[StreamEvent]:
        """Translate one event; see `StreamReader`."""
        event = failure.parsed(self._call, _Event, document, "event")
        if event.error or event.type == "error":
            raise failure.in_band(self._call, document)
        if event.message is not None:
            self._begin(event.message)
        self._is_silent = self._is_silent and not (event.type or "").startswith("content_block")
        if event.type == "content_block_start" and event.content_block is not None:
            yield from self._block_starts(event.index, event.content_block)
        elif event.type == "content_block_delta" and event.delta is not None:
            yield from self._block_grows(event.index, event.delta)
        elif event.type == "content_block_stop":
            yield from self._block_stops(event.index)
        elif event.type == "message_delta":
            self._last_usage = event.usage or self._last_usage
            self._call.meter.reported = self._reported
            self._stop_reason = (event.delta and event.delta.stop_reason) or self._stop_reason
        self.ended = event.type == "message_stop"

    def ending(self) -> Ending:
        """Tell how the stream ended; see `StreamReader`."""
        if self._stop_reason is None:
            raise failure.garbled(self._call, "its stream ended without a stop reason")
        if self._is_silent:
            _check_silence(self._call, self._stop_reason)
        return Ending(
            finish_reason=_finish(self._stop_reason, calls_tools=bool(self._tools)),
            reported=self._reported,
            wire_model=self._model,
            response_id=self._id,
        )

    @property
    def _reported(self) -> Reported | None:
        return _reported(self._first_usage, self._last_usage)

    def _begin(self, message: _Message) -> None:
        self._id = message.id
        self._model = message.model or self._model
        self._first_usage = message.usage
        self._call.meter.reported = self._reported

    def _block_starts(self, index: int, block: _Block) -> Iterator[StreamEvent]:
        if block.type == "text" and block.text:
            yield TextDelta(text=block.text)
        elif block.type == "thinking" and block.thinking:
            yield ReasoningDelta(text=block.thinking)
        elif block.type == "redacted_thinking":
            yield ReasoningDelta(redacted=block.data)
        elif block.type == "tool_use":
            name = failure.tool_name(self._call, block.name)
            self._unfilled[index] = block.input
            if _is_answer(self._call, block):
                self._answers.add(index)
            else:
                number = self._tools.setdefault(index, len(self._tools))
                yield ToolCallDelta(index=number, id=block.id or f"call_{number}", name=name)
        else:
            self._others.add(index)

    def _block_grows(self, index: int, delta: _Block) -> Iterator[StreamEvent]:
        if delta.text:
            yield TextDelta(text=delta.text)
        if delta.thinking:
            yield ReasoningDelta(text=delta.thinking)
        if delta.signature:
            yield ReasoningDelta(signature=delta.signature)
        if delta.partial_json:
            self._unfilled.pop(index, None)
            yield from self._arguments(index, delta.partial_json)

    def _block_stops(self, index: int) -> Iterator[StreamEvent]:
        """Give out arguments that came whole at the start of their block, the empty ones included."""
        if index in self._unfilled:
            whole = failure.json_text(self._call, self._unfilled.pop(index)) or "{}"
            yield from self._arguments(index, whole)

    def _arguments(self, index: int, text: str) -> Iterator[StreamEvent]:
        if index in self._answers:
            yield TextDelta(text=text)
        elif index in self._tools:
            yield ToolCallDelta(index=self._tools[index], arguments=text)
        elif index not in self._others:
            raise failure.garbled(self._call, "it sends arguments for no tool call")
