"""What models there are, what each is good for, what it costs and how it wants to be called.

The YAML files of `catalog/` become one frozen `Catalog`; a user's overlay adds to it or corrects it. Every name
that people use for a model resolves here. It knows no keys, no health and no clock.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dynaroute_mcp.types import Effort

Dialect = Literal["openai", "anthropic", "gemini", "sandbox"]
Capability = Literal["tools", "vision", "pdf", "json_mode", "json_schema", "reasoning"]
Skill = Literal["text", "coding", "math", "creative", "instructions", "longer"]
Status = Literal["active", "deprecated", "retired"]
"""`deprecated` still answers but has a date of retirement; `retired` is kept for pricing and never routed."""


class Row(BaseModel):
    """A row of a catalog file: unknown fields are errors, and nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Provider(Row):
    """A service that answers in one of the known dialects."""

    id: str
    name: str
    dialect: Dialect
    base_url: str
    """Up to and without the dialect's own path: `https://api.openai.com/v1`."""
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key; the first one that is set counts."""
    base_url_env: str | None = None
    keyless: bool = False
    """True for servers on loopback that take no key."""
    usage_in_stream: bool = True
    """The OpenAI dialect's `stream_options.include_usage` is understood."""
    models_path: str = "/models"
    """Where it lists its models, below `base_url`."""
    source: str


class Constraints(Row):
    """What this model does not take, or takes only in its own way. Flags, never patterns over names."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    sampling: bool = True
    """Takes `temperature`, `top_p` and `top_k` at all."""
    efforts: tuple[Effort, ...] = ()
    """Reasoning efforts that it takes; empty when effort cannot be set."""
    thinking: Literal["none", "effort", "budget", "adaptive"] = "none"
    """How reasoning is asked for: OpenAI's `effort`, Anthropic's or Gemini's token `budget`, Anthropic's `adaptive`."""
    thinking_always_on: bool = False
    tools_need_effort_none: bool = False
    """Chat completions take tools only with effort `none`."""
    tools_need_responses: bool = False
    """Tools are taken by the Responses API only."""
    forced_tool_choice: bool = True
    prefill: bool = True
    """A last message of the assistant's may be continued."""
    stop_sequences: bool = True
    seed: bool = True
    parallel_tool_calls: bool = True
    min_cacheable_tokens: int | None = None


class Rating(Row):
    """A public rating of one skill."""

    value: Annotated[float, Field(ge=0, le=1)]
    """On our common scale; `skills.yaml` says how a source's figure becomes it."""
    source: str
    as_of: date


class Model(Row):
    """One model at one provider."""

    id: str
    """Canonical id, `provider/wire-id`, LiteLLM's way."""
    provider: str
    wire_id: str
    """What the provider calls it."""
    name: str
    aliases: tuple[str, ...] = ()
    family: str
    status: Status = "active"
    retires_at: date | None = None
    replacement: str | None = None
    context_tokens: Annotated[int, Field(gt=0)]
    max_output_tokens: Annotated[int, Field(gt=0)]
    capabilities: frozenset[Capability] = frozenset()
    constraints: Constraints = Constraints()
    quality: Mapping[Skill, Rating] = {}
    free: bool = False
    """Costs nothing by design (a local server), which is not the same as an unknown price."""
    source: str


class Plan(Row):
    """What a tier may use; `None` is unlimited."""

    id: str
    name: str
    requests_per_minute: int | None
    requests_per_day: int | None
    usd_per_month: Decimal | None
    tokens_per_month: int | None
