"""The path, end to end: every step shares one decision, and no paid call goes missing from the books."""

import asyncio  # noqa: TID251 -- callers that are not anyio's cancel their tasks so
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot
from tests.scripted import (
    ASK,
    CATALOG,
    HAIKU,
    LUNA,
    SOL,
    START,
    Fixed,
    Script,
    Time,
    failure,
    scripted_core,
    settings,
)

from dynaroute_mcp import errors
from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import (
    DeadlinePassed,
    InvalidRequest,
    LimitExceeded,
    ProviderKeyRejected,
    ProviderUnavailable,
    StoreUnavailable,
    StreamBroken,
    UnknownName,
)
from dynaroute_mcp.policy import Pin
from dynaroute_mcp.pricing import price
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.store.base import CallFilter, CallRow, CounterRow, Hold
from dynaroute_mcp.store.sqlite import SqliteStore
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import (
    Caller,
    ChatRequest,
    Finished,
    Intent,
    Message,
    Outcome,
    Parameters,
    ReasoningDelta,
    Routing,
    StreamEvent,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

USED = Usage(uncached_input_tokens=1_000, output_tokens=500)


async def rows(core: Core, *, sandbox: bool = False) -> list[CallRow]:
    return [row async for row in core.store.calls(CallFilter(sandbox=sandbox))]


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


async def only_row(core: Core, *, sandbox: bool = False) -> CallRow:
    (row,) = await rows(core, sandbox=sandbox)
    return row


def for_model(model: str, **routing: object) -> ChatRequest:
    return replace(ASK, model=model, routing=Routing(**routing))  # type: ignore[arg-type]  # the test names the fields


async def test_an_answer_tells_what_was_chosen_why_and_what_it_cost(tmp_path: Path) -> None:
    script = Script(usage=USED)

    async with scripted_core(settings(tmp_path), script) as core:
        answer = await core.router.complete(for_model("Gemini 2.5 Flash"), LOCAL)

    assert answer.model_id == "gemini/gemini-2.5-flash"
    assert answer.completion.message.text == "from gemini/gemini-2.5-flash"
    assert answer.cost is not None
    assert answer.cost.total_usd == Decimal("0.00155")
    assert answer.gpt41 is not None
    assert (answer.gpt41.baseline_usd, answer.gpt41.saved_usd) == (Decimal("0.006"), Decimal("0.00445"))
    assert round(answer.gpt41.saved_pct, 2) == Decimal("74.17")
    assert answer.classification.category is Category.CODE_GENERATION
    assert not answer.sandbox


async def test_a_dearer_model_than_gpt41_shows_a_loss(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path), Script(usage=USED)) as core:
        answer = await core.router.complete(for_model("Claude 4.5 Sonnet"), LOCAL)

    assert answer.gpt41 is not None
    assert (answer.gpt41.saved_usd, answer.gpt41.saved_pct) == (Decimal("-0.0045"), Decimal(-75))


async def test_a_call_is_in_the_books_before_the_provider_is_asked(tmp_path: Path) -> None:
    seen: list[CallRow] = []

    class Watching(Script):
        async def before(self, call: Call) -> None:
            seen.extend(await rows(core))

    async with scripted_core(settings(tmp_path), Watching()) as core:
        await core.router.complete(ASK, LOCAL)
        row = await only_row(core)

    assert [r.status for r in seen] == ["in_flight"]
    assert seen[0].intent.reserved_usd is not None
    assert seen[0].intent.reserved_usd > 0
    assert row.status == "ok"


async def test_the_row_holds_the_decision_and_no_prompt(tmp_path: Path) -> None:
    marker = "the-secret-marker-of-this-prompt"
    ask = replace(ASK, messages=(Message(role="user", parts=(Text(text=marker),)),))

    async with scripted_core(settings(tmp_path)) as core:
        await core.router.complete(ask, LOCAL)
        row = await only_row(core)

    assert '"reason":' in row.intent.decision
    assert marker.encode() not in everything_in(tmp_path)


async def test_a_failed_call_is_recorded_with_every_attempt_and_costs_nothing(tmp_path: Path) -> None:
    script = Script(always=failure(ProviderUnavailable, status=503))

    async with scripted_core(settings(tmp_path), script) as core:
        with pytest.raises(ProviderUnavailable) as caught:
            await core.router.complete(ASK, LOCAL)
        row = await only_row(core)

    assert row.status == "error"
    assert row.outcome is not None
    assert row.outcome.cost is not None
    assert row.outcome.cost.total_usd == 0
    assert row.outcome.error_code == "provider_unavailable"
    assert row.outcome.attempts == caught.value.attempts
    assert row.intent.request_id == caught.value.request_id
    assert len(row.outcome.attempts) > 1


