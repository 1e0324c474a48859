"""Who is well enough to be asked: a circuit breaker per model, and how its calls went lately.

A model that keeps failing is left alone for a while, then one call may probe it. A rate limit only cools a
model down; it is no failure. A rejected key or an empty account cools its whole provider. Pure state: the
clock is an argument, and nothing here waits, calls or logs.
"""

from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from dynaroute_mcp.errors import (
    ProviderError,
    ProviderKeyRejected,
    ProviderQuotaExhausted,
    ProviderRateLimited,
)
from dynaroute_mcp.health.figures import SPARED, Figures, Try, figures
from dynaroute_mcp.health.trend import Condition, Trend
from dynaroute_mcp.settings import BreakerSettings

State = Literal["closed", "open", "half_open", "cooling"]

_RATE_LIMIT_COOL_S: Final = 10.0
"""After a 429 that names no time."""
_ALERT_COOL_S: Final = 60.0
"""After a failure that only the operator can mend."""
_LONGEST_COOL_S: Final = 3600.0
"""No provider may ask for more."""
_REMEMBERED_FAILURES: Final = 100
_REMEMBERED_TRIES: Final = 100
"""Newest tries of a model that the figures rest on."""
_FIGURES_S: Final = 3600.0
"""Older tries are in no figure."""
_SET_BACK: Final = timedelta(seconds=5)
"""A clock that is earlier than it was by more was set back; by less, two callers took turns."""
_CONDITIONS_EVERY_S: Final = 1.0
"""Conditions are worked out at most so often: they change slowly, and every choice asks for them."""


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
    last_error: str | None
    """Code of the newest error: why it rests, if it does."""
    figures: Figures
    """Of its newest calls within an hour; those of the books at the start are among them."""
    degraded: bool = False
    """It fails so often that others are preferred where they cost little more."""


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
    last_error: str | None = None
    provider: str | None = None
    tries: deque[Try] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_TRIES))
    trend: Trend = field(default_factory=Trend)

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

    def move_back(self, by: timedelta) -> None:
        """Take the clock to have been set back by so much, so that no rest becomes longer."""
        self.recent = deque((at - by for at in self.recent), maxlen=self.recent.maxlen)
        self.tries = deque((replace(row, at=row.at - by) for row in self.tries), maxlen=self.tries.maxlen)
        self.open_until = self.open_until and self.open_until - by
        self.cool_until = self.cool_until and self.cool_until - by
        self.probe_until = self.probe_until and self.probe_until - by
        self.trend.move_back(by)


