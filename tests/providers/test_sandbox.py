from tests.providers.examples import ask, call, estimate, say

from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.sandbox import LABEL, Sandbox
from dynaroute_mcp.types import Finished, Parameters, StreamEvent, TextDelta, Usage

SANDBOX = Sandbox(estimate)


async def events_of(one: Call) -> list[StreamEvent]:
    async with SANDBOX.stream(one) as events:
        return [event async for event in events]


async def test_an_answer_says_that_it_is_simulated_and_counts_real_tokens() -> None:
    answer = await SANDBOX.complete(
        call("sandbox", ask(say("system", "Be kind."), say("user", "One two three")))
    )

    assert answer.message.text.startswith(LABEL)
    assert answer.message.text.endswith("You asked: One two three")
    assert "Model One" in answer.message.text
    assert answer.usage == Usage(uncached_input_tokens=5, output_tokens=len(answer.message.text.split()))
    assert (answer.finish_reason, answer.wire_model, answer.dropped) == ("stop", "model-1", ())


async def test_a_stream_is_the_same_answer_in_pieces() -> None:
    one = call("sandbox", ask(say("user", "One two")))

    answer = await SANDBOX.complete(one)
    *pieces, last = await events_of(one)

    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == answer.message.text
    assert len(pieces) > 5
    assert last == Finished(finish_reason="stop", usage=answer.usage, wire_model="model-1")


async def test_the_same_request_gets_the_same_answer() -> None:
    one = call("sandbox")

    assert await SANDBOX.complete(one) == await SANDBOX.complete(one)


async def test_the_bound_on_output_cuts_the_answer_as_a_model_would() -> None:
    answer = await SANDBOX.complete(call("sandbox", max_output_tokens=4))

    assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 4)
    assert answer.message.text == "[simulated answer] No model"


async def test_a_long_prompt_is_echoed_only_so_far() -> None:
    answer = await SANDBOX.complete(call("sandbox", ask(say("user", "x" * 5_000)), max_output_tokens=1_000))

    assert answer.message.text.endswith("x…")
    assert len(answer.message.text) < 400


async def test_what_is_ignored_is_signalled_and_no_question_is_no_fault() -> None:
    one = call("sandbox", ask(say("system", "Hi"), parameters=Parameters(temperature=1.0)))

    answer = await SANDBOX.complete(one)
    *_, last = await events_of(one)

    assert answer.dropped == ("temperature",)
    assert isinstance(last, Finished)
    assert last.dropped == ("temperature",)


async def test_no_room_for_a_single_word_is_an_empty_answer() -> None:
    answer = await SANDBOX.complete(call("sandbox", max_output_tokens=0))

    assert (answer.message.text, answer.finish_reason) == ("", "length")
