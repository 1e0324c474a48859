"""`POST /v1/chat/completions`: one answer, whole or as a stream.

A stream's status is decided by its first content: a failure before it is a real HTTP error, a failure after
it an error event without `[DONE]`. A client that hangs up cancels the call; what was delivered is billed.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dynaroute_mcp.errors import DynarouteError
from dynaroute_mcp.gateway import cache, decode, encode, guardrail
from dynaroute_mcp.gateway.receiving import CLIENT_LEFT, read_body, unless_hung_up
from dynaroute_mcp.gateway.refusal import envelope
from dynaroute_mcp.gateway.session import LEFT_KEY, Desk, Session, desk_of, fields_of, session_of
from dynaroute_mcp.gateway.wire import ChatBody
from dynaroute_mcp.results import short
from dynaroute_mcp.types import (
    Answer,
    ChatRequest,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

if TYPE_CHECKING:
    from dynaroute_mcp.delivery import Routed


async def complete(request: Request) -> Response:
    """Answer a chat request."""
    session, desk = session_of(request), desk_of(request)
    body = decode.body_of(ChatBody, await read_body(request))
    fields = fields_of(request.scope)
    strategy = fields.get("x-routing-strategy")
    asked, dropped = decode.chat_request(body, strategy=strategy)
    await guardrail.check(fields.get("x-gr-guardrails"), asked)
    job = Job(session, desk, asked, dropped, usage_apart=_usage_apart(body))
    ttl_s = cache.ttl_of(fields.get("x-gr-cache-ttl"))
    if ttl_s:
        job.keep_for(ttl_s, cache.key_of(session.caller, body, strategy))
    if job.found is not None:
        return job.replay(stream=bool(body.stream))
    if body.stream:
        return Streamed(job)
    answer = await unless_hung_up(request.scope, partial(session.core.router.complete, asked, session.caller))
    if answer is None:
        return Response(status_code=CLIENT_LEFT)
    request.scope[LEFT_KEY] = answer.left
    return job.whole(answer)


class Job:
    """One chat request on its way to its answer."""

    def __init__(
        self, session: Session, desk: Desk, asked: ChatRequest, dropped: tuple[str, ...], *, usage_apart: bool
    ) -> None:
        self.session = session
        self.asked = asked
        self.found: Answer | None = None
        """An answer of the cache."""
        self._desk = desk
        self._dropped = dropped
        self._usage_apart = usage_apart
        self._ttl_s = 0
        self._key = b""

    def keep_for(self, ttl_s: int, key: bytes) -> None:
        """Look the answer up in the cache, and keep a new one there."""
        self._ttl_s, self._key = ttl_s, key
        self.found = self._desk.cache.of(self.session.core.settings).find(key)

    def head(self, model_id: str, request_id: str) -> encode.Head:
        """Begin an answer."""
        own = self.session.given_id or request_id.removeprefix("req_")
        return encode.Head(
            id=f"chatcmpl-{own}", created=int(self._desk.clock().timestamp()), model=short(model_id)
        )

    def whole(self, answer: Answer) -> Response:
        """Show an answer in one piece."""
        self.done(answer)
        head = self.head(answer.model_id, answer.request_id)
        shown = encode.completion(answer, head, self._dropped)
        headers = self.headers(answer.model_id, answer.request_id) | _cost_headers(answer)
        return Response(encode.as_json(shown), media_type="application/json", headers=headers)

    def replay(self, *, stream: bool) -> Response:
        """Show the cache's answer."""
        assert self.found is not None
        self._desk.metrics.add("dynaroute_cache_answers_total")
        answer = self.found
        self._key = b""
        if not stream:
            return self.whole(answer)
        head = self.head(answer.model_id, answer.request_id)
        events = [*_events(answer)]
        pieces = [encode.piece(head, event, answer.provider) for event in events]
        lines = [encode.opening(head, events[0] if events else None), *pieces, *self.ending(answer, head)]
        headers = self.headers(answer.model_id, answer.request_id) | _cost_headers(answer)
        return Response(b"".join(lines), media_type="text/event-stream", headers=headers)

    def ending(self, answer: Answer, head: encode.Head) -> Iterator[bytes]:
        """The last events of a stream."""
        yield from encode.ending(answer, head, self._dropped, usage_apart=self._usage_apart)

    def done(self, answer: Answer) -> None:
        """Keep an answer if the caller asked for it."""
        if self._key:
            self._desk.cache.of(self.session.core.settings).keep(self._key, answer, self._ttl_s)

    def headers(self, model_id: str, request_id: str) -> dict[str, str]:
        """What is known when an answer begins."""
        headers = {
            "X-DynaRoute-Request-ID": request_id,
            "X-TokenRouter-Request-ID": request_id,
            "X-TokenRouter-Model": _plain(short(model_id)),
        }
        if self._ttl_s:
            headers["X-GR-Cache"] = "MISS" if self.found is None else "HIT"
        return headers