class Health:
    """The breakers of one process. Not for several threads: all calls come from one event loop."""

    def __init__(
        self,
        settings: BreakerSettings,
        records: dict[str, _Record] | None = None,
        providers: dict[str, Trend] | None = None,
    ) -> None:
        self._settings = settings
        self._records = records or {}
        self._providers = providers or {}
        """Of all models of a provider together."""
        self._conditions: Mapping[str, Condition] = {}
        self._conditions_at: datetime | None = None
        self._latest: datetime | None = None

    def renewed(self, settings: BreakerSettings, keep: Container[str]) -> "Health":
        """The breakers under new settings; models and providers whose ids are not to be kept begin afresh.

        What is kept is shared: a call that ends here counts there too.
        """
        return Health(
            settings,
            {key: record for key, record in self._records.items() if key in keep},
            {key: trend for key, trend in self._providers.items() if key in keep},
        )

    def allow(self, model_id: str, now: datetime) -> bool:
        """Tell whether a model may be asked; a yes to a half-open one is the single leave to probe it."""
        self._heed(now)
        record = self._records.get(model_id)
        if record is None or not self._settings.enabled:
            return True
        if record.wait_s(now) > 0:
            return False
        if record.open_until is not None:
            record.probe_until = now + timedelta(seconds=self._settings.open_s)
        return True

    def succeeded(
        self,
        model_id: str,
        now: datetime,
        took_s: float | None,
        *,
        provider: str | None = None,
        first_token_s: float | None = None,
        output_tokens: int = 0,
    ) -> None:
        """Note an answer that ended well: the breaker closes, a rate limit's time stays.

        Args:
            model_id: who answered.
            now: when it had ended.
            took_s: from the question to the end of the answer; `None` when nobody waited for the end.
            provider: whose model it is.
            first_token_s: from the question to the first content, of a stream.
            output_tokens: of the answer; 0 when they are not known.
        """
        self._heed(now)
        record = self._record(model_id)
        record.successes += 1
        record.recent.clear()
        record.open_until = record.probe_until = None
        if record.cool_until and record.cool_until <= now:
            record.cool_until = None
        good = Try(at=now, ok=True, took_s=took_s, first_token_s=first_token_s, output_tokens=output_tokens)
        self._remember(model_id, provider, good)

    def failed(self, model_id: str, error: ProviderError, now: datetime, took_s: float | None = None) -> None:
        """Note a failure by its class, and the seconds it took; a deadline is only ever moved later."""
        self._heed(now)
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
        if not whole_provider and error.code not in SPARED:
            self._remember(model_id, error.provider, Try(at=now, ok=False, took_s=took_s))

    def recall(self, rows: Iterable[tuple[str, str, Try]]) -> None:
        """Take over what the books tell of earlier calls: model, provider, try. It opens no breaker."""
        for model_id, provider, row in sorted(rows, key=lambda each: each[2].at):
            self._remember(model_id, provider, row)

    def knows(self, model_id: str) -> bool:
        """Tell whether anything was noted of a model."""
        return model_id in self._records

    def cooling(self, now: datetime) -> Mapping[str, float]:
        """Seconds that each model or provider must still be left alone; only those that must."""
        self._heed(now)
        if not self._settings.enabled:
            return {}
        waits = {key: record.wait_s(now) for key, record in self._records.items()}
        return {key: wait_s for key, wait_s in waits.items() if wait_s > 0}

    def snapshot(self, now: datetime) -> tuple[ModelHealth, ...]:
        """Everything known, by id; never-called models are absent."""
        self._heed(now)
        return tuple(
            ModelHealth(
                id=key,
                state=record.state(now),
                retry_in_s=max(0.0, record.wait_s(now)),
                recent_failures=sum(at >= self._oldest(now) for at in record.recent),
                successes=record.successes,
                failures=record.failures,
                rate_limits=record.rate_limits,
                last_error=record.last_error,
                figures=figures(_since(record.tries, now)),
                degraded=self._condition(record, now).degraded,
            )
            for key, record in sorted(self._records.items())
        )

    def conditions(self, now: datetime) -> Mapping[str, Condition]:
        """How models did lately, by id, and providers that are degraded as a whole; nobody else is in it.

        A model with too few calls of its own is judged by its provider's. Worked out anew once a second at
        most.
        """
        self._heed(now)
        known_at = self._conditions_at
        if known_at is None or not 0 <= (now - known_at).total_seconds() < _CONDITIONS_EVERY_S:
            whole = {
                provider: trend.condition(now)
                for provider, trend in self._providers.items()
                if trend.tells(now)
            }
            own = {key: self._condition(record, now) for key, record in self._records.items() if record.tries}
            self._conditions = {key: each for key, each in whole.items() if each.degraded} | own
            self._conditions_at = now
        return self._conditions

    def _heed(self, now: datetime) -> None:
        """Notice a clock that was set back, and move what is remembered along with it."""
        latest = self._latest
        if latest is None or now >= latest:
            self._latest = now
        elif latest - now > _SET_BACK:
            self._latest = now
            for record in self._records.values():
                record.move_back(latest - now)
            for trend in self._providers.values():
                trend.move_back(latest - now)

    def _condition(self, record: _Record, now: datetime) -> Condition:
        """Tell how a model does, of whose own failures there may be too few to judge by."""
        own, provider = record.trend.condition(now), self._providers.get(record.provider or "")
        if provider is not None and not record.trend.tells(now) and provider.tells(now):
            return replace(own, error_rate=provider.condition(now).error_rate)
        if not own.degraded:
            return own
        recent = _since(record.tries, now)
        return replace(own, calls=len(recent), failures=sum(not row.ok for row in recent))

    def _remember(self, model_id: str, provider: str | None, row: Try) -> None:
        record = self._record(model_id)
        record.tries.append(row)
        record.trend.add(row)
        if provider is not None:
            record.provider = provider
            self._providers.setdefault(provider, Trend()).add(row)

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


def _since(tries: Iterable[Try], now: datetime) -> list[Try]:
    oldest = now - timedelta(seconds=_FIGURES_S)
    return [row for row in tries if row.at >= oldest]
