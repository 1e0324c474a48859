"""What any store must do, second part: lost calls, reading, sums, feedback and tasks. See `conformance.py`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anyio
from tests.store.examples import EVERYTHING, NOW, OpenStore, counter, hold, intent, outcome

from dynaroute_mcp.store.base import CallFilter, FeedbackRow, Totals
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Cost, Usage

# ---------------------------------------------------------------- lost calls


async def test_an_overdue_intent_is_lost_and_its_maximum_stays_charged(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent("req_1"), [hold(9, metric="nano_usd")])
        await store.begin(intent("req_2", started_at=NOW + timedelta(hours=1)), [])
        lost = await store.mark_lost(NOW + timedelta(minutes=30))
        again = await store.mark_lost(NOW + timedelta(minutes=30))
        found = await store.find_call("req_1")
        (total,) = await store.totals(EVERYTHING, by="all")

        assert (lost, again) == (1, 0)
        assert await store.counters(["owner:alice"]) == [counter(9, 0, metric="nano_usd")]
    assert found is not None
    assert (found.status, found.outcome) == ("lost", None)
    assert (total.requests, total.unpriced, total.in_flight) == (1, 1, 1)


async def test_an_outcome_that_comes_late_puts_the_truth_in_place_of_the_maximum(
    open_store: OpenStore,
) -> None:
    async with open_store() as store:
        await store.begin(intent(), [hold(9, metric="nano_usd"), hold(1)])
        await store.mark_lost(NOW + timedelta(days=1))
        await store.settle(outcome(), 5)
        await store.settle(outcome(), 5)
        counters = await store.counters(["owner:alice"])
        found = await store.find_call("req_1")

    assert {row.metric: (row.used, row.reserved) for row in counters} == {
        "nano_usd": (5, 0),
        "requests": (1, 0),
    }
    assert found is not None
    assert found.status == "ok"


# ---------------------------------------------------------------- reading calls


async def test_calls_come_newest_first_in_the_order_of_their_beginning(open_store: OpenStore) -> None:
    async with open_store() as store:
        for number in range(5):
            started = NOW - timedelta(days=number)
            await store.begin(intent(f"req_{number}", started_at=started), [])
        names = [row.intent.request_id async for row in store.calls(EVERYTHING)]
        few = [row.intent.request_id async for row in store.calls(EVERYTHING, limit=2)]
        none = [row async for row in store.calls(EVERYTHING, limit=0)]

    assert names == ["req_4", "req_3", "req_2", "req_1", "req_0"]
    assert few == ["req_4", "req_3"]
    assert none == []


async def test_a_filter_takes_its_beginning_and_leaves_its_end(open_store: OpenStore) -> None:
    hour = timedelta(hours=1)
    async with open_store() as store:
        await store.begin(intent("early"), [])
        await store.begin(intent("late", started_at=NOW + hour, key_id="key_1"), [])
        await store.begin(intent("other", owner="bob"), [])
        await store.begin(intent("play", sandbox=True), [])

        async def names(which: CallFilter) -> list[str]:
            return [row.intent.request_id async for row in store.calls(which)]

        assert await names(CallFilter(owner="alice", since=NOW, until=NOW + hour)) == ["early"]
        assert await names(CallFilter(since=NOW + timedelta(microseconds=1))) == ["late"]
        assert await names(CallFilter(key_id="key_1")) == ["late"]
        assert await names(CallFilter(sandbox=True)) == ["play"]
        assert await names(CallFilter(owner="' OR 1=1 --")) == []
        far = CallFilter(since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC))
        assert await names(far) == ["other", "late", "early"]


# ---------------------------------------------------------------- totals

NOTHING = Totals(
    group="",
    requests=0,
    successful=0,
    unpriced=0,
    estimated=0,
    in_flight=0,
    input_tokens=0,
    output_tokens=0,
    cache_read_tokens=0,
    cost_usd=Decimal(0),
    gpt41_usd=Decimal(0),
    baseline_usd=Decimal(0),
    latency_ms_mean=None,
)


async def test_the_sum_of_nothing_is_one_row_of_zeros(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert list(await store.totals(EVERYTHING, by="all")) == [NOTHING]
        assert list(await store.totals(EVERYTHING, by="model")) == []


async def test_totals_keep_unpriced_calls_out_of_every_sum_of_money(open_store: OpenStore) -> None:
    guess = Usage(uncached_input_tokens=10, output_tokens=5, source="estimated")
    async with open_store() as store:
        for name in ("priced", "unpriced", "running"):
            await store.begin(intent(name), [])
        await store.settle(outcome("priced"), 1_550_000)
        await store.settle(outcome("unpriced", status="error", cost=None, usage=guess), None)
        (total,) = await store.totals(EVERYTHING, by="all")

    assert total == Totals(
        group="",
        requests=2,
        successful=1,
        unpriced=1,
        estimated=1,
        in_flight=1,
        input_tokens=1_010,
        output_tokens=505,
        cache_read_tokens=100,
        cost_usd=Decimal("0.00155"),
        gpt41_usd=Decimal("0.006"),
        baseline_usd=Decimal("0.0105"),
        latency_ms_mean=2_000,
    )


async def test_groups_come_with_the_largest_cost_first(open_store: OpenStore) -> None:
    dear = Cost(input_usd=Decimal(1), output_usd=Decimal(2), basis="b")
    async with open_store() as store:
        await store.begin(intent("req_1"), [])
        await store.begin(intent("req_2", category=Category.LAW, started_at=NOW + timedelta(days=1)), [])
        await store.settle(outcome("req_1", model_id="cheap"), 1)
        await store.settle(outcome("req_2", model_id="dear", cost=dear), 1)

        by_model = await store.totals(EVERYTHING, by="model")
        by_category = await store.totals(EVERYTHING, by="category")
        by_day = await store.totals(EVERYTHING, by="day")

    assert [(row.group, row.cost_usd) for row in by_model] == [("dear", 3), ("cheap", Decimal("0.00155"))]
    assert [row.group for row in by_category] == ["Law", "Logic"]
    assert [row.group for row in by_day] == ["2026-11-23", "2026-11-22"]


# ---------------------------------------------------------------- feedback


async def test_feedback_is_listed_newest_first_as_it_was_given(open_store: OpenStore) -> None:
    first = FeedbackRow(
        prompt_sha256=b"\x00" * 32,
        predicted_category=Category.LAW,
        predicted_level=Level(1),
        right_category=Category.LOGIC,
        right_level=Level(4),
        at=NOW,
    )
    second = replace(first, text="Why?")
    async with open_store() as store:
        await store.add_feedback(first)
        await store.add_feedback(second)

        assert await store.list_feedback() == [second, first]
        assert await store.list_feedback(limit=1) == [second]


# ---------------------------------------------------------------- tasks


async def test_a_cancelled_caller_leaves_no_doubt_about_what_was_written(open_store: OpenStore) -> None:
    async with open_store() as store:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await store.begin(intent(), [hold()])
        found = await store.find_call("req_1")
        counters = await store.counters(["owner:alice"])

        assert (found is None, counters) in ((True, []), (False, [counter(0, 1)]))


async def test_leaving_the_store_writes_what_is_still_waiting(open_store: OpenStore) -> None:
    async with anyio.create_task_group() as tasks, open_store() as store:
        for number in range(50):
            tasks.start_soon(store.begin, intent(f"req_{number}"), [])
        await anyio.wait_all_tasks_blocked()
    async with open_store() as store:
        assert len([row async for row in store.calls(EVERYTHING)]) == 50