async def test_the_row_of_a_fallback_names_who_answered(tmp_path: Path) -> None:
    script = Script({LUNA: [failure(ProviderKeyRejected, status=401)]})

    async with scripted_core(settings(tmp_path), script) as core:
        decision = await core.router.choose(ASK, LOCAL)
        script.failures = {decision.choice.winner.model_id: [failure(ProviderKeyRejected, status=401)]}
        answer = await core.router.complete(ASK, LOCAL)
        row = await only_row(core)

    assert row.outcome is not None
    assert row.outcome.model_id == answer.model_id != decision.choice.winner.model_id
    assert [a.outcome for a in answer.attempts] == ["provider_key_rejected", "ok"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [(RuntimeError("a bug"), "internal"), (errors.InvalidRequest("a bug"), "invalid_request")],
)
async def test_an_unexpected_fault_is_recorded_and_not_swallowed(
    tmp_path: Path, fault: Exception, code: str
) -> None:
    class Crashing(Script):
        async def before(self, call: Call) -> None:
            raise fault

    async with scripted_core(settings(tmp_path), Crashing()) as core:
        with pytest.raises(type(fault), match="a bug"):
            await core.router.complete(ASK, LOCAL)
        row = await only_row(core)

    assert (row.status, row.outcome and row.outcome.error_code) == ("error", code)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("early", [True, False])
async def test_a_caller_who_leaves_before_anybody_was_asked_owes_nothing_and_holds_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, native: bool, early: bool
) -> None:
    class Leaving(SqliteStore):
        async def begin(self, intent: Intent, holds: Sequence[Hold]) -> None:
            if native:
                leaver.cancel()
            else:
                scope.cancel()
            if early:
                await anyio.lowlevel.checkpoint()
            await super().begin(intent, holds)

    async def ask() -> None:
        with scope:
            await core.router.complete(for_model(LUNA), LOCAL)

    scope = anyio.CancelScope()
    script, chosen = Script(), settings(tmp_path, budgets=[{"scope": "day", "usd": 1}])
    async with Leaving(chosen.database) as store, scripted_core(chosen, script, store=store) as core:
        leaver = asyncio.create_task(ask())
        await asyncio.wait([leaver])
        rows = [row async for row in store.calls(CallFilter())]
        counters = await store.counters(["all"])

    assert leaver.cancelled() if native else scope.cancelled_caught
    assert script.calls == []
    assert [row.status for row in rows] == ([] if early else ["cancelled"])
    assert all(row.outcome and row.outcome.cost and row.outcome.cost.total_usd == 0 for row in rows)
    assert not any(row.reserved or row.used for row in counters)
    assert caplog.text == ""


async def test_a_caller_who_leaves_is_recorded_as_cancelled_with_the_input_billed(tmp_path: Path) -> None:
    class Hanging(Script):
        async def before(self, call: Call) -> None:
            scope.cancel()
            await anyio.sleep_forever()

    async with scripted_core(settings(tmp_path), Hanging()) as core:
        with anyio.CancelScope() as scope:
            await core.router.complete(for_model(LUNA), LOCAL)
        row = await only_row(core)

    assert row.status == "cancelled"
    assert row.outcome is not None
    assert row.outcome.cost is not None
    assert row.outcome.cost.total_usd > 0
    assert row.outcome.usage.source == "estimated"


async def test_a_dry_run_calls_nobody_and_writes_nothing(tmp_path: Path) -> None:
    script = Script()

    async with scripted_core(settings(tmp_path), script) as core:
        decision = await core.router.choose(ASK, LOCAL)
        recorded = await rows(core)

    assert script.calls == []
    assert recorded == []
    assert decision.choice.winner.max_usd is not None
    assert decision.choice.losers


