"""From what a provider sent to the answer for the caller and the ending for the books, whole or in pieces."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from dynaroute_mcp.books import Bill, Books, Decision, Ending
from dynaroute_mcp.calling import Placed, Stream
from dynaroute_mcp.errors import DynarouteError, ProviderError, StreamBroken
from dynaroute_mcp.policy.wording import dollars
from dynaroute_mcp.refining import added
from dynaroute_mcp.tokens import estimate_tokens
from dynaroute_mcp.types import (
    Answer,
    Attempt,
    Completion,
    Finished,
    Message,
    Part,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    TokenChance,
    ToolCall,
    ToolCallDelta,
    Usage,
    in_all,
)


class Routed:
    """A stream on its way to the caller; keeps what was delivered, so that even half of it is billed."""

    def __init__(self, decision: Decision, placed: Placed[Stream], books: Books, *, reserved: bool) -> None:
        self.decision = decision
        self.placed = placed
        self.answer: Answer | None = None
        """Set once the stream has ended well, or was cut at the deadline."""
        self._books = books
        self._reserved = reserved
        self._delivered = Delivered()
        self._settled = False

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        """Hand out events; the call is in the books before the last one."""
        async for event in self.placed.reply.events:
            self._delivered.take(event)
            if isinstance(event, Finished):
                await self._settle(self._delivered.completion(event))
            yield event

    @property
    def output_tokens(self) -> int:
        """Estimate of what has been delivered."""
        return self._delivered.output_tokens

    async def close(self, error: BaseException | None) -> None:
        """Record a stream that did not come to its end; does nothing after one that did."""
        if self._settled:
            return
        self._settled = True
        usage = self.placed.reply.meter.used(self.decision.choice.input_tokens, self._delivered.output_tokens)
        ending = Ending(
            status="partial" if isinstance(error, ProviderError) else "cancelled",
            model_id=self.placed.candidate.model_id,
            provider=self.placed.candidate.provider,
            usage=usage,
            attempts=tuple(error.attempts) if isinstance(error, StreamBroken) else self.placed.attempts,
            first_token_ms=self.placed.reply.first_token_ms,
            error_code=error.code if isinstance(error, ProviderError) else None,
        )
        bill = await self._books.settle(self.decision, ending, reserved=self._reserved)
        if isinstance(error, ProviderError):
            error.request_id = self.decision.request_id
        if not isinstance(error, StreamBroken):
            partial = self._delivered.completion(Finished(finish_reason="length", usage=usage))
            self.answer = replace(answer_of(self.decision, self.placed, partial, bill), truncated=True)

    async def _settle(self, completion: Completion) -> None:
        self._settled = True
        ending = replace(ended(self.placed, completion), first_token_ms=self.placed.reply.first_token_ms)
        bill = await self._books.settle(self.decision, ending, reserved=self._reserved)
        self.answer = answer_of(self.decision, self.placed, completion, bill)


class Delivered:
    """Puts a message together from its pieces."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._chances: list[TokenChance] = []
        self._reasoning: list[ReasoningDelta] = []
        self._calls: dict[int, ToolCall] = {}

    def take(self, event: StreamEvent) -> None:
        """Add a piece."""
        if isinstance(event, TextDelta):
            self._text.append(event.text)
            self._chances += event.logprobs
        elif isinstance(event, ReasoningDelta):
            self._reasoning.append(event)
        elif isinstance(event, ToolCallDelta):
            known = self._calls.get(event.index) or ToolCall(id="", name="", arguments="")
            self._calls[event.index] = ToolCall(
                id=event.id or known.id,
                name=event.name or known.name,
                arguments=known.arguments + event.arguments,
                signature=event.signature or known.signature,
            )

    @property
    def output_tokens(self) -> int:
        """Estimate over text, reasoning and arguments."""
        pieces = [
            *self._text,
            *(r.text for r in self._reasoning),
            *(c.arguments for c in self._calls.values()),
        ]
        return estimate_tokens("".join(pieces))

    def completion(self, end: Finished) -> Completion:
        """Make the whole message."""
        parts: list[Part] = []
        if self._reasoning:
            signatures = [r.signature for r in self._reasoning if r.signature]
            redacted = [r.redacted for r in self._reasoning if r.redacted]
            parts.append(
                Reasoning(
                    text="".join(r.text for r in self._reasoning),
                    signature=signatures[-1] if signatures else None,
                    redacted=redacted[-1] if redacted else None,
                )
            )
        if self._text:
            parts.append(Text(text="".join(self._text), logprobs=tuple(self._chances)))
        parts += [self._calls[index] for index in sorted(self._calls)]
        return Completion(
            message=Message(role="assistant", parts=tuple(parts)),
            finish_reason=end.finish_reason,
            usage=end.usage,
            wire_model=end.wire_model,
            dropped=end.dropped,
            provider_request_id=end.provider_request_id,
        )


def ended(placed: Placed[Completion] | Placed[Stream], completion: Completion) -> Ending:
    """Say for the books that a call ended well."""
    return Ending(
        status="ok",
        model_id=placed.candidate.model_id,
        provider=placed.candidate.provider,
        usage=completion.usage,
        attempts=placed.attempts,
        finish_reason=completion.finish_reason,
    )


def failed(decision: Decision, error: BaseException) -> Ending:
    """Say for the books that nothing was answered; who left during the call may owe its input."""
    winner = decision.choice.winner
    if not isinstance(error, Exception):  # cancelled: the provider may have begun to work
        spent = Usage(uncached_input_tokens=decision.choice.input_tokens, source="estimated")
        return Ending(status="cancelled", model_id=winner.model_id, provider=winner.provider, usage=spent)
    return Ending(
        status="error",
        model_id=winner.model_id,
        provider=winner.provider,
        usage=Usage(),
        attempts=error.attempts if isinstance(error, ProviderError) else (),
        error_code=error.code if isinstance(error, DynarouteError) else "internal",
        answered=False,
    )


def unasked(decision: Decision) -> Ending:
    """Say for the books that the caller left before anybody was asked."""
    winner = decision.choice.winner
    return Ending(
        status="cancelled",
        model_id=winner.model_id,
        provider=winner.provider,
        usage=Usage(),
        answered=False,
    )


def answer_of(
    decision: Decision, placed: Placed[Completion] | Placed[Stream], completion: Completion, bill: Bill
) -> Answer:
    """Put together what a face may tell."""
    return Answer(
        request_id=decision.request_id,
        completion=completion,
        classification=decision.classification,
        choice=decision.choice,
        model_id=placed.candidate.model_id,
        provider="sandbox" if decision.simulated else placed.candidate.provider,
        cost=added(bill.cost, decision.classifying),
        gpt41=bill.gpt41,
        baseline=bill.baseline,
        versus_highest_pct=bill.versus_highest_pct,
        attempts=placed.attempts,
        latency_ms=bill.latency_ms,
        sandbox=decision.simulated,
        recorded=bill.recorded,
        left=bill.left,
        notes=(*decision.choice.notes, *_wasted(bill, placed.attempts)),
    )


def _wasted(bill: Bill, attempts: Sequence[Attempt]) -> tuple[str, ...]:
    if not bill.wasted_usd:
        return ()
    lost = in_all(Usage(), attempts)
    return (
        f"{dollars(bill.wasted_usd)} of the cost went to failed tries, which their providers bill too:"
        f" {lost.input_tokens:,} tokens in and {lost.output_tokens:,} out beside those of the answer.",
    )
