"""What any store must do. A database passes when it provides the fixture `open_store` and imports these tests.

`open_store()` gives a store in `async with`; each call of one test opens the same database anew, as another
process would.
"""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import anyio
import pytest
from tests.store.examples import EVERYTHING, NOW, OpenStore, counter, hold, intent, key_row, outcome

from dynaroute_mcp.errors import InvalidRequest, LimitExceeded, NotFound
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.types import Cost, Usage

# ---------------------------------------------------------------- keys and plans


async def test_a_key_is_found_by_its_digest_exactly_as_it_was_added(open_store: OpenStore) -> None:
    row = replace(
        key_row(),
        strategy="best",
        sandbox=True,
        expires_at=NOW + timedelta(days=1),
        last_used_at=NOW,
        total_requests=7,
        usd_per_month=Decimal("2.5"),
        tokens_per_month=1_000,
    )
    async with open_store() as store:
        await store.add_key(row)

        assert await store.find_key(row.digest) == row
        assert await store.find_key(b"unknown") is None


async def test_a_key_outlives_the_store_that_added_it(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(key_row())
    async with open_store() as store:
        assert await store.find_key(key_row().digest) == key_row()


async def test_a_key_can_not_be_added_twice(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(key_row())

        with pytest.raises(InvalidRequest, match="'key_1' exists already"):
            await store.add_key(key_row(owner="mallory"))
        assert [row.owner for row in await store.list_keys(None)] == ["alice"]


async def test_keys_are_listed_oldest_first_whatever_the_clock_said(open_store: OpenStore) -> None:
    first, second = key_row("1"), key_row("2", created_at=NOW - timedelta(days=1))
    other = key_row("3", owner="bob")
    async with open_store() as store:
        for row in (first, second, other):
            await store.add_key(row)

        assert await store.list_keys("alice") == [first, second]
        assert await store.list_keys(None) == [first, second, other]
        assert await store.list_keys("nobody") == []


async def test_revoking_gives_the_key_as_it_was_and_keeps_the_first_date(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(key_row())
        before = await store.revoke_key(key_row().digest, NOW)
        again = await store.revoke_key(key_row().digest, NOW + timedelta(days=1))

        assert before == key_row()
        assert again == replace(key_row(), revoked_at=NOW)
        assert await store.find_key(key_row().digest) == again
        assert await store.revoke_key(b"unknown", NOW) is None


async def test_a_plan_reaches_every_key_of_its_owner_and_nobody_else(open_store: OpenStore) -> None:
    async with open_store() as store:
        for row in (key_row("1"), key_row("2"), key_row("3", owner="bob")):
            await store.add_key(row)
        await store.set_plan("alice", "pro", NOW)
        await store.set_plan("alice", "enterprise", NOW)

        assert await store.find_plan("alice") == "enterprise"
        assert await store.find_plan("bob") is None
        assert [row.plan for row in await store.list_keys(None)] == ["enterprise", "enterprise", "free"]


@pytest.mark.parametrize("owner", ["x'); DROP TABLE keys;--", "a\x00b", "Zoë 🦊", "\u202e\x1b]0;pwn\x07", ""])
async def test_names_are_text_and_nothing_else(open_store: OpenStore, owner: str) -> None:
    async with open_store() as store:
        await store.add_key(key_row(owner=owner))
        await store.set_plan(owner, "pro", NOW)

        assert [row.owner for row in await store.list_keys(owner)] == [owner]
        assert await store.find_plan(owner) == "pro"


async def test_text_that_is_no_unicode_is_stored_escaped(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(replace(intent(), project="half \ud83d"), [hold(scope="owner:\ud83d")])
        found = await store.find_call("req_1")
        counters = await store.counters(["owner:\ud83d"])

    assert found is not None
    assert found.intent.project == "half \\ud83d"
    assert [row.reserved for row in counters] == [1]


async def test_a_key_counts_its_requests_and_remembers_the_last(open_store: OpenStore) -> None:
    later = NOW + timedelta(minutes=5)
    async with open_store() as store:
        await store.add_key(key_row())
        await store.begin(intent("req_1", key_id="key_1", started_at=later), [])
        await store.begin(intent("req_2", key_id="key_1", started_at=NOW), [])
        await store.begin(intent("req_3"), [])
        found = await store.find_key(key_row().digest)

    assert found == replace(key_row(), total_requests=2, last_used_at=later)


# ---------------------------------------------------------------- begin and settle


async def test_a_call_is_read_back_exactly_as_it_was_written(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent(), [])
        begun = await store.find_call("req_1")
        await store.settle(outcome(), 1_550_000)
        settled = await store.find_call("req_1")

        assert begun is not None
        assert (begun.intent, begun.outcome, begun.status) == (intent(), None, "in_flight")
        assert settled is not None
        assert (settled.intent, settled.outcome, settled.status) == (intent(), outcome(), "ok")
        assert await store.find_call("req_2") is None


async def test_a_call_without_price_plan_or_project_keeps_its_gaps(open_store: OpenStore) -> None:
    bare = replace(
        intent(), caller=replace(intent().caller, plan=None, strategy=None), project=None, reserved_usd=None
    )
    failed = replace(
        outcome(status="error", cost=None), first_token_ms=None, error_code="provider_error", attempts=()
    )
    async with open_store() as store:
        await store.begin(bare, [])
        await store.settle(failed, None)
        found = await store.find_call("req_1")

    assert found is not None
    assert (found.intent, found.outcome, found.status) == (bare, failed, "error")


async def test_another_store_sees_a_call_as_soon_as_it_is_acknowledged(open_store: OpenStore) -> None:
    async with open_store() as one, open_store() as other:
        await one.begin(intent(), [hold()])
        assert await other.find_call("req_1") is not None
        await other.settle(outcome(), 0)
        found = await one.find_call("req_1")

    assert found is not None
    assert found.status == "ok"


async def test_settling_puts_real_use_with_failed_tries_in_the_place_of_reservations(
    open_store: OpenStore,
) -> None:
    holds = [hold(1), hold(4_000, metric="tokens"), hold(6_000_000, metric="nano_usd")]
    async with open_store() as store:
        await store.begin(intent(), holds)
        begun = await store.counters(["owner:alice"])
        await store.settle(outcome(), 1_550_000)
        settled = await store.counters(["owner:alice", "owner:bob"])

    assert {row.metric: (row.used, row.reserved) for row in begun} == {
        "requests": (0, 1),
        "tokens": (0, 4_000),
        "nano_usd": (0, 6_000_000),
    }
    assert {row.metric: (row.used, row.reserved) for row in settled} == {
        "requests": (1, 0),
        "tokens": (1_516, 0),
        "nano_usd": (1_550_000, 0),
    }


async def test_an_unknown_cost_leaves_the_maximum_charged(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent(), [hold(6_000_000, metric="nano_usd")])
        await store.settle(outcome(cost=None), None)

        assert await store.counters(["owner:alice"]) == [counter(6_000_000, 0, metric="nano_usd")]


async def test_settling_twice_changes_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent(), [hold(9, metric="nano_usd")])
        await store.settle(outcome(), 5)
        await store.settle(outcome(status="error"), 8)
        found = await store.find_call("req_1")

        assert await store.counters(["owner:alice"]) == [counter(5, 0, metric="nano_usd")]
    assert found is not None
    assert found.status == "ok"


async def test_beginning_twice_takes_nothing_twice(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent(), [hold(1, 2)])
        await store.begin(intent(), [hold(1, 2)])
        await store.begin(intent("req_2"), [hold(1, 2)])
        await store.begin(intent("req_2"), [hold(1, 2)])

        assert await store.counters(["owner:alice"]) == [counter(0, 2)]


async def test_settling_what_was_never_begun_is_an_error(open_store: OpenStore) -> None:
    async with open_store() as store:
        with pytest.raises(NotFound, match="req_1"):
            await store.settle(outcome(), 0)


async def test_the_cost_is_rounded_once_and_half_to_even(open_store: OpenStore) -> None:
    thin = Cost(input_usd=Decimal("0.0000000004"), output_usd=Decimal("0.0000000011"), basis="b")
    async with open_store() as store:
        await store.begin(intent(), [])
        await store.settle(outcome(cost=thin), 2)
        found = await store.find_call("req_1")
        (total,) = await store.totals(EVERYTHING, by="all")

    assert found is not None
    assert found.outcome is not None
    assert found.outcome.cost == Cost(input_usd=Decimal(0), output_usd=Decimal("0.000000002"), basis="b")
    assert total.cost_usd == Decimal("0.000000002")


async def test_figures_beyond_64_bits_are_clamped_and_sums_still_work(open_store: OpenStore) -> None:
    huge = 2**70
    usage = Usage(uncached_input_tokens=huge, output_tokens=-5, source="clamped")
    cost = Cost(input_usd=Decimal(huge), output_usd=Decimal(0), basis="b")
    async with open_store() as store:
        for name in ("req_1", "req_2"):
            await store.begin(replace(intent(name), input_tokens=huge), [hold(huge, metric="tokens")])
            await store.settle(outcome(name, usage=usage, cost=cost), huge)
        (total,) = await store.totals(EVERYTHING, by="all")

    assert (total.input_tokens, total.output_tokens) == (2 * (10**15 + 10), 12)
    assert total.cost_usd == Decimal(2_000_000)


# ---------------------------------------------------------------- limits


async def test_a_ceiling_may_be_reached_but_not_passed(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent("req_1"), [hold(60, 100)])
        await store.begin(intent("req_2"), [hold(40, 100)])
        with pytest.raises(LimitExceeded) as caught:
            await store.begin(intent("req_3"), [hold(1, 100)])

        assert await store.find_call("req_3") is None
    assert caught.value.limit == "requests_per_minute"
    assert caught.value.resets_at == hold().resets_at
    assert caught.value.retry_after_s == 30
    assert str(caught.value) == (
        "alice may make 100 requests a minute and has made 100; it resets at"
        " 2026-11-22 01:15:00 UTC, in 30 s. Raise it with `dynaroute plan set alice PLAN`"
    )


@pytest.mark.parametrize(
    ("scope", "advice"),
    [
        ("key:key_1", "Raise it with `dynaroute keys edit key_1 --requests-per-minute NUMBER`"),
        ("project:web", "Raise it under `budgets` in the configuration"),
        ("all", "Raise it under `budgets` in the configuration"),
        ("owner:alice", "Raise it with `dynaroute plan set alice PLAN`"),
    ],
)
async def test_a_refusal_says_how_to_raise_the_limit_that_it_met(
    open_store: OpenStore, scope: str, advice: str
) -> None:
    async with open_store() as store:
        with pytest.raises(LimitExceeded) as caught:
            await store.begin(intent(), [hold(2, 1, scope=scope)])

    assert str(caught.value).endswith(advice)


async def test_a_refused_request_takes_nothing_from_any_counter(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(key_row())
        with pytest.raises(LimitExceeded):
            await store.begin(
                intent(key_id="key_1"), [hold(1), hold(5, metric="tokens"), hold(9, 8, metric="nano_usd")]
            )

        assert await store.counters(["owner:alice"]) == []
        assert await store.list_keys(None) == [key_row()]


async def test_of_several_limits_the_one_that_resets_last_is_named(open_store: OpenStore) -> None:
    tomorrow = NOW + timedelta(days=1)
    async with open_store() as store:
        await store.begin(intent("req_1"), [hold(1), hold(1, window="day:2026-11-22")])
        with pytest.raises(LimitExceeded) as caught:
            await store.begin(
                intent("req_2"),
                [
                    hold(1, 1),
                    hold(1, 1, window="day:2026-11-22", name="requests_per_day", resets_at=tomorrow),
                ],
            )

    assert caught.value.limit == "requests_per_day"


async def test_a_request_that_can_never_pass_is_not_told_to_wait(open_store: OpenStore) -> None:
    async with open_store() as store:
        with pytest.raises(
            LimitExceeded,
            match=r"may spend \$0\.1 a month and has spent or reserved \$0, this request needs \$0\.3;",
        ) as caught:
            await store.begin(
                intent(), [hold(300_000_000, 100_000_000, metric="nano_usd", name="usd_per_month")]
            )

    assert caught.value.retry_after_s is None


async def test_two_limits_on_one_counter_take_from_it_once(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent("req_1"), [hold(5, 100), hold(8, 9)])
        with pytest.raises(LimitExceeded):
            await store.begin(intent("req_2"), [hold(5, 100), hold(8, 9)])

        assert await store.counters(["owner:alice"]) == [counter(0, 8)]


async def test_concurrent_requests_of_several_stores_never_pass_a_ceiling(open_store: OpenStore) -> None:
    passed: list[str] = []

    async def request(store: Store, name: str) -> None:
        try:
            await store.begin(intent(name), [hold(1, 100)])
        except LimitExceeded:
            return
        passed.append(name)
        await store.settle(outcome(name), 0)

    async with open_store() as one, open_store() as other, anyio.create_task_group() as tasks:
        for number in range(80):
            tasks.start_soon(request, one, f"one_{number}")
            tasks.start_soon(request, other, f"other_{number}")
    async with open_store() as store:
        counters = await store.counters(["owner:alice"])

    assert len(passed) == 100
    assert counters == [counter(100, 0)]
