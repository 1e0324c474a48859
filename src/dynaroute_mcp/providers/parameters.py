"""Fits a request to a dialect and a model.

`settle` applies the table in `verdicts` and the model's own constraints (catalog flags, never names) and gives back
the request as this model takes it, with the names of what was left out or weakened. A translation then puts all that
is left into words and decides nothing.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from dynaroute_mcp.catalog import Model
from dynaroute_mcp.providers import call_ids, failure
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.conversation import lacks_thought
from dynaroute_mcp.providers.marks import unmarked
from dynaroute_mcp.providers.verdicts import EXTRAS, NEEDS, TABLE, Wording
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Effort,
    Image,
    Message,
    Parameters,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)

_UNSET = Parameters()
_PARAMETERS = tuple(Parameters.__dataclass_fields__)
_EFFORTS: tuple[Effort, ...] = get_args(Effort)
_SAMPLING = ("temperature", "top_p", "top_k")
_SPEAKER = re.compile("[a-zA-Z0-9_-]{1,64}")
"""What OpenAI takes as the name of a message (github.com/FlowiseAI/Flowise/issues/2948, read 2026-11)."""
_AS_JSON = "Answer with one JSON object and nothing else."
_CLAUDE_HOTTEST = 1.0
_MIN_BUDGET = 1_024
# Tokens of thinking per effort, for models that are asked by budget. Within Gemini 2.5's range of 0 to 24,576
# (ai.google.dev/gemini-api/docs/thinking) and Anthropic's least of 1,024 (extended-thinking guide), both 2026-11.
_BUDGETS: Mapping[Effort, int] = {
    "none": 0,
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 24_576,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A request as one model takes it."""

    request: ChatRequest
    """Holds only what is to be sent."""
    dropped: tuple[str, ...]
    """Names of what was left out or weakened, sorted."""
    thinking_budget: int | None = None
    """Tokens, when this model is asked to think by budget; 0 turns thinking off."""


def settle(call: Call, wording: Wording) -> Settled:
    """Fit a request to a dialect and a model.

    Raises:
        ProviderRefusedRequest: a part of it can neither be sent nor be left out.
    """
    fitting = _Fitting(call, wording)
    fitting.refuse()
    fitting.fit_roles()
    fitting.fit_messages()
    fitting.fit_calls()
    fitting.fit_tools()
    fitting.fit_format()
    fitting.fit_effort()
    fitting.fit_parameters()
    return Settled(
        request=fitting.request,
        dropped=tuple(sorted(fitting.dropped | fitting.weakened)),
        thinking_budget=fitting.budget,
    )


def asked(request: ChatRequest) -> frozenset[str]:
    """Names of the table's rows that a request makes use of."""
    values = request.parameters
    names = set[str]()
    if values != _UNSET:
        names |= {name for name in _PARAMETERS if getattr(values, name) not in (None, (), {})}
    if values.n == 1:
        names.discard("n")
    parts = [part for message in request.messages for part in message.parts]
    inner = [part for result in parts if isinstance(result, ToolResult) for part in result.parts]
    present = {
        "tools": bool(request.tools),
        "tool_choice": request.tool_choice is not None and request.tool_choice.mode != "auto",
        "response_format": request.response_format is not None and request.response_format.kind != "text",
        "images": any(isinstance(part, Image) for part in [*parts, *inner]),
        "documents": any(isinstance(part, Document) for part in parts),
        "reasoning": any(isinstance(part, Reasoning) for part in parts),
        "prefill": bool(request.messages) and request.messages[-1].role == "assistant",
        "messages[].name": any(message.name for message in request.messages),
        "cache_control": bool(request.cache_ttls),
    }
    return frozenset(names | {name for name, is_there in present.items() if is_there})


_AS_THEY_ARE = (Text, ToolCall, ToolResult)
"""Parts that no model's limits change."""


