"""Replies of Gemini's generateContent, whole and in a stream. It does no I/O."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from dynaroute_mcp.errors import ProviderContentBlocked
from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Ending
from dynaroute_mcp.providers.call_ids import OWN_ID
from dynaroute_mcp.providers.parsing import Lenient, Name, Theirs
from dynaroute_mcp.providers.usage import Reported, tokens
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
    reader = ContentReader(call)
    parts: list[Part] = []
    for event in reader.feed(reply):
        _append(call, parts, event)
    return tuple(parts), reader.ending()


def _append(call: Call, parts: list[Part], event: StreamEvent) -> None:
    """Add an event to the parts of a whole answer; neighbouring texts become one."""
    last = parts[-1] if parts else None
    match event:
        case TextDelta():
            if isinstance(last, Text):
                parts[-1] = Text(text=last.text + event.text)
            else:
                parts.append(Text(text=event.text))
        case ReasoningDelta():
            parts.append(
                Reasoning(text=event.text, signature=event.signature, provider=call.endpoint.provider.id)
            )
        case ToolCallDelta():
            parts.append(
                ToolCall(
                    id=event.id or "",
                    name=event.name or "",
                    arguments=event.arguments,
                    signature=event.signature,
                )
            )
        case _:
            pass


class _FunctionCall(Theirs):
    id: Name = None
    name: Name = None
    args: object = None


class _Part(Theirs):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: Name = None  # noqa: N815 - the wire's own spelling
    functionCall: _FunctionCall | None = None  # noqa: N815


class _Content(Theirs):
    parts: list[_Part] | None = None


class _Candidate(Theirs):
    index: object = None
    content: _Content | None = None
    finishReason: Name = None  # noqa: N815


class _Feedback(Theirs):
    blockReason: Name = None  # noqa: N815


class _Usage(Theirs):
    """Counts; every value may be nonsense."""

    promptTokenCount: object = None  # noqa: N815
    cachedContentTokenCount: object = None  # noqa: N815
    candidatesTokenCount: object = None  # noqa: N815
    thoughtsTokenCount: object = None  # noqa: N815
    toolUsePromptTokenCount: object = None  # noqa: N815
    totalTokenCount: object = None  # noqa: N815

    @property
    def counts(self) -> bool:
        """Whether it says anything of the prompt or the answer."""
        return self.promptTokenCount is not None or self.candidatesTokenCount is not None


class _Reply(Theirs):
    """A whole reply, or one chunk of a stream."""

    candidates: list[_Candidate] | None = None
    promptFeedback: Annotated[_Feedback | None, Lenient] = None  # noqa: N815
    usageMetadata: Annotated[_Usage | None, Lenient] = None  # noqa: N815
    modelVersion: Name = None  # noqa: N815
    responseId: Name = None  # noqa: N815
    error: object = None


def _parse(call: Call, document: object) -> _Reply:
    reply = failure.parsed(call, _Reply, document, "generated content")
    if reply.error:
        raise failure.in_band(call, document)
    if reply.usageMetadata is not None and reply.usageMetadata.counts:
        # Google exempts only what fails with 400 or 500 (ai.google.dev/gemini-api/docs/billing); a block is a 200.
        call.meter.reported = _reported(reply.usageMetadata)
    if reply.promptFeedback is not None and reply.promptFeedback.blockReason and not reply.candidates:
        raise ProviderContentBlocked(
            f"{call.endpoint.provider.name} blocked the prompt for {call.model.id} on grounds of safety",
            provider=call.endpoint.provider.id,
            model_id=call.model.id,
        )
    return reply


# https://ai.google.dev/api/generate-content#FinishReason, read 2026-11.
_FINISH_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "IMAGE_SAFETY": "content_filter",
}


def _reported(usage: _Usage | None) -> Reported | None:
    """Read counts that lie beside each other: prompt, tool prompts, candidates, thoughts. Zeros are left out."""
    if usage is None:
        return None
    prompt, extra = tokens(usage.promptTokenCount), tokens(usage.toolUsePromptTokenCount) or 0
    thoughts = tokens(usage.thoughtsTokenCount) or 0
    return Reported(
        input=usage.promptTokenCount if prompt is None else prompt + extra,
        cache_read=usage.cachedContentTokenCount,
        output=_output(usage, prompt, extra, thoughts),
        reasoning=usage.thoughtsTokenCount,
    )


def _output(usage: _Usage, prompt: int | None, extra: int, thoughts: int) -> object:
    written, total = tokens(usage.candidatesTokenCount), tokens(usage.totalTokenCount)
    if written is not None:
        return written + thoughts
    if usage.candidatesTokenCount is None and prompt is not None and total is not None:
        return max(total - prompt - extra, thoughts)
    return usage.candidatesTokenCount


_FIRST = (None, 0)
"""Indexes of the one answer that was asked for; another one's text must not be mixed into it."""


class ContentReader:
    """Reads the chunks of one stream, or the one chunk that a whole reply is."""

    ended = False
    """Only the end of the body ends a stream of Gemini's."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._finish: str | None = None
        self._usage: _Usage | None = None
        self._model = call.model.wire_id
        self._id: str | None = None
        self._calls = 0

    @property
    def finished(self) -> bool:
        """Whether a finish reason has come."""
        return self._finish is not None

    def feed(self, document: object) -> Iterator[StreamEvent]:
        """Translate one chunk; see `StreamReader`."""
        chunk = _parse(self._call, document)
        self._model = chunk.modelVersion or self._model
        self._id = chunk.responseId or self._id
        if chunk.usageMetadata is not None and chunk.usageMetadata.counts:
            self._usage = chunk.usageMetadata
        for candidate in [each for each in chunk.candidates or () if each.index in _FIRST][:1]:
            content = candidate.content or _Content()
            for part in content.parts or ():
                yield from self._events(part)
            self._finish = candidate.finishReason or self._finish

    def ending(self) -> Ending:
        """Tell how the answer ended; see `StreamReader`."""
        if self._finish is None:
            raise failure.garbled(self._call, "it gives no finish reason")
        finish = _FINISH_REASONS.get(self._finish)
        if finish is None:  # a malformed call, or a reason that Google does not name
            raise failure.garbled(self._call, "it broke off its answer for a reason of its own")
        return Ending(
            finish_reason="tool_calls" if finish == "stop" and self._calls else finish,
            reported=_reported(self._usage),
            wire_model=self._model,
            response_id=self._id,
        )

    def _events(self, part: _Part) -> Iterator[StreamEvent]:
        if part.functionCall is not None:
            yield self._tool_call(part.functionCall, part.thoughtSignature)
        elif part.thought:
            yield ReasoningDelta(text=part.text or "", signature=part.thoughtSignature)
        else:
            if part.text:
                yield TextDelta(text=part.text)
            if part.thoughtSignature:
                yield ReasoningDelta(signature=part.thoughtSignature)

    def _tool_call(self, asked: _FunctionCall, signature: str | None) -> ToolCallDelta:
        number, self._calls = self._calls, self._calls + 1
        return ToolCallDelta(
            index=number,
            id=asked.id or f"{OWN_ID}{number}",
            name=failure.tool_name(self._call, asked.name),
            arguments=failure.json_text(self._call, asked.args) or "{}",
            signature=signature,
        )
