"""Replies of OpenAI's chat completions, as OpenAI and the many vendors of its dialect give them.

Vendors differ in where usage stands and what it is called, in how reasoning comes, and in finish reasons; all
of them are read here by field, never by the vendor's name. It does no I/O.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Final

from pydantic import BeforeValidator

from dynaroute_mcp.providers import failure
from dynaroute_mcp.providers.base import Call, Ending
from dynaroute_mcp.providers.parsing import Dispensable, Lenient, Name, Theirs
from dynaroute_mcp.providers.usage import Reported, tokens
from dynaroute_mcp.types import (
    FinishReason,
    Part,
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    TokenChance,
    ToolCall,
    ToolCallDelta,
)

_MOST_CHOICES: Final = 16


def read_reply(call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
    """Read a whole reply; see `Translation`."""
    parsed = _parse(call, reply)
    reported = call.meter.reported = _reported(_usage_of(parsed))
    if not parsed.choices:
        raise failure.garbled(call, "it holds no choice")
    choice = parsed.choices[0]
    message = choice.message or _Message()
    parts = tuple(_parts(call, message, _chances(call, choice)))
    finish = _finish(call, choice.finish_reason, calls_tools=bool(message.tool_calls))
    if finish is None:
        raise failure.garbled(call, "it gives no finish reason")
    return parts, Ending(
        finish_reason="content_filter" if message.refusal else finish,
        reported=reported,
        wire_model=parsed.model or call.model.wire_id,
        response_id=parsed.id,
    )


class _Function(Theirs):
    name: Name = None
    arguments: str | dict[str, object] | None = None


class _ToolCall(Theirs):
    index: int | None = None
    id: Name = None
    function: _Function | None = None


class _Block(Theirs):
    """A piece of structured content, as Mistral's reasoning models send it."""

    type: Name = None
    text: str | None = None
    thinking: "str | list[_Block] | None" = None


class _Message(Theirs):
    """A message, or the delta of one."""

    content: str | list[str | _Block] | None = None
    reasoning_content: Name = None
    reasoning: Name = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Usage(Theirs):
    """All the places where vendors put their counts; every value may be nonsense."""

    prompt_tokens: object = None
    completion_tokens: object = None
    total_tokens: object = None
    prompt_tokens_details: Annotated[Mapping[str, object] | None, Lenient] = None
    completion_tokens_details: Annotated[Mapping[str, object] | None, Lenient] = None
    prompt_cache_hit_tokens: object = None
    cached_tokens: object = None
    num_cached_tokens: object = None

    @property
    def counts(self) -> bool:
        """Whether it says anything of the prompt or the answer."""
        return self.prompt_tokens is not None or self.completion_tokens is not None


class _Option(Theirs):
    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class _Chance(_Option):
    top_logprobs: tuple[_Option, ...] | None = None


class _Chances(Theirs):
    """Probabilities in the form of chat completions; some vendors have an older one, which is left out."""

    content: tuple[_Chance, ...] | None = None
    refusal: tuple[_Chance, ...] | None = None


class _Choice(Theirs):
    index: object = None
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: Name = None
    logprobs: Annotated[_Chances | None, Dispensable] = None
    usage: Annotated[_Usage | None, Lenient] = None


class _GroqExtension(Theirs):
    usage: Annotated[_Usage | None, Lenient] = None


def _first_few(choices: object) -> object:
    """One is asked for; a million of them, which fit into an answer, would take minutes and gigabytes to check."""
    return choices[:_MOST_CHOICES] if isinstance(choices, list) else choices


class _Reply(Theirs):
    """A whole reply, or one chunk of a stream."""

    id: Name = None
    model: Name = None
    choices: Annotated[list[_Choice], BeforeValidator(_first_few)] | None = None
    usage: Annotated[_Usage | None, Lenient] = None
    x_groq: Annotated[_GroqExtension | None, Lenient] = None
    error: object = None


