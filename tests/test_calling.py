"""Calling: what a failure of each class leads to, and what is never tried again."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import anyio
import pytest
from tests.scripted import ASK, CATALOG, FLASH, HAIKU, LUNA, QUICK, SOL, START, Script, failure

from dynaroute_mcp import errors
from dynaroute_mcp.calling import Calling
from dynaroute_mcp.errors import ProviderError, ProviderTimedOut, ProviderUnavailable, StreamBroken
from dynaroute_mcp.health import Health
from dynaroute_mcp.providers.base import Call, Endpoint
from dynaroute_mcp.settings import BreakerSettings, CallSettings
from dynaroute_mcp.taxonomy import Level, Strategy
from dynaroute_mcp.types import Ambient, Candidate, Choice, Finished, Routing, StreamEvent, TextDelta, Usage


def choice(*models: str) -> Choice:
    chain = tuple(
        Candidate(
            model_id=model,
            provider=CATALOG.get_model(model).provider,
            quality=0.5,
            expected_usd=Decimal(0),
            max_usd=Decimal(1),
            max_output_tokens=100,
        )
        for model in models
    )
    return Choice(
        chain=chain,
        reason="",
        strategy=Strategy.BALANCED,
        demanded_level=Level.L1,
        demanded_quality=0.1,
        meets_demand=True,
        expected_output_tokens=10,
        input_tokens=2,
    )


def calling(
    script: Script,
    settings: CallSettings = QUICK,
    *,
    monotonic: Callable[[], float] = lambda: 0.0,
    health: Health | None = None,
) -> Calling:
    return Calling(
        catalog=lambda: CATALOG,
        endpoints=lambda: {
            row.id: Endpoint(provider=row, base_url=row.base_url) for row in CATALOG.providers.values()
        },
        dialects=dict.fromkeys(("openai", "anthropic", "gemini"), script),
        health=health or Health(BreakerSettings()),
        settings=settings,
        ambient=Ambient(
            clock=lambda: START,
            monotonic=monotonic,
            uniform=lambda _low, high: high,
            randbelow=lambda _bound: 0,
        ),
    )


async def test_the_first_candidate_that_answers_is_the_answer() -> None:
    script = Script()

    placed = await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA]
    assert placed.reply.message.text == f"from {LUNA}"
    assert [(a.outcome, a.status) for a in placed.attempts] == [("ok", 200)]


@pytest.mark.parametrize(
    "kind", [errors.ProviderUnavailable, errors.ProviderRateLimited, errors.ProviderGarbled]
)
async def test_a_passing_fault_is_tried_again_at_the_same_model(kind: type[ProviderError]) -> None:
    script = Script({LUNA: [failure(kind)]})

    placed = await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA, LUNA]
    assert [a.outcome for a in placed.attempts] == [kind.code, "ok"]


async def test_a_fault_that_stays_moves_on_to_the_next_model() -> None:
    script = Script({LUNA: [failure(ProviderUnavailable, status=503)] * 5})

    placed = await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA, LUNA, HAIKU]
    assert placed.candidate.model_id == HAIKU


async def test_a_clock_that_ran_out_is_not_started_again_at_the_same_model() -> None:
    script = Script({LUNA: [failure(ProviderTimedOut)]})

    await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA, HAIKU]


@pytest.mark.parametrize(
    "kind", [errors.ProviderRefusedRequest, errors.ProviderContentBlocked], ids=["refused", "blocked"]
)
async def test_a_wrong_request_and_a_safety_refusal_end_it_at_once(kind: type[ProviderError]) -> None:
    script = Script({LUNA: [failure(kind, status=400)]})

    with pytest.raises(kind) as caught:
        await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA]
    assert caught.value.status == 400


@pytest.mark.parametrize("kind", [errors.ProviderKeyRejected, errors.ProviderQuotaExhausted])
async def test_a_rejected_key_and_an_empty_account_rule_the_whole_provider_out(
    kind: type[ProviderError],
) -> None:
    script = Script({LUNA: [failure(kind)]})

    placed = await calling(script).complete(ASK, choice(LUNA, SOL, HAIKU))

    assert script.asked == [LUNA, HAIKU]
    assert placed.candidate.model_id == HAIKU


async def test_a_model_that_is_gone_leaves_its_provider_standing() -> None:
    script = Script({LUNA: [failure(errors.ProviderModelMissing)]})

    await calling(script).complete(ASK, choice(LUNA, SOL, HAIKU))

    assert script.asked == [LUNA, SOL]


async def test_a_prompt_too_long_moves_once_and_only_to_a_larger_window() -> None:
    small, large = HAIKU, LUNA
    assert CATALOG.get_model(small).context_tokens < CATALOG.get_model(large).context_tokens
    script = Script(
        {small: [failure(errors.ProviderContextOverflow)], large: [failure(errors.ProviderContextOverflow)]}
    )

    with pytest.raises(errors.ProviderContextOverflow) as caught:
        await calling(script).complete(ASK, choice(small, small, large, SOL))

    assert script.asked == [small, large]
    assert len(caught.value.attempts) == 2


async def test_when_all_fail_the_first_error_is_raised_with_every_attempt() -> None:
    script = Script(
        {
            LUNA: [failure(errors.ProviderKeyRejected, status=401)],
            HAIKU: [failure(ProviderUnavailable, status=503)] * 2,
        }
    )

    with pytest.raises(errors.ProviderKeyRejected) as caught:
        await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert [(a.model_id, a.status) for a in caught.value.attempts] == [
        (LUNA, 401),
        (HAIKU, 503),
        (HAIKU, 503),
    ]
    assert "tried 3 times" in str(caught.value)


async def test_the_whole_chain_is_bounded() -> None:
    script = Script({model: [failure(ProviderUnavailable)] * 9 for model in (LUNA, HAIKU, FLASH, SOL)})

    with pytest.raises(ProviderUnavailable):
        await calling(script).complete(ASK, choice(LUNA, HAIKU, FLASH, SOL))

    assert len(script.calls) == QUICK.max_attempts


async def test_a_wait_that_a_provider_asks_for_is_kept() -> None:
    script = Script(
        {LUNA: [failure(errors.ProviderRateLimited, retry_after_s=0.03)]}, clock=anyio.current_time
    )

    await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA, LUNA]
    assert script.at[1] - script.at[0] >= 0.03


async def test_a_longer_wait_than_the_cap_is_a_reason_to_move_on() -> None:
    script = Script({LUNA: [failure(errors.ProviderRateLimited, retry_after_s=60)]})

    await calling(script).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA, HAIKU]


def test_gaps_between_tries_grow_whatever_the_dice_say() -> None:
    waits = []
    driver = calling(Script(), CallSettings())
    previous = 0.0
    for attempt in range(1, 5):
        error = failure(ProviderUnavailable)(_call())
        previous = driver._wait(attempt, previous, error)
        waits.append(previous)

    assert all(later > earlier * 1.1 for earlier, later in pairwise(waits))


def _call() -> Call:
    model = CATALOG.get_model(LUNA)
    provider = CATALOG.providers[model.provider]
    return Call(
        endpoint=Endpoint(provider=provider, base_url=provider.base_url),
        model=model,
        request=ASK,
        max_output_tokens=10,
        input_tokens=1,
    )


async def test_the_total_time_bounds_every_later_try() -> None:
    elapsed = iter([0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 11.0, 11.0, 11.0, 11.0])
    script = Script({LUNA: [failure(ProviderTimedOut)], HAIKU: [failure(ProviderTimedOut)]})
    ask = replace(ASK, routing=Routing(timeout_s=10))

    with pytest.raises(ProviderTimedOut):
        await calling(script, monotonic=lambda: next(elapsed, 12.0)).complete(ask, choice(LUNA, HAIKU, FLASH))

    assert script.asked == [LUNA, HAIKU]
    assert [call.clocks.total_s for call in script.calls] == [10.0, 5.0]


async def test_a_stream_falls_back_before_its_first_content() -> None:
    script = Script({LUNA: [failure(ProviderUnavailable)] * 2})

    async with calling(script).stream(ASK, choice(LUNA, HAIKU)) as placed:
        received = [event async for event in placed.reply.events]

    assert placed.candidate.model_id == HAIKU
    assert received[0] == TextDelta(text="Hi")
    assert isinstance(received[-1], Finished)
    assert script.closed == 1


async def test_a_stream_of_empty_pieces_has_no_content_yet() -> None:
    script = Script(events=(TextDelta(text=""),), breaks=failure(errors.ProviderGarbled))

    with pytest.raises(errors.ProviderGarbled):
        async with calling(script).stream(ASK, choice(LUNA)):
            pytest.fail("a stream without content was opened")

    assert script.closed == QUICK.attempts_per_model


async def test_a_stream_that_ends_before_any_content_is_garbled() -> None:
    script = Script(events=())

    with pytest.raises(errors.ProviderGarbled):
        async with calling(script).stream(ASK, choice(LUNA)):
            pytest.fail("a stream without content was opened")


async def test_a_stream_that_breaks_after_content_ends_as_broken_and_nothing_is_tried_again() -> None:
    script = Script(events=(TextDelta(text="Hi"),), breaks=failure(ProviderUnavailable))
    received: list[StreamEvent] = []

    async with calling(script).stream(ASK, choice(LUNA, HAIKU)) as placed:
        with pytest.raises(StreamBroken):
            received.extend([event async for event in placed.reply.events])

    assert script.asked == [LUNA]
    assert script.closed == 1


async def test_leaving_a_stream_early_closes_it() -> None:
    script = Script(events=(TextDelta(text="a"), TextDelta(text="b")))

    async with calling(script).stream(ASK, choice(LUNA)) as placed:
        assert await anext(placed.reply.events) == TextDelta(text="a")

    assert script.closed == 1


async def test_a_model_that_keeps_failing_is_left_out_while_another_can_answer() -> None:
    script = Script({LUNA: [failure(ProviderUnavailable)] * 20})
    driver = calling(script, QUICK.model_copy(update={"attempts_per_model": 1}))

    for _ in range(8):
        await driver.complete(ASK, choice(LUNA, HAIKU))

    assert script.asked.count(LUNA) == BreakerSettings().failures


async def test_the_only_candidate_is_always_asked() -> None:
    script = Script({LUNA: [failure(ProviderUnavailable)] * 7})
    driver = calling(script, QUICK.model_copy(update={"attempts_per_model": 1}))

    for _ in range(7):
        with pytest.raises(ProviderUnavailable):
            await driver.complete(ASK, choice(LUNA))

    assert (await driver.complete(ASK, choice(LUNA))).candidate.model_id == LUNA


async def test_the_failure_that_opens_the_breaker_is_followed_by_no_other_try() -> None:
    script = Script({LUNA: [failure(ProviderUnavailable)] * 5})
    health = Health(BreakerSettings(failures=1))

    placed = await calling(script, health=health).complete(ASK, choice(LUNA, HAIKU))

    assert script.asked == [LUNA, HAIKU]
    assert placed.candidate.model_id == HAIKU


async def test_where_nobody_stands_behind_it_a_model_is_tried_again_breaker_or_not() -> None:
    script = Script({LUNA: [failure(ProviderUnavailable)]})
    health = Health(BreakerSettings(failures=1))

    await calling(script, health=health).complete(ASK, choice(LUNA))

    assert script.asked == [LUNA, LUNA]


@pytest.mark.parametrize(("deadline_s", "patience_s"), [(50, 35), (10, 5), (600, 60)])
async def test_silence_leaves_the_next_model_a_part_of_the_deadline(
    deadline_s: float, patience_s: float
) -> None:
    script = Script({LUNA: [failure(ProviderTimedOut)]})
    request = replace(ASK, routing=Routing(timeout_s=deadline_s))
    patient = QUICK.model_copy(update={"first_token_s": 60.0})

    async with calling(script, patient).stream(request, choice(LUNA, HAIKU)):
        pass

    assert [call.clocks.first_token_s for call in script.calls] == [patience_s, min(60, deadline_s)]


async def test_a_stream_counts_by_how_it_ends_and_tells_its_speed() -> None:
    ticks = iter([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 5.0])
    done = Finished(finish_reason="stop", usage=Usage(output_tokens=100))
    health = Health(BreakerSettings())
    script = Script(events=(TextDelta(text="Hi"), done))
    caller = calling(script, monotonic=lambda: next(ticks, 5.0), health=health)
    async with caller.stream(ASK, choice(LUNA)) as placed:
        assert health.snapshot(START) == ()
        async for _ in placed.reply.events:
            pass

    (row,) = health.snapshot(START)
    assert (row.successes, row.figures.calls, row.figures.failures) == (1, 1, 0)
    assert row.figures.answer_p50_s is not None
    assert row.figures.tokens_per_s is not None


async def test_streams_that_always_break_open_the_breaker() -> None:
    health = Health(BreakerSettings(failures=3))
    script = Script(events=(TextDelta(text="Hi"),), breaks=failure(ProviderUnavailable))
    caller = calling(script, health=health)

    async def read() -> None:
        async with caller.stream(ASK, choice(LUNA)) as placed:
            async for _ in placed.reply.events:
                pass

    for _ in range(3):
        with pytest.raises(StreamBroken):
            await read()

    (row,) = health.snapshot(START)
    assert (row.state, row.successes, row.figures.error_rate) == ("open", 0, 1.0)


async def test_a_stream_that_its_reader_leaves_speaks_for_the_model() -> None:
    health = Health(BreakerSettings())
    async with calling(Script(), health=health).stream(ASK, choice(LUNA)) as placed:
        assert isinstance(placed.reply.events, AsyncGenerator)
        async with aclosing(placed.reply.events) as events:
            async for _ in events:
                break

    (row,) = health.snapshot(START)
    assert (row.successes, row.figures.failures) == (1, 0)


async def test_who_brings_keys_along_is_counted_with_all_and_speaks_against_no_health_but_his_own() -> None:
    shared, own = Health(BreakerSettings(failures=1)), Health(BreakerSettings(failures=1))
    script = Script({LUNA: [failure(ProviderUnavailable, status=503)] * 5})
    real = calling(script, health=shared)
    endpoints = {
        row.id: Endpoint(provider=row, base_url="https://own.example") for row in CATALOG.providers.values()
    }

    async with real.apart(endpoints, own).stream(ASK, choice(LUNA, HAIKU)):
        under_way = real.running.calls

    assert (under_way, real.running.calls) == (1, 0)
    assert (shared.allow(LUNA, START), own.allow(LUNA, START)) == (True, False)
    assert {call.endpoint.base_url for call in script.calls} == {"https://own.example"}
