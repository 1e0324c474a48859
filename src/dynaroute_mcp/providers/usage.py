"""A provider's report of tokens, made into disjoint buckets that add up, whatever it says.

Every number is hostile until read: absent, negative, 1e30, text. What can't be believed is replaced by the
estimate, and the result says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dynaroute_mcp.types import Usage

MAX_TOKENS = 1_000_000_000
"""More than any window; what a database column and a price can surely hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a provider said, unbelieved: any field may be absent or of any type."""

    input: object = None
    """Prompt tokens: all of them when `inclusive`, else only those outside the cache."""
    cache_read: object = None
    cache_write_5m: object = None
    cache_write_1h: object = None
    output: object = None
    """All billed output, reasoning included."""
    reasoning: object = None
    inclusive: bool = True
    """Whether `input` counts the cached tokens: OpenAI and Gemini do, Anthropic does not."""


def tokens(value: object) -> int | None:
    """Read a count; `None` when it is absent or nonsense. Zero is a value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MAX_TOKENS else None


def believe(reported: Reported | None, *, input_estimate: int, output_estimate: Callable[[], int]) -> Usage:
    """Settle a report into buckets that are in [0, `MAX_TOKENS`] and add up.

    `output_estimate` is asked only when the provider did not report usable output.
    """
    reported = reported or Reported()
    cached = [
        tokens(value) or 0
        for value in (reported.cache_read, reported.cache_write_5m, reported.cache_write_1h)
    ]
    total_input, output = tokens(reported.input), tokens(reported.output)
    if total_input is None:
        total_input = max(input_estimate, sum(cached)) if any(cached) else input_estimate
    elif not reported.inclusive:
        total_input += sum(cached)
    shares, left = [], total_input
    for share in cached:
        shares.append(min(share, left))
        left -= shares[-1]
    output_tokens = output_estimate() if output is None else output
    reasoning = min(tokens(reported.reasoning) or 0, output_tokens)
    return Usage(
        uncached_input_tokens=left,
        cache_read_tokens=shares[0],
        cache_write_5m_tokens=shares[1],
        cache_write_1h_tokens=shares[2],
        output_tokens=output_tokens,
        reasoning_tokens=reasoning,
        source=_source(reported, fits=shares == cached and reasoning == (tokens(reported.reasoning) or 0)),
    )


def _source(reported: Reported, *, fits: bool) -> Literal["provider", "estimated", "clamped"]:
    fields = (
        reported.input,
        reported.cache_read,
        reported.cache_write_5m,
        reported.cache_write_1h,
        reported.output,
        reported.reasoning,
    )
    if not fits or any(value is not None and tokens(value) is None for value in fields):
        return "clamped"
    return "estimated" if reported.input is None or reported.output is None else "provider"
