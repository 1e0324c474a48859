"""The JSON that leaves: shapes of answers, from which the OpenAPI document is made.

Typed dictionaries and not models: an answer is built from our own values and needs no validation on its way
out. Dollars have six decimals; an unknown figure is `null`, never 0.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class Cost(TypedDict):
    """Dollars of one call beside GPT-4.1; all `null` for a model without a known price."""

    input_cost: float | None
    output_cost: float | None
    total_cost: float | None
    gpt41_input_cost: float | None
    gpt41_output_cost: float | None
    gpt41_total_cost: float | None
    savings: float | None
    """Signed: a call that was dearer than GPT-4.1 shows a loss."""
    savings_percentage: float | None
    currency: Literal["USD"]
    estimated: bool
    """The provider reported no usable token figures, so they are estimates."""


class PromptDetails(TypedDict):
    """The part of the prompt that came from the provider's cache, and the part that was put into it for a surcharge."""

    cached_tokens: int
    cache_write_tokens: NotRequired[int]


class CompletionDetails(TypedDict):
    """The part of the output that was reasoning."""

    reasoning_tokens: int


class Usage(TypedDict):
    """Tokens and cost of one call."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails
    cost: Cost


class Attempt(TypedDict):
    """One try at one model."""

    model: str
    provider: str
    outcome: str
    status: int | None
    latency_ms: int
    message: str


class RoutingInfo(TypedDict):
    """Why this model."""

    final_category_by_router: str
    final_level_by_router: int
    router_status_message: str
    confidence: float
    classifier: str
    level_overridden: bool
    category_overridden: bool
    strategy: str
    reason: str
    candidates: list[str]
    fallback_chain: list[str]
    attempts: list[Attempt]
    dropped_params: list[str]
    """What the model does not take, and fields that nobody knows: left out."""
    provider: str
    litellm_id: str
    request_id: str
    """The request in the books; `dynaroute explain` takes it."""
    sandbox: bool
    """Simulated: no model was asked, and nothing was spent."""
    recorded: bool
    notes: list[str]


class GreatRouter(TypedDict):
    """The choice in the words of another published contract."""

    classified_task: str
    routing_reason: str
    fallback_chain: list[str]
    estimated_cost_dollars: float | None


class CalledFunction(TypedDict):
    """A function with its arguments."""

    name: str
    arguments: str
    """JSON text as the model wrote it; it may be invalid."""


class ToolCall(TypedDict):
    """A call that the model asks for."""

    id: str
    type: Literal["function"]
    function: CalledFunction
    extra_content: NotRequired[dict[str, Any]]  # Any: what the provider wants back unchanged


class ReasoningDetail(TypedDict):
    """A block of reasoning; send it back with the turn to let the model go on from it."""

    type: Literal["reasoning.text", "reasoning.encrypted"]
    text: NotRequired[str]
    signature: NotRequired[str]
    data: NotRequired[str]
    provider: str


class AnswerMessage(TypedDict):
    """What the model said."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: NotRequired[str]
    reasoning_details: NotRequired[list[ReasoningDetail]]
    tool_calls: NotRequired[list[ToolCall]]


class TokenOption(TypedDict):
    """What a token might have been."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenChance(TokenOption):
    """How likely a token was, and what it might have been instead."""

    top_logprobs: list[TokenOption]


class Chances(TypedDict):
    """Probabilities of the tokens of an answer, or of a piece of one."""

    content: list[TokenChance]
    refusal: None


FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Choice(TypedDict):
    """The one answer."""

    index: int
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: Chances | None
    """`null` where they were not asked for, or not told: then `dropped_params` names them."""


class ChatCompletion(TypedDict):
    """An answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    _custom_routing_info: RoutingInfo
    greatrouter: GreatRouter


class Delta(TypedDict):
    """A piece of an answer."""

    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str | None]
    reasoning_content: NotRequired[str]
    reasoning_details: NotRequired[list[ReasoningDetail]]
    tool_calls: NotRequired[list[dict[str, Any]]]  # Any: pieces of ToolCall with an index


class ChunkChoice(TypedDict):
    """The one answer, in pieces."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None
    logprobs: Chances | None
    """`null` where they were not asked for, or not told: then `dropped_params` names them."""


class ChatChunk(TypedDict):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]
    _custom_routing_info: NotRequired[RoutingInfo]


class ErrorBody(TypedDict):
    """What went wrong and what to do."""

    message: str
    type: str
    code: int
    """The HTTP status."""
    reason: str
    """Stable name of the error, such as `limit_exceeded`."""
    param: str | None
    request_id: str
    attempts: NotRequired[list[Attempt]]
    """Every try at a provider, where one was asked."""
    limit: NotRequired[str]
    resets_at: NotRequired[str | None]


class Error(TypedDict):
    """Any error."""

    error: ErrorBody
