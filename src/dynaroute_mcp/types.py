"""The frozen values that travel the path, in path order.

`request -> classify -> choose -> call -> price -> record -> answer`. Each step takes the values made before
it and returns one new value; nobody edits an earlier one. Money is `Decimal` US dollars, times are aware UTC
datetimes, an unknown figure is `None` and never 0. This module does no I/O and knows no other step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from dynaroute_mcp.taxonomy import Category, Level, Strategy

# ---------------------------------------------------------------- request

Role = Literal["system", "user", "assistant", "tool"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
"""`content_filter` is also what a model's refusal on safety grounds becomes."""
CacheTtl = Literal["5m", "1h"]
"""How long the prompt up to a marked part is to be cached, by a provider that caches only what is marked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChance:
    """How likely a model held a token to be; its fields are those of OpenAI's `logprobs`."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    """Of UTF-8, since a token may be a part of a letter."""
    top_logprobs: tuple["TokenChance", ...] = ()
    """What else it might have been, likeliest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Plain text."""

    text: str
    logprobs: tuple[TokenChance, ...] = ()
    """Of an answer, where they were asked for and the provider tells them."""
    cache_ttl: CacheTtl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture, by address or by content; exactly one of `url` and `data` is set."""

    url: str | None = None
    data: str | None = None
    """Base64 without a `data:` prefix."""
    media_type: str | None = None
    """Such as `image/png`; always set beside `data`."""
    detail: str | None = None
    cache_ttl: CacheTtl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file, by content or by address; exactly one of `data` and `url` is set."""

    media_type: str
    name: str | None = None
    data: str | None = None
    """Base64."""
    url: str | None = None
    cache_ttl: CacheTtl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asks for."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; it may be invalid."""
    signature: str | None = None
    """Opaque proof of the provider's (Gemini's `thoughtSignature`), echoed to the same provider only."""
    cache_ttl: CacheTtl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What the caller's tool gave back."""

    call_id: str
    name: str | None = None
    parts: tuple[Text | Image, ...] = ()
    is_error: bool = False
    cache_ttl: CacheTtl | None = None
    """Of the whole result; that of its parts does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """A block of the model's reasoning, echoed only to the provider that signed it."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    """Encrypted content that stands in place of `text`."""
    provider: str | None = None
    """Id of the provider that made it; `None` when the caller did not say."""


