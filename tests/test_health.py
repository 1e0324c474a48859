"""The breaker: failures open it, a probe closes it, a rate limit is no failure, a deadline never moves back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dynaroute_mcp import errors
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
from dynaroute_mcp.health import Figures, Health, ModelHealth, Try, figures, tries_of
from dynaroute_mcp.health.figures import SPARED
from dynaroute_mcp.settings import BreakerSettings
from dynaroute_mcp.types import Attempt, CallStatus, Outcome, Usage

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


@pytest.mark.parametrize("hours", [1, 24])
def test_a_clock_that_was_set_back_makes_no_rest_longer(hours: int) -> None:
    health, back = opened(), -3600.0 * hours
    health.failed("other", error(ProviderRateLimited, retry_after_s=5), after(2))
    health.failed(MODEL, error(), after(back))
    before = health.conditions(after(back))[MODEL].error_rate

    assert health.cooling(after(back)) == {MODEL: 30.0, "other": 5.0}
    assert only_of(health, MODEL, after(back)).recent_failures == 4
    assert health.cooling(after(back + 30)) == {}
    assert health.allow(MODEL, after(back + 30))
    assert health.conditions(after(back + 1200))[MODEL].error_rate < before


def only_of(health: Health, model_id: str, now: datetime) -> ModelHealth:
    return next(row for row in health.snapshot(now) if row.id == model_id)


def test_clocks_that_are_read_in_turns_were_not_set_back() -> None:
    health = opened()

    assert health.cooling(after(1)) == {MODEL: 31.0}
    assert health.cooling(after(4)) == {MODEL: 28.0}


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


def test_figures_tell_failures_waiting_and_speed_of_the_last_hour() -> None:
    health = Health(SETTINGS)
    health.succeeded(MODEL, START, 9.0, provider=PROVIDER, output_tokens=90)
    for second in range(1, 5):
        health.succeeded(
            MODEL, after(3600 + second), 3.0, provider=PROVIDER, first_token_s=1.0, output_tokens=100
        )
    health.failed(MODEL, error(), after(3610), 0.2)
    row = only(health, after(3620))

    assert row.figures == Figures(
        calls=5,
        failures=1,
        first_token_p50_s=1.0,
        first_token_p95_s=1.0,
        answer_p50_s=3.0,
        answer_p95_s=3.0,
        tokens_per_s=50.0,
    )
    assert row.figures.error_rate == 0.2
    assert (row.successes, row.last_error) == (5, "provider_unavailable")


def test_quantiles_are_values_that_were_measured() -> None:
    rows = [Try(at=START, ok=True, took_s=float(number)) for number in range(1, 21)]

    whole = figures(rows)
    assert (whole.answer_p50_s, whole.answer_p95_s) == (10.0, 19.0)
    assert figures([]) == Figures(
        calls=0,
        failures=0,
        first_token_p50_s=None,
        first_token_p95_s=None,
        answer_p50_s=None,
        answer_p95_s=None,
        tokens_per_s=None,
    )
    assert figures([]).error_rate == 0


def test_one_failure_is_no_proof_and_many_are() -> None:
    health = Health(SETTINGS)
    health.failed(MODEL, error(), START, 2.0)
    assert health.conditions(START)[MODEL].error_rate == pytest.approx(1 / 6)

    for _ in range(28):
        health.succeeded(MODEL, after(1), 1.0, provider=PROVIDER)
    for _ in range(11):
        health.failed(MODEL, error(), after(1), 4.0)
    ill = health.conditions(after(2))[MODEL]

    assert (ill.degraded, ill.calls, ill.failures) == (True, 40, 12)
    assert ill.error_rate == pytest.approx(12 / 45, abs=0.01)
    assert ill.lost_s == pytest.approx(3.83, abs=0.01)


def test_a_model_that_is_left_alone_is_trusted_again_within_the_hour() -> None:
    health = Health(SETTINGS)
    for _ in range(10):
        health.failed(MODEL, error(), START, 1.0)

    assert health.conditions(after(60))[MODEL].degraded
    assert not health.conditions(after(3600))[MODEL].degraded


def test_a_model_with_few_calls_is_judged_by_its_provider() -> None:
    health = Health(BreakerSettings(failures=100))
    for _ in range(10):
        health.failed("openai/other", error(), START, 1.0)
    health.succeeded(MODEL, START, 1.0, provider=PROVIDER)
    seen = health.conditions(START)

    assert seen[PROVIDER].degraded
    assert seen[MODEL].error_rate == seen[PROVIDER].error_rate

    for _ in range(60):
        health.succeeded(MODEL, after(1), 1.0, provider=PROVIDER)
    seen = health.conditions(after(2))
    assert seen[MODEL].error_rate == 0
    assert not seen[MODEL].degraded


def test_speed_is_expected_from_the_newest_answers() -> None:
    health = Health(SETTINGS)
    health.succeeded(MODEL, START, 2.0, provider=PROVIDER, first_token_s=1.0, output_tokens=100)
    health.succeeded("whole", START, 5.0, output_tokens=100)
    health.succeeded("unknown", START, None)
    seen = health.conditions(START)

    assert seen[MODEL].answer_s(500) == pytest.approx(6.0)
    assert seen["whole"].answer_s(500) == pytest.approx(25.0)
    assert seen["unknown"].answer_s(500) is None


def test_conditions_are_worked_out_once_a_second() -> None:
    health = Health(SETTINGS)
    health.succeeded(MODEL, START, 1.0)
    first = health.conditions(START)
    health.failed(MODEL, error(), after(0.5))

    assert health.conditions(after(0.5)) is first
    assert health.conditions(after(1.0)) is not first
    assert health.conditions(START) is not first  # the wall clock was set back


def test_the_books_teach_a_new_process_without_opening_a_breaker() -> None:
    rows = [(MODEL, PROVIDER, Try(at=after(second), ok=second > 9, took_s=1.0)) for second in range(20)]
    health = Health(SETTINGS)
    health.recall(reversed(rows))

    assert health.allow(MODEL, after(20))
    assert only(health, after(20)).figures.failures == 10
    assert only(health, after(20)).degraded


def outcome(*attempts: Attempt, first_token_ms: int | None = None, status: CallStatus = "ok") -> Outcome:
    return Outcome(
        request_id="req_1",
        finished_at=START,
        status=status,
        model_id=MODEL,
        provider=PROVIDER,
        usage=Usage(output_tokens=50),
        cost=None,
        gpt41_usd=Decimal(0),
        baseline_usd=Decimal(0),
        latency_ms=3_000,
        first_token_ms=first_token_ms,
        attempts=attempts,
    )


def attempt(code: str = "ok") -> Attempt:
    return Attempt(model_id=MODEL, provider=PROVIDER, outcome=code, status=None, latency_ms=1_000)


def test_tries_are_read_off_recorded_calls() -> None:
    def tries(call: Outcome) -> list[Try]:
        return [row for _, _, row in tries_of(call)]

    good = Try(at=START, ok=True, took_s=1.0, output_tokens=50)
    bad = Try(at=START, ok=False, took_s=1.0)
    streamed = Try(at=START, ok=True, took_s=3.0, first_token_s=1.0, output_tokens=50)

    assert tries(outcome(attempt("provider_garbled"), attempt())) == [bad, good]
    assert tries(outcome(attempt(), first_token_ms=900)) == [streamed]
    assert tries(outcome(attempt(), first_token_ms=900))[0].token_s == 0.04
    assert tries(outcome(attempt("provider_garbled"), attempt(), first_token_ms=900))[1].took_s is None
    assert tries(outcome(attempt(), first_token_ms=900, status="partial")) == [
        Try(at=START, ok=False, took_s=None)
    ]
    assert tries(outcome(attempt("provider_rate_limited"))) == []
    assert tries(outcome()) == []


def test_what_is_spared_are_the_failures_that_speak_against_no_model() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    families = [kind for kind in kinds if issubclass(kind, ProviderError) and kind is not ProviderError]

    assert {kind.code for kind in families if not (kind.counts_as_failure or kind.alert)} == SPARED


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
