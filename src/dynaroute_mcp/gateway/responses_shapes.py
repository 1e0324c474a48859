"""The JSON that leaves in OpenAI's Responses API: shapes of answers, from which the OpenAPI document is made."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from dynaroute_mcp.gateway.shapes import Cost, RoutingInfo, TokenChance

Status = Literal["in_progress", "completed", "incomplete"]


class OutputText(TypedDict):
    """What the model said."""

    type: Literal["output_text"]
    text: str
    annotations: list[None]
    """Always empty."""
    logprobs: list[TokenChance]


class OutputMessage(TypedDict):
    """A message of the model."""

    id: str
    type: Literal["message"]
    status: Status
    role: Literal["assistant"]
    content: list[OutputText]


class FunctionCall(TypedDict):
    """A call that the model asks for."""

    id: str
    type: Literal["function_call"]
    status: Status
    call_id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; it may be invalid."""
    extra_content: NotRequired[dict[str, Any]]  # Any: what the provider wants back unchanged


class Summary(TypedDict):
    """Reasoning, as far as the provider shows it."""

    type: Literal["summary_text"]
    text: str


class ReasoningBlock(TypedDict):
    """A block of reasoning; send it back with the turn to let the model go on from it."""

    id: str
    type: Literal["reasoning"]
    summary: list[Summary]
    encrypted_content: str | None


Item = OutputMessage | FunctionCall | ReasoningBlock


class InputDetails(TypedDict):
    """The part of the input that came from the provider's cache, and the part that was put into it."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(TypedDict):
    """The part of the output that was reasoning."""

    reasoning_tokens: int


class Usage(TypedDict):
    """Tokens and cost of one call."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    cost: Cost


class Incomplete(TypedDict):
    """Why an answer ends before its end."""

    reason: Literal["max_output_tokens", "content_filter"]


class Fault(TypedDict):
    """What broke a stream."""

    code: Literal["server_error"]
    message: str


class Echo(TypedDict):
    """What was asked for."""

    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any]  # Any: the caller's own
    parallel_tool_calls: bool
    prompt_cache_key: str | None
    reasoning: dict[str, str | None]
    safety_identifier: str | None
    temperature: float | None
    text: dict[str, Any]  # Any: holds a JSON Schema
    tool_choice: str | dict[str, str]
    tools: list[dict[str, Any]]  # Any: hold JSON Schemas
    top_logprobs: int
    top_p: float | None
    user: str | None


class Response(Echo):
    """An answer."""

    id: str
    object: Literal["response"]
    created_at: int
    """Seconds since 1970."""
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[Item]
    error: Fault | None
    incomplete_details: Incomplete | None
    usage: Usage | None
    """`null` until the answer is whole."""
    background: Literal[False]
    previous_response_id: None
    store: Literal[False]
    """Nothing is kept."""
    truncation: Literal["disabled"]
    _custom_routing_info: RoutingInfo | None
    """`null` until the answer is whole, as usage."""


class Event(TypedDict):
    """One event of a stream; what stands beside these two depends on its type."""

    type: str
    sequence_number: int
