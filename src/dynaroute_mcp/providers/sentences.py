"""The failures that some providers tell by a sentence alone.

They are a prompt beyond the model's window, an account without money, a key or a place that is not accepted,
and a refusal on grounds of safety. A sentence counts only as a whole, with numbers where its numbers stand, on a status of its own, in its own
dialect, and beside the type of error that it comes with. So no prompt that is quoted in a message, and no
other failure, is taken for it. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from dynaroute_mcp.catalog import Dialect
from dynaroute_mcp.errors import (
    ProviderContentBlocked,
    ProviderContextOverflow,
    ProviderError,
    ProviderKeyRejected,
    ProviderQuotaExhausted,
)

_MAX_CHARS: Final = 400
"""The longest of these sentences has some 250 characters."""
_N: Final = r"[0-9]{1,10}"
_ID: Final = r"[\w.-]{1,60}"
_WINDOW: Final = rf"This model's maximum context length is {_N} tokens"

_Meanings = Mapping[tuple[int, type[ProviderError]], Sequence[str]]
"""Sentences by the status that they come with and what they mean."""

_ANTHROPIC: Final[_Meanings] = {
    # anthropics/claude-code#12186 (2025-11-23) and docker/docker-agent#569 (2025-10-21).
    (400, ProviderContextOverflow): (
        rf"prompt is too long: {_N} tokens > {_N} maximum",
        rf"input length and `max_tokens` exceed context limit: {_N} \+ {_N} > {_N},"
        r" decrease input length or `max_tokens` and try again",
    ),
    # anthropics/claude-code#88711 (2026-08-22) and #38035 (2026-03-24).
    (400, ProviderQuotaExhausted): (
        r"Your credit balance is too low to access the Anthropic API\."
        r" Please go to Plans & Billing to upgrade or purchase credits\.",
        r"You have reached your specified (?:workspace )?API usage limits\."
        r" You will regain access on [0-9-]{10} at [0-9:]{5} UTC\.",
    ),
}
_GEMINI: Final[_Meanings] = {
    # google-gemini/gemini-cli#12098 (2025-10-27) and googleapis/python-genai#2466 (2026-05-18).
    (400, ProviderContextOverflow): (
        rf"The input token count \({_N}\) exceeds the maximum number of tokens allowed \({_N}\)\.",
    ),
    # google-gemini/gemini-cli#24641 (2026-04-03).
    (400, ProviderKeyRejected): (r"User location is not supported for the API use\.",),
}
_OPENAI: Final[_Meanings] = {
    # DeepSeek: evalstate/fast-agent#621 (2026-01-19); OpenAI's own models say the same, with a code. xAI:
    # cline/cline#3120 (2025-04-25). OpenRouter: Aider-AI/aider#3721 (2025-04-03), topoteretes/cognee#1061
    # (2025-07-07). vLLM: meta-llama/llama-verifications#58 (2025-08-26), and as found in its users' notes of 2025-10.
    (400, ProviderContextOverflow): (
        rf"{_WINDOW}\. However, you requested {_N} tokens \({_N} in the messages, {_N} in the completion\)\."
        r" Please reduce the length of the messages or completion\.",
        rf"{_WINDOW}\. However, your messages resulted in {_N} tokens\."
        r" Please reduce the length of the messages\.",
        rf"This model's maximum prompt length is {_N} but the request contains {_N} tokens\.",
        rf"This endpoint's maximum context length is {_N} tokens\. However, you requested about {_N} tokens"
        rf" \({_N} of text input(?:, {_N} of tool input)?(?:, {_N} in the output)?\)\. Please reduce the length of"
        r" either one, or use the \"middle-out\" transform to compress your prompt automatically\.",
        rf"'max_tokens' or 'max_completion_tokens' is too large: {_N}\. {_WINDOW} and your request has {_N} input"
        rf" tokens \({_N} > {_N} - {_N}\)\.(?: None)?",
    ),
    # xAI: continuedev/continue#11412 (2026-03-14) and autohandai/code-cli#545 (2026-09-01).
    (400, ProviderKeyRejected): (
        r"Incorrect API key provided(?:: [\w*.-]{1,40})?\. You can obtain an API key from https://console\.x\.ai\.",
    ),
    # xAI: continuedev/continue#10740 (2026-02-23). Z.ai, with the code 1113: zai-org/GLM-5#148 (2026-09-11) and
    # continuedev/continue#11823 (2026-03-25).
    (429, ProviderQuotaExhausted): (
        rf"Your team {_ID} has either used all available credits or reached its monthly spending limit\. To continue"
        r" making API requests, please purchase more credits or raise your spending limit\.",
        r"Insufficient balance or no resource package\. Please recharge\.",
        r"余额不足或无可用资源包,请充值。",
    ),
    # xAI: UKGovernmentBEIS/inspect_ai#2267 (2025-08-12) and theopenco/llmgateway#1785 (2026-03-03).
    (403, ProviderContentBlocked): (
        rf"Content violates usage guidelines\.(?: Team: {_ID}, API key ID: {_ID}, Model: {_ID},)?"
        rf" Failed check: {_ID}",
    ),
}
_MEANINGS: Final[Mapping[Dialect, _Meanings]] = {
    "anthropic": _ANTHROPIC,
    "gemini": _GEMINI,
    "openai": _OPENAI,
}
_SENTENCES: Final[Mapping[Dialect, Sequence[tuple[int, type[ProviderError], re.Pattern[str]]]]] = {
    dialect: [(status, kind, re.compile("|".join(them))) for (status, kind), them in meanings.items()]
    for dialect, meanings in _MEANINGS.items()
}
_TYPES: Final[Mapping[Dialect, tuple[str, frozenset[object]]]] = {
    "anthropic": ("type", frozenset({"invalid_request_error"})),
    "gemini": ("status", frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION"})),
    "openai": ("type", frozenset({"invalid_request_error", "BadRequestError", None})),
}
"""In which field of the error its type stands, and which ones go with these sentences; xAI gives none."""


def meaning(dialect: Dialect, status: int | None, error: Mapping[str, object]) -> type[ProviderError] | None:
    """Tell what an error says in its dialect's own sentence; `None` when it is none of them.

    Args:
        dialect: of the provider.
        status: of the answer.
        error: the error object, out of its envelope; xAI puts the sentence itself under `error`.
    """
    sentences = _SENTENCES.get(dialect)
    if sentences is None:
        return None
    field, types = _TYPES[dialect]
    kind, said = error.get(field), error.get("message", error.get("error"))
    if not isinstance(said, str) or len(said) > _MAX_CHARS or not isinstance(kind, str | None):
        return None
    if kind not in types:
        return None
    return next((what for on, what, words in sentences if on == status and words.fullmatch(said)), None)
