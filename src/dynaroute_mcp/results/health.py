"""How models did lately, as JSON: by the books of all processes, and by the breakers of one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from dynaroute_mcp.results.base import Result

if TYPE_CHECKING:
    from dynaroute_mcp.reports import Vitals

BOOKS = "all processes on this database, last hour"
HERE = "this process: its breakers, its own newest calls, and those recorded before it started"


class Spread(Result):
    """Seconds; `null` where nothing was measured."""

    p50: float | None
    p95: float | None


class ModelVitals(Result):
    """One model, or a provider as a whole; the last five fields are of one process."""

    id: str
    calls: int
    failures: int
    """Rate limits and refusals are not among them."""
    error_rate: float
    first_token_s: Spread
    answer_s: Spread
    tokens_per_s: float | None
    state: Literal["closed", "open", "half_open", "cooling"] | None = None
    retry_in_s: float = 0.0
    last_error: str | None = None
    rate_limits: int = 0
    degraded: bool = False
    """Others are preferred where they cost little more."""

    @classmethod
    def of(cls, vitals: "Vitals") -> Self:
        """Show how a model did."""
        made, breaker = vitals.figures, vitals.breaker
        row: dict[str, object] = {
            "id": vitals.id,
            "calls": made.calls,
            "failures": made.failures,
            "error_rate": round(made.error_rate, 4),
            "first_token_s": _spread(made.first_token_p50_s, made.first_token_p95_s),
            "answer_s": _spread(made.answer_p50_s, made.answer_p95_s),
            "tokens_per_s": None if made.tokens_per_s is None else round(made.tokens_per_s, 1),
        }
        if breaker is not None:
            row |= {
                "state": breaker.state,
                "retry_in_s": round(breaker.retry_in_s, 1),
                "last_error": breaker.last_error,
                "rate_limits": breaker.rate_limits,
                "degraded": breaker.degraded,
            }
        return cls.model_validate(row)


class View(Result):
    """Who saw it, and what."""

    of: str
    models: tuple[ModelVitals, ...]

    @classmethod
    def over(cls, whose: str, rows: "Sequence[Vitals]") -> Self:
        """Show all models of a view."""
        return cls(of=whose, models=tuple(ModelVitals.of(row) for row in rows))


class HealthReport(Result):
    """Both views."""

    books: View
    here: View

    @classmethod
    def over(cls, books: "Sequence[Vitals]", here: "Sequence[Vitals]") -> Self:
        """Put the views beside each other."""
        return cls(books=View.over(BOOKS, books), here=View.over(HERE, here))


def _spread(p50: float | None, p95: float | None) -> Spread:
    return Spread(p50=_rounded(p50), p95=_rounded(p95))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