class _Fitting:
    """The steps of `settle`, in their order."""

    def __init__(self, call: Call, wording: Wording) -> None:
        self.call = call
        self.wording = wording
        self.model: Model = call.model
        self.flags = call.model.constraints
        self.asked = asked(call.request)
        self.request = call.request
        self.budget: int | None = None
        self.dropped = {name for name in self.asked if not self._known(name)}
        self.weakened: set[str] = set()
        """What is sent, but not as it was asked for."""

    def _known(self, name: str) -> bool:
        needed = EXTRAS.get(name)
        taken = needed is None or needed in self.call.endpoint.provider.takes
        return taken and TABLE[name][self.wording] != "dropped"

    def refuse(self) -> None:
        for name in sorted(self.asked):
            if TABLE[name][self.wording] == "refused":
                raise failure.refused(self.call, f"{name}: ask for one answer at a time")
        if self._keeps("images") and "vision" not in self.model.capabilities:
            raise failure.refused(self.call, "images: the model sees none; choose one with vision")
        if self._keeps("prefill") and not self.flags.prefill:
            raise failure.refused(self.call, "messages: the last one must not be the assistant's")
        if self._keeps("tools") and "tools" not in self.model.capabilities:
            raise failure.refused(self.call, "tools: the model takes none; choose one with tools")

    def fit_roles(self) -> None:
        """Let the user say the last word of a talk in which the system alone speaks.

        Anthropic and Gemini, which keep the system's words apart, would be asked nothing, which is a 400
        (arthur-ai/arthur-engine#1302, 2026-02-19; langchain-ai/langchain-google#1298, 2025-11-09).
        """
        messages = self.request.messages
        if self.wording in {"anthropic", "gemini"} and {message.role for message in messages} == {"system"}:
            *before, last = messages
            self.request = replace(self.request, messages=(*before, replace(last, role="user")))

    def fit_messages(self) -> None:
        if "cache_control" in self.dropped:
            self.request = unmarked(self.request)
        names = [message.name for message in self.request.messages if message.name]
        if not all(map(_SPEAKER.fullmatch, names)):
            self.dropped.add("messages[].name")
        named = not names or self._keeps("messages[].name")
        parts = (part for message in self.request.messages for part in message.parts)
        if named and all(isinstance(part, _AS_THEY_ARE) for part in parts):
            return
        messages = tuple(
            replace(
                message,
                parts=tuple(self._fit_part(part) for part in message.parts if self._sent(part)),
                name=message.name if named else None,
            )
            for message in self.request.messages
        )
        self.request = replace(self.request, messages=messages)

    def fit_calls(self) -> None:
        messages = self.request.messages
        if any(isinstance(part, ToolCall | ToolResult) for message in messages for part in message.parts):
            short = self.call.endpoint.provider.short_call_ids
            named = call_ids.fitted(messages, self.wording, short=short)
            self.request = replace(self.request, messages=named)

    def fit_tools(self) -> None:
        choice = self.request.tool_choice
        if "tools" in self.dropped or (
            choice is not None and choice.mode == "none" and not self.request.tools
        ):
            self.request = replace(self.request, tools=(), tool_choice=None)
        elif (
            choice is not None and choice.mode in {"required", "named"} and not self.flags.forced_tool_choice
        ):
            self.dropped.add("tool_choice")
            self.request = replace(self.request, tool_choice=ToolChoice(mode="auto"))

    def fit_format(self) -> None:
        wanted = self.request.response_format
        if wanted is None:
            return
        if wanted.kind == "text" or "response_format" in self.dropped:
            self.request = replace(self.request, response_format=None)
        elif self.request.tools and not self.flags.json_with_tools:
            rule = _AS_JSON if wanted.kind == "json" else _by_schema(wanted)
            self._instruct(f"Unless you call a tool: {rule}", kept=None)
        elif wanted.kind == "schema":
            self._fit_schema(wanted)
        elif self.wording == "anthropic" or not self._can("json_mode"):
            self._instruct(_AS_JSON, kept=None)

    def fit_effort(self) -> None:
        asked_for = self.request.parameters.reasoning_effort
        effort = asked_for if self._keeps("reasoning_effort") else None
        if self.wording == "openai" and self.flags.tools_need_effort_none and self.request.tools:
            fitted: Effort | None = "none"
        else:
            fitted = self._nearest(effort)
        if self._can_not_think_again():
            fitted = None
        if self.flags.thinking == "budget" and fitted is not None and self.wording in {"anthropic", "gemini"}:
            self.budget = _budget(fitted, self.call.max_output_tokens)
            fitted = None if self.budget is None else fitted
        if asked_for is not None and fitted != asked_for and not (asked_for == "none" and fitted is None):
            self.dropped.add("reasoning_effort")
        self._set(reasoning_effort=fitted)

    def _can_not_think_again(self) -> bool:
        """Tell whether a turn began without thinking, or its thought is lost: Claude may not begin to within it.

        Those that are asked by effort alone may (pydantic/pydantic-ai#2075, 2025-06-25).
        """
        by_budget = self.wording == "anthropic" and self.flags.thinking == "budget"
        return by_budget and lacks_thought(self.request.messages)

    def fit_parameters(self) -> None:
        for name, is_taken in NEEDS.items():
            if name in self.asked and not is_taken(self.flags):
                self.dropped.add(name)
        if self.wording == "anthropic":
            self._fit_anthropic()
        if not self.request.tools:
            self._set(parallel_tool_calls=None)
        unset = {name: None for name in self.dropped if name in Parameters.__dataclass_fields__}
        unset.pop("reasoning_effort", None)
        if unset.pop("stop", "kept") is None:
            self._set(stop=())
        self._set(**unset)
        if (self.request.parameters.max_tokens or 0) > self.call.max_output_tokens:
            self.dropped.add(
                "max_tokens"
            )  # weakened: less is sent, the model's own limit or what its window leaves

    def _fit_anthropic(self) -> None:
        """Leave out what Claude answers with a 400.

        That is, beside what thinking excludes: a temperature above 1 (anthropics/anthropic-sdk-python#893,
        2026-08-05), `top_p` beside it (BerriAI/litellm#15097, 2025-10-01), and a stop of nothing but blanks
        (BerriAI/litellm#3286, 2024-04-25).
        """
        values = self.request.parameters
        if self._thinks():
            self.dropped |= self.asked.intersection(_SAMPLING)
            self._unforce()
        elif values.temperature is not None and self.flags.sampling:
            self.dropped |= self.asked & {"top_p"}
            if values.temperature > _CLAUDE_HOTTEST:
                self.weakened.add("temperature")
                self._set(temperature=_CLAUDE_HOTTEST)
        stops = tuple(stop for stop in values.stop if stop.strip())
        if stops != values.stop:
            self.weakened.add("stop")
            self._set(stop=stops)

    def _fit_schema(self, wanted: ResponseFormat) -> None:
        by_tool = self.wording == "anthropic" and self.flags.forced_tool_choice and not self.request.tools
        if self._can("json_schema"):
            return
        if by_tool and self._can("tools") and not self.flags.thinking_always_on:
            if self._thinks():  # a forced tool and thinking exclude each other
                self.dropped.add("reasoning_effort")
            self._set(reasoning_effort=None)
        elif self._can("json_mode") and self.wording != "anthropic":
            self._instruct(_by_schema(wanted), kept=replace(wanted, kind="json"))
        else:
            raise failure.refused(
                self.call, "response_format: the model knows no JSON schema; choose one that does"
            )

    def _instruct(self, rule: str, *, kept: ResponseFormat | None) -> None:
        """Ask in words for what the model can't be made to do, and say so."""
        self.dropped.add("response_format")
        instruction = Message(role="system", parts=(Text(text=rule),))
        self.request = replace(
            self.request, messages=(instruction, *self.request.messages), response_format=kept
        )

    def _nearest(self, effort: Effort | None) -> Effort | None:
        """The effort to send; `None` sends none."""
        thinking, known = self.flags.thinking, self.flags.efforts
        is_own_way = thinking in {"budget", "adaptive"}
        if effort is None or (is_own_way and self.wording in {"openai", "responses"}):
            return None
        if effort == "none" and is_own_way and not self.flags.thinking_always_on:
            return "none"
        if not known:
            return effort if thinking == "budget" and effort != "none" else None
        rank = _EFFORTS.index(effort)
        return min(known, key=lambda one: (abs(_EFFORTS.index(one) - rank), _EFFORTS.index(one)))

    def _thinks(self) -> bool:
        effort = self.request.parameters.reasoning_effort
        return self.flags.thinking_always_on or effort not in {None, "none"}

    def _unforce(self) -> None:
        choice = self.request.tool_choice
        if choice is not None and choice.mode in {"required", "named"}:
            self.dropped.add("tool_choice")
            self.request = replace(self.request, tool_choice=ToolChoice(mode="auto"))

    def _sent(self, part: Part) -> bool:
        if isinstance(part, Image):
            return "images" not in self.dropped
        if isinstance(part, Document):
            return "documents" not in self.dropped
        if isinstance(part, Reasoning):
            is_own = self._takes(part) and "reasoning" not in self.dropped
            if not is_own:
                self.dropped.add("reasoning")
            return is_own
        return True

    def _takes(self, part: Reasoning) -> bool:
        provider = self.call.endpoint.provider
        is_plain = part.provider is None and part.signature is None and part.redacted is None
        return part.provider == provider.id or (is_plain and provider.takes_reasoning)

    def _fit_part(self, part: Part) -> Part:
        if isinstance(part, Image) and part.media_type == "image/jpg":
            # what many call it, and Anthropic refuses (NousResearch/hermes-agent#55432, 2026-06-30)
            return replace(part, media_type="image/jpeg")
        if not isinstance(part, Document):
            return part
        if part.media_type.startswith("text/") and part.data is not None:
            return Text(text=self._decoded(part.data), cache_ttl=part.cache_ttl)
        if "pdf" not in self.model.capabilities:
            raise failure.refused(self.call, "documents: the model reads none; choose one with pdf")
        if self.wording == "openai" and part.url is not None:
            raise failure.refused(self.call, "documents: this API takes no addresses; send the content")
        return part

    def _decoded(self, data: str) -> str:
        try:
            return base64.b64decode(data, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError) as error:
            raise failure.refused(self.call, "documents: the data is no base64") from error

    def _keeps(self, name: str) -> bool:
        return name in self.asked and name not in self.dropped

    def _can(self, *any_of: str) -> bool:
        return not self.model.capabilities.isdisjoint(any_of)

    def _set(self, **values: object) -> None:
        before = self.request.parameters
        if all(getattr(before, name) == value for name, value in values.items()):
            return
        # mypy can't check names that come from the table; a test walks them all.
        self.request = replace(self.request, parameters=replace(before, **values))  # type: ignore[arg-type]


def _by_schema(wanted: ResponseFormat) -> str:
    rule = "Answer with one JSON value that matches this JSON Schema and with nothing else:\n"
    return rule + json.dumps(wanted.schema or {})


def _budget(effort: Effort, max_output_tokens: int) -> int | None:
    """Tokens of thinking that leave at least half of the output for the answer; `None` when too few are left."""
    if effort == "none":
        return 0
    budget = min(_BUDGETS[effort], max_output_tokens // 2)
    return budget if budget >= _MIN_BUDGET else None