async def test_a_dry_run_and_the_call_choose_alike(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        decision = await core.router.choose(ASK, LOCAL)
        answer = await core.router.complete(ASK, LOCAL)

    assert answer.model_id == decision.choice.winner.model_id


@pytest.mark.parametrize("text", ["", "   \n\t"])
async def test_an_empty_prompt_is_refused_before_anything_happens(tmp_path: Path, text: str) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        with pytest.raises(InvalidRequest, match="empty") as caught:
            await core.router.complete(
                replace(ASK, messages=(Message(role="user", parts=(Text(text=text),)),)), LOCAL
            )

    assert caught.value.param == "prompt"


async def test_an_unknown_model_is_an_error_with_suggestions_and_no_row(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        with pytest.raises(UnknownName) as caught:
            await core.router.complete(for_model("gpt-6-lunar"), LOCAL)
        recorded = await rows(core)

    assert "openai/gpt-6-luna" in caught.value.suggestions
    assert recorded == []


async def test_an_override_is_certain_and_says_that_it_is_one(tmp_path: Path) -> None:
    wish = replace(ASK, routing=Routing(level_override=Level.L4, category_override=Category.LAW))

    async with scripted_core(settings(tmp_path)) as core:
        decision = await core.router.choose(wish, LOCAL)

    label = decision.classification
    assert (label.level, label.category, label.confidence) == (Level.L4, Category.LAW, 1.0)
    assert label.level_overridden
    assert label.category_overridden
    assert decision.choice.demanded_level is Level.L4


async def test_a_long_prompt_is_classified_off_the_event_loop(tmp_path: Path) -> None:
    classifier = Fixed()
    text = "word " * 2_000

    async with scripted_core(settings(tmp_path), classifier=classifier) as core:
        await core.router.choose(
            replace(ASK, messages=(Message(role="user", parts=(Text(text=text),)),)), LOCAL
        )

    assert len(classifier.asked) == 1
    assert classifier.asked[0].strip() == text.strip()


async def test_the_callers_own_strategy_holds_unless_the_request_names_one(tmp_path: Path) -> None:
    keyed = replace(LOCAL, strategy=Strategy.BEST)

    async with scripted_core(settings(tmp_path)) as core:
        own = await core.router.choose(ASK, keyed)
        asked = await core.router.choose(replace(ASK, routing=Routing(strategy=Strategy.CHEAPEST)), keyed)

    assert (own.choice.strategy, asked.choice.strategy) == (Strategy.BEST, Strategy.CHEAPEST)


# ---------------------------------------------------------------- streams


async def test_a_streamed_answer_is_in_the_books_before_its_last_event(tmp_path: Path) -> None:
    script = Script(
        events=(TextDelta(text="Hi"), TextDelta(text=" there"), Finished(finish_reason="stop", usage=USED))
    )
    status_at_end = ""

    async with (
        scripted_core(settings(tmp_path), script) as core,
        core.router.stream(for_model(LUNA), LOCAL) as routed,
    ):
        async for event in routed:
            if isinstance(event, Finished):
                status_at_end = (await only_row(core)).status

    assert status_at_end == "ok"
    assert routed.answer is not None
    assert routed.answer.completion.message.text == "Hi there"
    assert routed.answer.completion.usage == USED


async def test_a_streamed_answer_is_put_together_from_all_its_pieces(tmp_path: Path) -> None:
    events: tuple[StreamEvent, ...] = (
        ReasoningDelta(text="Let me"),
        ReasoningDelta(text=" see", signature="sig"),
        TextDelta(text="Looking"),
        ToolCallDelta(index=1, id="b", name="second", arguments="{}"),
        ToolCallDelta(index=0, id="a", name="first", arguments='{"x":'),
        ToolCallDelta(index=0, arguments="1}"),
        Finished(finish_reason="tool_calls", usage=USED),
    )

    async with (
        scripted_core(settings(tmp_path), Script(events=events)) as core,
        core.router.stream(for_model(LUNA), LOCAL) as routed,
    ):
        received = [event async for event in routed]

    assert received == list(events)
    assert routed.answer is not None
    reasoning, text, first, second = routed.answer.completion.message.parts
    assert getattr(reasoning, "text", "") == "Let me see"
    assert text == Text(text="Looking")
    assert first == ToolCall(id="a", name="first", arguments='{"x":1}')
    assert second == ToolCall(id="b", name="second", arguments="{}")


async def test_a_broken_stream_is_billed_for_what_was_delivered(tmp_path: Path) -> None:
    script = Script(events=(TextDelta(text="One two three"),), breaks=failure(errors.ProviderUnavailable))

    async with scripted_core(settings(tmp_path), script) as core:
        with pytest.raises(StreamBroken):
            async with core.router.stream(for_model(LUNA), LOCAL) as routed:
                [_ async for _ in routed]
        row = await only_row(core)

    assert row.status == "partial"
    assert row.outcome is not None
    assert row.outcome.cost is not None
    assert row.outcome.cost.total_usd > 0
    assert row.outcome.usage.output_tokens > 0
    assert row.outcome.error_code == "stream_broken"
    assert [each.outcome for each in row.outcome.attempts] == ["stream_broken"]
    assert routed.answer is None


async def test_a_stream_that_is_cut_is_billed_for_what_the_provider_told_until_then(tmp_path: Path) -> None:
    told = Reported(input=50_006, cache_read=50_000, output=3_000, reasoning=2_999)
    script = Script(events=(TextDelta(text="One"), TextDelta(text=" two")), told=told)

    async with scripted_core(settings(tmp_path), script) as core:
        async with core.router.stream(for_model(LUNA), LOCAL) as routed:
            async for _ in routed:
                break
        row = await only_row(core)

    assert row.outcome is not None
    assert row.outcome.usage == Usage(
        uncached_input_tokens=6,
        cache_read_tokens=50_000,
        output_tokens=3_000,
        reasoning_tokens=2_999,
        source="estimated",
    )


async def test_a_cut_stream_is_billed_for_what_arrived_where_the_provider_had_counted_less(
    tmp_path: Path,
) -> None:
    script = Script(events=(TextDelta(text="One two three four"),), told=Reported(input=7, output=1))

    async with scripted_core(settings(tmp_path), script) as core:
        async with core.router.stream(for_model(LUNA), LOCAL) as routed:
            async for _ in routed:
                break
        row = await only_row(core)

    assert row.outcome is not None
    assert row.outcome.usage.input_tokens == 7
    assert row.outcome.usage.output_tokens > 1


async def test_failed_tries_that_their_provider_bills_are_part_of_the_cost(tmp_path: Path) -> None:
    garbled = failure(errors.ProviderGarbled)
    script = Script(failures={LUNA: [garbled]}, told=Reported(input=100_000, output=1_000), usage=USED)

    async with scripted_core(settings(tmp_path), script) as core:
        answer = await core.router.complete(for_model(LUNA), LOCAL)
        row = await only_row(core)
        repriced = await core.reports.reprice(write=False)
        used = await core.reports.usage(LOCAL)
    plain = price(CATALOG, LUNA, START, USED)
    lost = price(CATALOG, LUNA, START, Usage(uncached_input_tokens=100_000, output_tokens=1_000))

    assert row.outcome is not None
    assert row.outcome.cost is not None
    assert plain is not None
    assert lost is not None
    assert answer.cost is not None
    assert answer.gpt41 is not None
    assert row.outcome.usage == USED
    assert row.outcome.cost.total_usd == answer.cost.total_usd == plain.total_usd + lost.total_usd
    assert answer.gpt41.saved_usd == answer.gpt41.baseline_usd - answer.cost.total_usd
    assert answer.notes == (
        "$0.0105 of the cost went to failed tries, which their providers bill too:"
        " 100,000 tokens in and 1,000 out beside those of the answer.",
    )
    assert (used.total.input_tokens, used.total.output_tokens) == (
        USED.input_tokens + 100_000,
        USED.output_tokens + 1_000,
    )
    assert used.total.cost_usd == answer.cost.total_usd
    assert core.tally.tokens == {
        (LUNA, "input"): used.total.input_tokens,
        (LUNA, "output"): used.total.output_tokens,
    }
    assert repriced == ()


async def test_a_request_that_failed_costs_what_its_providers_said_that_the_tries_took(
    tmp_path: Path,
) -> None:
    script = Script(always=failure(errors.ProviderGarbled), told=Reported(input=100_000, output=1_000))

    async with scripted_core(settings(tmp_path), script) as core:
        with pytest.raises(errors.ProviderGarbled):
            await core.router.complete(for_model(LUNA), LOCAL)
        row = await only_row(core)
        repriced = await core.reports.reprice(write=False)
        used = (await core.accounts.subscription(LOCAL)).spent

    assert row.outcome is not None
    assert row.outcome.cost is not None
    assert len(row.outcome.attempts) == 2
    assert row.outcome.cost.total_usd == used.usd_this_month == Decimal("0.021")
    assert repriced == ()


async def test_a_call_whose_price_is_found_later_was_always_compared_with_the_baselines(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path, baseline_model="claude-opus-4")

    async with scripted_core(chosen, Script(usage=USED)) as core:
        unpriced = {name: rows for name, rows in CATALOG.prices.items() if name != LUNA}
        core.availability._catalog = replace(CATALOG, prices=unpriced)
        answer = await core.router.complete(for_model(LUNA), LOCAL)
        before = (await core.reports.usage(LOCAL)).total
        core.availability._catalog = CATALOG
        await core.reports.reprice(write=True)
        after = (await core.reports.usage(LOCAL)).total

    assert (answer.cost, answer.gpt41, answer.baseline) == (None, None, None)
    assert (before.unpriced, before.cost_usd, before.gpt41_usd) == (1, Decimal(0), Decimal(0))
    assert after.unpriced == 0
    assert 0 < after.cost_usd < after.gpt41_usd < after.baseline_usd


async def test_a_consumer_who_leaves_early_is_billed_for_what_was_delivered(tmp_path: Path) -> None:
    script = Script(
        events=(TextDelta(text="One"), TextDelta(text=" two"), Finished(finish_reason="stop", usage=USED))
    )

    async with scripted_core(settings(tmp_path), script) as core:
        async with core.router.stream(for_model(LUNA), LOCAL) as routed:
            async for _ in routed:
                break
        row = await only_row(core)

    assert row.status == "cancelled"
    assert row.outcome is not None
    assert row.outcome.usage.source == "estimated"
    assert script.closed == 1


async def test_a_stream_that_no_model_begins_is_recorded_as_an_error(tmp_path: Path) -> None:
    script = Script(always=failure(ProviderUnavailable))

    async with scripted_core(settings(tmp_path), script) as core:
        with pytest.raises(ProviderUnavailable):
            async with core.router.stream(ASK, LOCAL):
                pytest.fail("it opened")
        row = await only_row(core)

    assert row.status == "error"


async def test_at_the_deadline_the_text_so_far_is_the_answer(tmp_path: Path) -> None:
    class Slow(Script):
        async def between(self) -> None:
            await anyio.sleep(60)

    told: list[str] = []

    async def progress(message: str) -> None:
        told.append(message)

    script = Slow(events=(TextDelta(text="So far"), Finished(finish_reason="stop", usage=USED)))
    async with scripted_core(settings(tmp_path), script) as core:
        answer = await core.router.complete_within(for_model(LUNA), LOCAL, 0.05, progress)
        row = await only_row(core)

    assert answer.truncated
    assert answer.completion.message.text == "So far"
    assert told == [f"level 1 -> {LUNA}"]
    assert row.status == "cancelled"


async def test_a_deadline_without_any_text_is_an_error_that_says_so(tmp_path: Path) -> None:
    class Mute(Script):
        async def before(self, call: Call) -> None:
            await anyio.sleep(60)

    async def progress(message: str) -> None:
        pytest.fail(f"nothing to tell: {message}")

    async with scripted_core(settings(tmp_path), Mute()) as core:
        with pytest.raises(DeadlinePassed, match=r"0\.05 s"):
            await core.router.complete_within(for_model(LUNA), LOCAL, 0.05, progress)
        row = await only_row(core)

    assert row.status == "cancelled"


async def test_progress_is_told_while_the_model_writes(tmp_path: Path) -> None:
    time = Time()

    class Slow(Script):
        async def between(self) -> None:
            time.passed_s += 3

    told: list[str] = []

    async def progress(message: str) -> None:
        told.append(message)

    pieces = tuple(TextDelta(text="word ") for _ in range(5))
    script = Slow(events=(*pieces, Finished(finish_reason="stop", usage=USED)))
    async with scripted_core(settings(tmp_path), script, time=time) as core:
        answer = await core.router.complete_within(for_model(LUNA), LOCAL, 50, progress)

    assert not answer.truncated
    assert told[0] == f"level 1 -> {LUNA}"
    assert told[1:] == snapshot(["openai/gpt-6-luna: 3 tokens so far", "openai/gpt-6-luna: 5 tokens so far"])


# ---------------------------------------------------------------- money


async def test_a_used_up_limit_refuses_and_takes_nothing(tmp_path: Path) -> None:
    script = Script(usage=USED)

    async with scripted_core(settings(tmp_path), script) as core:
        keyed = await core.accounts.caller_for((await core.accounts.generate_key("alice")).secret)
        for _ in range(100):
            await core.router.complete(ASK, keyed)
        with pytest.raises(LimitExceeded) as caught:
            await core.router.complete(ASK, keyed)
        used = (await core.accounts.subscription(keyed)).spent

    assert caught.value.limit == "requests_per_minute"
    assert len(script.calls) == used.requests_this_minute == used.requests_today == 100
    assert used.tokens_this_month == 150_000


async def test_a_budget_moves_to_a_cheaper_model_before_it_refuses(tmp_path: Path) -> None:
    best = replace(ASK, routing=Routing(strategy=Strategy.BEST), parameters=Parameters(max_tokens=1_000))
    free = settings(tmp_path / "a")
    tight = settings(tmp_path / "b", budgets=[{"scope": "day", "usd": "0.001"}])

    async with scripted_core(free) as core:
        unbound = await core.router.choose(best, LOCAL)
    async with scripted_core(tight) as core:
        bound = await core.router.choose(best, LOCAL)

    assert unbound.choice.winner.max_usd is not None
    assert unbound.choice.winner.max_usd > Decimal("0.001")
    assert all(c.max_usd is not None and c.max_usd <= Decimal("0.001") for c in bound.choice.chain)


async def test_a_budget_that_covers_no_model_refuses_and_names_itself(tmp_path: Path) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": "0.0000001"}])

    async with scripted_core(chosen) as core:
        with pytest.raises(LimitExceeded) as caught:
            await core.router.complete(ASK, LOCAL)
        recorded = await rows(core)

    assert caught.value.limit == "usd_per_day"
    assert recorded == []


async def test_with_refuse_a_budget_never_changes_the_model(tmp_path: Path) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": "0.001"}], budget_action="refuse")
    best = replace(ASK, routing=Routing(strategy=Strategy.BEST))

    async with scripted_core(chosen) as core:
        with pytest.raises(LimitExceeded):
            await core.router.complete(best, LOCAL)


async def test_concurrent_requests_never_spend_more_than_a_budget(tmp_path: Path) -> None:
    budget = Decimal("0.01")
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": str(budget)}])
    ask = replace(for_model(LUNA), parameters=Parameters(max_tokens=1_000))
    passed: list[Decimal] = []

    script = Script(usage=Usage(uncached_input_tokens=8, output_tokens=1_000))
    async with scripted_core(chosen, script) as core:

        async def one() -> None:
            try:
                answer = await core.router.complete(ask, LOCAL)
            except LimitExceeded:
                return
            assert answer.cost is not None
            passed.append(answer.cost.total_usd)

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(one)

    assert 0 < len(passed) < 64
    assert sum(passed) <= budget


async def test_from_80_percent_on_the_answer_carries_a_warning(tmp_path: Path) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": "0.0007"}])
    ask = replace(for_model(LUNA), parameters=Parameters(max_tokens=100))
    used = replace(USED, output_tokens=1_000, source="estimated")  # which teaches nothing

    async with scripted_core(chosen, Script(usage=used)) as core:
        first = await core.router.complete(ask, LOCAL)
        second = await core.router.complete(ask, LOCAL)

    assert not any("usd_per_day" in note for note in first.notes)
    assert any("86% of usd_per_day" in note for note in second.notes)


# ---------------------------------------------------------------- when the books are closed


class Closed(SqliteStore):
    """A database that can't be written."""

    async def begin(self, intent: Intent, holds: Sequence[Hold]) -> None:
        raise StoreUnavailable("the disk is full")


class Closing(SqliteStore):
    """A database whose disk fills up during a call."""

    async def settle(self, outcome: Outcome, charged_nano_usd: int | None) -> Sequence[CounterRow]:
        raise StoreUnavailable("the disk is full")


class Unreadable(Closed):
    """A database that can't be read either."""

    async def counters(self, scopes: Sequence[str]) -> Sequence[CounterRow]:
        raise StoreUnavailable("the disk is gone")


async def test_without_a_ceiling_a_call_goes_on_when_it_cannot_be_recorded(tmp_path: Path) -> None:
    async with Closed(tmp_path / "x.db") as store, scripted_core(settings(tmp_path), store=store) as core:
        answer = await core.router.complete(ASK, LOCAL)

    assert answer.completion.message.text
    assert not answer.recorded


async def test_with_a_ceiling_nothing_is_spent_that_cannot_be_counted(tmp_path: Path) -> None:
    chosen = settings(tmp_path, budgets=[{"scope": "day", "usd": "1"}])
    script = Script()

    async with Closed(tmp_path / "x.db") as store, scripted_core(chosen, script, store=store) as core:
        with pytest.raises(StoreUnavailable):
            await core.router.complete(ASK, LOCAL)

    assert script.calls == []


async def test_a_paid_answer_stands_when_the_disk_fills_up_meanwhile(tmp_path: Path) -> None:
    async with Closing(tmp_path / "x.db") as store, scripted_core(settings(tmp_path), store=store) as core:
        answer = await core.router.complete(ASK, LOCAL)

    assert answer.completion.message.text
    assert answer.cost is not None
    assert not answer.recorded


# ---------------------------------------------------------------- the sandbox


async def test_a_test_key_calls_no_provider_and_is_counted_apart(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path), Script(usage=USED)) as core:
        tester = Caller(owner="alice", plan="free", sandbox=True)
        answer = await core.router.complete(ASK, tester)
        real, simulated = await rows(core), await rows(core, sandbox=True)

    assert answer.sandbox
    assert answer.provider == "sandbox"
    assert "never reaches a provider" in answer.notes[0]
    assert real == []
    assert len(simulated) == 1


async def test_without_any_key_the_answer_says_that_it_is_simulated_and_what_to_set(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, variables={})) as core:
        answer = await core.router.complete(ASK, LOCAL)

    assert answer.sandbox
    assert "Simulated answer" in answer.notes[0]
    assert "_API_KEY" in answer.notes[0]


