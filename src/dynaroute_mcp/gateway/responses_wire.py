"""Bodies of requests in OpenAI's Responses API. Validated here, once; the policy is that of `wire`.

Nothing of an answer is kept, so that what names a kept one is refused with the reason; so is what runs at OpenAI.
"""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from dynaroute_mcp.gateway import wire
from dynaroute_mcp.gateway.substance import INPUT_SUBSTANCE
from dynaroute_mcp.types import Effort

_WHOLE: Final = "nothing of an answer is kept here: send the whole conversation as `input`"

REFUSED: Final = {
    "previous_response_id": f"names an answer that was kept; {_WHOLE}",
    "conversation": f"names a conversation that was kept; {_WHOLE}",
    "background": "is not supported; stream the answer instead",
    "prompt": "names a template that OpenAI keeps; send its text as `instructions` and `input`",
}
"""Fields that would change what the answer is, and can't be honoured."""

_ITEMS: Final = ("message", "function_call", "function_call_output", "reasoning")
_ROLES: Final = ("user", "assistant", "system", "developer")

CallId = Annotated[str, Field(min_length=1, max_length=200)]


class Said(wire.Wire):
    """A part of a conversation; what nobody knows of it is kept, to be named as left out."""

    model_config = ConfigDict(extra="allow")


def _by_content(value: object, field: str, example: str) -> object:
    if isinstance(value, dict) and not value.get(field):
        for given in ("file_id", "file_url"):
            if value.get(given):
                raise ValueError(f"what is at `{given}` can't be fetched from here; send {example}")
    return value


# ---------------------------------------------------------------- content


class TextPart(Said):
    """Plain text, of whoever speaks."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: object = None
    logprobs: object = None


class RefusalPart(Said):
    """A model's refusal in an earlier turn."""

    type: Literal["refusal"]
    refusal: str


class ImagePart(Said):
    """A picture: an http(s) address, or the picture itself as a data URL."""

    type: Literal["input_image"]
    image_url: wire.ImageAddress
    detail: Literal["auto", "low", "high", "original"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_content(cls, value: object) -> object:
        return _by_content(value, "image_url", "its address or content as `image_url`")


class FilePart(Said):
    """A file by content, such as a PDF."""

    type: Literal["input_file"]
    file_data: Annotated[str, Field(pattern=wire.DATA)]
    filename: Annotated[str, Field(max_length=255)] | None = None
    detail: object = None

    @model_validator(mode="before")
    @classmethod
    def _has_content(cls, value: object) -> object:
        return _by_content(value, "file_data", "the file as `file_data`, `data:application/pdf;base64,...`")


UserPart = Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]
ToolPart = Annotated[TextPart | ImagePart, Field(discriminator="type")]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


# ---------------------------------------------------------------- items


class _Item(Said):
    id: object = None
    status: object = None


class _Spoken(_Item):
    type: Literal["message"] | None = "message"
    phase: object = None


class SystemItem(_Spoken):
    """Instructions; `developer` is OpenAI's newer word for the same."""

    role: Literal["system", "developer"]
    content: str | wire.Listed[TextPart]


class UserItem(_Spoken):
    """What a person says."""

    role: Literal["user"]
    content: str | wire.Listed[UserPart]


class AssistantItem(_Spoken):
    """What a model said in an earlier turn."""

    role: Literal["assistant"]
    content: str | wire.Listed[AssistantPart]


class CallItem(_Item):
    """A tool call of an earlier turn."""

    type: Literal["function_call"]
    call_id: CallId
    name: wire.Name
    arguments: str
    extra_content: wire.ExtraContent | None = None


