"""How a model does just now: sums in which a call counts half as much for every half-life that has passed.

Few calls prove little: the share of failures is taken as if some good calls had been there before. Pure, and
of constant size.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dynaroute_mcp.health.figures import Try

HALF_LIFE_S: Final = 300.0
"""After so long a call counts half. With it a model that was left alone is trusted again within the hour."""
_GOOD_BEFORE: Final = 5.0
"""Good calls that are taken for granted, so that one failure of one call is no proof."""
_DEGRADED_FROM: Final = 0.1
"""Share of failures from which a model counts as degraded; lower ones are everyday."""
_TELLS_FROM: Final = 3.0
"""Calls from which a model's own record says more than its provider's."""
_MOST: Final = 0.95
"""No model is taken to fail always: a share of 1 would make its expected tries endless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a model, or all models of a provider, did lately; newer calls count more."""

    error_rate: float
    """In [0, 0.95], a few good calls taken for granted."""
    lost_s: float
    """Seconds that a failure took, on average."""
    calls: int = 0
    """Newest calls that `failures` are counted in; 0 where it is not degraded, or judged by its provider."""
    failures: int = 0
    first_token_s: float | None = None
    """Of streams; `None` without any."""
    token_s: float | None = None
    """Seconds of an output token; `None` without any finished answer."""

    @property
    def degraded(self) -> bool:
        """Whether it fails often enough to be passed over where another costs little more."""
        return self.error_rate >= _DEGRADED_FROM

    def answer_s(self, output_tokens: int) -> float | None:
        """Seconds that an answer of this length is expected to take; `None` when nothing was measured."""
        if self.token_s is None:
            return None
        return (self.first_token_s or 0.0) + self.token_s * output_tokens


@dataclass(slots=True)
class _Mean:
    """A weighted mean."""

    weight: float = 0.0
    total: float = 0.0

    def add(self, value: float) -> None:
        self.weight += 1
        self.total += value

    def fade(self, share: float) -> None:
        self.weight *= share
        self.total *= share

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight else None


class Trend:
    """The sums of one model, or of one provider."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._calls = _Mean()
        """Each call, 1 for a failure: its mean is the share of failures."""
        self._lost = _Mean()
        self._first_token = _Mean()
        self._token = _Mean()

    def add(self, row: Try) -> None:
        """Count one more try; one that is older than the last counts as if it were of its time."""
        self._fade(row.at)
        self._calls.add(0.0 if row.ok else 1.0)
        if not row.ok and row.took_s is not None:
            self._lost.add(row.took_s)
        if row.first_token_s is not None:
            self._first_token.add(row.first_token_s)
        if (token_s := row.token_s) is not None:
            self._token.add(token_s)

    def tells(self, now: datetime) -> bool:
        """Whether there are calls enough to judge by."""
        self._fade(now)
        return self._calls.weight >= _TELLS_FROM

    def condition(self, now: datetime) -> Condition:
        """Tell how it does."""
        self._fade(now)
        return Condition(
            error_rate=min(_MOST, self._calls.total / (self._calls.weight + _GOOD_BEFORE)),
            lost_s=self._lost.value or 0.0,
            first_token_s=self._first_token.value,
            token_s=self._token.value,
        )

    def move_back(self, by: timedelta) -> None:
        """Take the clock to have been set back by so much."""
        if self._at is not None:
            self._at -= by

    def _fade(self, now: datetime) -> None:
        if self._at is not None:
            passed_s = (now - self._at).total_seconds()
            if passed_s <= 0:
                return
            share = 0.5 ** (passed_s / HALF_LIFE_S)
            for mean in (self._calls, self._lost, self._first_token, self._token):
                mean.fade(share)
        self._at = now
