"""From an answer of the core to OpenAI's JSON, whole or in chunks, with what it cost and why this model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticSerializationError, to_json

from dynaroute_mcp.gateway import shapes
from dynaroute_mcp.results import encodable, short
from dynaroute_mcp.results.base import pct, probability, usd
from dynaroute_mcp.types import (
    Reasoning,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    TokenChance,
    ToolCall,
    ToolCallDelta,
)

if TYPE_CHECKING:
    from dynaroute_mcp.types import Answer, Attempt, Choice, Classification, Message, Usage

DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What every chunk of a stream begins with."""

    id: str
    created: int
    """Seconds since 1970."""
    model: str


def as_json(value: object) -> bytes:
    """Write JSON; a lone surrogate, which no JSON wire carries, becomes U+FFFD."""
    try:
        return to_json(value)
    except PydanticSerializationError:
        return to_json(encodable(value))


def as_event(value: object) -> bytes:
    """Write one server-sent event."""
    return b"data: " + as_json(value) + b"\n\n"


def completion(answer: "Answer", head: Head, dropped: Sequence[str]) -> shapes.ChatCompletion:
    """Show a whole answer.

    Args:
        answer: of the core.
        head: the answer's id, time and model.
        dropped: fields of the body that nobody knows.
    """
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {
                "index": 0,
                "message": _message(answer.completion.message, answer.provider),
                "finish_reason": answer.completion.finish_reason,
                "logprobs": _chances(_told(answer.completion.message)),
            }
        ],
        "usage": usage(answer),
        "_custom_routing_info": routing_info(answer, dropped),
        "greatrouter": {
            "classified_task": "text",
            "routing_reason": answer.choice.reason,
            "fallback_chain": [candidate.model_id for candidate in answer.choice.chain[1:]],
            "estimated_cost_dollars": usd(answer.choice.winner.expected_usd),
        },
    }


def usage(answer: "Answer") -> shapes.Usage:
    """Show tokens and dollars of an answer."""
    used = answer.completion.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": _cached(used),
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "cost": cost(answer),
    }


def _cached(used: "Usage") -> shapes.PromptDetails:
    written = used.cache_write_5m_tokens + used.cache_write_1h_tokens
    details: shapes.PromptDetails = {"cached_tokens": used.cache_read_tokens}
    return {**details, "cache_write_tokens": written} if written else details


def cost(answer: "Answer") -> shapes.Cost:
    """Show dollars of an answer beside GPT-4.1's."""
    spent, gpt41 = answer.cost, answer.gpt41
    return {
        "input_cost": usd(spent.input_usd) if spent else None,
        "output_cost": usd(spent.output_usd) if spent else None,
        "total_cost": usd(spent.total_usd) if spent else None,
        "gpt41_input_cost": usd(gpt41.baseline_usd - gpt41.output_usd) if gpt41 else None,
        "gpt41_output_cost": usd(gpt41.output_usd) if gpt41 else None,
        "gpt41_total_cost": usd(gpt41.baseline_usd) if gpt41 else None,
        "savings": usd(gpt41.saved_usd) if gpt41 else None,
        "savings_percentage": pct(gpt41.saved_pct) if gpt41 else None,
        "currency": "USD",
        "estimated": answer.completion.usage.source != "provider",
    }


def routing_info(answer: "Answer", dropped: Sequence[str]) -> shapes.RoutingInfo:
    """Say why this model, and what was left out of the request."""
    label, choice = answer.classification, answer.choice
    chain = [short(candidate.model_id) for candidate in choice.chain]
    return {
        "final_category_by_router": label.category,
        "final_level_by_router": int(label.level),
        "router_status_message": _status_message(label, choice, answer.model_id),
        "confidence": probability(label.confidence),
        "classifier": label.tier,
        "level_overridden": label.level_overridden,
        "category_overridden": label.category_overridden,
        "strategy": choice.strategy,
        "reason": choice.reason,
        "candidates": chain,
        "fallback_chain": chain[1:],
        "attempts": [attempt(each) for each in answer.attempts],
        "dropped_params": sorted({*answer.completion.dropped, *dropped}),
        "provider": answer.provider,
        "litellm_id": answer.model_id,
        "request_id": answer.request_id,
        "sandbox": answer.sandbox,
        "recorded": answer.recorded,
        "notes": list(answer.notes),
    }


def attempt(tried: "Attempt") -> shapes.Attempt:
    """Show one try at one model."""
    return {
        "model": short(tried.model_id),
        "provider": tried.provider,
        "outcome": tried.outcome,
        "status": tried.status,
        "latency_ms": tried.latency_ms,
        "message": tried.message,
    }


def opening(head: Head, first: StreamEvent | None) -> bytes:
    """The first event of a stream; it has content only if text comes first.

    The Vercel AI SDK begins a text at every content, also an empty one.
    """
    if isinstance(first, ReasoningDelta | ToolCallDelta):
        return _chunk(head, {"role": "assistant"})
    return _chunk(head, {"role": "assistant", "content": ""})


