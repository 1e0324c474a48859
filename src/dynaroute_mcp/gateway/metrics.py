"""Counters of this process in Prometheus' text format (version 0.0.4). No label holds an owner, a key or a prompt."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from starlette.routing import Route
from starlette.types import Scope

if TYPE_CHECKING:
    from dynaroute_mcp.reports import Vitals
    from dynaroute_mcp.tally import Tally

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

_HELP: Final = {
    "dynaroute_requests_total": "HTTP requests by route and status.",
    "dynaroute_cache_answers_total": "Answers of the response cache.",
}

Labels = tuple[tuple[str, str], ...]


class Answered(Protocol):
    """Knows the status of an answer once it has begun."""

    @property
    def status(self) -> int:
        """HTTP status; 0 before."""
        ...


class Metrics:
    """Counts. One per process; all calls come from one event loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._sums: defaultdict[tuple[str, Labels], float] = defaultdict(float)
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BUCKETS_S) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._running = 0

    @contextmanager
    def watch(self, scope: Scope, answered: Answered) -> Iterator[None]:
        """Count one HTTP request and its time."""
        began = self._monotonic()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            route = scope.get("route")
            path = route.path if isinstance(route, Route) else "other"
            self.add("dynaroute_requests_total", path=path, status=str(answered.status))
            took_s = self._monotonic() - began
            self._seconds[path] += took_s
            index = next((i for i, bound in enumerate(_BUCKETS_S) if took_s <= bound), len(_BUCKETS_S))
            self._buckets[path][index] += 1

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        self._sums[name, tuple(labels.items())] += amount

    def text(self) -> str:
        """Write everything."""
        return "".join([*self._counters(), *self._histogram(), *_gauges(self._running)])

    def _counters(self) -> Iterator[str]:
        for name, meaning in _HELP.items():
            yield f"# HELP {name} {meaning}\n# TYPE {name} counter\n"
            for (of, labels), value in self._sums.items():
                if of == name:
                    yield f"{name}{_braces(dict(labels))} {value:.10g}\n"

    def _histogram(self) -> Iterator[str]:
        name = "dynaroute_request_seconds"
        yield f"# HELP {name} Seconds from request to the end of its answer.\n# TYPE {name} histogram\n"
        for path, counts in self._buckets.items():
            running = 0
            for bound, count in zip((*map(str, _BUCKETS_S), "+Inf"), counts, strict=True):
                running += count
                yield f"{name}_bucket{_braces({'path': path, 'le': bound})} {running}\n"
            yield f"{name}_sum{_braces({'path': path})} {self._seconds[path]:.6f}\n"
            yield f"{name}_count{_braces({'path': path})} {running}\n"


def sums(tally: "Tally") -> Iterator[str]:
    """Write what the calls of this process used and cost, MCP's too. What was saved is no counter: it can fall."""
    families: tuple[tuple[str, str, str, Mapping[Labels, int | Decimal]], ...] = (
        (
            "dynaroute_tokens_total",
            "counter",
            "Tokens by model and kind.",
            {(("model", model), ("kind", kind)): count for (model, kind), count in tally.tokens.items()},
        ),
        (
            "dynaroute_cost_usd_total",
            "counter",
            "Dollars by model.",
            {(("model", model),): usd for model, usd in tally.cost_usd.items()},
        ),
        (
            "dynaroute_saved_usd_total",
            "gauge",
            "Dollars saved against GPT-4.1, signed.",
            {(): tally.saved_usd},
        ),
        (
            "dynaroute_attempts_total",
            "counter",
            "Tries at providers by model and outcome.",
            {(("model", model), ("outcome", how)): count for (model, how), count in tally.attempts.items()},
        ),
    )
    for name, kind, meaning, rows in families:
        yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
        for labels, value in rows.items():
            yield f"{name}{_braces(dict(labels))} {value}\n"


def _gauges(running: int) -> Iterator[str]:
    for name, meaning, value in (
        ("dynaroute_requests_running", "HTTP requests being answered.", running),
        ("dynaroute_peak_memory_bytes", "Largest resident set of this process.", _peak_bytes()),
    ):
        if value is not None:
            yield f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {value}\n"


def _peak_bytes() -> int | None:
    try:
        import resource  # noqa: PLC0415 -- POSIX only
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1_024)


def vital_gauges(rows: "Sequence[Vitals]") -> Iterator[str]:
    """Write how each model that this process asked is; a figure that nobody measured is left out."""
    for name, meaning, of in _VITALS:
        yield f"# HELP {name} {meaning}\n# TYPE {name} gauge\n"
        for row in rows:
            for labels, value in of(row).items():
                if value is not None:
                    yield f"{name}{_braces({'model': row.id, **dict(labels)})} {value:.6g}\n"


def _quantiles(p50: float | None, p95: float | None) -> dict[Labels, float | None]:
    return {(("quantile", "0.5"),): p50, (("quantile", "0.95"),): p95}


_VITALS: "Final[tuple[tuple[str, str, Callable[[Vitals], Mapping[Labels, float | None]]], ...]]" = (
    (
        "dynaroute_model_rests_seconds",
        "Seconds for which a model, or a provider as a whole, is left alone.",
        lambda row: {(): row.breaker.retry_in_s if row.breaker else None},
    ),
    (
        "dynaroute_model_error_ratio",
        "Share of the newest calls within an hour that failed.",
        lambda row: {(): row.figures.error_rate if row.figures.calls else None},
    ),
    (
        "dynaroute_model_first_token_seconds",
        "Seconds to the first content of a stream, newest calls within an hour.",
        lambda row: _quantiles(row.figures.first_token_p50_s, row.figures.first_token_p95_s),
    ),
    (
        "dynaroute_model_answer_seconds",
        "Seconds to the end of an answer, newest calls within an hour.",
        lambda row: _quantiles(row.figures.answer_p50_s, row.figures.answer_p95_s),
    ),
    (
        "dynaroute_model_tokens_per_second",
        "Output tokens a second, median of the newest calls within an hour.",
        lambda row: {(): row.figures.tokens_per_s},
    ),
)


def _braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
