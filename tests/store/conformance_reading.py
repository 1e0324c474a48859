"""What any store must do, second part: lost calls, reading, sums, feedback and tasks. See `conformance.py`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import anyio
from tests.store.examples import EVERYTHING, NOW, OpenStore, counter, hold, intent, outcome

from dynaroute_mcp.store.base import CallFilter, FeedbackRow, Lengths, Totals
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Cost, Usage

# ---------------------------------------------------------------- lost calls


async def test_waits_are_nearest_ranks_over_the_newest_calls_that_ended_well(open_store: OpenStore) -> None:
    async with open_store() as store:
        assert (await store.waits(EVERYTHING, newest=10)).latency_p50_ms is None
        for number in range(1, 21):
            made = outcome(f"req_{number}")
            await store.begin(intent(f"req_{number}", started_at=NOW + timedelta(seconds=number)), [])
            streamed = number * 10 if number % 2 else None
            ended = replace(made, latency_ms=number * 100, first_token_ms=streamed)
            await store.settle(ended if number < 20 else replace(ended, status="error"), None)

        every, five = await store.waits(EVERYTHING, newest=100), await store.waits(EVERYTHING, newest=5)
        nobodys = await store.waits(replace(EVERYTHING, owner="nobody"), newest=5)

    assert (every.calls, every.latency_p50_ms, every.latency_p95_ms) == (19, 1_000, 1_900)
    assert (every.first_token_p50_ms, every.first_token_p95_ms) == (90, 190)
    assert (five.calls, five.latency_p50_ms) == (5, 1_700)
    assert nobodys.calls == 0


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


async def test_totals_count_the_tokens_of_failed_tries_as_the_cost_does(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent(), [])
        await store.settle(outcome(usage=Usage(uncached_input_tokens=900, output_tokens=500)), 1_550_000)
        sums = [await store.totals(EVERYTHING, by=by) for by in ("all", "model", "category", "day")]

    assert [(total.input_tokens, total.output_tokens) for (total,) in sums] == [(910, 506)] * 4


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
        input_tokens=1_030,
        output_tokens=517,
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

CORRECTION = FeedbackRow(
    request_id="req_1",
    prompt_sha256=b"\x00" * 32,
    predicted_category=Category.LAW,
    predicted_level=Level(1),
    right_category=Category.LOGIC,
    right_level=Level(4),
    at=NOW,
)


async def test_feedback_is_listed_newest_first_as_it_was_given(open_store: OpenStore) -> None:
    first = CORRECTION
    second = replace(first, request_id="req_2", text="Why?")
    async with open_store() as store:
        await store.add_feedback(first)
        await store.add_feedback(second)

        assert await store.list_feedback() == [second, first]
        assert await store.list_feedback(limit=1) == [second]


async def test_a_request_keeps_its_newest_correction_only(open_store: OpenStore) -> None:
    first = replace(CORRECTION, text="Why? " * 1000)
    newest = replace(first, right_level=Level(2), text=None)
    older = replace(first, request_id=None)
    async with open_store() as store:
        for row in (older, older, first, newest):
            await store.add_feedback(row)

        assert await store.list_feedback() == [newest, older, older]


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


# ---------------------------------------------------------------- lengths


async def test_lengths_are_means_of_real_calls_that_ended_well_and_were_counted(
    open_store: OpenStore,
) -> None:
    thought = Usage(output_tokens=1_100, reasoning_tokens=1_000)
    plain, guessed = Usage(output_tokens=300), Usage(output_tokens=9_999, source="estimated")
    async with open_store() as store:
        assert list(await store.lengths(100)) == []
        for number, usage in enumerate((thought, plain, guessed, plain)):
            await store.begin(intent(f"req_{number}"), [])
            await store.settle(
                outcome(f"req_{number}", usage=usage, status="error" if number == 3 else "ok"), 1
            )
        await store.begin(intent("req_simulated", sandbox=True), [])
        await store.settle(outcome("req_simulated", usage=plain), 1)
        await store.begin(intent("req_running"), [])

        assert list(await store.lengths(100)) == [
            Lengths(
                category=Category.LOGIC,
                level=Level(3),
                calls=2,
                visible_tokens=200,
                thinking_calls=1,
                reasoning_tokens=1_000,
            )
        ]


async def test_only_the_newest_calls_count_for_lengths(open_store: OpenStore) -> None:
    async with open_store() as store:
        for number, tokens in enumerate((9_000, 10, 30)):
            await store.begin(intent(f"req_{number}"), [])
            await store.settle(outcome(f"req_{number}", usage=Usage(output_tokens=tokens)), 1)
        (found,) = await store.lengths(2)

    assert (found.calls, found.visible_tokens, found.thinking_calls, found.reasoning_tokens) == (2, 20, 0, 0)


# ---------------------------------------------------------------- repricing


async def test_a_call_that_is_priced_anew_keeps_what_it_cost_before(open_store: OpenStore) -> None:
    first, second = (
        Cost(input_usd=Decimal(usd), output_usd=Decimal(0), basis=basis)
        for usd, basis in (("0.25", "a@2026-11-02"), ("0.125", "a@2026-11-03"))
    )
    async with open_store() as store:
        await store.begin(intent(), [hold(9, metric="nano_usd")])
        await store.settle(outcome(), 5)
        counters = await store.counters(["owner:alice"])
        changed = [await store.reprice({"req_1": cost}, NOW) for cost in (first, first, second, None)]
        found = await store.find_call("req_1")
        (total,) = await store.totals(EVERYTHING, by="all")

        assert await store.counters(["owner:alice"]) == counters
    assert changed == [1, 0, 1, 1]
    assert found is not None
    assert found.outcome is not None
    assert found.outcome.cost is None
    assert [(row.at, row.cost) for row in found.repriced] == [
        (NOW, outcome().cost),
        (NOW, first),
        (NOW, second),
    ]
    assert (total.unpriced, total.cost_usd) == (1, Decimal(0))


async def test_what_is_not_there_or_not_over_is_not_priced_anew(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.begin(intent(), [])

        assert await store.reprice({"req_1": None, "req_2": None}, NOW) == 0
        assert await store.reprice({}, NOW) == 0