class OutputItem(_Item):
    """What a tool gave back."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: str | wire.Listed[ToolPart]


class SummaryPart(wire.Wire):
    """A text of reasoning."""

    text: str


class ReasoningItem(_Item):
    """A block of reasoning of an earlier turn, as an answer of this gateway has it."""

    type: Literal["reasoning"]
    summary: wire.Listed[SummaryPart] | None = None
    content: wire.Listed[SummaryPart] | None = None
    encrypted_content: str | None = None


def _known(value: object) -> object:
    """Say in plain words what an item can't be."""
    if not isinstance(value, dict):
        raise ValueError("send an object")  # noqa: TRY004 -- pydantic takes nothing else
    kind = value.get("type")
    if kind == "item_reference" or (kind is None and value.get("id") and "role" not in value):
        raise ValueError(
            f"an item reference names what was kept; {_WHOLE} "
            "(Vercel AI SDK: providerOptions: {openai: {store: false}})"
        )
    if kind not in (None, *_ITEMS):
        raise ValueError(
            f"`type` must be one of {', '.join(_ITEMS)}; what OpenAI's own tools left can't be shown to others"
        )
    if kind in (None, "message") and value.get("role") not in _ROLES:
        raise ValueError(f"`role` must be one of {', '.join(_ROLES)}")
    return value


def _kind(value: object) -> str:
    assert isinstance(value, dict), "checked before"
    role = value["role"] if value.get("type") in (None, "message") else None
    return str({"developer": "system"}.get(role, role) if role else value["type"])


Item = Annotated[
    Annotated[SystemItem, Tag("system")]
    | Annotated[UserItem, Tag("user")]
    | Annotated[AssistantItem, Tag("assistant")]
    | Annotated[CallItem, Tag("function_call")]
    | Annotated[OutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_kind),
    BeforeValidator(_known),
]


# ---------------------------------------------------------------- tools and format


def _function(value: object) -> object:
    if isinstance(value, dict) and value.get("type") not in (None, "function"):
        raise ValueError(
            "only tools of type `function` can go to every provider; OpenAI's hosted and custom tools "
            "(web_search, file_search, code_interpreter, computer, mcp, image_generation, custom) can't: "
            "leave them out, or give the model a function of your own "
            "(Codex: web_search = 'disabled' and features.multi_agent = false)"
        )
    return value


class FunctionTool(wire.Wire):
    """A function that the model may call."""

    model_config = ConfigDict(extra="allow")

    type: Literal["function"]
    name: wire.Name
    description: str | None = None
    parameters: dict[str, object] | None = None
    strict: bool | None = None


class NamedTool(wire.Wire):
    """The one tool that must be called."""

    type: Literal["function"]
    name: wire.Name


class SchemaFormat(wire.JsonSchema):
    """JSON of a given schema."""

    type: Literal["json_schema"]


class TextOptions(wire.Wire):
    """The form of the answer."""

    format: Annotated[wire.PlainFormat | SchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(wire.Wire):
    """How hard to think. What a provider shows of it comes as a summary, whatever is asked for here."""

    effort: Effort | None = None
    summary: object = None


# ---------------------------------------------------------------- the body


class ResponsesBody(wire.Asked):
    """The body of `POST /v1/responses`: OpenAI's fields, and those of the router."""

    input: (
        Annotated[str, Field(pattern=r"\S")]
        | Annotated[
            list[Item],
            Field(
                min_length=1,
                max_length=wire.MAX_MESSAGES,
                fail_fast=True,
                json_schema_extra=INPUT_SUBSTANCE,
            ),
        ]
    )
    """What to answer: a text, or the whole conversation."""
    instructions: str | None = None
    max_output_tokens: wire.Tokens | None = None
    tools: (
        Annotated[list[Annotated[FunctionTool, BeforeValidator(_function)]], Field(max_length=wire.MAX_TOOLS)]
        | None
    ) = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: wire.Listed[str] | None = None
    """Reasoning comes encrypted whether or not it is named here."""
    truncation: Literal["auto", "disabled"] | None = None
    """What is too long is refused, not cut."""
    top_logprobs: Annotated[int, Field(ge=0, le=20), BeforeValidator(wire.integral)] | None = None
    metadata: dict[str, object] | None = None
    """Comes back with the answer."""
    store: bool | None = None
    """Nothing is kept, whatever it says."""

    @field_validator("input", mode="before")
    @classmethod
    def _is_text_or_items(cls, value: object) -> object:
        if not isinstance(value, str | list) or value == []:
            raise ValueError("send a text, or an array of items")
        return value
