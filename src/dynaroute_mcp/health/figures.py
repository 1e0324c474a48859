"""How calls went, in exact figures: share of failures, and the spread of waiting and speed.

The same figures are made from a process's own calls and from the books that all processes write. Pure.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Final

from dynaroute_mcp.types import Attempt, Outcome

SPARED: Final = frozenset(
    {
        "provider_refused",
        "provider_context_length",
        "provider_content_blocked",
        "provider_rate_limited",
    }
)
"""Codes of failures that speak against the request, or for a pause, and not against the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """How one try at a model went."""

    at: datetime
    ok: bool
    took_s: float | None
    """Until the end of the answer, or until the failure; `None` when only its beginning is known."""
    first_token_s: float | None = None
    """Of streams only."""
    output_tokens: int = 0

    @property
    def token_s(self) -> float | None:
        """Seconds an output token took; of an answer that came whole, its wait included."""
        if not self.ok or self.took_s is None or self.output_tokens <= 0:
            return None
        return max(0.0, self.took_s - (self.first_token_s or 0.0)) / self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a number of tries add up to; `None` where nothing was measured."""

    calls: int
    failures: int
    first_token_p50_s: float | None
    first_token_p95_s: float | None
    answer_p50_s: float | None
    """Of answers from their start to their end, however they came."""
    answer_p95_s: float | None
    tokens_per_s: float | None
    """Median over the answers."""

    @property
    def error_rate(self) -> float:
        """Share of failures in [0, 1]; 0 without calls."""
        return self.failures / self.calls if self.calls else 0.0


def figures(tries: Iterable[Try]) -> Figures:
    """Add tries up."""
    rows = tuple(tries)
    good = [row for row in rows if row.ok]
    firsts = sorted(row.first_token_s for row in good if row.first_token_s is not None)
    wholes = sorted(row.took_s for row in good if row.took_s is not None)
    speeds = sorted(1 / token_s for row in good if (token_s := row.token_s))
    return Figures(
        calls=len(rows),
        failures=len(rows) - len(good),
        first_token_p50_s=_quantile(firsts, 0.5),
        first_token_p95_s=_quantile(firsts, 0.95),
        answer_p50_s=_quantile(wholes, 0.5),
        answer_p95_s=_quantile(wholes, 0.95),
        tokens_per_s=_quantile(speeds, 0.5),
    )


def tries_of(outcome: Outcome) -> Iterator[tuple[str, str, Try]]:
    """Read the tries of a recorded call, oldest first: model, provider, and how it went.

    When each one ended is known of the last only, so that all are taken to be of its time. How long a
    streamed answer took is read where the call needed one try; else the tries before it are in the time.
    """
    last = len(outcome.attempts) - 1
    for number, attempt in enumerate(outcome.attempts):
        if attempt.outcome not in SPARED:
            broke = number == last and outcome.status == "partial"
            yield attempt.model_id, attempt.provider, _tried(outcome, attempt, broke=broke)


def _tried(outcome: Outcome, attempt: Attempt, *, broke: bool) -> Try:
    at, took_s = outcome.finished_at, attempt.latency_ms / 1000
    if broke or attempt.outcome != "ok":
        return Try(at=at, ok=False, took_s=None if broke else took_s)
    tokens = outcome.usage.output_tokens
    if outcome.first_token_ms is None:
        return Try(at=at, ok=True, took_s=took_s, output_tokens=tokens)
    alone = outcome.status == "ok" and len(outcome.attempts) == 1
    whole_s = outcome.latency_ms / 1000 if alone else None
    return Try(at=at, ok=True, took_s=whole_s, first_token_s=took_s, output_tokens=tokens)


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share does not pass (nearest rank)."""
    return ordered[ceil(share * len(ordered)) - 1] if ordered else None
