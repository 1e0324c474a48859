"""Marks on a prompt: up to where, and how long, a caller wants it cached. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dynaroute_mcp.providers.conversation import Piece
from dynaroute_mcp.types import CacheTtl, ChatRequest, Part, Reasoning

_FIELD: Final = "cache_control"
_WIRE: Final[dict[CacheTtl, Piece]] = {"5m": {"type": "ephemeral"}, "1h": {"type": "ephemeral", "ttl": "1h"}}
_MOST: Final = 4
"""Of a request to Anthropic: a fifth is a 400, and so is one of an hour behind one of five minutes
(platform.claude.com/docs/en/build-with-claude/prompt-caching, read 2026-11-22)."""


def unmarked(request: ChatRequest) -> ChatRequest:
    """The same request without marks."""
    messages = tuple(
        replace(message, parts=tuple(map(_plain, message.parts))) for message in request.messages
    )
    tools = tuple(replace(tool, cache_ttl=None) for tool in request.tools)
    return replace(request, messages=messages, tools=tools)


def _plain(part: Part) -> Part:
    return part if isinstance(part, Reasoning) or part.cache_ttl is None else replace(part, cache_ttl=None)


def mark(ttl: CacheTtl | None) -> Piece:
    """The field of a block that is marked, in Anthropic's words."""
    return {} if ttl is None else {_FIELD: _WIRE[ttl]}


def bound(blocks: Sequence[Piece], request: ChatRequest) -> bool:
    """Leave as many marks on blocks as Anthropic takes; tell whether any was left out or shortened.

    The last ones stay: the prompt up to each holds what the earlier ones mark. What is to be kept an hour but
    stands behind what is kept five minutes is kept five minutes, so that nothing costs more than was asked.

    Args:
        blocks: all that can be marked, in the order in which they are cached: tools, system, messages.
        request: whose blocks they are; an empty text has none, and its mark goes with it.
    """
    marked = [block for block in blocks if _FIELD in block]
    surplus, kept = marked[:-_MOST], marked[-_MOST:]
    for block in surplus:
        del block[_FIELD]
    short = next((place for place, block in enumerate(kept) if block[_FIELD] != _WIRE["1h"]), len(kept))
    late = [block for block in kept[short:] if block[_FIELD] == _WIRE["1h"]]
    for block in late:
        block[_FIELD] = _WIRE["5m"]
    return bool(surplus or late) or len(marked) < _asked(request)


def _asked(request: ChatRequest) -> int:
    parts = (part for message in request.messages for part in message.parts)
    wishes = [part.cache_ttl for part in parts if not isinstance(part, Reasoning)]
    wishes += [tool.cache_ttl for tool in request.tools]
    return len(wishes) - wishes.count(None)
