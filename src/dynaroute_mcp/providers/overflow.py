"""The one failure that some providers tell by a sentence alone: a prompt beyond the model's window.

A sentence counts only as a whole, with numbers where its numbers stand, on a 400 of its own dialect, and
beside the type of error that it comes with. So no prompt that is quoted in a message, and no other 400, is
taken for it. Pure.
"""

import re
from collections.abc import Mapping
from typing import Final

from dynaroute_mcp.catalog import Dialect

_MAX_CHARS: Final = 300
"""The longest of these sentences has some 180 characters."""
_N: Final = r"[0-9]{1,10}"

# As reported with the whole body in anthropics/claude-code#12186 (2025-11-23) and docker/docker-agent#569
# (2025-10-21).
_ANTHROPIC: Final = (
    rf"prompt is too long: {_N} tokens > {_N} maximum",
    rf"input length and `max_tokens` exceed context limit: {_N} \+ {_N} > {_N},"
    r" decrease input length or `max_tokens` and try again",
)
# google-gemini/gemini-cli#12098 (2025-10-27) and googleapis/python-genai#2466 (2026-05-18).
_GEMINI: Final = (rf"The input token count \({_N}\) exceeds the maximum number of tokens allowed \({_N}\)\.",)
# DeepSeek: evalstate/fast-agent#621 (2026-01-19). OpenAI's own models say the same, with a code. xAI:
# cline/cline#3120 (2025-04-25).
_OPENAI: Final = (
    rf"This model's maximum context length is {_N} tokens\. However, you requested {_N} tokens"
    rf" \({_N} in the messages, {_N} in the completion\)\."
    r" Please reduce the length of the messages or completion\.",
    rf"This model's maximum context length is {_N} tokens\. However, your messages resulted in {_N} tokens\."
    r" Please reduce the length of the messages\.",
    rf"This model's maximum prompt length is {_N} but the request contains {_N} tokens\.",
)
_SENTENCES: Final[Mapping[Dialect, re.Pattern[str]]] = {
    "anthropic": re.compile("|".join(_ANTHROPIC)),
    "gemini": re.compile("|".join(_GEMINI)),
    "openai": re.compile("|".join(_OPENAI)),
}
_TYPES: Final[Mapping[Dialect, tuple[str, frozenset[object]]]] = {
    "anthropic": ("type", frozenset({"invalid_request_error"})),
    "gemini": ("status", frozenset({"INVALID_ARGUMENT"})),
    "openai": ("type", frozenset({"invalid_request_error", None})),
}
"""In which field of the error its type stands, and which ones go with these sentences; xAI gives none."""


def is_overflow(dialect: Dialect, error: Mapping[str, object]) -> bool:
    """Tell whether the error of a 400 says, in its dialect's own sentence, that the prompt is too long.

    Args:
        dialect: of the provider.
        error: the error object, out of its envelope; xAI puts the sentence itself under `error`.
    """
    sentences = _SENTENCES.get(dialect)
    if sentences is None:
        return False
    field, types = _TYPES[dialect]
    kind, said = error.get(field), error.get("message", error.get("error"))
    if not isinstance(said, str) or len(said) > _MAX_CHARS or not isinstance(kind, str | None):
        return False
    return kind in types and sentences.fullmatch(said) is not None
