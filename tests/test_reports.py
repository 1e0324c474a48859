"""Reports: quotes that are never zero for want of a price, and sums that keep simulations apart."""

from dataclasses import replace
from datetime import UTC, datetime
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path

import pytest
from tests.scripted import ASK, CATALOG, LUNA, START, Script, Time, failure, scripted_core, settings

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import InvalidRequest, NoCandidate, NotFound, ProviderUnavailable, UnknownName
from dynaroute_mcp.reports import MAX_TOKENS, Period, Reports
from dynaroute_mcp.store.base import CallFilter
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import Caller, Cost, Usage

USED = Usage(uncached_input_tokens=1_000, output_tokens=500)


async def test_a_quote_is_the_published_example(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        quote = core.reports.quote("Gemini 2.5 Flash", 1_000, 500)

    assert quote.cost is not None
    assert (quote.cost.input_usd, quote.cost.output_usd) == (Decimal("0.0003"), Decimal("0.00125"))
    assert quote.gpt41 is not None
    assert (quote.gpt41.baseline_usd, quote.gpt41.saved_usd) == (Decimal("0.006"), Decimal("0.00445"))


async def test_an_unknown_model_is_an_error_with_three_suggestions(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        with pytest.raises(UnknownName) as caught:
            core.reports.quote("Gemini 2.5 Flesh", 1_000, 500)

    assert len(caught.value.suggestions) == 3


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1), (MAX_TOKENS + 1, 0)])
async def test_absurd_counts_are_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        with pytest.raises(InvalidRequest, match="must be between 0 and"):
            core.reports.quote("gpt-4.1", *counts)


async def test_models_that_can_be_called_come_first_and_filters_narrow(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, variables={"OPENAI_API_KEY": "k"})) as core:
        every = await core.reports.models()
        openai = await core.reports.models(provider="openai", capability="vision", available_only=True)
        hard = await core.reports.models(level=Level.L4)
        with_old = await core.reports.models(include_retired=True)

    callable_first = [row.available for row in every]
    assert callable_first == sorted(callable_first, reverse=True)
    assert openai
    assert all(row.model.provider == "openai" and "vision" in row.model.capabilities for row in openai)
    assert all(Level.L4 in row.levels for row in hard)
    assert 0 < len(hard) < len(every) < len(with_old)
    assert all(row.model.status != "retired" for row in every)


async def test_an_unknown_provider_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        with pytest.raises(UnknownName, match=r"did you mean openai, .*There are .*: anthropic, ") as caught:
            await core.reports.models(provider="openia")

    assert caught.value.param == "provider"


async def test_sums_are_those_of_the_caller_and_of_real_calls_only(tmp_path: Path) -> None:
    alice, bob = Caller(owner="alice"), Caller(owner="bob")

    async with scripted_core(settings(tmp_path), Script(usage=USED)) as core:
        await core.router.complete(ASK, alice)
        await core.router.complete(ASK, alice)
        await core.router.complete(ASK, bob)
        await core.router.complete(ASK, Caller(owner="alice", sandbox=True))
        hers = await core.reports.usage(alice)
        everyones = await core.reports.usage(LOCAL, everyone=True)

    assert (hers.total.requests, hers.total.input_tokens, hers.total.output_tokens) == (2, 2_000, 1_000)
    assert everyones.total.requests == 3
    assert sum(row.cost_usd for row in hers.by_model) == hers.total.cost_usd > 0
    assert [row.group for row in hers.by_category] == ["Code Generation"]
    assert not hers.sandbox


async def test_a_model_whose_last_day_has_come_is_listed_as_the_router_takes_it(tmp_path: Path) -> None:
    time, model = Time(), CATALOG.get_model("gpt-4.1")
    assert model.retires_at is not None
    async with scripted_core(settings(tmp_path), time=time) as core:
        (before,) = [row for row in await core.reports.models() if row.model is model]
        time.passed_s = (datetime.combine(model.retires_at, clock_time(), UTC) - START).total_seconds()
        after = await core.reports.models()
        (gone,) = [row for row in await core.reports.models(include_retired=True) if row.model is model]
        with pytest.raises(NoCandidate, match=f"retired {model.retires_at}"):
            await core.router.choose(replace(ASK, model=model.id), LOCAL)

    assert (before.available, before.retired, before.standing) == (True, False, "deprecated")
    assert model not in [row.model for row in after]
    assert (gone.available, gone.retired, gone.standing) == (False, True, "retired")