def piece(head: Head, event: StreamEvent, provider: str) -> bytes:
    """One event of a stream; empty for what has nothing to show."""
    if isinstance(event, TextDelta):
        return _chunk(head, {"content": event.text}, event.logprobs) if event.text or event.logprobs else b""
    if isinstance(event, ReasoningDelta):
        return _chunk(head, _reasoning(event, provider))
    if isinstance(event, ToolCallDelta):
        return _chunk(head, {"tool_calls": [_call_piece(event)]})
    return b""


def ending(answer: "Answer", head: Head, dropped: Sequence[str], *, usage_apart: bool) -> Iterable[bytes]:
    """The last events of a stream that ended well.

    The usage rides on the chunk that carries `finish_reason`, because published clients index `choices[0]` of
    every chunk; whoever asked for `stream_options.include_usage` knows the extra chunk, and gets it there and
    only there.
    """
    told = usage(answer)
    last: shapes.ChatChunk = {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "choices": [
            {"index": 0, "delta": {}, "finish_reason": answer.completion.finish_reason, "logprobs": None}
        ],
        "usage": None if usage_apart else told,
        "_custom_routing_info": routing_info(answer, dropped),
    }
    yield as_event(last)
    if usage_apart:
        yield as_event({**last, "choices": [], "usage": told})
    yield DONE


def _chunk(head: Head, delta: shapes.Delta, told: Sequence[TokenChance] = ()) -> bytes:
    chunk: shapes.ChatChunk = {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": _chances(told)}],
    }
    return as_event(chunk)


def _told(message: "Message") -> Sequence[TokenChance]:
    return [each for part in message.parts if isinstance(part, Text) for each in part.logprobs]


def chances(told: Sequence[TokenChance]) -> list[shapes.TokenChance]:
    """Show the probabilities of some tokens."""
    return [
        {**_option(each), "top_logprobs": [_option(other) for other in each.top_logprobs]} for each in told
    ]


def _chances(told: Sequence[TokenChance]) -> shapes.Chances | None:
    rows = chances(told)
    return {"content": rows, "refusal": None} if rows else None


def _option(told: TokenChance) -> shapes.TokenOption:
    raw = None if told.bytes is None else list(told.bytes)
    return {"token": told.token, "logprob": told.logprob, "bytes": raw}


def _call_piece(event: ToolCallDelta) -> dict[str, object]:
    function: dict[str, object] = {"arguments": event.arguments}
    shown: dict[str, object] = {"index": event.index, "function": function}
    if event.name is not None:
        function["name"] = event.name
    if event.id is not None:
        shown |= {"id": event.id, "type": "function"}
    if event.signature is not None:
        shown["extra_content"] = {"google": {"thought_signature": event.signature}}
    return shown


def _reasoning(event: ReasoningDelta, provider: str) -> shapes.Delta:
    if not (event.signature or event.redacted):
        return {"reasoning_content": event.text}
    delta: shapes.Delta = {"reasoning_details": [_detail(event, provider)]}
    if event.text:
        delta["reasoning_content"] = event.text
    return delta


def _detail(block: Reasoning | ReasoningDelta, provider: str) -> shapes.ReasoningDetail:
    if block.redacted:
        return {"type": "reasoning.encrypted", "data": block.redacted, "provider": provider}
    detail: shapes.ReasoningDetail = {"type": "reasoning.text", "text": block.text, "provider": provider}
    if block.signature:
        detail["signature"] = block.signature
    return detail


def _message(message: "Message", provider: str) -> shapes.AnswerMessage:
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    blocks = [part for part in message.parts if isinstance(part, Reasoning)]
    shown: shapes.AnswerMessage = {
        "role": "assistant",
        "content": message.text or (None if calls else ""),
        "refusal": None,
    }
    if text := "".join(block.text for block in blocks):
        shown["reasoning_content"] = text
    if any(block.signature or block.redacted for block in blocks):
        shown["reasoning_details"] = [_detail(block, provider) for block in blocks]
    if calls:
        shown["tool_calls"] = [_call(call) for call in calls]
    return shown


def _call(call: ToolCall) -> shapes.ToolCall:
    shown: shapes.ToolCall = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.signature is not None:
        shown["extra_content"] = {"google": {"thought_signature": call.signature}}
    return shown


def _status_message(label: "Classification", choice: "Choice", model_id: str) -> str:
    category = "Set to" if label.category_overridden else "Classified as"
    sure = "" if label.category_overridden else f" (confidence {label.confidence:.2f})"
    hedge = f", asking for level {choice.demanded_level:d}" if choice.demanded_level != label.level else ""
    return f"{category} {label.category}{sure}, level {label.level:d}{hedge}; routed to {short(model_id)}"
