"""The embedded provider: answers at once, without a network, and says in each answer that it is simulated.

It counts tokens for real, so that costs, budgets and limits behave as they would in earnest. The same request
gets the same answer.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager

from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.parameters import settle
from dynaroute_mcp.types import (
    Completion,
    Finished,
    FinishReason,
    Message,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
)

LABEL = "[simulated answer]"
"""Begins every answer of the sandbox."""

_ECHO_CHARS = 200


class Sandbox:
    """A `Dialect` that calls nobody."""

    def __init__(self, estimate: Callable[[str], int]) -> None:
        """Take the function that counts the tokens of a text."""
        self._estimate = estimate

    async def complete(self, call: Call) -> Completion:
        """Answer at once; see `Dialect`."""
        text, finish, usage = self._answer(call)
        return Completion(
            message=Message(role="assistant", parts=(Text(text=text),)),
            finish_reason=finish,
            usage=usage,
            wire_model=call.model.wire_id,
            dropped=settle(call, "sandbox").dropped,
        )

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Answer word by word; see `Dialect`."""
        dropped = settle(call, "sandbox").dropped
        async with aclosing(self._events(call, dropped)) as events:
            yield events

    async def _events(self, call: Call, dropped: tuple[str, ...]) -> AsyncGenerator[StreamEvent]:
        text, finish, usage = self._answer(call)
        for piece in _words(text):
            yield TextDelta(text=piece)
        yield Finished(finish_reason=finish, usage=usage, wire_model=call.model.wire_id, dropped=dropped)

    def _answer(self, call: Call) -> tuple[str, FinishReason, Usage]:
        asks = [message.text for message in call.request.messages if message.role == "user"]
        ask = asks[-1] if asks else ""
        shown = ask if len(ask) <= _ECHO_CHARS else f"{ask[:_ECHO_CHARS]}…"
        text = (
            f"{LABEL} No model was called: this is DynaRoute's sandbox standing in for {call.model.name}. "
            f"You asked: {shown}"
        )
        kept, finish = self._within(text, call.max_output_tokens)
        prompt = "\n".join(message.text for message in call.request.messages)
        return (
            kept,
            finish,
            Usage(uncached_input_tokens=self._estimate(prompt), output_tokens=self._estimate(kept)),
        )

    def _within(self, text: str, bound: int) -> tuple[str, FinishReason]:
        """Cut the answer to the bound as a model would."""
        if self._estimate(text) <= bound:
            return text, "stop"
        kept = ""
        for piece in _words(text):
            if self._estimate(kept + piece) > bound:
                break
            kept += piece
        return kept, "length"


def _words(text: str) -> Iterator[str]:
    """Words with the blanks before them; together they are the text."""
    start = 0
    for position in range(1, len(text)):
        if text[position] == " ":
            yield text[start:position]
            start = position
    yield text[start:]
