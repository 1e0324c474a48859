"""What a conversation asks right now: the last words of a person, without what tools and harnesses put around them."""

import re
from collections.abc import Sequence
from typing import Final

from dynaroute_mcp.types import Message

_HARNESS: Final = re.compile(
    r"<(system-reminder|environment_context|user_instructions|local-command-stdout|command-name|command-message)>"
    r".*?(?:</\1>|\Z)",
    re.DOTALL,
)
_ELLIPTIC_CHARS: Final = 40
_ELLIPTIC: Final = re.compile(
    r"(?:and|now|also|but|what about|how about|same|again|continue|go on|more|shorter|longer|why|yes|no|ok|okay|please"
    r"|und|et|y|e|in [a-z]+)\b.*",
    re.IGNORECASE | re.DOTALL,
)


def last_ask(messages: Sequence[Message]) -> str:
    """Find the last human ask; the ask before it comes along only where the last one says nothing by itself.

    Returns:
        The text to classify; empty when no person said anything.
    """
    asks = [ask for message in messages if message.role == "user" and (ask := _spoken(message))]
    if not asks:
        return ""
    if len(asks) > 1 and _is_elliptic(asks[-1]):
        return f"{asks[-2]}\n{asks[-1]}"
    return asks[-1]


def _spoken(message: Message) -> str:
    return _HARNESS.sub(" ", message.text).strip()


def _is_elliptic(ask: str) -> bool:
    return len(ask) <= _ELLIPTIC_CHARS and _ELLIPTIC.fullmatch(ask) is not None
