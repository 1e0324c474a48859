"""The rows of the catalog files: what a model, a provider, a price, a plan and a rule of the ladder are.

Every row is frozen, knows no unknown field and bounds every text and number, because a user's overlay is
validated by the same classes. Prices are dollars per million tokens.
"""

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import Effort

Dialect = Literal["openai", "anthropic", "gemini", "sandbox"]
Capability = Literal["tools", "vision", "pdf", "json_mode", "json_schema", "reasoning"]
Skill = Literal["text", "hard", "expert", "instructions", "coding", "math", "creative", "longer"]
Status = Literal["active", "deprecated", "retired"]
"""`deprecated` still answers but has a date of retirement; `retired` is kept for pricing and never routed."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Extra = Literal["user", "safety_identifier", "prompt_cache_key", "store", "logit_bias", "logprobs", "name"]
"""What some providers of OpenAI's dialect take and others answer with a 400; it changes neither price nor choice."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text on one line")
    return text


def _ending(end: str, purpose: str) -> AfterValidator:
    def check(name: str) -> str:
        if not name.endswith(end):
            raise ValueError(f"must end in {end}; no other variables are read for {purpose}")
        return name

    return AfterValidator(check)


Name = Annotated[str, Field(min_length=1, max_length=120), AfterValidator(_printable)]
Note = Annotated[str, Field(max_length=500), AfterValidator(_printable)]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Tokens = Annotated[int, Field(gt=0, le=1_000_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]


class Row(BaseModel):
    """A row of a catalog file: unknown fields are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Provider(Row):
    """A service that answers in one of the known dialects."""

    id: Name
    name: Name
    dialect: Dialect
    base_url: Name
    """Up to and without the dialect's own path: `https://api.openai.com/v1`."""
    prefix: Name | None = None
    """What stands before the wire id in a model's id, LiteLLM's way; `None` is the provider's own id."""
    aliases: tuple[Name, ...] = ()
    """What other tools call it: as good as its id wherever a name is asked for."""
    key_env: tuple[Annotated[Name, _ending("_API_KEY", "keys")], ...] = ()
    """Environment variables that may hold the key; the first one that is set counts."""
    base_url_env: Annotated[Name, _ending("_BASE_URL", "addresses")] | None = None
    keyless: bool = False
    """True for servers on loopback that take no key, and for the sandbox."""
    usage_in_stream: bool = True
    """The OpenAI dialect's `stream_options.include_usage` is understood."""
    takes_reasoning: bool = False
    """Takes `reasoning_content` of earlier turns, whoever wrote it: its thinking models demand it beside tool calls."""
    takes: frozenset[Extra] = frozenset()
    """Parameters of chat completions beyond the usual; `store` stands for `metadata` too, `logprobs` for `top_logprobs`,
    `name` for that of a message."""
    seed_field: Literal["seed", "random_seed"] = "seed"
    short_call_ids: bool = False
    """Takes ids of tool calls of nine letters and digits alone."""
    strict_turns: bool = False
    """Wants an answer between a tool's result and the user's next words, and an answer to be continued marked as such."""
    models_path: str = "/models"
    """Where it lists its models, below `base_url`."""
    source: Note

    @property
    def caches_on_demand(self) -> bool:
        """Whether it caches only what a request marks; others cache by themselves, or not at all."""
        return self.dialect == "anthropic"


class Constraints(Row):
    """What this model does not take, or takes only in its own way. Flags, never patterns over names."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sampling: bool = True
    """Takes `temperature`, `top_p` and `top_k` at all."""
    efforts: tuple[Effort, ...] = ()
    """Reasoning efforts that it takes; empty when effort cannot be set."""
    thinking: Literal["none", "effort", "budget", "adaptive"] = "none"
    """How reasoning is asked for: OpenAI's `effort`, Anthropic's or Gemini's token `budget`, Anthropic's `adaptive`."""
    thinking_by_default: bool = False
    """It reasons when nobody asks, so its answers cost reasoning tokens."""
    thinking_always_on: bool = False
    tools_need_effort_none: bool = False
    """Chat completions take tools only with effort `none`."""
    tools_need_responses: bool = False
    """Tools are taken by the Responses API only."""
    needs_responses: bool = False
    """The model answers on the Responses API only."""
    forced_tool_choice: bool = True
    prefill: bool = True
    """A last message of the assistant's may be continued."""
    stop_sequences: bool = True
    penalties: bool = True
    """Takes `presence_penalty` and `frequency_penalty`."""
    json_with_tools: bool = True
    """A form of the answer may be asked for beside tools."""
    seed: bool = True
    parallel_tool_calls: bool = True
    min_cacheable_tokens: int | None = None


class Rating(Row):
    """A public rating of one skill."""

    value: Share
    """On our common scale; `skills.yaml` says how a source's figure becomes it."""
    source: Note
    as_of: date
    estimated: bool = False
    """True when it is another model's rating, taken over for the reason that `source` gives."""


class Model(Row):
    """One model at one provider."""

    id: Name
    """Canonical id, `prefix/wire-id`, LiteLLM's way."""
    provider: Name
    wire_id: Name
    """What the provider calls it."""
    name: Name
    aliases: tuple[Name, ...] = ()
    family: Name
    status: Status = "active"
    released_at: date | None = None
    retires_at: date | None = None
    replacement: Name | None = None
    context_tokens: Tokens
    """The whole window: prompt and answer together."""
    max_input_tokens: Tokens | None = None
    """Set when the prompt alone has a lower bound than the window."""
    max_output_tokens: Tokens
    capabilities: frozenset[Capability] = frozenset()
    profile: Name | None = None
    """The set of constraints in `profiles` that its family shares."""
    constraints: Constraints = Constraints()
    quality: Mapping[Skill, Rating] = {}
    free: bool = False
    """Costs nothing by design (a local server), which is not the same as an unknown price."""
    source: Note
    note: Note = ""
    unlisted: SkipJsonSchema[bool] = False
    """Set while a process runs: its provider does not list it any more, so that it counts as retired."""

    def standing(self, on: date) -> str:
        """Its status on a day, in words for people."""
        if self.unlisted:
            return "no longer listed by its provider"
        return "retired" if self.retired(on) else self.status

    def retired(self, on: date) -> bool:
        """Tell whether it no longer answers on this day."""
        return self.status == "retired" or (self.retires_at is not None and on >= self.retires_at)


class UsdPerMtok(Row):
    """Dollars per million tokens; a bucket without a rate of its own is billed as plain input."""

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write_5m: Dollars | None = None
    cache_write_1h: Dollars | None = None


class Tier(Row):
    """Rates for the whole request once its prompt is longer than `above_tokens`."""

    above_tokens: Tokens
    usd_per_mtok: UsdPerMtok


class RateTable(Row):
    """Rates, and those for longer prompts."""

    usd_per_mtok: UsdPerMtok
    tiers: tuple[Tier, ...] = ()
    """By rising `above_tokens`; the last one that the prompt passes counts."""


class Calendar(Row):
    """Hours of the week in which a provider charges a multiple of its rates."""

    multiplier: Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False)]
    hours_utc: tuple[tuple[time, time], ...]
    """From (included) to (excluded), on the same day."""
    days: frozenset[Weekday]
    except_dates: frozenset[date] = frozenset()
    """Days in UTC that count as off-peak altogether, such as public holidays."""
    source: Note


