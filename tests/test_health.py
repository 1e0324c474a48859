"""The breaker: failures open it, a probe closes it, a rate limit is no failure, a deadline never moves back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dynaroute_mcp.errors import (
    ProviderContentBlocked,
    ProviderError,
    ProviderKeyRejected,
    ProviderModelMissing,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.health import Health, ModelHealth
from dynaroute_mcp.settings import BreakerSettings

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
MODEL, PROVIDER = "openai/gpt-6-luna", "openai"
SETTINGS = BreakerSettings(failures=3, within_s=30, open_s=30)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def error(
    kind: type[ProviderError] = ProviderUnavailable, *, retry_after_s: float | None = None
) -> ProviderError:
    return kind("failed", provider=PROVIDER, model_id=MODEL, retry_after_s=retry_after_s)


def opened() -> Health:
    health = Health(SETTINGS)
    for second in range(3):
        health.failed(MODEL, error(), after(second))
    return health


def only(health: Health, now: datetime) -> ModelHealth:
    (row,) = health.snapshot(now)
    return row


def test_an_unknown_model_may_be_asked() -> None:
    health = Health(SETTINGS)

    assert health.allow(MODEL, START)
    assert health.cooling(START) == {}
    assert health.snapshot(START) == ()


def test_failures_within_the_window_open_the_breaker() -> None:
    health = opened()

    assert not health.allow(MODEL, after(3))
    assert health.cooling(after(12)) == {MODEL: 20.0}
    assert only(health, after(12)).state == "open"


def test_failures_far_apart_open_nothing() -> None:
    health = Health(SETTINGS)
    for second in (0, 20, 40, 60):
        health.failed(MODEL, error(), after(second))

    assert health.allow(MODEL, after(61))
    assert only(health, after(61)).recent_failures == 2
    assert only(health, after(200)).recent_failures == 0


def test_an_answer_in_between_starts_the_count_again() -> None:
    health = Health(SETTINGS)
    for second in range(2):
        health.failed(MODEL, error(), after(second))
    health.succeeded(MODEL, after(2), 0.5)
    health.failed(MODEL, error(ProviderTimedOut), after(3))

    assert health.allow(MODEL, after(4))


def test_after_its_time_one_call_may_probe_and_no_second_one() -> None:
    health = opened()

    assert only(health, after(33)).state == "half_open"
    assert health.allow(MODEL, after(33))
    assert not health.allow(MODEL, after(34))
    assert health.cooling(after(34)) == {MODEL: 29.0}


def test_a_probe_that_answers_closes_the_breaker() -> None:
    health = opened()
    health.allow(MODEL, after(33))
    health.succeeded(MODEL, after(34), 0.5)

    assert health.allow(MODEL, after(35))
    assert only(health, after(35)).state == "closed"


def test_a_probe_that_fails_opens_it_again_at_once() -> None:
    health = opened()
    health.allow(MODEL, after(33))
    health.failed(MODEL, error(), after(34))

    assert health.cooling(after(34)) == {MODEL: 30.0}


def test_a_probe_that_never_reports_does_not_lock_the_model_for_ever() -> None:
    health = opened()
    health.allow(MODEL, after(33))

    assert health.allow(MODEL, after(63))


def test_a_rate_limit_cools_without_counting_as_a_failure() -> None:
    health = Health(SETTINGS)
    for _ in range(5):
        health.failed(MODEL, error(ProviderRateLimited, retry_after_s=41), START)
    row = only(health, START)

    assert health.cooling(START) == {MODEL: 41.0}
    assert (row.state, row.failures, row.rate_limits) == ("cooling", 0, 5)
    assert health.allow(MODEL, after(41))
    assert only(health, after(41)).state == "closed"


def test_a_rate_limit_without_a_time_cools_for_a_moment_and_none_for_a_day() -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(ProviderRateLimited), START)
    health.failed("b", error(ProviderRateLimited, retry_after_s=86_400), START)

    assert health.cooling(START) == {MODEL: 10.0, "b": 3600.0}


def test_a_shorter_deadline_never_replaces_a_longer_one() -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(ProviderRateLimited, retry_after_s=60), START)
    health.failed(MODEL, error(ProviderRateLimited, retry_after_s=1), after(1))

    assert health.cooling(after(1)) == {MODEL: 59.0}


def test_an_answer_does_not_shorten_a_rate_limit() -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(ProviderRateLimited, retry_after_s=60), START)
    health.succeeded(MODEL, after(1), 0.5)
    health.succeeded("other", after(1), 0.5)

    assert health.cooling(after(2)) == {MODEL: 58.0}
    health.succeeded(MODEL, after(60), 0.5)
    assert health.cooling(after(60)) == {}


@pytest.mark.parametrize("kind", [ProviderKeyRejected, ProviderQuotaExhausted])
def test_a_fault_of_the_account_cools_the_whole_provider(kind: type[ProviderError]) -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(kind), START)

    assert health.cooling(START) == {PROVIDER: 60.0}


def test_a_missing_model_cools_only_itself() -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(ProviderModelMissing), START)

    assert health.cooling(START) == {MODEL: 60.0}


@pytest.mark.parametrize("kind", [ProviderRefusedRequest, ProviderContentBlocked])
def test_a_fault_of_the_request_speaks_against_nobody(kind: type[ProviderError]) -> None:
    health = Health(SETTINGS)
    for second in range(10):
        health.failed(MODEL, error(kind), after(second))

    assert health.allow(MODEL, after(10))
    assert only(health, after(10)).failures == 0


def test_a_provider_that_asks_for_a_longer_pause_gets_it() -> None:
    health = Health(BreakerSettings(failures=1))
    health.failed(MODEL, error(retry_after_s=300), START)

    assert health.cooling(START) == {MODEL: 300.0}


def test_latency_is_a_moving_average_of_answers() -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(), START)
    assert only(health, START).latency_s is None

    health.succeeded(MODEL, START, 1.0)
    health.succeeded(MODEL, START, 2.0)

    assert only(health, START).latency_s == pytest.approx(1.2)
    assert only(health, START).successes == 2


def test_a_breaker_that_is_switched_off_stops_nobody() -> None:
    health = Health(BreakerSettings(failures=1, enabled=False))
    health.failed(MODEL, error(), START)

    assert health.allow(MODEL, START)
    assert health.cooling(START) == {}


class Breaker(RuleBasedStateMachine):
    """Any sequence of calls: deadlines move later only, and a probe is alone."""

    def __init__(self) -> None:
        super().__init__()
        self.health = Health(SETTINGS)
        self.now = START
        self.free_at = START
        self.probing_until = START

    @rule(seconds=st.floats(min_value=0, max_value=100))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(kind=st.sampled_from([ProviderUnavailable, ProviderTimedOut]))
    def fail(self, kind: type[ProviderError]) -> None:
        before = self.health.cooling(self.now).get(MODEL, 0.0)
        probing = self.probing_until > self.now
        self.health.failed(MODEL, error(kind), self.now)
        self.probing_until = self.now
        assert probing or self.health.cooling(self.now).get(MODEL, 0.0) >= before

    @rule(wait_s=st.floats(min_value=0.1, max_value=500))
    def rate_limit(self, wait_s: float) -> None:
        self.health.failed(MODEL, error(ProviderRateLimited, retry_after_s=wait_s), self.now)
        self.probing_until = self.now
        self.free_at = max(self.free_at, self.now + timedelta(seconds=wait_s))

    @rule()
    def succeed(self) -> None:
        self.health.succeeded(MODEL, self.now, 0.1)
        self.probing_until = self.now
        if self.free_at <= self.now:
            assert self.health.cooling(self.now) == {}

    @rule()
    def ask(self) -> None:
        half_open = any(row.state == "half_open" for row in self.health.snapshot(self.now))
        if self.health.allow(MODEL, self.now) and half_open:
            self.probing_until = self.now + timedelta(seconds=SETTINGS.open_s)
            assert not self.health.allow(MODEL, self.now)

    @invariant()
    def a_rate_limit_holds_until_its_time(self) -> None:
        if self.free_at > self.now:
            assert not self.health.allow(MODEL, self.now)

    @invariant()
    def what_cools_may_not_be_asked(self) -> None:
        assert all(wait_s > 0 for wait_s in self.health.cooling(self.now).values())
        if self.health.cooling(self.now):
            assert not self.health.allow(MODEL, self.now)


TestBreaker = Breaker.TestCase
TestBreaker.settings = hypothesis_settings(max_examples=40, stateful_step_count=30, deadline=None)
