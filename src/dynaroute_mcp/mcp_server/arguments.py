"""The arguments of the tools: what each takes, in the words that a model reads.

Free text is plain `str`, because the SDK tries to read JSON into anything else. A number that may be left out
is `int | None` inside and a plain integer in the schema: no client meets a null or a composition keyword
there.
"""

from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from dynaroute_mcp.errors import InvalidRequest, UnknownName
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import ChatRequest, Message, Parameters, Routing, Text

Json = dict[str, Any]  # Any: JSON Schema


def _optional(kind: str, description: str, **more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": kind, **more, "description": description})


Prompt = Annotated[str, Field(description="The text to answer")]
PromptToLabel = Annotated[str, Field(description="The text to classify")]
LevelOverride = Annotated[
    int | None,
    _optional("integer", "Skip classifying: 1 (easiest) to 5 (hardest)", minimum=1, maximum=5),
]
CategoryOverride = Annotated[
    str, Field(description="Category to assume instead of classifying, such as Code Generation")
]
System = Annotated[str, Field(description="System prompt")]
StrategyName = Annotated[
    Literal["cheapest", "balanced", "best"] | None,
    _optional("string", "What to favour", enum=["cheapest", "balanced", "best"]),
]
MaxTokens = Annotated[int | None, _optional("integer", "Most output tokens", minimum=1)]
MaxCost = Annotated[
    float | None, _optional("number", "Most US dollars that this call may cost", exclusiveMinimum=0)
]
DryRun = Annotated[bool, Field(description="Choose and explain, but call nobody")]

UserId = Annotated[str, Field(description="Owner of the key: a name or an e-mail address")]
ApiKey = Annotated[str, Field(description="The whole key, dr_…")]
ApiKeyOrId = Annotated[str, Field(description="The whole key, dr_…, or its id, key_…")]

ModelName = Annotated[str, Field(description="Any name of the model, such as GPT-4.1 or Claude 4.5 Sonnet")]
PromptTokens = Annotated[int, Field(description="Input tokens")]
CompletionTokens = Annotated[int, Field(description="Output tokens")]

Search = Annotated[str, Field(description="Words of a name")]
ProviderName = Annotated[str, Field(description="Such as openai")]
CapabilityName = Annotated[
    Literal["tools", "vision", "pdf", "json_mode", "json_schema", "reasoning"] | None,
    _optional(
        "string",
        "What it must be able to do",
        enum=["tools", "vision", "pdf", "json_mode", "json_schema", "reasoning"],
    ),
]
FitLevel = Annotated[
    int | None, _optional("integer", "Level that it must be good enough for", minimum=1, maximum=5)
]
AvailableOnly = Annotated[bool, Field(description="Only models that can be called right now")]
Detailed = Annotated[bool, Field(description="Also windows, capabilities, levels, status")]
Limit = Annotated[int, Field(description="Most models", ge=1, le=500)]


def to_request(  # one argument of the tool each
    prompt: str,
    *,
    system: str,
    level: int | None,
    category: str,
    strategy: str | None,
    max_tokens: int | None,
    max_cost_usd: float | None,
) -> ChatRequest:
    """Put a tool's arguments into a request.

    Raises:
        InvalidRequest: a value is out of its range; says which and what is allowed.
    """
    if max_tokens is not None and max_tokens < 1:
        raise InvalidRequest(f"max_tokens must be at least 1, not {max_tokens}", param="max_tokens")
    if max_cost_usd is not None and not 0 < max_cost_usd < float("inf"):
        raise InvalidRequest(f"max_cost_usd must be more than 0, not {max_cost_usd}", param="max_cost_usd")
    messages = [Message(role="user", parts=(Text(text=to_prompt(prompt)),))]
    if system:
        messages.insert(0, Message(role="system", parts=(Text(text=system),)))
    return ChatRequest(
        messages=tuple(messages),
        parameters=Parameters(max_tokens=max_tokens),
        routing=Routing(
            strategy=Strategy(strategy) if strategy else None,
            level_override=to_level(level, "level_override"),
            category_override=to_category(category),
            max_cost_usd=None if max_cost_usd is None else Decimal(str(max_cost_usd)),
        ),
    )


def to_prompt(prompt: str) -> str:
    """Return a prompt that says something.

    Raises:
        InvalidRequest: it is empty.
    """
    if not prompt.strip():
        raise InvalidRequest("the prompt is empty; say what you want answered", param="prompt")
    return prompt


def to_level(level: int | None, param: str) -> Level | None:
    """Read a level.

    Raises:
        InvalidRequest: it is not 1 to 5.
    """
    if level is None:
        return None
    if not Level.L1 <= level <= Level.L5:
        raise InvalidRequest(f"{param} must be 1 (easiest) to 5 (hardest), not {level}", param=param)
    return Level(level)


def to_category(name: str) -> Category | None:
    """Read a category's name, in any case; empty is none.

    Raises:
        UnknownName: there is no such category; offers the nearest three, then lists all.
    """
    wanted = name.strip().casefold()
    if not wanted:
        return None
    found = next((category for category in Category if category.casefold() == wanted), None)
    if found is None:
        by_folded = {category.casefold(): category for category in Category}
        near = [by_folded[folded] for folded in get_close_matches(wanted, by_folded, n=3, cutoff=0.5)]
        known = f"There are {len(Category)}: {', '.join(Category)}"
        raise UnknownName("category", name, near, known=known, param="category_override")
    return found
