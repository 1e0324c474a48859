"""Who is well enough to be asked: a circuit breaker per model, and how long its answers take.

A model that keeps failing is left alone for a while, then one call may probe it. A rate limit only cools a model
down; it is no failure. A rejected key or an empty account cools its whole provider. Pure state: the clock is an
argument, and nothing here waits, calls or logs.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from dynaroute_mcp.errors import (
    ProviderError,
    ProviderKeyRejected,
    ProviderQuotaExhausted,
    ProviderRateLimited,
)
from dynaroute_mcp.settings import BreakerSettings

State = Literal["closed", "open", "half_open", "cooling"]

_RATE_LIMIT_COOL_S: Final = 10.0
"""After a 429 that names no time."""
_ALERT_COOL_S: Final = 60.0
"""After a failure that only the operator can mend."""
_LONGEST_COOL_S: Final = 3600.0
"""No provider may ask for more."""
_LATENCY_WEIGHT: Final = 0.2
"""Share of the newest latency in the moving average."""
_REMEMBERED_FAILURES: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHealth:
    """How one model, or one provider as a whole, has fared in this process."""

    id: str
    state: State
    retry_in_s: float
    """Seconds until it may be asked again; 0 when it may."""
    recent_failures: int
    successes: int
    failures: int
    """All failures that speak against it."""
    rate_limits: int
    latency_s: float | None
    """Moving average over successful calls; `None` before the first."""
    last_error: str | None
    """Code of the newest error."""


@dataclass(slots=True)
class _Record:
    """Mutable state of one model or provider."""

    recent: deque[datetime] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_FAILURES))
    open_until: datetime | None = None
    """Set while failures keep the breaker open, and until a probe has succeeded."""
    cool_until: datetime | None = None
    """A rate limit or an alert; no success shortens it."""
    probe_until: datetime | None = None
    """One probe is under way; should it never report, another may start then."""
    successes: int = 0
    failures: int = 0
    rate_limits: int = 0
    latency_s: float | None = None
    last_error: str | None = None

    def wait_s(self, now: datetime) -> float:
        """Seconds until it may be asked, 0 when it may."""
        deadlines = (self.open_until, self.cool_until, self.probe_until)
        return max(((until - now).total_seconds() for until in deadlines if until), default=0.0)

    def state(self, now: datetime) -> State:
        if self.cool_until and self.cool_until > now:
            return "cooling"
        if self.open_until is None:
            return "closed"
        return "open" if self.open_until > now else "half_open"


class Health:
    """The breakers of one process. Not for several threads: all calls come from one event loop."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._records: dict[str, _Record] = {}

    def allow(self, model_id: str, now: datetime) -> bool:
        """Tell whether a model may be asked; a yes to a half-open one is the single leave to probe it."""
        record = self._records.get(model_id)
        if record is None or not self._settings.enabled:
            return True
        if record.wait_s(now) > 0:
            return False
        if record.open_until is not None:
            record.probe_until = now + timedelta(seconds=self._settings.open_s)
        return True

    def succeeded(self, model_id: str, now: datetime, latency_s: float) -> None:
        """Note an answer: the breaker closes, a rate limit's time stays."""
        record = self._record(model_id)
        record.successes += 1
        record.recent.clear()
        record.open_until = record.probe_until = None
        if record.cool_until and record.cool_until <= now:
            record.cool_until = None
        old = latency_s if record.latency_s is None else record.latency_s
        record.latency_s = old + _LATENCY_WEIGHT * (latency_s - old)

    def failed(self, model_id: str, error: ProviderError, now: datetime) -> None:
        """Note a failure by its class; a deadline is only ever moved later."""
        whole_provider = isinstance(error, ProviderKeyRejected | ProviderQuotaExhausted)
        record = self._record(error.provider if whole_provider else model_id)
        record.last_error = error.code
        if isinstance(error, ProviderRateLimited):
            record.rate_limits += 1
            record.cool_until = _later(record.cool_until, now, error.retry_after_s or _RATE_LIMIT_COOL_S)
        elif error.counts_as_failure:
            self._count(record, error, now)
        elif error.alert:
            record.failures += 1
            record.cool_until = _later(record.cool_until, now, error.retry_after_s or _ALERT_COOL_S)
        record.probe_until = None

    def cooling(self, now: datetime) -> Mapping[str, float]:
        """Seconds that each model or provider must still be left alone; only those that must."""
        if not self._settings.enabled:
            return {}
        waits = {key: record.wait_s(now) for key, record in self._records.items()}
        return {key: wait_s for key, wait_s in waits.items() if wait_s > 0}

    def snapshot(self, now: datetime) -> tuple[ModelHealth, ...]:
        """Everything known, by id; never-called models are absent."""
        return tuple(
            ModelHealth(
                id=key,
                state=record.state(now),
                retry_in_s=max(0.0, record.wait_s(now)),
                recent_failures=sum(at >= self._oldest(now) for at in record.recent),
                successes=record.successes,
                failures=record.failures,
                rate_limits=record.rate_limits,
                latency_s=record.latency_s,
                last_error=record.last_error,
            )
            for key, record in sorted(self._records.items())
        )

    def _record(self, key: str) -> _Record:
        return self._records.setdefault(key, _Record())

    def _oldest(self, now: datetime) -> datetime:
        return now - timedelta(seconds=self._settings.within_s)

    def _count(self, record: _Record, error: ProviderError, now: datetime) -> None:
        record.failures += 1
        record.recent.append(now)
        while record.recent[0] < self._oldest(now):
            record.recent.popleft()
        was_open = record.open_until is not None
        if was_open or len(record.recent) >= min(self._settings.failures, _REMEMBERED_FAILURES):
            wait_s = max(self._settings.open_s, error.retry_after_s or 0.0)
            record.open_until = _later(record.open_until, now, wait_s)


def _later(old: datetime | None, now: datetime, wait_s: float) -> datetime:
    new = now + timedelta(seconds=min(wait_s, _LONGEST_COOL_S))
    return new if old is None else max(old, new)
