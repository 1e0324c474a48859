"""Drives any translation over the wire: clocks, streams, usage. One for all HTTP dialects."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

import anyio

from dynaroute_mcp.errors import ProviderError, ProviderTimedOut, ProviderUnavailable
from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Ending, StreamReader, Translation
from dynaroute_mcp.providers.parsing import Unparsable, parse_json
from dynaroute_mcp.providers.sse import BodyParser, EventTooLarge, ServerEvent
from dynaroute_mcp.providers.usage import believe
from dynaroute_mcp.providers.wire import Wire, WireStream
from dynaroute_mcp.types import (
    Completion,
    Finished,
    Message,
    Part,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

_DONE = "[DONE]"
_GRACE_S = 5.0
"""How long usage is waited for once the finish reason has come."""
_DRAIN_S = 0.05
"""How long the end of a body is waited for, so that its connection can be used again."""
_REQUEST_ID_HEADERS = ("x-request-id", "request-id")
_MAX_LABEL = 200


class HttpDialect:
    """A `Dialect` over HTTP."""

    def __init__(
        self, wire: Wire, choose: Callable[[Call], Translation], estimate: Callable[[str], int]
    ) -> None:
        """Take the shared wire.

        Args:
            wire: Open for as long as this object is used.
            choose: Picks the translation by the model's constraints.
            estimate: Counts the tokens of a text, for answers without usage.
        """
        self._wire = wire
        self._choose = choose
        self._estimate = estimate

    async def complete(self, call: Call) -> Completion:
        """Ask for a whole answer; see `Dialect`."""
        translation = self._choose(call)
        outgoing = translation.write(call, stream=False)
        reply = await self._wire.post_json(call, outgoing)
        parts, ending = translation.read(call, reply.document)
        return Completion(
            message=Message(role="assistant", parts=parts),
            finish_reason=ending.finish_reason,
            usage=self._usage(call, ending, [_words_of(part) for part in parts]),
            wire_model=_label(ending.wire_model),
            dropped=outgoing.dropped,
            provider_request_id=_request_id(reply.headers, ending),
        )

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Ask for a stream; see `Dialect`."""
        translation = self._choose(call)
        outgoing = translation.write(call, stream=True)
        first_token_at = anyio.current_time() + call.clocks.first_token_s
        async with self._wire.stream(call, outgoing, until=first_token_at) as body:
            stream = _Stream(call, translation.reader(call), body, first_token_at)
            async with aclosing(self._events(call, stream, outgoing.dropped)) as events:
                yield events

    async def _events(
        self, call: Call, stream: "_Stream", dropped: tuple[str, ...]
    ) -> AsyncGenerator[StreamEvent]:
        words: list[str] = []
        async with aclosing(stream.events()) as events:
            async for event in events:
                words.append(_words_of(event))
                yield event
        ending = stream.reader.ending()
        yield Finished(
            finish_reason=ending.finish_reason,
            usage=self._usage(call, ending, words),
            wire_model=_label(ending.wire_model),
            dropped=dropped,
            provider_request_id=_request_id(stream.body.headers, ending),
        )

    def _usage(self, call: Call, ending: Ending, words: list[str]) -> Usage:
        return believe(
            ending.reported,
            input_estimate=call.input_tokens,
            output_estimate=lambda: self._estimate("".join(words)),
        )


class _Stream:
    """One stream being read: pieces to server-sent events to our events, under its clocks."""

    def __init__(self, call: Call, reader: StreamReader, body: WireStream, first_token_at: float) -> None:
        self.reader = reader
        self.body = body
        self._call = call
        self._first_token_at: float | None = first_token_at
        self._waiting_since: float | None = None
        self._parser = BodyParser()
        self._ended = False
        self._at_end = False

    async def events(self) -> AsyncGenerator[StreamEvent]:
        """Yield content until the provider says that it has ended, or its body ends."""
        while True:
            for server_event in await self._next_events():
                if self._ended:
                    self._late(server_event)
                    continue
                for event in self._translated(server_event):
                    self._first_token_at = None
                    yield event
            if self._ended:
                await self._drain()
                return
            if self._at_end:
                return

    async def _next_events(self) -> list[ServerEvent]:
        piece = await self._next_piece()
        try:
            events = self._parser.close() if piece is None else self._parser.feed(piece)
        except EventTooLarge as error:
            raise failure.garbled(self._call, f"it holds {error}") from error
        self._at_end = piece is None
        if events:
            self._waiting_since = None
        return events

    async def _next_piece(self) -> bytes | None:
        clocks = self._call.clocks
        if self._waiting_since is None:
            self._waiting_since = anyio.current_time()
        if self._first_token_at is not None:
            until, phase, limit_s = self._first_token_at, "first token", clocks.first_token_s
        else:
            limit_s = min(clocks.idle_s, _GRACE_S) if self.reader.finished else clocks.idle_s
            until, phase = self._waiting_since + limit_s, "next piece"
        try:
            return await self.body.next(until=until, phase=phase, limit_s=limit_s)
        except (ProviderTimedOut, ProviderUnavailable):
            if self.reader.finished:
                return None  # the answer is whole; only its usage is missing, and will be estimated
            raise

    def _translated(self, event: ServerEvent) -> Iterable[StreamEvent]:
        data = event.data.strip()
        if data == _DONE:
            self._ended = True
        if data in ("", _DONE):
            return ()
        try:
            document = parse_json(event.data)
        except Unparsable as error:
            raise failure.garbled(self._call, f"a piece of its stream is {error}") from error
        documents = (
            document if isinstance(document, list) else [document]
        )  # Gemini's, where it sends no events
        events = tuple(event for each in documents for event in self.reader.feed(each))
        self._ended = self.reader.ended
        return events

    def _late(self, event: ServerEvent) -> None:
        """Take what comes behind `[DONE]`: nothing of it is passed on, but usage may be in it."""
        if not self.reader.ended:
            with suppress(ProviderError):
                tuple(self._translated(event))
            self._ended = True

    async def _drain(self) -> None:
        """Read to the end of the body if it comes at once, so that the connection can be used again."""
        until = anyio.current_time() + _DRAIN_S
        with suppress(ProviderError, EventTooLarge):
            while (piece := await self.body.next(until=until, phase="end", limit_s=_DRAIN_S)) is not None:
                for event in self._parser.feed(piece):
                    self._late(event)


def _words_of(item: Part | StreamEvent) -> str:
    """All that the model wrote, for an estimate of its tokens."""
    if isinstance(item, ToolCall | ToolCallDelta):
        return f"{item.name or ''}{item.arguments}"
    return item.text if isinstance(item, Text | TextDelta | Reasoning | ReasoningDelta) else ""


def _request_id(headers: Mapping[str, str], ending: Ending) -> str | None:
    named = next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), ending.response_id)
    return _label(named) or None


def _label(text: str | None) -> str:
    """Cut a provider's label to what a log line can hold."""
    label = (text or "")[:_MAX_LABEL]
    return label if label.isprintable() else "".join(letter for letter in label if letter.isprintable())
