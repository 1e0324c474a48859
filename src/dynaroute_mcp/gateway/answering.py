"""From a request that was read to its answer, whole or as a stream, whichever of OpenAI's APIs it is told in.

A stream's status is decided by its first content: a failure before it is a real HTTP error, a failure after
it an event. A client that hangs up cancels the call; what was delivered is billed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dynaroute_mcp.errors import DynarouteError
from dynaroute_mcp.gateway import cache, guardrail, shapes
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.receiving import CLIENT_LEFT, unless_hung_up
from dynaroute_mcp.gateway.refusal import envelope
from dynaroute_mcp.gateway.session import LEFT_KEY, Desk, Session, desk_of, fields_of, session_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an answer comes from, known when it begins."""

    own: str
    """What tells it from other answers: the caller's word for it, or digits of the request's id."""
    request_id: str
    created: int
    """Seconds since 1970."""
    model: str
    provider: str


class Form(Protocol):
    """One answer in the words of one API."""

    def whole(self, answer: Answer) -> object:
        """Show an answer in one piece."""
        ...

    def piece(self, event: StreamEvent) -> bytes:
        """Write the events for one event of the core; the first call writes the opening too."""
        ...

    def ending(self, answer: Answer) -> bytes:
        """Write the last events of a stream that ended well."""
        ...

    def broken(self, error: shapes.Error) -> bytes:
        """Write the last events of a stream that did not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a face has read of a request."""

    body: BaseModel
    request: ChatRequest
    stream: bool
    form: Callable[[Origin], Form]
    fields: Mapping[str, str] = field(default_factory=dict)
    """Names of the body's fields where they are not those of chat completions."""


async def answer(request: Request, ask: Ask) -> Response:
    """Answer what was asked."""
    session, fields = session_of(request), fields_of(request.scope)
    await guardrail.check(fields.get("x-gr-guardrails"), ask.request, ask.fields)
    job = _Job(session, desk_of(request), ask)
    ttl_s = cache.ttl_of(fields.get("x-gr-cache-ttl"))
    if ttl_s:
        job.keep_for(ttl_s, cache.key_of(session.caller, ask.body, fields.get("x-routing-strategy")))
    if job.found is not None:
        return job.replay()
    if ask.stream:
        return _Streamed(job)
    work = partial(session.core.router.complete, ask.request, session.caller)
    answered = await unless_hung_up(request.scope, work)
    if answered is None:
        return Response(status_code=CLIENT_LEFT)
    request.scope[LEFT_KEY] = answered.left
    return job.whole(answered)


class _Job:
    """One request on its way to its answer."""

    def __init__(self, session: Session, desk: Desk, ask: Ask) -> None:
        self.session = session
        self.ask = ask
        self.found: Answer | None = None
        """An answer of the cache."""
        self._desk = desk
        self._ttl_s = 0
        self._key = b""

    def keep_for(self, ttl_s: int, key: bytes) -> None:
        """Look the answer up in the cache, and keep a new one there."""
        self._ttl_s, self._key = ttl_s, key
        self.found = self._desk.cache.of(self.session.core.settings).find(key)

    def form(self, model_id: str, provider: str, request_id: str) -> Form:
        """Begin an answer."""
        origin = Origin(
            own=self.session.given_id or request_id.removeprefix("req_"),
            request_id=request_id,
            created=int(self._desk.clock().timestamp()),
            model=short(model_id),
            provider=provider,
        )
        return self.ask.form(origin)

    def whole(self, answer: Answer) -> Response:
        """Show an answer in one piece."""
        self.done(answer)
        shown = self.form(answer.model_id, answer.provider, answer.request_id).whole(answer)
        headers = self.headers(answer.model_id, answer.request_id) | _cost_headers(answer)
        return Response(as_json(shown), media_type="application/json", headers=headers)

    def replay(self) -> Response:
        """Show the cache's answer."""
        assert self.found is not None
        self._desk.metrics.add("dynaroute_cache_answers_total")
        answer = self.found
        self._key = b""
        if not self.ask.stream:
            return self.whole(answer)
        form = self.form(answer.model_id, answer.provider, answer.request_id)
        lines = [*map(form.piece, events_of(answer)), form.ending(answer)]
        headers = self.headers(answer.model_id, answer.request_id) | _cost_headers(answer)
        return Response(b"".join(lines), media_type="text/event-stream", headers=headers)

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


class _Streamed(Response):
    """An answer in pieces: opened before the status is sent, so that a failure can still be one."""

    media_type = "text/event-stream"

    def __init__(self, job: _Job) -> None:
        self._job = job
        super().__init__()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Stream until the end, a fault, or the client's leaving."""
        await unless_hung_up(scope, partial(self._stream, send))

    async def _stream(self, send: Send) -> None:
        job, form = self._job, None
        try:
            async with job.session.core.router.stream(job.ask.request, job.session.caller) as routed:
                form = await self._begin(routed, send)
                await self._pass_on(routed, form, send)
        except DynarouteError as error:
            if form is None:
                raise
            await _send(send, form.broken(envelope(error, job.session.request_id)))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, routed: "Routed", send: Send) -> Form:
        candidate, request_id = routed.placed.candidate, routed.decision.request_id
        form = self._job.form(candidate.model_id, candidate.provider, request_id)
        headers = self._job.headers(candidate.model_id, request_id) | _STREAM_HEADERS
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        return form

    async def _pass_on(self, routed: "Routed", form: Form, send: Send) -> None:
        async for event in routed:
            if line := form.piece(event):
                await _send(send, line)
        assert routed.answer is not None, "a stream that ended well has its answer"
        self._job.done(routed.answer)
        await _send(send, form.ending(routed.answer))


_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


async def _send(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


def events_of(answer: Answer) -> Iterator[StreamEvent]:
    """Tell a whole answer as a stream would."""
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