def _parse(call: Call, document: object) -> _Reply:
    reply = failure.parsed(call, _Reply, document, "chat completion")
    if reply.error:
        raise failure.in_band(call, document)
    return reply


_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",  # Z.ai
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Z.ai
}
# Finish reasons that mean a fault of the provider's: OpenRouter and Mistral, Z.ai, DeepSeek.
_FAULTS = frozenset({"error", "network_error", "insufficient_system_resource"})


def _finish(call: Call, reason: str | None, *, calls_tools: bool) -> FinishReason | None:
    """Read a finish reason; some vendors say `stop` beside tool calls, and unknown words mean a plain stop."""
    if not reason:
        return None
    if reason in _FAULTS:
        raise failure.unavailable(call, "it broke off its answer with a fault of its own")
    finish = _FINISH_REASONS.get(reason, "stop")
    return "tool_calls" if calls_tools and finish == "stop" else finish


def _parts(call: Call, message: _Message, chances: tuple[TokenChance, ...]) -> Iterator[Part]:
    thought = _thought(message)
    if thought:
        yield Reasoning(text=thought, provider=call.endpoint.provider.id)
    text = _text(message) + (message.refusal or "")
    if text or chances:
        yield Text(text=text, logprobs=chances)
    for position, tool_call in enumerate(message.tool_calls or ()):
        function = tool_call.function or _Function()
        yield ToolCall(
            id=tool_call.id or f"call_{position}",
            name=failure.tool_name(call, function.name),
            arguments=failure.json_text(call, function.arguments) or "{}",
        )


def _chances(call: Call, choice: _Choice) -> tuple[TokenChance, ...]:
    """Probabilities of a choice, if they were asked for; of a refusal they stand behind those of the text, as it does."""
    if choice.logprobs is None or not call.request.parameters.logprobs:
        return ()
    told = (*(choice.logprobs.content or ()), *(choice.logprobs.refusal or ()))
    return tuple(
        replace(_chance(each), top_logprobs=tuple(map(_chance, each.top_logprobs or ()))) for each in told
    )


def _chance(told: _Option) -> TokenChance:
    return TokenChance(token=told.token, logprob=told.logprob, bytes=told.bytes)


def _text(message: _Message) -> str:
    if isinstance(message.content, list):
        return "".join(piece if isinstance(piece, str) else piece.text or "" for piece in message.content)
    return message.content or ""


def _thought(message: _Message) -> str:
    pieces = message.content if isinstance(message.content, list) else []
    thinking = [piece.thinking for piece in pieces if isinstance(piece, _Block) and piece.thinking]
    in_blocks = "".join(
        part if isinstance(part, str) else "".join(block.text or "" for block in part) for part in thinking
    )
    return (message.reasoning_content or message.reasoning or "") + in_blocks


def _usage_of(reply: _Reply) -> _Usage | None:
    """Find usage: on top, in `x_groq` (Groq's streams), or in the choice (Moonshot's streams).

    One that counts nothing is none: it must not hide another.
    """
    places = (
        reply.usage,
        reply.x_groq.usage if reply.x_groq is not None else None,
        *(choice.usage for choice in reply.choices or ()),
    )
    return next((usage for usage in places if usage is not None and usage.counts), None)


def _reported(usage: _Usage | None) -> Reported | None:
    if usage is None:
        return None
    prompt, answer = usage.prompt_tokens_details or {}, usage.completion_tokens_details or {}
    reads = (
        prompt.get("cached_tokens"),
        usage.prompt_cache_hit_tokens,  # DeepSeek
        usage.cached_tokens,  # Moonshot
        usage.num_cached_tokens,  # Mistral
    )
    writes = (prompt.get("cache_write_tokens"), prompt.get("cache_creation_input_tokens"))
    reasoning = answer.get("reasoning_tokens")
    return Reported(
        input=usage.prompt_tokens,
        cache_read=next((count for count in reads if count is not None), None),
        cache_write_5m=next((count for count in writes if count is not None), None),
        output=_output(usage, reasoning),
        reasoning=reasoning,
    )