Part = Text | Image | Document | ToolCall | ToolResult | Reasoning


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    """Who speaks, where several speak in one role."""

    @property
    def text(self) -> str:
        """All text parts, joined by newlines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that the model may ask to call."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    """JSON Schema of the arguments."""
    strict: bool | None = None
    cache_ttl: CacheTtl | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """Whether the model must, may or may not call a tool."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    """The tool's name; set when `mode` is `named`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFormat:
    """The form that the answer must have."""

    kind: Literal["text", "json", "schema"]
    name: str = "answer"
    schema: Mapping[str, object] | None = None
    """JSON Schema; set when `kind` is `schema`."""
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Generation parameters in one vocabulary; `None` means that the caller did not ask.

    `providers/parameters.py` holds the table that says, for every field and dialect, whether it is mapped,
    dropped and signalled, or refused.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    user: str | None = None
    """Whom the caller serves, as `safety_identifier`: for the provider's own watch over abuse."""
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    """Sends requests that begin alike to where their beginning is cached."""
    store: bool | None = None
    """Keep the answer at the provider."""
    metadata: Mapping[str, str] | None = None
    """Labels of what is kept there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """What the caller wants of the choice."""

    strategy: Strategy | None = None
    level_override: Level | None = None
    category_override: Category | None = None
    max_cost_usd: Decimal | None = None
    """Ceiling for this one request, its reserved maximum included."""
    max_cost_name: str = "max_cost_usd"
    """What the caller knows `max_cost_usd` by."""
    timeout_s: float | None = None
    """Total time for a non-streaming answer; `None` takes the setting."""
    session_id: str | None = None
    exclude: frozenset[str] = frozenset()
    """Ids of models or providers never to choose."""
    overhead: bool = False
    """The router's own question about a request: it costs, and has no baseline to save against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a caller wants answered, in no provider's dialect."""

    messages: tuple[Message, ...]
    model: str | None = None
    """A model that the caller insists on, by any of its names; `None` lets the router choose."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    response_format: ResponseFormat | None = None
    parameters: Parameters = field(default_factory=Parameters)
    routing: Routing = field(default_factory=Routing)

    @property
    def has_substance(self) -> bool:
        """Whether there is anything in it but blank text."""
        parts = (part for message in self.messages for part in message.parts)
        return any(not isinstance(part, Text) or part.text.strip() for part in parts)

    @property
    def cache_ttls(self) -> frozenset[CacheTtl]:
        """How long parts of the prompt are to be cached; empty where no part is marked."""
        parts = [part for message in self.messages for part in message.parts]
        marks = {part.cache_ttl for part in parts if not isinstance(part, Reasoning) and part.cache_ttl}
        if self.tools:
            marks |= {tool.cache_ttl for tool in self.tools if tool.cache_ttl}
        return frozenset(marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRule:
    """Prompts of a category go to this model, unless it is excluded."""

    category: Category | Literal["*"]
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a key's requests favour. A request's own wishes go before it, the configuration's come after it."""

    exclude: tuple[str, ...] = ()
    """Models and providers never to choose, beside those of the request and of the configuration."""
    prefer: tuple[str, ...] = ()
    """Models and providers to take where they cost the same."""
    rules: tuple[KeyRule, ...] = ()


NO_PREFERENCES = Preferences()


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """A provider's key that belongs to a DynaRoute key, encrypted."""

    provider: str
    sealed: str = field(repr=False)
    masked: str
    """How it is shown."""
    added_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf a request runs."""

    owner: str
    """User id; `local` for the owner of the database without a key."""
    key_id: str | None = None
    plan: str | None = None
    """Id in `plans.yaml`; `None` is the local owner, whom no plan limits."""
    sandbox: bool = False
    """A `dr_test_` key: only the sandbox provider may be called."""
    strategy: Strategy | None = None
    usd_per_month: Decimal | None = None
    """What the key itself may spend, beside the plan; `None` sets no limit."""
    tokens_per_month: int | None = None
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    models: tuple[str, ...] = ()
    """The only models and providers that the key may use; empty allows all."""
    expires_at: datetime | None = None
    superseded: bool = False
    """It came with a secret that another one took the place of, which is accepted for a while still."""
    preferences: Preferences = NO_PREFERENCES
    provider_keys: tuple[SealedKey, ...] = ()
    """The key's own, used in place of the operator's."""

    @property
    def limited(self) -> bool:
        """The key has limits of its own, or an end, so that it may not hand out or lift any."""
        own = (
            self.usd_per_month,
            self.tokens_per_month,
            self.requests_per_minute,
            self.requests_per_day,
            self.expires_at,
        )
        return bool(self.models) or any(limit is not None for limit in own)


# ---------------------------------------------------------------- classify


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """What a prompt is, as far as its text tells. It knows no model."""

    categories: Mapping[Category, float]
    """Probability of each of the 31 categories, most likely first; they sum to 1."""
    levels: Mapping[Level, float]
    """Probability of each of the five levels, in order; they sum to 1."""
    signals: tuple[str, ...] = ()
    """What spoke for it, in words that a person understands, strongest first."""
    tier: Literal["L1", "L2", "L3"] = "L1"
    """Which classifier decided: L1 local, L2 local transformer, L3 a model call."""
    difficulty: float | None = None
    """Chance in [0, 1] that a small model falls short where a frontier model would not; `None` is unknown."""
    category_overridden: bool = False
    level_overridden: bool = False
    category: Category = field(init=False)
    """The most likely category."""
    level: Level = field(init=False)
    """The most likely level."""

    def __post_init__(self) -> None:
        """Find what every step asks for."""
        object.__setattr__(self, "category", max(self.categories, key=self.categories.__getitem__))
        object.__setattr__(self, "level", max(self.levels, key=self.levels.__getitem__))

    @property
    def confidence(self) -> float:
        """Probability of the chosen category, in [0, 1]."""
        return self.categories[self.category]


# ---------------------------------------------------------------- choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that could answer, with what it is expected to cost."""

    model_id: str
    provider: str
    quality: float
    """Fitness for the category, in [0, 1]."""
    expected_usd: Decimal | None
    """Cost with the expected output and reasoning tokens; `None` when the model has no known price."""
    max_usd: Decimal | None
    """Cost if every allowed output token is used: what a budget reserves."""
    max_output_tokens: int
    """Output bound behind `max_usd`."""
    expected_output_tokens: int = 0
    """Answer and hidden reasoning behind `expected_usd`."""
    effort: Effort | None = None
    """Reasoning effort to ask this model for, where the caller asked for none; `None` asks for what the request says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loser:
    """A model that was not chosen, and why."""

    model_id: str
    reason: str
    """For people, such as `no key`, `no vision`, `over budget`, `dearer by $0.0021`."""


class Explanation(Protocol):
    """Why a choice is as it is; worked out when somebody asks."""

    @property
    def losers(self) -> tuple[Loser, ...]:
        """Those that were not chosen, nearest first."""
        ...

    @property
    def turning_points(self) -> tuple[str, ...]:
        """What would change the decision, such as `at level 4 it would be openai/gpt-6-sol`."""
        ...

    @property
    def cheaper(self) -> Candidate | None:
        """The best of those that are expected to cost less."""
        ...

    @property
    def better(self) -> Candidate | None:
        """The cheapest of those that are fitter."""
        ...

    @property
    def facts(self) -> Mapping[str, object] | None:
        """What of it is written down, as JSON without prose; `policy.retold` makes words of it again."""
        ...


@dataclass(frozen=True, slots=True)
class Unexplained:
    """Nothing is known of the others."""

    losers: tuple[Loser, ...] = ()
    turning_points: tuple[str, ...] = ()
    cheaper: Candidate | None = None
    better: Candidate | None = None
    facts: Mapping[str, object] | None = None


UNEXPLAINED = Unexplained()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which model answers, which stand behind it, and why the others do not."""

    chain: tuple[Candidate, ...]
    """The winner first, then the fallbacks in the order in which they are tried; never empty."""
    reason: str
    strategy: Strategy
    demanded_level: Level
    """The level after hedging: a quantile of the level distribution."""
    demanded_quality: float
    meets_demand: bool
    """False when no candidate reaches the demanded quality and the best available one was taken."""
    expected_output_tokens: int
    input_tokens: int
    """Estimate before the call."""
    min_usd: Decimal | None = None
    """Price of the winner if it answered with nothing."""
    dearest_id: str | None = None
    """The eligible model that is expected to cost most, fallback or not: what a saving "versus highest" means."""
    notes: tuple[str, ...] = ()
    """What a caller should know besides, such as a budget at 80 %."""
    explanation: Explanation = field(default=UNEXPLAINED, repr=False, compare=False)

    @property
    def winner(self) -> Candidate:
        """The model that is called first."""
        return self.chain[0]

    @property
    def losers(self) -> tuple[Loser, ...]:
        """Those that were not chosen, nearest first."""
        return self.explanation.losers

    @property
    def turning_points(self) -> tuple[str, ...]:
        """What would change the decision."""
        return self.explanation.turning_points

    @property
    def cheaper(self) -> Candidate | None:
        """The best of those that are expected to cost less."""
        return self.explanation.cheaper

    @property
    def better(self) -> Candidate | None:
        """The cheapest of those that are fitter."""
        return self.explanation.better


# ---------------------------------------------------------------- call


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call in disjoint buckets."""

    uncached_input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    """All billed output, reasoning included."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` that was reasoning."""
    source: Literal["provider", "estimated", "clamped"] = "provider"
    """`estimated` when the provider reported none, `clamped` when it reported nonsense."""

    @property
    def input_tokens(self) -> int:
        """All input, whatever its price."""
        return (
            self.uncached_input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    def plus(self, more: "Usage") -> "Usage":
        """Both in one; no surer than the less sure of them."""
        return Usage(
            uncached_input_tokens=self.uncached_input_tokens + more.uncached_input_tokens,
            cache_read_tokens=self.cache_read_tokens + more.cache_read_tokens,
            cache_write_5m_tokens=self.cache_write_5m_tokens + more.cache_write_5m_tokens,
            cache_write_1h_tokens=self.cache_write_1h_tokens + more.cache_write_1h_tokens,
            output_tokens=self.output_tokens + more.output_tokens,
            reasoning_tokens=self.reasoning_tokens + more.reasoning_tokens,
            source=more.source if self.source == "provider" else self.source,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one provider, successful or not."""

    model_id: str
    provider: str
    outcome: str
    """`ok`, or the `code` of the error."""
    status: int | None
    """HTTP status, or `None` when there was no answer."""
    latency_ms: int
    message: str = ""
    """Why it failed, in our words: a provider's own text may hold secrets."""
    usage: Usage | None = None
    """Of a failed try, what its provider says that it took all the same: that is paid for though nothing came of it."""


def in_all(usage: Usage, attempts: Iterable[Attempt]) -> Usage:
    """What a request took with its failed tries: the tokens behind its cost."""
    for each in attempts:
        usage = usage if each.usage is None else usage.plus(each.usage)
    return usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a provider answered."""

    message: Message
    finish_reason: FinishReason
    usage: Usage
    wire_model: str
    """The model id that the provider reports."""
    dropped: tuple[str, ...] = ()
    """Names of parameters that this model does not take and that were left out."""
    provider_request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """More text."""

    text: str
    logprobs: tuple[TokenChance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """More reasoning, or the signature that closes a block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """More of the tool call at `index`; `id` and `name` come with its first piece."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The end of a stream that ended well: always the last event, and always there."""

    finish_reason: FinishReason
    usage: Usage
    wire_model: str = ""
    dropped: tuple[str, ...] = ()
    provider_request_id: str | None = None


StreamEvent = TextDelta | ReasoningDelta | ToolCallDelta | Finished


# ---------------------------------------------------------------- price


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars of one call, exact; rounding happens once, when it is recorded."""

    input_usd: Decimal
    output_usd: Decimal
    basis: str
    """Which price row it rests on, such as `openai/gpt-4.1@2026-11-01`."""

    @property
    def total_usd(self) -> Decimal:
        """Input and output."""
        return self.input_usd + self.output_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What the same tokens would have cost on a baseline. Negative when the call was dearer."""

    baseline: str
    baseline_usd: Decimal
    output_usd: Decimal
    """The part of `baseline_usd` that is for output."""
    saved_usd: Decimal
    saved_pct: Decimal
    """Share of the baseline, in percent; 0 when the baseline costs nothing."""


# ---------------------------------------------------------------- record

CallStatus = Literal["in_flight", "ok", "partial", "cancelled", "error", "lost"]
"""`partial`: broke after content was delivered. `lost`: in flight when its process died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is written down before a provider is called, so that no paid call can vanish."""

    request_id: str
    caller: Caller
    started_at: datetime
    deadline_at: datetime
    """When the call must be over; an intent still in flight well after it is `lost`."""
    model_id: str
    provider: str
    category: Category
    level: Level
    strategy: Strategy
    confidence: float
    classifier_tier: str
    input_tokens: int
    """Estimate."""
    reserved_usd: Decimal | None
    """The maximum that this request can cost; `None` when the model has no price."""
    sandbox: bool
    decision: str
    """JSON of the choice, for `explain`; holds no prompt."""
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an intent ended."""

    request_id: str
    finished_at: datetime
    status: CallStatus
    model_id: str
    """The model that answered, or the last one that was tried."""
    provider: str
    usage: Usage
    """Of the try that answered, as the baselines; the failed ones of `attempts` have their own."""
    cost: Cost | None
    """Failed tries included; `None` when the model has no price."""
    gpt41_usd: Decimal
    baseline_usd: Decimal
    """The same tokens at the configured baseline model."""
    latency_ms: int
    first_token_ms: int | None
    attempts: tuple[Attempt, ...]
    error_code: str | None = None
    finish_reason: FinishReason | None = None


# ---------------------------------------------------------------- answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a caller has left of one kind of limit, by the limit that leaves least."""

    ceiling: int
    """Requests, tokens or nano-dollars, as `used` and `left`."""
    used: int
    """Reservations of running calls count."""
    left: int
    resets_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything that a face may tell about one request."""

    request_id: str
    completion: Completion
    classification: Classification
    choice: Choice
    model_id: str
    provider: str
    cost: Cost | None
    gpt41: Saving | None
    baseline: Saving | None
    versus_highest_pct: Decimal | None
    """Saving against the dearest eligible model, in percent."""
    attempts: tuple[Attempt, ...]
    latency_ms: int
    sandbox: bool
    truncated: bool = False
    """True when the deadline passed and the text is what had arrived by then."""
    recorded: bool = True
    """False when the books could not be written; the answer stands all the same."""
    left: Mapping[str, Left] | None = field(default=None, repr=False, compare=False)
    """Of the caller's plan and key, by the name of the limit, when this was recorded."""
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------- beside the path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambient:
    """Time and chance: what no step makes for itself, so that every step can be tested."""

    clock: Callable[[], datetime]
    """Aware UTC now."""
    monotonic: Callable[[], float]
    """Seconds that never go back."""
    uniform: Callable[[float, float], float]
    """A float between two bounds, for jitter."""
    randbelow: Callable[[int], int]
    """A whole number from 0 to below the bound, from a cryptographic source."""

    def request_id(self) -> str:
        """`req_` and 24 hexadecimal digits; never all `f`, since that bound has a bit more and each draw half a chance."""
        return f"req_{self.randbelow(16**24 - 1):024x}"
