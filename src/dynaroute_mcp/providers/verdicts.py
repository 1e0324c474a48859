"""What becomes of every field that a caller may set, in every dialect: the table that `parameters` applies."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from dynaroute_mcp.catalog import Constraints, Extra

Wording = Literal["openai", "responses", "anthropic", "gemini", "sandbox"]
"""A dialect, with OpenAI's two APIs told apart."""
Verdict = Literal["mapped", "dropped", "refused"]
"""`dropped` is always signalled; `refused` fails the call before it is sent."""

_M: Verdict = "mapped"
_D: Verdict = "dropped"
_R: Verdict = "refused"

_ROWS: Mapping[str, tuple[Verdict, Verdict, Verdict, Verdict, Verdict]] = {
    # field             openai responses anthropic gemini sandbox
    "max_tokens": (_M, _M, _M, _M, _M),
    "temperature": (_M, _M, _M, _M, _D),
    "top_p": (_M, _M, _M, _M, _D),
    "top_k": (_D, _D, _M, _M, _D),
    "stop": (_M, _D, _M, _M, _D),
    "seed": (_M, _D, _D, _M, _D),
    "presence_penalty": (_M, _D, _D, _M, _D),
    "frequency_penalty": (_M, _D, _D, _M, _D),
    "logit_bias": (_M, _D, _D, _D, _D),
    "logprobs": (_M, _D, _D, _D, _D),
    "top_logprobs": (_M, _D, _D, _D, _D),
    "n": (_R, _R, _R, _R, _R),  # more than one; each answer would be paid and only one returned
    "parallel_tool_calls": (_M, _M, _M, _D, _D),
    "reasoning_effort": (_M, _M, _M, _M, _D),
    "verbosity": (_D, _M, _D, _D, _D),  # in chat completions an unknown field for most vendors
    "user": (_M, _M, _D, _D, _D),
    "safety_identifier": (_M, _M, _D, _D, _D),
    "prompt_cache_key": (_M, _M, _D, _D, _D),
    "store": (_M, _D, _D, _D, _D),  # on the Responses API nothing is stored
    "metadata": (_M, _D, _D, _D, _D),
    "tools": (_M, _M, _M, _M, _D),
    "tool_choice": (_M, _M, _M, _M, _D),
    "response_format": (_M, _M, _M, _M, _D),
    "images": (_M, _M, _M, _M, _D),
    "documents": (_M, _M, _M, _M, _D),
    "reasoning": (_M, _M, _M, _M, _D),  # blocks of the same provider; others are left out and signalled
    "prefill": (_M, _M, _M, _M, _D),
    "messages[].name": (_M, _D, _D, _D, _D),
    "cache_control": (_D, _D, _M, _D, _D),  # most others cache by themselves
}

TABLE: Mapping[str, Mapping[Wording, Verdict]] = {
    name: dict(zip(get_args(Wording), row, strict=True)) for name, row in _ROWS.items()
}

NEEDS: Mapping[str, Callable[[Constraints], bool]] = {
    "temperature": lambda flags: flags.sampling,
    "top_p": lambda flags: flags.sampling,
    "top_k": lambda flags: flags.sampling,
    "presence_penalty": lambda flags: flags.sampling and flags.penalties,
    "frequency_penalty": lambda flags: flags.sampling and flags.penalties,
    "logit_bias": lambda flags: flags.sampling,
    "logprobs": lambda flags: flags.sampling,
    "top_logprobs": lambda flags: flags.sampling,
    "stop": lambda flags: flags.stop_sequences,
    "seed": lambda flags: flags.seed,
    "parallel_tool_calls": lambda flags: flags.parallel_tool_calls,
}
"""Parameters that a model's flags may forbid although its dialect knows them."""

EXTRAS: Mapping[str, Extra] = {
    "user": "user",
    "safety_identifier": "safety_identifier",
    "prompt_cache_key": "prompt_cache_key",
    "store": "store",
    "metadata": "store",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "logprobs",
    "messages[].name": "name",
}
"""Rows that a provider takes only where the catalog says so."""
