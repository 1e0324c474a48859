"""Bodies of chat requests, as OpenAI writes them. Validated here, once; what is behind it trusts them.

Every field has a policy: it is mapped, refused with the reason (`REFUSED`), or left out and named in
`dropped_params`. Numbers are strict (no booleans, no strings) and bounded. An address to call is never among
them.
"""

from difflib import get_close_matches
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dynaroute_mcp.gateway.substance import SUBSTANCE
from dynaroute_mcp.taxonomy import Category, Strategy
from dynaroute_mcp.types import Effort

MAX_MESSAGES: Final = 4_096
MAX_TOOLS: Final = 512
MAX_TOKENS: Final = 1_000_000
MAX_TIMEOUT_S: Final = 3_600.0

REFUSED: Final = {
    "functions": "is the retired form of `tools`; send `tools`",
    "function_call": "is the retired form of `tool_choice`; send `tool_choice`",
    "audio": "is not supported: answers are text",
    "web_search_options": "is not supported; search with a tool of your own",
    "background": "is not supported; stream the answer instead",
}
"""Fields that would change what the answer is, and can't be honoured."""

DATA: Final = r"^data:[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(;[A-Za-z0-9.+=-]+)*;base64,"
IMAGE: Final = r"^(https?://[!-~]|data:image/[A-Za-z0-9.+-]+;base64,[A-Za-z0-9+/=])"
NAME: Final = r"^[a-zA-Z0-9_.:-]{1,128}$"
SCHEMA_NAME: Final = r"^[a-zA-Z0-9_-]{1,64}$"

ImageAddress = Annotated[str, Field(pattern=IMAGE)]
Name = Annotated[str, Field(pattern=NAME)]
_T = TypeVar("_T")
Listed = Annotated[list[_T], Field(fail_fast=True)]
"""A list that is read up to its first fault: millions of faults would take gigabytes to be told."""
Speaker = Annotated[str, Field(max_length=200)] | None
Label = Annotated[str, Field(max_length=1_000)] | None


def integral(value: object) -> object:
    """Take 100.0 for 100: to JSON they are one number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _one(value: object) -> object:
    number = integral(value)
    if type(number) is int and number != 1:
        raise ValueError("a request has one answer; leave `n` out, and send the request again for another")
    return number


def category_named(value: object) -> object:
    """Take a category in any case of letters."""
    if not isinstance(value, str):
        return value
    wanted, known = value.strip().casefold(), {each.casefold(): each for each in Category}
    if wanted in known:
        return known[wanted]
    near = get_close_matches(wanted[:_LONGEST_CATEGORY], known, n=1, cutoff=0.5)
    offer = f"; did you mean {known[near[0]]}?" if near else "."
    raise ValueError(f"there is no such category{offer} There are: {', '.join(Category)}")


_LONGEST_CATEGORY: Final = max(map(len, Category))


Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS), BeforeValidator(integral)]
LevelNumber = Annotated[int, Field(ge=1, le=5), BeforeValidator(integral)]
CategoryName = Annotated[Category, BeforeValidator(category_named)]
StrategyName = Literal["cheapest", "balanced", "best", "price-optimized", "output-optimized"]


class Wire(BaseModel):
    """A part of a body. Numbers and booleans are taken as what they are, never converted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class CacheControl(Wire):
    """A wish that the prompt be cached up to here, in Anthropic's words."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    """Without one, five minutes."""


Marked = Annotated[CacheControl | object, Field(union_mode="left_to_right")]
"""Other words for it are left out and named: it is only a wish."""


class Said(Wire):
    """A part of a conversation; what nobody knows of it is kept, to be named as left out."""

    model_config = ConfigDict(extra="allow")

    cache_control: Marked = None


# ---------------------------------------------------------------- content


class TextPart(Said):
    """Plain text."""

    type: Literal["text"]
    text: str


class ImageUrl(Wire):
    """Where a picture is: an http(s) address, or the picture itself as a data URL."""

    url: ImageAddress
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Said):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageAddress | ImageUrl
    """OpenAI has the object only; Mistral and others take the address alone too."""


class FileContent(Wire):
    """A file by content. Files kept at a provider (`file_id`) can't be reached from here."""

    file_data: Annotated[str, Field(pattern=DATA)]
    filename: Annotated[str, Field(max_length=255)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_content(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("file_id") and not value.get("file_data"):
            raise ValueError(
                "a file that a provider keeps (`file_id`) can't be reached from here; "
                "send it whole as `file_data`, such as `data:application/pdf;base64,...`"
            )
        return value


class FilePart(Said):
    """A file, such as a PDF."""

    type: Literal["file"]
    file: FileContent


class RefusalPart(Said):
    """A model's refusal in an earlier turn."""

    type: Literal["refusal"]
    refusal: str


UserPart = Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]
ToolPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


# ---------------------------------------------------------------- messages


class SystemMessage(Said):
    """Instructions; `developer` is OpenAI's newer word for the same."""

    role: Literal["system", "developer"]
    content: str | Listed[TextPart]
    name: Speaker = None


class UserMessage(Said):
    """What a person says."""

    role: Literal["user"]
    content: str | Listed[UserPart]
    name: Speaker = None


class CalledFunction(Wire):
    """A function with its arguments, as the model wrote them."""

    name: Name
    arguments: str


class GoogleExtra(Wire):
    """Google's proof of the thought behind a tool call, to be sent back unchanged."""

    thought_signature: str | None = None


class ExtraContent(Wire):
    """What a provider wants back with a tool call."""

    google: GoogleExtra | None = None


class CalledTool(Said):
    """A tool call of an earlier turn."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    type: Literal["function"] = "function"
    function: CalledFunction
    extra_content: ExtraContent | None = None
    index: object = None
    """Its place in a stream, which a whole call has no use for."""


class ReasoningDetail(Wire):
    """A block of reasoning of an earlier turn, as an answer of this gateway has it."""

    type: str = "reasoning.text"
    text: str = ""
    signature: str | None = None
    data: str | None = None
    provider: str | None = None


class AssistantMessage(Said):
    """What a model said in an earlier turn."""

    role: Literal["assistant"]
    content: str | Listed[AssistantPart] | None = None
    name: Speaker = None
    refusal: str | None = None
    tool_calls: Listed[CalledTool] | None = None
    reasoning_content: str | None = None
    """Text of `reasoning_details`, which win; it says not who wrote it."""
    reasoning_details: Listed[ReasoningDetail] | None = None


class ToolMessage(Said):
    """What a tool gave back."""

    role: Literal["tool"]
    tool_call_id: Annotated[str, Field(min_length=1, max_length=200)]
    content: str | Listed[ToolPart]


AnyMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


# ---------------------------------------------------------------- tools and format


class Function(Wire):
    """A function that the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None
    cache_control: Marked = None


class ToolSpec(Wire):
    """A tool."""

    type: Literal["function"]
    function: Function
    cache_control: Marked = None


class NamedFunction(Wire):
    """A function by name."""

    name: Name


class NamedTool(Wire):
    """The one tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Wire):
    """The schema that an answer must have."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", protected_namespaces=())

    name: Annotated[str, Field(pattern=SCHEMA_NAME)] = "answer"
    description: str | None = None
    schema_: Annotated[dict[str, object], Field(alias="schema")]
    strict: bool | None = None


