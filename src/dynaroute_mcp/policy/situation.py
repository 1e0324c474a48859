"""Everything that a choice depends on, as values: nothing else is looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from dynaroute_mcp.catalog import Capability, Catalog
from dynaroute_mcp.health import Condition
from dynaroute_mcp.overcount import Overcount
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import (
    NO_PREFERENCES,
    ChatRequest,
    Classification,
    Document,
    Effort,
    Image,
    Message,
    Preferences,
    ToolCall,
    ToolResult,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The model that a conversation is on, whose prompt cache still holds what was said."""

    model_id: str
    warm_tokens: int
    """Prompt tokens that the next turn will find in its cache, as the last answer's usage showed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What answers of one category and level took so far, from the user's own calls."""

    visible_tokens: int
    """Output without reasoning."""
    reasoning_tokens: int
    """Of models that think."""
    calls: int
    thinking_calls: int
    """Those of them whose model thought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One request and the world it comes into."""

    catalog: Catalog
    classification: Classification
    request: ChatRequest
    input_tokens: int
    """Estimate of the whole prompt, tools and history included."""
    marked_tokens: int = 0
    """Of those, the ones up to the last mark of what is to be cached."""
    strategy: Strategy
    usable: frozenset[str]
    """Ids of providers that can be called."""
    at: datetime
    settings: Settings
    cooling: Mapping[str, float] = field(default_factory=dict)
    """Seconds that models and providers (by id) must still be left alone."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    """How models did lately, and providers that fail as a whole, by id."""
    usd_left: Decimal | None = None
    """What the tightest budget leaves for this request; `None` without one."""
    priced_only: bool = False
    """Models without a known price must not be called."""
    overcounts: Mapping[str, Overcount] = field(default_factory=dict)
    """Of models whose provider was seen to count more than was thought possible, by id."""
    preferences: Preferences = NO_PREFERENCES
    """Of the caller's key."""
    allowed: tuple[str, ...] = ()
    """The only models and providers that the caller's key may use; empty allows all."""
    unreadable: frozenset[str] = frozenset()
    """Providers whose own key, which the caller's key brings along, can't be read."""
    pin: Pin | None = None
    learnt: Mapping[tuple[Category, Level], Expectation] = field(default_factory=dict)

    @property
    def ceiling_usd(self) -> Decimal | None:
        """The most that this request may cost."""
        ceilings = [usd for usd in (self.request.routing.max_cost_usd, self.usd_left) if usd is not None]
        return min(ceilings, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a request asks of any model that answers it."""

    capabilities: frozenset[Capability]
    forced_tool: bool
    """A tool must be called, or a named one."""
    prefill: bool
    """The last message is the assistant's, to be continued."""
    effort: Effort | None


def needs(request: ChatRequest) -> Needs:
    """Read off a request what it cannot do without."""
    capabilities: set[Capability] = set()
    if request.tools or any(_has_tool_traffic(message) for message in request.messages):
        capabilities.add("tools")
    if any(_has_image(message) for message in request.messages):
        capabilities.add("vision")
    if any(isinstance(part, Document) for message in request.messages for part in message.parts):
        capabilities.add("pdf")
    wanted = request.response_format.kind if request.response_format else "text"
    if wanted == "json":
        capabilities.add("json_mode")
    elif wanted == "schema":
        capabilities.add("json_schema")
    return Needs(
        capabilities=frozenset(capabilities),
        forced_tool=request.tool_choice is not None and request.tool_choice.mode in {"required", "named"},
        prefill=bool(request.messages) and request.messages[-1].role == "assistant",
        effort=request.parameters.reasoning_effort,
    )


def _has_tool_traffic(message: Message) -> bool:
    return any(isinstance(part, ToolCall | ToolResult) for part in message.parts)


def _has_image(message: Message) -> bool:
    return any(
        isinstance(part, Image)
        or (isinstance(part, ToolResult) and any(isinstance(piece, Image) for piece in part.parts))
        for part in message.parts
    )
