"""Ids of tool calls as the asked API takes them, whoever made them.

A conversation that moves between models brings along the ids of other vendors, and those that we made up, which
begin anew with every answer. Pure, and the same for the same beginning of a conversation, so that caches hold.
"""

import re
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

from dynaroute_mcp.providers.verdicts import Wording
from dynaroute_mcp.types import Message, Part, ToolCall, ToolResult

OWN_ID: Final = "call_dr_"
"""Begins the ids that we make up."""

_ANY: Final = re.compile(r"(?s:.+)")
# OpenAI: 'Expected a string with maximum length 40' (vercel/ai#5171, 2025-03). Anthropic: 'String should match
# pattern' (vybestack/llxprt-code#964, 2025-12-31, with Kimi's `functions.name:0`).
_TAKEN: Final[Mapping[Wording, re.Pattern[str]]] = {
    "openai": re.compile(r"(?s:.{1,40})"),
    "responses": re.compile(r"(?s:.{1,40})"),
    "anthropic": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "gemini": _ANY,
    "sandbox": _ANY,
}
_SHORT: Final = re.compile(r"[a-zA-Z0-9]{9}")


def fitted(messages: Sequence[Message], wording: Wording, *, short: bool) -> tuple[Message, ...]:
    """Give each call an id that is taken and no other's, and each result the id of its call.

    Args:
        messages: of the conversation, in order.
        wording: of the API.
        short: nine letters and digits are all that it takes.
    """
    naming = _Naming(_SHORT if short else _TAKEN[wording], short=short)
    return tuple(
        replace(message, parts=tuple(map(naming.named, message.parts)))
        if any(isinstance(part, ToolCall | ToolResult) for part in message.parts)
        else message
        for message in messages
    )


class _Naming:
    """Goes through one conversation."""

    def __init__(self, taken: re.Pattern[str], *, short: bool) -> None:
        self._taken = taken
        self._short = short
        self._used = set[str]()
        self._times = defaultdict[str, int](int)
        self._open = defaultdict[str, deque[str]](deque)
        self._latest = dict[str, str]()

    def named(self, part: Part) -> Part:
        if isinstance(part, ToolCall):
            return replace(part, id=self._of_call(part.id))
        if isinstance(part, ToolResult):
            return replace(part, call_id=self._of_result(part.call_id))
        return part

    def _of_call(self, theirs: str) -> str:
        ours = theirs if self._is_free(theirs) else self._made(theirs)
        self._used.add(ours)
        self._times[theirs] += 1
        self._open[theirs].append(ours)
        self._latest[theirs] = ours
        return ours

    def _of_result(self, theirs: str) -> str:
        if self._open[theirs]:
            return self._open[theirs].popleft()
        return self._latest.get(theirs) or (theirs if self._taken.fullmatch(theirs) else self._made(theirs))

    def _is_free(self, name: str) -> bool:
        return name not in self._used and self._taken.fullmatch(name) is not None

    def _made(self, theirs: str) -> str:
        digest = sha256(f"{self._times[theirs]} {theirs}".encode("utf-8", "replace")).hexdigest()
        return digest[:9] if self._short else f"{OWN_ID}{digest[:16]}"