class PlainFormat(Wire):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class SchemaFormat(Wire):
    """JSON of a given schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(Wire):
    """How a stream tells its usage."""

    include_usage: bool | None = None


# ---------------------------------------------------------------- the body


class Asked(Wire):
    """What the bodies of OpenAI's APIs have in common, and the fields of the router."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(max_length=200)] | None = None
    """A model by any of its names; `auto`, `router` or nothing lets the router choose."""
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    parallel_tool_calls: bool | None = None
    user: Label = None
    safety_identifier: Label = None
    prompt_cache_key: Label = None

    level_override: LevelNumber | None = None
    """Skip the classification of difficulty; 5 is hardest."""
    category_override: CategoryName | None = None
    """One of the 31 categories, in any case of letters."""
    strategy: StrategyName | None = None
    request_timeout: Annotated[float, Field(ge=1, le=MAX_TIMEOUT_S)] | None = None
    """Seconds for the whole request; by default the operator's `calls.total_s`, which is 720."""
    session_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Keeps a conversation on its model."""
    budget_dollars: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """Most that this one request may cost."""
    exclude_models: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=200)] | None = (
        None
    )
    """Models or providers never to choose."""


class ChatBody(Asked):
    """The body of `POST /v1/chat/completions`: OpenAI's fields, and those of the router."""

    messages: Annotated[
        list[AnyMessage], Field(min_length=1, max_length=MAX_MESSAGES, json_schema_extra=SUBSTANCE)
    ]
    stream_options: StreamOptions | None = None

    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    top_k: Annotated[int, Field(ge=1, le=1_000), BeforeValidator(integral)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), BeforeValidator(integral)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), BeforeValidator(integral)] | None = None
    n: Annotated[int, Field(ge=1, le=1), BeforeValidator(_one)] | None = None
    """One answer per request; ask again for another."""
    modalities: Listed[Literal["text"]] | None = None
    """Answers are text."""
    tools: Annotated[list[ToolSpec], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    response_format: Annotated[PlainFormat | SchemaFormat, Field(discriminator="type")] | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    store: bool | None = None
    """Keep the answer at the provider, if it is one that does."""
    metadata: dict[str, object] | None = None
    """Labels of an answer that is kept at the provider: 16 texts at most."""


STRATEGIES: Final = {
    **{each.value: each for each in Strategy},
    "price-optimized": Strategy.CHEAPEST,
    "output-optimized": Strategy.BEST,
}
