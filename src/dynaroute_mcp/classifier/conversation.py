"""Finds what a person last asked in a conversation, so that only that is classified. Pure.

Harnesses put blocks of their own into user turns: reminders, the state of a workspace, results of commands.
They say nothing about what is asked and are left out. Earlier asks are added only where the last one cannot
stand alone, as in "and in French?".
"""

import re
from collections.abc import Sequence
from typing import Final

from dynaroute_mcp.types import Message

_MAX_CHARS: Final = 200_000
"""Blocks are looked for in texts up to this length; of a longer one only the ends are read later anyway."""
_MAX_CONTEXT_CHARS: Final = 2_000
_SHORT_WORDS: Final = 6

_BLOCKS: Final = (
    *(
        "system-reminder",
        "environment_context",
        "environment_details",
        "user_instructions",
        "local-command-stdout",
    ),
    *("local-command-stderr", "local-command-caveat", "command-name", "command-message", "command-args"),
    *(
        "ide_opened_file",
        "ide_selection",
        "attached_files",
        "open_files",
        "additional_data",
        "system_notification",
    ),
    *("tool_result", "function_results", "project_layout", "git_status", "user_info", "rules", "memory"),
)
"""Tags that Claude Code, Codex, Cline, Cursor and their like wrap their own text in (seen November 2026)."""

_OPENING: Final = re.compile(rf"<({'|'.join(map(re.escape, _BLOCKS))})(?:\s[^<>]{{0,200}})?>")
_WRAPPERS: Final = re.compile(r"</?(?:user_query|user_message|task|feedback|question|prompt)>")
_ELLIPTIC: Final = re.compile(
    r"(?:and|or|but|also|now|then|so|ok(?:ay)?|what about|how about|same|again|more|another|shorter|longer|"
    r"simpler|why|continue|go on|yes|no|it|that|this|those|these|y|et|und|e|и|那|那么|それ|じゃあ|그럼|그리고)(?!\w)",
    re.IGNORECASE,
)
_POINTING: Final = re.compile(r"\b(?:it|that|this|those|these|them|one|above|instead)\b", re.IGNORECASE)
_SMALL_TALK: Final = re.compile(
    r"(?:thanks|thank you|thx|hi|hello|hey|bye|good (?:morning|night))\b", re.IGNORECASE
)


def last_ask(messages: Sequence[Message]) -> str:
    """The last human ask, with the ask before it where it is elliptic; empty where nobody asked anything."""
    asks = [ask for message in messages if message.role == "user" and (ask := _human_text(message.text))]
    if not asks:
        return ""
    last, earlier = asks[-1], asks[:-1]
    if not earlier or not _is_elliptic(last):
        return last
    context = next((ask for ask in reversed(earlier) if not _is_elliptic(ask)), earlier[-1])
    return f"{context[:_MAX_CONTEXT_CHARS]}\n{last}"


def _human_text(text: str) -> str:
    """What the person wrote in a user turn: without the blocks, and without the tags around the ask."""
    if "<" not in text or len(text) > _MAX_CHARS:
        return text.strip()
    return _WRAPPERS.sub("", _without_blocks(text)).strip()


def _without_blocks(text: str) -> str:
    """Cut each block from its opening to its closing tag; one that is never closed loses its tag only."""
    kept, position = [], 0
    while opening := _OPENING.search(text, position):
        kept.append(text[position : opening.start()])
        closing = f"</{opening[1]}>"
        end = text.find(closing, opening.end())
        if end < 0:
            kept.append(text[opening.end() :])
            return "".join(kept)
        position = end + len(closing)
    kept.append(text[position:])
    return "".join(kept)


def _is_elliptic(ask: str) -> bool:
    """Whether an ask is too short to stand alone and leans on what was said before."""
    words = ask.split()
    if len(words) > _SHORT_WORDS or _SMALL_TALK.match(ask):
        return False
    if len(ask) <= _SHORT_WORDS * 4 and not any(char.isalpha() for char in ask):
        return True
    return bool(_ELLIPTIC.match(ask) or _POINTING.search(ask))
