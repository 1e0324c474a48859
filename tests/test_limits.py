"""Limits: which counters a request touches, what it takes from them and what is left."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dynaroute_mcp.catalog import Plan
from dynaroute_mcp.limits import holds, limits_of, priced_only, spent, tightest, usd_left, warnings, window
from dynaroute_mcp.settings import Budget
from dynaroute_mcp.store.base import CounterRow
from dynaroute_mcp.types import Caller

AT = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)
FREE = Plan(
    id="free",
    name="Free",
    requests_per_minute=100,
    requests_per_day=1_000,
    usd_per_month=Decimal(10),
    tokens_per_month=1_000_000,
)
ALICE = Caller(owner="alice", key_id="key_1", plan="free")
DAY_BUDGET = Budget(scope="day", usd=Decimal("0.10"))


def counter(
    metric: str, window_name: str, used: int, *, scope: str = "owner:alice", reserved: int = 0
) -> CounterRow:
    assert metric in {"requests", "tokens", "nano_usd"}
    return CounterRow(scope=scope, metric=metric, window=window_name, used=used, reserved=reserved)  # type: ignore[arg-type]  # checked above


@pytest.mark.parametrize(
    ("period", "name", "ends"),
    [
        ("minute", "minute:2026-12-31T23:59Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("day", "day:2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", "month:2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_window_is_a_utc_period_and_knows_its_end(period: str, name: str, ends: datetime) -> None:
    assert window(period, AT) == (name, ends)  # type: ignore[arg-type]  # parametrised literals


def test_a_request_takes_one_request_its_most_tokens_and_its_most_dollars() -> None:
    limits = limits_of(ALICE, FREE, (), None, AT)

    taken = {
        hold.name: (hold.amount, hold.ceiling) for hold in holds(limits, tokens=500, max_usd=Decimal("0.01"))
    }

    assert taken == {
        "requests_per_minute": (1, 100),
        "requests_per_day": (1, 1_000),
        "tokens_per_month": (500, 1_000_000),
        "usd_per_month": (10_000_000, 10_000_000_000),
    }


def test_a_reservation_of_dollars_is_rounded_up() -> None:
    limits = limits_of(ALICE, FREE, (), None, AT)

    (money,) = [h for h in holds(limits, tokens=0, max_usd=Decimal("0.0000000001")) if h.metric == "nano_usd"]

    assert money.amount == 1


def test_without_a_plan_counters_count_and_nothing_is_refused() -> None:
    limits = limits_of(Caller(owner="local"), None, (), None, AT)

    assert [limit.ceiling for limit in limits] == [None] * 4
    assert usd_left(limits, ()) is None
    assert not priced_only(limits)


def test_a_budget_of_another_project_does_not_count() -> None:
    web, app = (Budget(scope="day", usd=Decimal(1), project=name) for name in ("web", "app"))

    limits = limits_of(Caller(owner="local"), None, (web, app), "web", AT)

    assert [limit.scope for limit in limits if limit.ceiling is not None] == ["project:web"]


def test_sandbox_calls_touch_no_budget_and_have_counters_of_their_own() -> None:
    tester = Caller(owner="alice", plan="free", sandbox=True)

    limits = limits_of(tester, FREE, (DAY_BUDGET,), None, AT)

    assert {limit.scope for limit in limits} == {"sandbox:alice"}


def test_the_tightest_ceiling_on_dollars_is_what_is_left() -> None:
    limits = limits_of(ALICE, FREE, (DAY_BUDGET,), None, AT)
    counters = [counter("nano_usd", "day:2026-12-31", 60_000_000, scope="all", reserved=15_000_000)]

    assert usd_left(limits, counters) == Decimal("0.025")
    assert priced_only(limits)


def test_nothing_is_left_of_an_overdrawn_ceiling() -> None:
    limits = limits_of(ALICE, FREE, (), None, AT)

    assert usd_left(limits, [counter("nano_usd", "month:2026-12", 11_000_000_000)]) == 0


def test_a_key_with_limits_has_counters_of_its_own_beside_its_owners() -> None:
    key = replace(ALICE, usd_per_month=Decimal("0.5"), tokens_per_month=1_000)

    limits = limits_of(key, FREE, (), None, AT)

    own = {limit.name: limit.ceiling for limit in limits if limit.scope == "key:key_1"}
    assert own == {"tokens_per_month": 1_000, "usd_per_month": 500_000_000}
    assert len(limits) == 6
    assert usd_left(
        limits, [counter("nano_usd", "month:2026-12", 400_000_000, scope="key:key_1")]
    ) == Decimal("0.1")
    assert warnings(limits, [counter("tokens", "month:2026-12", 900, scope="key:key_1")]) == (
        "90% of tokens_per_month (key:key_1) is used; it resets at 2027-01-01 00:00Z",
    )


def test_from_80_percent_on_a_warning_says_what_and_when_it_resets() -> None:
    limits = limits_of(ALICE, FREE, (), None, AT)

    assert warnings(limits, [counter("tokens", "month:2026-12", 799_999)]) == ()
    (told,) = warnings(limits, [counter("tokens", "month:2026-12", 800_000)])
    assert told == "80% of tokens_per_month is used; it resets at 2027-01-01 00:00Z"


def test_what_is_spent_counts_running_reservations_and_ignores_other_windows() -> None:
    counters = [
        counter("requests", "minute:2026-12-31T23:59Z", 3),
        counter("requests", "minute:2026-12-31T23:58Z", 50),
        counter("requests", "day:2026-12-31", 53),
        counter("tokens", "month:2026-12", 1_000, reserved=500),
        counter("nano_usd", "month:2026-12", 2_000_000_000, scope="sandbox:alice"),
    ]

    used = spent("alice", counters, AT)

    assert (used.requests_this_minute, used.requests_today, used.tokens_this_month) == (3, 53, 1_500)
    assert used.usd_this_month == 0


def test_a_budget_of_the_whole_database_counts_whatever_the_project() -> None:
    for project in (None, "web"):
        scopes = [limit.scope for limit in limits_of(ALICE, FREE, (DAY_BUDGET,), project, AT)]
        assert "all" in scopes


def test_nobody_is_warned_of_requests_since_they_come_back_by_themselves() -> None:
    limits = limits_of(ALICE, FREE, (), None, AT)

    assert warnings(limits, [counter("requests", "day:2026-12-31", 999)]) == ()


def test_of_two_limits_of_one_kind_the_one_that_leaves_less_is_told() -> None:
    for own, left in ((5, 4), (5_000, 90)):
        keyed = replace(ALICE, requests_per_minute=own)
        used = [
            counter("requests", "minute:2026-12-31T23:59Z", 10),
            counter("requests", "minute:2026-12-31T23:59Z", 1, scope="key:key_1"),
        ]
        assert tightest(limits_of(keyed, FREE, (), None, AT), used)["requests_per_minute"].left == left