def _output(usage: _Usage, reasoning: object) -> object:
    """Billed output: xAI counts reasoning beside `completion_tokens`, which shows in its total."""
    prompt, written, total = map(tokens, (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens))
    thought = tokens(reasoning)
    if prompt is None or written is None or not thought or prompt + written + thought != total:
        return usage.completion_tokens
    return written + thought


_FIRST = (None, 0)
"""Indexes of the one answer that was asked for; another one's text must not be mixed into it."""


class ChatReader:
    """Reads the chunks of one stream."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._finish: FinishReason | None = None
        self._usage: _Usage | None = None
        self._model = call.model.wire_id
        self._id: str | None = None
        self._calls = _CallIndex()
        self._refused = False
        self._spoke = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will come: only `[DONE]` says so, which the driver sees."""
        return False

    @property
    def finished(self) -> bool:
        """Whether a finish reason has come."""
        return self._finish is not None

    def feed(self, document: object) -> Iterator[StreamEvent]:
        """Translate one chunk; see `StreamReader`."""
        chunk = _parse(self._call, document)
        self._model = chunk.model or self._model
        self._id = self._id or chunk.id
        if (usage := _usage_of(chunk)) is not None:
            self._usage, self._call.meter.reported = usage, _reported(usage)
        for choice in [each for each in chunk.choices or () if each.index in _FIRST][:1]:
            message = choice.delta or self._unsaid(choice) or _Message()
            yield from self._deltas(message, _chances(self._call, choice))
            finish = _finish(self._call, choice.finish_reason, calls_tools=self._calls.any)
            self._finish = finish or self._finish

    def ending(self) -> Ending:
        """Tell how the stream ended; see `StreamReader`."""
        if self._finish is None:
            raise failure.garbled(self._call, "its stream ended without a finish reason")
        return Ending(
            finish_reason="content_filter" if self._refused else self._finish,
            reported=_reported(self._usage),
            wire_model=self._model,
            response_id=self._id,
        )

    def _unsaid(self, choice: _Choice) -> _Message | None:
        """The message of a server that answers whole though a stream was asked for; a summary at the end is none."""
        return None if self._spoke else choice.message

    def _deltas(self, delta: _Message, chances: tuple[TokenChance, ...]) -> Iterator[StreamEvent]:
        self._spoke = self._spoke or bool(_text(delta) or delta.tool_calls)
        if thought := _thought(delta):
            yield ReasoningDelta(text=thought)
        self._refused = self._refused or bool(delta.refusal)
        text = _text(delta) + (delta.refusal or "")
        if text or chances:
            yield TextDelta(text=text, logprobs=chances)
        for position, tool_call in enumerate(delta.tool_calls or ()):
            index, is_new = self._calls.place(tool_call, position)
            function = tool_call.function or _Function()
            yield ToolCallDelta(
                index=index,
                id=(tool_call.id or f"call_{index}") if is_new else None,
                name=failure.tool_name(self._call, function.name) if is_new else None,
                arguments=failure.json_text(self._call, function.arguments),
            )


class _CallIndex:
    """Numbers tool calls in the order of their first piece.

    Their own `index` tells pieces apart, except that some servers (Ollama) give every call index 0 and
    another id.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, str | None]] = {}
        self._count = 0

    @property
    def any(self) -> bool:
        """Whether any call has begun."""
        return self._count > 0

    def place(self, piece: _ToolCall, position: int) -> tuple[int, bool]:
        """Return our number for the call of a piece, and whether this is its first piece."""
        theirs = position if piece.index is None else piece.index
        number, known_id = self._known.get(theirs, (None, None))
        if number is not None and not (piece.id and known_id and piece.id != known_id):
            return number, False
        number = self._count
        self._known[theirs] = (number, piece.id)
        self._count += 1
        return number, True
