"""What holds for any sequence of calls: sums are the sums of the rows, counters are what was taken and used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.examples import NOW, hold, intent, outcome

from dynaroute_mcp.errors import LimitExceeded
from dynaroute_mcp.store import upkeep
from dynaroute_mcp.store.base import CallFilter, CallRow, Totals
from dynaroute_mcp.store.rows import from_micros, from_nano, to_micros, to_nano
from dynaroute_mcp.store.sqlite import SqliteStore, open_store
from dynaroute_mcp.types import Cost, Usage, in_all

CEILING = 100


@dataclass(frozen=True)
class Step:
    """One thing that happens to one of a few requests."""

    action: Literal["begin", "settle", "lose"]
    number: int
    wanted: int
    used: int | None


steps = st.lists(
    st.builds(
        Step,
        action=st.sampled_from(["begin", "settle", "lose"]),
        number=st.integers(0, 5),
        wanted=st.integers(0, 60),
        used=st.none() | st.integers(0, 120),
    ),
    max_size=25,
)


class Model:
    """The counter as a few dictionaries would keep it."""

    def __init__(self) -> None:
        self.running: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self.settled: dict[int, int] = {}

    @property
    def used(self) -> int:
        return sum(self.settled.values()) + sum(self.lost.values())

    @property
    def reserved(self) -> int:
        return sum(self.running.values())

    def knows(self, number: int) -> bool:
        return number in self.running or number in self.lost or number in self.settled

    async def apply(self, store: SqliteStore, step: Step) -> None:
        name = f"req_{step.number}"
        if step.action == "begin":
            await self.begin(store, step, name)
        elif step.action == "settle" and self.knows(step.number):
            await store.settle(outcome(name), step.used)
            if step.number not in self.settled:
                taken = self.running.pop(step.number, None) or self.lost.pop(step.number, 0)
                self.settled[step.number] = taken if step.used is None else step.used
        elif step.action == "lose":
            await store.mark_lost(NOW + timedelta(days=1))
            self.lost |= self.running
            self.running = {}

    async def begin(self, store: SqliteStore, step: Step, name: str) -> None:
        fits = self.used + self.reserved + step.wanted <= CEILING
        try:
            await store.begin(intent(name), [hold(step.wanted, CEILING, metric="nano_usd")])
        except LimitExceeded:
            assert not fits
            assert not self.knows(step.number)
        else:
            assert fits or self.knows(step.number)
            if not self.knows(step.number):
                self.running[step.number] = step.wanted


@settings(max_examples=12, deadline=None)
@given(steps)
def test_a_counter_is_what_calls_hold_and_what_they_used(taken: Sequence[Step]) -> None:
    async def check(path: Path) -> None:
        model = Model()
        async with open_store(path) as store:
            for step in taken:
                await model.apply(store, step)
            counters = await store.counters(["owner:alice"])
        seen = [(row.used, row.reserved) for row in counters]

        assert seen == ([(model.used, model.reserved)] if seen else [])
        assert upkeep.check(path).problems == ()

    with TemporaryDirectory() as folder:
        anyio.run(check, Path(folder) / "dynaroute.db")


dollars = st.decimals(min_value=0, max_value=50, places=12)
costs = st.none() | st.builds(Cost, input_usd=dollars, output_usd=dollars, basis=st.just("b"))
usages = st.builds(
    Usage,
    uncached_input_tokens=st.integers(0, 10**6),
    cache_read_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**6),
    source=st.sampled_from(["provider", "estimated", "clamped"]),
)


def summed(rows: Sequence[CallRow]) -> tuple[object, ...]:
    found = [row.outcome for row in rows if row.outcome is not None]
    priced = [one for one in found if one.cost is not None]
    return (
        len(found),
        sum(1 for one in found if one.cost is None),
        sum(1 for one in found if one.usage.source != "provider"),
        sum(in_all(one.usage, one.attempts).input_tokens for one in found),
        sum(in_all(one.usage, one.attempts).output_tokens for one in found),
        sum((one.cost.total_usd for one in priced if one.cost), Decimal(0)),
        sum((one.gpt41_usd for one in priced), Decimal(0)),
    )


def told(total: Totals) -> tuple[object, ...]:
    return (
        total.requests,
        total.unpriced,
        total.estimated,
        total.input_tokens,
        total.output_tokens,
        total.cost_usd,
        total.gpt41_usd,
    )


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(costs, usages, st.integers(0, 6)), max_size=8))
def test_totals_are_the_sums_of_the_rows_also_after_retention(
    made: Sequence[tuple[Cost | None, Usage, int]],
) -> None:
    async def check(path: Path) -> None:
        async with open_store(path) as store:
            for number, (cost, usage, days) in enumerate(made):
                await store.begin(intent(f"r{number}", started_at=NOW - timedelta(days=days)), [])
                await store.settle(outcome(f"r{number}", cost=cost, usage=usage), None)
            rows = [row async for row in store.calls(CallFilter())]
            (before,) = await store.totals(CallFilter(), by="all")
            await store.retention.fold(timedelta(days=3), NOW)
            (after,) = await store.totals(CallFilter(), by="all")

        assert told(before) == summed(rows)
        assert after == before

    with TemporaryDirectory() as folder:
        anyio.run(check, Path(folder) / "dynaroute.db")


@given(st.datetimes().map(lambda at: at.replace(tzinfo=NOW.tzinfo)))
def test_every_time_comes_back_to_the_microsecond(at: object) -> None:
    assert from_micros(to_micros(at)) == at  # type: ignore[arg-type]  # a mapped strategy is untyped


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=9))
def test_dollars_come_back_to_the_nano_dollar(usd: Decimal) -> None:
    assert from_nano(to_nano(usd)) == usd