@pytest.mark.parametrize(
    ("model", "read", "warm"), [(SOL, 0, 50_200), (HAIKU, 0, 0), (HAIKU, 40_000, 40_000)]
)
async def test_a_conversation_stays_on_its_model_while_its_cache_is_warm(
    tmp_path: Path, model: str, read: int, warm: int
) -> None:
    long_ago = Usage(uncached_input_tokens=50_000 - read, cache_read_tokens=read, output_tokens=200)
    first = replace(ASK, model=model)
    follow_up = replace(
        ASK,
        messages=(
            *ASK.messages,
            Message(role="assistant", parts=(Text(text="Hi"),)),
            Message(role="user", parts=(Text(text="And now a much harder thing"),)),
        ),
    )
    hard = Fixed(level=Level.L3)

    async with scripted_core(settings(tmp_path), Script(usage=long_ago), classifier=hard) as core:
        await core.router.complete(first, LOCAL)
        decision = await core.router.choose(follow_up, LOCAL)

    assert decision.pin is not None
    assert (decision.pin.model_id, decision.pin.warm_tokens) == (model, warm)


async def test_a_marked_conversation_is_priced_as_cached_up_to_its_last_mark(tmp_path: Path) -> None:
    def marked(*said: str) -> ChatRequest:
        parts = (Text(text="word " * 5_000, cache_ttl="5m"),)
        begun = Message(role="user", parts=parts)
        rest = (
            Message(role="assistant" if each % 2 else "user", parts=(Text(text=text),))
            for each, text in enumerate(said, 1)
        )
        return ChatRequest(messages=(begun, *rest), model=HAIKU)

    written = Usage(uncached_input_tokens=10, cache_write_5m_tokens=5_000, output_tokens=20)
    async with scripted_core(settings(tmp_path), Script(usage=written)) as core:
        first = await core.router.complete(marked(), LOCAL)
        then = await core.router.choose(marked("Hi", "And now?"), LOCAL)

    assert first.cost is not None
    assert first.cost.input_usd == Decimal("0.000626")
    assert then.pin == Pin(model_id=HAIKU, warm_tokens=5_000)
    assert first.choice.min_usd is not None
    assert then.choice.min_usd is not None
    assert first.choice.min_usd > 10 * then.choice.min_usd


async def test_simulated_calls_take_nothing_from_a_budget_or_a_plan(tmp_path: Path) -> None:
    chosen = settings(tmp_path, variables={}, budgets=[{"scope": "day", "usd": "0.10"}])

    async with scripted_core(chosen, Script(usage=USED)) as core:
        answer = await core.router.complete(ASK, LOCAL)
        real = await core.store.counters(["all", "owner:local"])
        simulated = await core.store.counters(["sandbox:local"])

    assert answer.sandbox
    assert list(real) == []
    assert {row.metric: row.used for row in simulated}["tokens"] == 1_500
