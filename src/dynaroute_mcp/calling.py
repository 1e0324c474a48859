"""One request down a chain of candidates: clocks, retries, fallback, health, and the trail of every try.

It knows no prices and no books. A provider's failure decides by its class what comes next: another try at the
same model, the next model, or the end. After the first content has been passed on nothing is tried again.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import anyio

from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.errors import (
    ProviderContextOverflow,
    ProviderError,
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTimedOut,
    StreamBroken,
)
from dynaroute_mcp.health import Health
from dynaroute_mcp.providers.base import Call, Clocks, Dialect, Endpoint, Meter
from dynaroute_mcp.settings import CallSettings
from dynaroute_mcp.types import (
    Ambient,
    Attempt,
    Candidate,
    ChatRequest,
    Choice,
    Completion,
    Finished,
    StreamEvent,
    TextDelta,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LEFT_FOR_NEXT_S = 15.0
"""Of a deadline, what silence must leave to the next model; half of a short one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed(Generic[T]):
    """What the chain came to: the model that answered, its reply, and every try until then."""

    candidate: Candidate
    reply: T
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream whose first content has arrived."""

    events: AsyncIterator[StreamEvent]
    first_token_ms: int
    started: float
    """On the monotonic clock."""
    meter: Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trail:
    """One request on its way down the chain."""

    request: ChatRequest
    choice: Choice
    deadline: float
    """On the monotonic clock."""
    attempts: list[Attempt] = field(default_factory=list)


class Running:
    """Counts the calls that are under way."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> None:
        """Begin one."""
        self.calls += 1

    def __exit__(self, *_: object) -> None:
        """End one."""
        self.calls -= 1


