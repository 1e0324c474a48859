"""The items of an answer in OpenAI's Responses API, and the events that tell of them, as they come.

At most one text or block of reasoning is open at a time; calls stay open until the end, since a provider may
send their pieces in turns.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from dynaroute_mcp.gateway import responses_shapes as shapes
from dynaroute_mcp.gateway.encode import chances
from dynaroute_mcp.gateway.responses_decode import sealed
from dynaroute_mcp.types import ReasoningDelta, StreamEvent, TextDelta, TokenChance, ToolCallDelta

Event = tuple[str, Mapping[str, object]]
"""Its type and its fields, but for the number that each has."""


class _Entry(Protocol):
    """An item on its way."""

    index: int

    def item(self, status: shapes.Status) -> shapes.Item:
        """Show it as it is."""
        ...

    def end(self, status: shapes.Status) -> Iterator[Event]:
        """Tell that its parts are whole."""
        ...


class Output:
    """The items of one answer.

    Args:
        digits: what the ids of the items are made of; no other answer has them.
        provider: who answers.
    """

    def __init__(self, digits: str, provider: str) -> None:
        self._digits = digits
        self._provider = provider
        self._done: dict[int, shapes.Item] = {}
        self._open: dict[int, _Entry] = {}
        self._said: _Message | None = None
        self._thought: _Thought | None = None
        self._calls: dict[int, _Call] = {}
        self._count = 0

    def items(self, status: shapes.Status) -> list[shapes.Item]:
        """All items; those that are open have this status."""
        left = {index: entry.item(status) for index, entry in self._open.items()}
        return [item for _, item in sorted((self._done | left).items())]

    def take(self, event: StreamEvent) -> Iterator[Event]:
        """Add a piece."""
        if isinstance(event, TextDelta):
            if event.text or event.logprobs:
                yield from self._say(event)
        elif isinstance(event, ReasoningDelta):
            yield from self._think(event)
        elif isinstance(event, ToolCallDelta):
            yield from self._call(event)

    def close(self, status: shapes.Status) -> Iterator[Event]:
        """End what is open; an answer without anything becomes an empty message."""
        if not self._count and status == "completed":
            yield from self._say(TextDelta(text=""))
        for entry in [*self._open.values()]:
            yield from self._end(entry, status)

    def _say(self, event: TextDelta) -> Iterator[Event]:
        yield from self._end(self._thought)
        if self._said is None:
            self._said = _Message(*self._place("msg"))
            yield from self._begin(self._said)
            yield from self._said.begin()
        yield from self._said.take(event)

    def _think(self, event: ReasoningDelta) -> Iterator[Event]:
        if event.text:
            yield from self._end(self._said)
        thought = self._thought
        if thought is None:
            thought = self._thought = _Thought(*self._place("rs"), self._provider)
            yield from self._begin(thought)
        yield from thought.take(event)
        if event.signature or event.redacted:  # which closes a block
            yield from self._end(thought)

    def _call(self, event: ToolCallDelta) -> Iterator[Event]:
        call = self._calls.get(event.index)
        if call is None:
            yield from self._end(self._thought)
            yield from self._end(self._said)
            call = self._calls[event.index] = _Call(*self._place("fc"), event)
            yield from self._begin(call)
        yield from call.take(event)

    def _place(self, kind: str) -> tuple[int, str]:
        index, self._count = self._count, self._count + 1
        return index, f"{kind}_{self._digits}{index:04x}"

    def _begin(self, entry: _Entry) -> Iterator[Event]:
        self._open[entry.index] = entry
        item = entry.item("in_progress")
        yield "response.output_item.added", {"output_index": entry.index, "item": item}

    def _end(self, entry: _Entry | None, status: shapes.Status = "completed") -> Iterator[Event]:
        if entry is None:
            return
        yield from entry.end(status)
        del self._open[entry.index]
        item = self._done[entry.index] = entry.item(status)
        yield "response.output_item.done", {"output_index": entry.index, "item": item}
        if entry is self._said:
            self._said = None
        if entry is self._thought:
            self._thought = None


class _Message:
    def __init__(self, index: int, own_id: str) -> None:
        self.index = index
        self._id = own_id
        self._text: list[str] = []
        self._told: list[TokenChance] = []
        self._at = {"item_id": own_id, "output_index": index, "content_index": 0}
        self._begun = False

    def item(self, status: shapes.Status) -> shapes.OutputMessage:
        return {
            "id": self._id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [self._part()] if self._begun else [],
        }

    def begin(self) -> Iterator[Event]:
        self._begun = True
        yield "response.content_part.added", {**self._at, "part": self._part()}

    def take(self, event: TextDelta) -> Iterator[Event]:
        self._text.append(event.text)
        self._told += event.logprobs
        if event.text or event.logprobs:
            fields = {"delta": event.text, "logprobs": chances(event.logprobs)}
            yield "response.output_text.delta", {**self._at, **fields}

    def end(self, status: shapes.Status) -> Iterator[Event]:  # noqa: ARG002 -- its text is whole all the same
        part = self._part()
        whole = {"text": part["text"], "logprobs": part["logprobs"]}
        yield "response.output_text.done", {**self._at, **whole}
        yield "response.content_part.done", {**self._at, "part": part}

    def _part(self) -> shapes.OutputText:
        text, told = "".join(self._text), chances(self._told)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": told}


class _Thought:
    def __init__(self, index: int, own_id: str, provider: str) -> None:
        self.index = index
        self._id = own_id
        self._provider = provider
        self._text: list[str] = []
        self._seal: str | None = None
        self._at = {"item_id": own_id, "output_index": index, "summary_index": 0}

    def item(self, status: shapes.Status) -> shapes.ReasoningBlock:  # noqa: ARG002 -- OpenAI's has none
        return {
            "id": self._id,
            "type": "reasoning",
            "summary": [self._part()] if self._text else [],
            "encrypted_content": self._seal,
        }

    def take(self, event: ReasoningDelta) -> Iterator[Event]:
        self._seal = sealed(self._provider, event.signature, event.redacted)
        if not event.text:
            return
        if not self._text:
            part = {"type": "summary_text", "text": ""}
            yield "response.reasoning_summary_part.added", {**self._at, "part": part}
        self._text.append(event.text)
        yield "response.reasoning_summary_text.delta", {**self._at, "delta": event.text}

    def end(self, status: shapes.Status) -> Iterator[Event]:  # noqa: ARG002 -- its text is whole all the same
        if self._text:
            part = self._part()
            yield "response.reasoning_summary_text.done", {**self._at, "text": part["text"]}
            yield "response.reasoning_summary_part.done", {**self._at, "part": part}

    def _part(self) -> shapes.Summary:
        return {"type": "summary_text", "text": "".join(self._text)}


class _Call:
    def __init__(self, index: int, own_id: str, first: ToolCallDelta) -> None:
        self.index = index
        self._id = own_id
        self._call_id = first.id or own_id
        self._name = first.name or ""
        self._arguments: list[str] = []
        self._signature: str | None = None
        self._at = {"item_id": own_id, "output_index": index}

    def item(self, status: shapes.Status) -> shapes.FunctionCall:
        shown: shapes.FunctionCall = {
            "id": self._id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": "".join(self._arguments),
        }
        if self._signature is not None:
            shown["extra_content"] = {"google": {"thought_signature": self._signature}}
        return shown

    def take(self, event: ToolCallDelta) -> Iterator[Event]:
        self._signature = event.signature or self._signature
        if event.arguments:
            self._arguments.append(event.arguments)
            yield "response.function_call_arguments.delta", {**self._at, "delta": event.arguments}

    def end(self, status: shapes.Status) -> Iterator[Event]:  # noqa: ARG002 -- what there is of them is told
        whole = {"name": self._name, "arguments": "".join(self._arguments)}
        yield "response.function_call_arguments.done", {**self._at, **whole}