async def test_a_call_that_is_priced_later_is_held_against_what_gpt41_had_cost(tmp_path: Path) -> None:
    new = {"id": "openai/new", "wire_id": "new", "name": "New", "aliases": ()}
    later = Cost(input_usd=Decimal("0.001"), output_usd=Decimal(0), basis="overlay")
    async with scripted_core(settings(tmp_path), Script(usage=USED)) as core:
        core.availability.learn(CATALOG.get_model(LUNA).model_copy(update=new))
        answer = await core.router.complete(replace(ASK, model="openai/new"), LOCAL)
        before = (await core.reports.usage(LOCAL)).total
        await core.store.reprice({answer.request_id: later}, START)
        after = (await core.reports.usage(LOCAL)).total

    assert (answer.cost, answer.gpt41, answer.baseline, answer.versus_highest_pct) == (None, None, None, None)
    assert (before.unpriced, after.unpriced) == (1, 0)
    assert before.cost_usd == before.gpt41_usd == before.baseline_usd == 0
    assert after.cost_usd == later.total_usd
    assert after.gpt41_usd == after.baseline_usd == Decimal("0.006")


async def test_while_everything_is_simulated_the_sums_are_of_simulations_and_say_so(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, variables={}), Script(usage=USED)) as core:
        await core.router.complete(ASK, LOCAL)
        summary = await core.reports.usage(LOCAL)

    assert summary.sandbox
    assert summary.total.requests == 1


@pytest.mark.parametrize(
    ("period", "days_later", "counted"),
    [
        ("today", 0, 1),
        ("today", 1, 0),
        ("week", 6, 1),
        ("week", 8, 0),
        ("month", 8, 1),
        ("month", 9, 0),
        ("all", 99, 1),
    ],
)
async def test_a_period_counts_what_lies_in_it(
    tmp_path: Path, period: Period, days_later: int, counted: int
) -> None:
    time = Time()  # it is 22 November: eight days later is the 30th

    async with scripted_core(settings(tmp_path), Script(usage=USED), time=time) as core:
        await core.router.complete(ASK, LOCAL)
        time.passed_s = days_later * 86_400
        summary = await core.reports.usage(LOCAL, period)

    assert summary.total.requests == counted


async def test_one_call_can_be_looked_up_and_a_wrong_id_says_so(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path), Script(usage=USED)) as core:
        answer = await core.router.complete(ASK, LOCAL)
        row = await core.reports.call(answer.request_id)
        with pytest.raises(NotFound, match="req_absent"):
            await core.reports.call("req_absent")
        recent = await core.reports.recent(CallFilter(), limit=5)

    assert row.intent.model_id == answer.model_id
    assert [each.intent.request_id for each in recent] == [answer.request_id]


async def test_the_books_tell_how_models_did_and_the_process_how_it_stands_to_them(tmp_path: Path) -> None:
    script, time = Script({LUNA: [failure(ProviderUnavailable)] * 2}, usage=USED), Time()
    asked = replace(ASK, model=LUNA)
    async with scripted_core(settings(tmp_path), script, time=time) as core:
        with pytest.raises(ProviderUnavailable):
            await core.router.complete(asked, LOCAL)
        for _ in range(2):
            await core.router.complete(asked, LOCAL)
        time.passed_s = 1.0
        (books,) = await core.reports.vitals()
        (here,) = core.reports.vitals_here()

    assert (books.id, books.figures.calls, books.figures.failures, books.breaker) == (LUNA, 4, 2, None)
    assert here.figures == books.figures
    assert here.breaker is not None
    assert (here.breaker.state, here.breaker.last_error) == ("closed", "provider_unavailable")

    async with scripted_core(settings(tmp_path), Script(), time=time) as core:
        assert core.reports.vitals_here() == ()
        await core.reports.recall(time.now())
        (learnt,) = core.reports.vitals_here()
        time.passed_s = 3_700.0
        later = await core.reports.vitals()

    assert (learnt.figures.calls, learnt.figures.failures) == (4, 2)
    assert later == ()


async def test_books_that_cannot_be_read_teach_nothing(tmp_path: Path) -> None:
    (tmp_path / "dynaroute.db").write_text("this is no database, whatever its name says " * 100)
    async with scripted_core(settings(tmp_path)) as core:
        await core.reports.recall(Time().now())

        assert core.reports.vitals_here() == ()


async def test_reports_without_a_health_have_no_view_of_their_own(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        alone = Reports(core.store, core.availability, Time().ambient())
        await alone.recall(Time().now())

    assert alone.vitals_here() == ()