class Calling:
    """Drives chains. One per process; safe for any number of requests at once."""

    def __init__(
        self,
        *,
        catalog: Callable[[], Catalog],
        endpoints: Callable[[], Mapping[str, Endpoint]],
        dialects: Mapping[DialectName, Dialect],
        health: Health,
        settings: CallSettings,
        ambient: Ambient,
        running: Running | None = None,
    ) -> None:
        """Take what a call needs.

        Args:
            catalog: the catalog of the moment: discovered models come and go.
            endpoints: those of the moment, by provider id.
            dialects: by name of the dialect.
            health: shared by all requests of this process.
            settings: attempts, back-off and clocks.
            ambient: time, and chance for jitter.
            running: where calls are counted; `None` counts them apart.
        """
        self._catalog = catalog
        self._endpoints = endpoints
        self._dialects = dialects
        self._health = health
        self._settings = settings
        self._ambient = ambient
        self._clock = ambient.clock
        self._monotonic = ambient.monotonic
        self._uniform = ambient.uniform
        self.running = running or Running()
        """What this process is being answered just now."""

    def apart(self, endpoints: Mapping[str, Endpoint], health: Health) -> "Calling":
        """The same for a caller who brings keys along: other endpoints, and a health that is nobody else's."""
        return Calling(
            catalog=self._catalog,
            endpoints=lambda: endpoints,
            dialects=self._dialects,
            health=health,
            settings=self._settings,
            ambient=self._ambient,
            running=self.running,
        )

    async def complete(self, request: ChatRequest, choice: Choice) -> Placed[Completion]:
        """Get a whole answer from the first candidate that gives one.

        Raises:
            ProviderError: the first candidate's error, with every attempt, when all have failed.
        """

        async def ask(call: Call) -> Completion:
            return await self._dialect(call).complete(call)

        with self.running:
            return await self._first_success(self._trail(request, choice), ask)

    @asynccontextmanager
    async def stream(self, request: ChatRequest, choice: Choice) -> AsyncIterator[Placed[Stream]]:
        """Open a stream at the first candidate that sends content; entering may fall back, iterating never does.

        Raises:
            ProviderError: on entering, the first candidate's error with every attempt.
            StreamBroken: while iterating, when the stream ends badly after its first content.
        """
        trail = self._trail(request, choice)
        async with AsyncExitStack() as opened:
            opened.enter_context(self.running)

            async def ask(call: Call) -> Stream:
                return await self._open(call, opened)

            placed = await self._first_success(trail, ask)
            guarded = Stream(
                events=self._guard(placed),
                first_token_ms=placed.reply.first_token_ms,
                started=placed.reply.started,
                meter=placed.reply.meter,
            )
            yield Placed(candidate=placed.candidate, reply=guarded, attempts=placed.attempts)

    def _trail(self, request: ChatRequest, choice: Choice) -> _Trail:
        total_s = request.routing.timeout_s or self._settings.total_s
        return _Trail(request=request, choice=choice, deadline=self._monotonic() + total_s)

    async def _first_success(self, trail: _Trail, ask: Callable[[Call], Awaitable[T]]) -> Placed[T]:
        left: Sequence[Candidate] = trail.choice.chain
        first_error: ProviderError | None = None
        while left and len(trail.attempts) < self._settings.max_attempts:
            candidate, *left = left
            if left and not self._health.allow(candidate.model_id, self._clock()):
                continue
            try:
                reply = await self._try_candidate(trail, candidate, ask, last=not left)
            except ProviderError as error:
                first_error = first_error or error
                left = self._next(left, error)
            else:
                return Placed(candidate=candidate, reply=reply, attempts=tuple(trail.attempts))
        assert first_error is not None, "a choice has at least one candidate"
        raise first_error.with_attempts(trail.attempts)

    async def _try_candidate(
        self, trail: _Trail, candidate: Candidate, ask: Callable[[Call], Awaitable[T]], *, last: bool
    ) -> T:
        wait_s = 0.0
        for attempt in range(1, self._settings.attempts_per_model + 1):
            call = self._call(trail, candidate, last=last)
            started = self._monotonic()
            try:
                reply = await ask(call)
            except ProviderError as error:
                self._failed(trail, candidate, error, started, call)
                wait_s = self._wait(attempt, wait_s, error)
                if not self._may_retry(trail, attempt, wait_s, error) or (self._shut_out(error) and not last):
                    raise
                await anyio.sleep(wait_s)
            else:
                self._succeeded(trail, candidate, started, reply)
                return reply
        raise AssertionError("the last attempt returns or raises")

    def _may_retry(self, trail: _Trail, attempt: int, wait_s: float, error: ProviderError) -> bool:
        return (
            error.retry_same
            and attempt < self._settings.attempts_per_model
            and len(trail.attempts) < self._settings.max_attempts
            and wait_s <= max(self._settings.retry_after_cap_s, self._settings.backoff_cap_s)
            and (error.retry_after_s or 0) <= self._settings.retry_after_cap_s
            and self._monotonic() + wait_s < trail.deadline
        )

    def _shut_out(self, error: ProviderError) -> bool:
        """Tell whether a failure has opened the breaker; the time of a rate limit is waited for instead."""
        limited = isinstance(error, ProviderRateLimited)
        return not limited and not self._health.allow(error.model_id, self._clock())

    def _wait(self, attempt: int, previous_s: float, error: ProviderError) -> float:
        """Back off exponentially with full jitter on top of a floor that grows, so that gaps never shrink."""
        step_s = min(self._settings.backoff_cap_s, self._settings.backoff_s * 2 ** (attempt - 1))
        wait_s = max(previous_s * 1.25, self._settings.backoff_s / 2) + self._uniform(0, step_s)
        return max(wait_s, (error.retry_after_s or 0) * 1.01)

    def _next(self, left: Sequence[Candidate], error: ProviderError) -> Sequence[Candidate]:
        if isinstance(error, ProviderContextOverflow):
            window = self._catalog().get_model(error.model_id).context_tokens
            larger = [c for c in left if self._catalog().get_model(c.model_id).context_tokens > window]
            return larger[:1]
        if not error.fall_back:
            return ()
        if isinstance(error, ProviderKeyRejected | ProviderQuotaExhausted):
            return [c for c in left if c.provider != error.provider]
        return left

    def _call(self, trail: _Trail, candidate: Candidate, *, last: bool) -> Call:
        remaining_s = trail.deadline - self._monotonic()
        if remaining_s <= 0:
            raise ProviderTimedOut(
                "the request's total time ran out; allow more with request_timeout or calls.total_s",
                provider=candidate.provider,
                model_id=candidate.model_id,
            )
        settings = self._settings
        patience_s = remaining_s if last else max(remaining_s / 2, remaining_s - _LEFT_FOR_NEXT_S)
        return Call(
            endpoint=self._endpoints()[candidate.provider],
            model=self._catalog().get_model(candidate.model_id),
            request=_calmed(trail.request, candidate),
            max_output_tokens=candidate.max_output_tokens,
            input_tokens=trail.choice.input_tokens,
            clocks=Clocks(
                connect_s=min(settings.connect_s, remaining_s),
                first_token_s=min(settings.first_token_s, patience_s),
                idle_s=settings.idle_s,
                total_s=min(settings.answer_s, remaining_s),
            ),
        )

    async def _open(self, call: Call, opened: AsyncExitStack) -> Stream:
        """Open a stream and hold it until its first content, so that a failure before it can still fall back."""
        started = self._monotonic()
        async with AsyncExitStack() as opening:
            events = await opening.enter_async_context(self._dialect(call).stream(call))
            held: list[StreamEvent] = []
            async for event in events:
                held.append(event)
                if not (isinstance(event, TextDelta) and not event.text):
                    break
            else:
                raise ProviderGarbled(
                    "the stream ended before any content",
                    provider=call.endpoint.provider.id,
                    model_id=call.model.id,
                    status=200,
                )
            await opened.enter_async_context(opening.pop_all())
        first_token_ms = round((self._monotonic() - started) * 1000)
        held_back = _chain(held, events)
        return Stream(events=held_back, first_token_ms=first_token_ms, started=started, meter=call.meter)

    async def _guard(self, placed: Placed[Stream]) -> AsyncIterator[StreamEvent]:
        """Pass a stream on, and note how it ended; who leaves early has no complaint against the model."""
        stream, candidate = placed.reply, placed.candidate
        took_s, tokens, broken = None, 0, False
        try:
            async for event in stream.events:
                if isinstance(event, Finished):
                    took_s, tokens = self._monotonic() - stream.started, event.usage.output_tokens
                yield event
        except ProviderError as error:
            broken = True
            self._health.failed(candidate.model_id, error, self._clock())
            *before, last = placed.attempts
            raise StreamBroken(
                f"the stream of {candidate.model_id} broke after its first content: {error}",
                provider=error.provider,
                model_id=error.model_id,
                status=error.status,
            ).with_attempts(
                [*before, replace(last, outcome=StreamBroken.code, message=str(error))]
            ) from error
        finally:
            if not broken:
                self._health.succeeded(
                    candidate.model_id,
                    self._clock(),
                    took_s,
                    provider=candidate.provider,
                    first_token_s=stream.first_token_ms / 1000,
                    output_tokens=tokens,
                )

    def _dialect(self, call: Call) -> Dialect:
        return self._dialects[call.endpoint.provider.dialect]

    def _succeeded(self, trail: _Trail, candidate: Candidate, started: float, reply: object) -> None:
        """Add a success to the trail; whether a stream is one shows at its end."""
        latency_s = self._monotonic() - started
        if isinstance(reply, Completion):
            self._health.succeeded(
                candidate.model_id,
                self._clock(),
                latency_s,
                provider=candidate.provider,
                output_tokens=reply.usage.output_tokens,
            )
        trail.attempts.append(
            Attempt(
                model_id=candidate.model_id,
                provider=candidate.provider,
                outcome="ok",
                status=200,
                latency_ms=round(latency_s * 1000),
            )
        )

    def _failed(  # what was tried, how it went, and what it took
        self, trail: _Trail, candidate: Candidate, error: ProviderError, started: float, call: Call
    ) -> None:
        latency_s = self._monotonic() - started
        self._health.failed(candidate.model_id, error, self._clock(), latency_s)
        trail.attempts.append(
            Attempt(
                model_id=candidate.model_id,
                provider=candidate.provider,
                outcome=error.code,
                status=error.status,
                latency_ms=round(latency_s * 1000),
                message=str(error),
                usage=call.meter.taken(call.input_tokens),
            )
        )
        facts = {"model": candidate.model_id, "code": error.code, "status": error.status}
        logger.log(logging.WARNING if error.alert else logging.INFO, "a provider failed", extra=facts)


def _calmed(request: ChatRequest, candidate: Candidate) -> ChatRequest:
    """The request with the effort that was chosen for a candidate, where the caller chose none."""
    if candidate.effort is None:
        return request
    return replace(request, parameters=replace(request.parameters, reasoning_effort=candidate.effort))


async def _chain(held: Sequence[StreamEvent], rest: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    for event in held:
        yield event
    async for event in rest:
        yield event