class Price(RateTable):
    """What a model costs from a day on, until a later row of the same model."""

    model: Name
    valid_from: Annotated[date, Field(alias="from")]
    """First day (UTC) on which these rates are known to hold."""
    calendar: Name | None = None
    batch: RateTable | None = None
    """Rates of a batch call; `None` when the provider offers none or they are unknown."""
    source: Note
    checked: date


class Override(Row):
    """A price that is right although another list has a different one."""

    model: Name
    what: Name | None = None
    """The price as the check calls it, such as `cache read, batch`; `None` forgives all of the model's."""
    reason: Note
    expires: date
    """From this day on the difference counts again."""


class Baseline(Row):
    """A model's list price, frozen, so that a saving never moves when a vendor withdraws the model."""

    id: Name
    name: Name
    aliases: tuple[Name, ...] = ()
    usd_per_mtok: UsdPerMtok
    source: Note
    as_of: date


class Plan(Row):
    """What a tier may use; `None` is unlimited."""

    id: Name
    name: Name
    requests_per_minute: Annotated[int, Field(gt=0)] | None
    requests_per_day: Annotated[int, Field(gt=0)] | None
    usd_per_month: Dollars | None
    tokens_per_month: Annotated[int, Field(gt=0)] | None


class Ladder(Row):
    """What each level demands, and what an answer is expected to take before anything was learnt."""

    demand: Mapping[Level, Share]
    """Quality that a level asks for, on the scale of `skills.yaml`; rising."""
    below_first: Share
    """What `cheapest` asks for at level 1."""
    quantile: Mapping[Strategy, Share]
    """The level demanded is this quantile of the level distribution."""
    neutral_difficulty: Mapping[Level, Share] = {}
    """Difficulty that is usual at a level and shifts nothing; a level without one ignores difficulty."""
    hardest_difficulty: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Difficulty from which a prompt asks for the whole half step more; above every usual one."""
    output_tokens: Mapping[Level, Tokens]
    """Prior of the visible answer's length."""
    output_factor: Mapping[Category, Annotated[float, Field(gt=0, le=10)]]
    """A category's share of that prior."""
    reasoning_tokens: Mapping[Level, Tokens]
    """Prior of the hidden reasoning of a model that thinks, at its default effort."""
    effort_factor: Mapping[Effort, Annotated[float, Field(ge=0, le=10)]]
    """How an asked effort changes that prior."""
    unrated_local: Share = 0.0
    """Quality of a free model on this machine that no board rates."""
    input_margin: Annotated[float, Field(ge=1, le=2)]
    """Factor on the estimated prompt where an upper bound is needed."""
    window_share: Share
    """Share of a context window that prompt and expected answer may fill; the rest covers estimates."""
    expected_turns: Annotated[int, Field(gt=0)]
    """How many more turns a conversation is expected to have when a move is weighed."""
    fallbacks: Annotated[int, Field(ge=0, le=20)]
    """How many models stand behind the winner."""
    lost_second_usd: Dollars = Decimal(0)
    """What a second is worth that a failed try takes, when a failing model is weighed against a dearer one."""
    failing_quality: Share = 0.0
    """Quality that `best` gives up for not asking a model that always fails; in proportion for one that does less."""
    near_cost: Share = 0.0
    """Share by which expected costs may differ and still be taken as equal."""
    learnt_after: Annotated[int, Field(gt=0)]
    """How many own calls of a category and level replace the prior of its output."""

    def expected_output_tokens(self, category: Category, level: Level) -> int:
        """Visible answer's expected length in tokens."""
        return max(1, round(self.output_tokens[level] * self.output_factor[category]))