class Streamed(Response):
    """An answer in pieces: opened before the status is sent, so that a failure can still be one."""

    media_type = "text/event-stream"

    def __init__(self, job: Job) -> None:
        self._job = job
        super().__init__()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Stream until the end, a fault, or the client's leaving."""
        await unless_hung_up(scope, partial(self._stream, send))

    async def _stream(self, send: Send) -> None:
        job, began = self._job, False
        try:
            async with job.session.core.router.stream(job.asked, job.session.caller) as routed:
                began = True
                await self._begin(routed, send)
                await self._pass_on(routed, send)
        except DynarouteError as error:
            if not began:
                raise
            await _send(send, encode.as_event(envelope(error, job.session.request_id)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, routed: "Routed", send: Send) -> None:
        model_id, request_id = routed.placed.candidate.model_id, routed.decision.request_id
        headers = self._job.headers(model_id, request_id) | _STREAM_HEADERS
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _pass_on(self, routed: "Routed", send: Send) -> None:
        candidate = routed.placed.candidate
        head = self._job.head(candidate.model_id, routed.decision.request_id)
        opened = False
        async for event in routed:
            line = encode.piece(head, event, candidate.provider)
            if not opened:
                line, opened = encode.opening(head, event) + line, True
            if line:
                await _send(send, line)
        assert routed.answer is not None, "a stream that ended well has its answer"
        self._job.done(routed.answer)
        await _send(send, b"".join(self._job.ending(routed.answer, head)))


_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


async def _send(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


def _events(answer: Answer) -> Iterator[StreamEvent]:
    calls = count()
    for part in answer.completion.message.parts:
        if isinstance(part, Text):
            yield TextDelta(text=part.text, logprobs=part.logprobs)
        elif isinstance(part, Reasoning):
            yield ReasoningDelta(text=part.text, signature=part.signature, redacted=part.redacted)
        elif isinstance(part, ToolCall):
            yield ToolCallDelta(
                index=next(calls),
                id=part.id,
                name=part.name,
                arguments=part.arguments,
                signature=part.signature,
            )


def _usage_apart(body: ChatBody) -> bool:
    return bool(body.stream_options and body.stream_options.include_usage)


def _cost_headers(answer: Answer) -> dict[str, str]:
    headers = {
        "X-TokenRouter-Task": _plain(answer.classification.category),
        "X-TokenRouter-Complexity": f"L{answer.classification.level:d}",
    }
    if answer.cost is not None:
        headers["X-TokenRouter-Cost"] = f"{answer.cost.total_usd:.6f}"
    if answer.baseline is not None:
        headers["X-TokenRouter-Saved"] = f"{answer.baseline.saved_usd:.6f}"
        headers["X-TokenRouter-Saved-Pct"] = f"{answer.baseline.saved_pct:.1f}"
    return headers


def _plain(text: str) -> str:
    """Leave only what may stand in a header."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if char.isascii() and char.isprintable())
