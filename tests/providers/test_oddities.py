"""Faults beyond the first list: odd HTTP below a good answer, and odd documents in good HTTP.

Whatever comes is the whole answer or a `ProviderError`: never half of one that looks whole, never a crash or
a hang.
"""

import json
from collections.abc import Mapping

import anyio
import pytest
from tests.providers.examples import NOW, QUICK, WEATHER, ask, call, collect, complete, dialect_of, streams
from tests.providers.examples import answers as answering
from tests.providers.rawoddities import HTTP
from tests.providers.rawserver import TEXT, DialectName, Fault, raw_server

from dynaroute_mcp.errors import (
    ProviderError,
    ProviderGarbled,
    ProviderRateLimited,
    ProviderTimedOut,
    ProviderUnavailable,
)
from dynaroute_mcp.providers.base import Call, Clocks
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.types import Finished, TextDelta, ToolCallDelta

PATIENT = Clocks(connect_s=2, first_token_s=2, idle_s=2, total_s=2)
HASTY = Clocks(connect_s=0.2, first_token_s=0.2, idle_s=0.2, total_s=0.2)
Kind = type[ProviderError]
CUT: Kind = ProviderUnavailable

FAILING: Mapping[str, tuple[Kind | None, Kind | None]] = {
    "chunks_without_end": (CUT, None),
    "chunk_cut": (CUT, None),
    "chunk_of_absurd_size": (CUT, CUT),
    "chunk_of_negative_size": (CUT, CUT),
    "length_too_small": (CUT, CUT),
    "length_negative": (CUT, CUT),
    "length_twice": (CUT, CUT),
    "length_and_chunks": (CUT, CUT),
    "http_0_9": (CUT, CUT),
    "status_unknown": (CUT, CUT),
    "status_no_number": (CUT, CUT),
    "status_not_modified": (CUT, CUT),
    "switching_protocols": (CUT, CUT),
    "hints_for_ever": (ProviderTimedOut, ProviderTimedOut),
    "header_without_colon": (CUT, CUT),
    "header_nul": (CUT, CUT),
    "gzip_cut": (ProviderGarbled, ProviderGarbled),
    "gzip_with_a_tail": (ProviderGarbled, ProviderGarbled),
}
"""What a whole answer and a stream come to; all others are answered well. A stream is whole once its end was said."""


def test_every_odd_frame_that_fails_is_one() -> None:
    assert set(FAILING) <= set(HTTP)


@pytest.mark.e2e
@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", HTTP)
async def test_odd_http_is_the_whole_answer_or_a_fault_of_the_provider(
    kind: str, *, stream: bool, dialect: DialectName
) -> None:
    expected = FAILING.get(kind, (None, None))[stream]
    async with raw_server(HTTP) as server, Wire.open(now=lambda: NOW) as wire:
        server.faults.append(Fault(kind=kind))
        clocks = HASTY if kind == "hints_for_ever" else PATIENT
        one = call(dialect, base_url=server.base_url(dialect), clocks=clocks)
        said: str | Kind
        with anyio.fail_after(4):
            try:
                said = await _said(wire, one, stream=stream)
            except ProviderError as error:
                said = type(error)

    assert said == (expected or TEXT)


async def _said(wire: Wire, one: Call, *, stream: bool) -> str:
    if not stream:
        return (await dialect_of(wire, one).complete(one)).message.text
    async with dialect_of(wire, one).stream(one) as events:
        return "".join([event.text async for event in events if isinstance(event, TextDelta)])


# ---------------------------------------------------------------- documents


def sse(*pieces: object, done: bool = False) -> bytes:
    """Write a stream; what is bytes already is taken as it is."""
    written = [
        each if isinstance(each, bytes) else f"data: {json.dumps(each)}\n\n".encode() for each in pieces
    ]
    return b"".join(written) + (b"data: [DONE]\n\n" if done else b"")


def chunk(finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def piece(**fields: object) -> dict[str, object]:
    """A piece of a tool call."""
    return chunk(tool_calls=[fields])


F = {"name": "f", "arguments": "{}"}
HI, STOP, CALLED = chunk(content="Hi"), chunk("stop"), chunk("tool_calls")
COUNTS = {"prompt_tokens": 12, "completion_tokens": 7}
USED = {"choices": [], "usage": COUNTS}
FIRST = {"index": 0, "delta": {"content": "Hi"}}
SUMMARY = {"message": {"content": "Hi"}, "finish_reason": "stop"}
WHOLE = {"choices": [SUMMARY], "usage": COUNTS}

OPENAI: Mapping[str, bytes] = {
    "usage behind the terminator": sse(HI, STOP, done=True) + sse(USED),
    "usage before the end": sse(USED, HI, STOP, done=True),
    "usage that grows": sse({**HI, "usage": {**COUNTS, "completion_tokens": 1}}, {**STOP, "usage": COUNTS}),
    "usage, then null": sse(HI, STOP, USED, {"choices": [], "usage": None}, done=True),
    "usage, then an empty one": sse(HI, STOP, USED, {"choices": [], "usage": {}}, done=True),
    "usage as floats": sse(HI, STOP, {"usage": {"prompt_tokens": 12.0, "completion_tokens": 7.0}}, done=True),
    "events without data": sse(b"data:\n\n", HI, b"data: \n\ndata\n\n", STOP, USED, done=True),
    "a blank behind the terminator": sse(HI, STOP, USED) + b"data: [DONE] \r\n\r\n",
    "an empty last event": sse(HI, STOP, USED) + b"event: done\ndata: \n\n",
    "choices null, empty and absent": sse(
        {"choices": None}, {"id": "x"}, {"choices": []}, HI, STOP, USED, done=True
    ),
    "a delta that is null": sse({"choices": [{"delta": None}]}, HI, STOP, USED, done=True),
    "a content that is null": sse(chunk(role="assistant", content=None), HI, STOP, USED, done=True),
    "content as blocks": sse(chunk(content=[{"type": "text", "text": "Hi"}]), STOP, USED, done=True),
    "content as texts": sse(chunk(content=["H", "i"]), STOP, USED, done=True),
    "the end beside the content": sse(chunk("stop", content="Hi"), USED, done=True),
    "the end twice": sse(HI, STOP, STOP, USED, done=True),
    "words behind the terminator": sse(HI, STOP, USED, done=True) + sse(HI, {"error": {"code": 500}}),
    "another choice beside": sse(
        {"choices": [FIRST, {"index": 1, "delta": {"content": "No"}}]},
        STOP,
        USED,
    ),
    "another choice by itself": sse(
        HI, {"choices": [{"index": 1, "delta": {"content": "No"}, "finish_reason": "length"}]}, STOP, USED
    ),
    "a message in place of a delta": sse(WHOLE, done=True),
    "a summary at the end": sse(HI, {"choices": [SUMMARY]}, USED, done=True),
    "a document in place of a stream": json.dumps(WHOLE).encode(),
    "documents in a list": sse([HI, STOP], [USED], done=True),
    "an error that is null": sse({**HI, "error": None}, STOP, USED, done=True),
    "tool calls null and empty": sse(chunk(content="Hi", tool_calls=None), chunk(tool_calls=[]), STOP, USED),
    "reasoning of another shape": sse(chunk(content="Hi", reasoning={"text": "hm"}), STOP, USED, done=True),
    "a data line cut in two": sse(
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"Hi"}}]}\n\n', STOP, USED
    ),
    "carriage returns only": sse(HI, STOP, USED, done=True).replace(b"\n", b"\r"),
    "comments between": sse(b": a\n\n", HI, b": b\n\n", STOP, b": c\n\n", USED, done=True),
}
START = {"type": "message_start", "message": {"usage": {"input_tokens": 12, "output_tokens": 1}}}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
WORD = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
SHUT, OVER = {"type": "content_block_stop", "index": 0}, {"type": "message_stop"}


def end(reason: str | None = "end_turn", **counts: object) -> dict[str, object]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason},
        "usage": {"output_tokens": 7, **counts},
    }


SERVER_TOOL = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
ANTHROPIC: Mapping[str, bytes] = {
    "a block that was not begun": sse(START, WORD, end(), OVER),
    "two beginnings": sse(START, START, OPEN, WORD, SHUT, end(), OVER),
    "no last event": sse(START, OPEN, WORD, SHUT, end()),
    "another dialect's terminator": sse(START, OPEN, WORD, SHUT, end(), OVER, done=True),
    "a reason that is null at first": sse(START, OPEN, WORD, end(None), end(), OVER),
    "events behind the end": sse(START, OPEN, WORD, SHUT, end(), OVER, WORD, end("max_tokens")),
    "an index that is text": sse(START, {**OPEN, "index": "0"}, WORD, end(), OVER),
    "parts that are null": sse(
        START, {**OPEN, "content_block": None}, {**WORD, "delta": None}, WORD, end(), OVER
    ),
    "input counted as 0 at the end": sse(
        START, OPEN, WORD, end(input_tokens=0, cache_read_input_tokens=0), OVER
    ),
    "a tool of the server's own": sse(
        START,
        {**OPEN, "index": 1, "content_block": SERVER_TOOL},
        {**WORD, "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"q":1}'}},
        {**SHUT, "index": 1},
        OPEN,
        WORD,
        end(),
        OVER,
    ),
}
TOTALS = {"usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 7, "totalTokenCount": 19}}


def content(*parts: object, finish: str | None = None) -> dict[str, object]:
    reason = {"finishReason": finish} if finish else {}
    return {"candidates": [{"content": {"parts": list(parts)}, **reason}]}


SAID = content({"text": "Hi"}, finish="STOP") | TOTALS
GEMINI: Mapping[str, bytes] = {
    "words behind the end": sse(content({"text": "H"}, finish="STOP"), content({"text": "i"}) | TOTALS),
    "candidates null and empty": sse({"candidates": None}, SAID, {"candidates": []}),
    "contents null": sse(
        {"candidates": [{"content": None}]}, {"candidates": [{"content": {"parts": None}}]}, SAID
    ),
    "parts of unknown kinds": sse(content({"executableCode": {"code": "x"}}, {"inlineData": {}}), SAID),
    "another candidate": sse({"candidates": [{"index": 1, "content": {"parts": [{"text": "No"}]}}]}, SAID),
    "usage, then an empty one": sse(
        content({"text": "Hi"}) | TOTALS, content(finish="STOP") | {"usageMetadata": {}}
    ),
    "feedback that is text": sse({"promptFeedback": "fine"}, SAID),
    "a document in place of a stream": json.dumps(SAID).encode(),
    "a list in place of a stream": b"[" + json.dumps(SAID).encode() + b"\n]",
}
WELL = [
    pytest.param(dialect, body, id=f"{dialect}: {name}")
    for dialect, cases in (("openai", OPENAI), ("anthropic", ANTHROPIC), ("gemini", GEMINI))
    for name, body in cases.items()
]


@pytest.mark.parametrize(("dialect", "body"), WELL)
async def test_an_odd_stream_that_is_whole_is_read_whole(dialect: DialectName, body: bytes) -> None:
    *said, last = await collect(streams(body), call(dialect, clocks=QUICK))

    assert "".join(event.text for event in said if isinstance(event, TextDelta)) == "Hi"
    assert isinstance(last, Finished)
    assert (last.finish_reason, last.usage.source) == ("stop", "provider")
    assert (last.usage.input_tokens, last.usage.output_tokens) == (12, 7)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (sse(HI, chunk(), chunk(), USED, done=True), ProviderGarbled),
        (sse(HI, chunk(""), USED, done=True), ProviderGarbled),
        (sse(done=True), ProviderGarbled),
        (b"", ProviderGarbled),
        (b": a\n\n: b\n\n", ProviderGarbled),
        (sse({"choices": [None]}), ProviderGarbled),
        (sse(chunk(content=5)), ProviderGarbled),
        (sse({"error": "overloaded"}), ProviderUnavailable),
        (sse(HI, {"error": {"code": 500}}), ProviderUnavailable),
        (sse(HI, b"event: error\ndata: Internal Server Error\n\n"), ProviderGarbled),
        (json.dumps({"error": {"type": "overloaded_error", "code": 503}}).encode(), ProviderUnavailable),
        (json.dumps({"error": {"type": "rate_limit_error"}}).encode(), ProviderRateLimited),
        (b'{"choices": [', ProviderGarbled),
    ],
)
async def test_a_stream_that_is_not_whole_is_never_an_answer(body: bytes, kind: Kind) -> None:
    with pytest.raises(ProviderError) as caught:
        await collect(streams(body), call("openai", clocks=QUICK))

    assert type(caught.value) is kind


async def test_a_list_of_errors_in_place_of_a_stream_has_the_class_of_its_type() -> None:
    body = json.dumps([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]).encode()

    with pytest.raises(ProviderRateLimited):
        await collect(streams(body), call("gemini", clocks=QUICK))


Calls = list[tuple[str, str, str]]
IN_PIECES: Mapping[str, tuple[bytes, Calls]] = {
    "indexes out of order": (
        sse(piece(index=1, id="b", function=F), piece(index=0, id="a", function={**F, "name": "g"}), CALLED),
        [("b", "f", "{}"), ("a", "g", "{}")],
    ),
    "pieces of two calls in turn": (
        sse(
            piece(index=0, id="a", function={"name": "f", "arguments": "{"}),
            piece(index=1, id="b", function={"name": "g", "arguments": "["}),
            piece(index=0, function={"arguments": "}"}),
            piece(index=1, function={"arguments": "]"}),
            CALLED,
        ),
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "id and name in every piece": (
        sse(
            piece(index=0, id="a", function={"name": "f", "arguments": "{"}),
            piece(index=0, id="a", function={"name": "f", "arguments": "}"}),
            CALLED,
        ),
        [("a", "f", "{}")],
    ),
    "empty id and name afterwards": (
        sse(
            piece(index=0, id="a", function={"name": "f", "arguments": "{"}),
            piece(index=0, id="", function={"name": "", "arguments": "}"}),
            CALLED,
        ),
        [("a", "f", "{}")],
    ),
    "no index": (
        sse(piece(id="a", function={**F, "arguments": "{"}), piece(function={"arguments": "}"}), CALLED),
        [("a", "f", "{}")],
    ),
    "an absurd index": (sse(piece(index=10**30, id="a", function=F), CALLED), [("a", "f", "{}")]),
    "a function that is null": (
        sse(piece(index=0, id="a", function=F), piece(index=0, function=None), CALLED),
        [("a", "f", "{}")],
    ),
    "an id that is a number": (sse(piece(index=0, id=7, function=F), CALLED), [("call_0", "f", "{}")]),
    "arguments as an object": (
        sse(piece(index=0, id="a", function={"name": "f", "arguments": {"x": 1}}), CALLED),
        [("a", "f", '{"x":1}')],
    ),
}


@pytest.mark.parametrize(("body", "expected"), IN_PIECES.values(), ids=IN_PIECES)
async def test_tool_calls_in_odd_pieces_arrive_whole(body: bytes, expected: Calls) -> None:
    events = await collect(streams(body), call("openai", ask(tools=(WEATHER,)), clocks=QUICK))

    put_together: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            known = put_together.get(event.index, ("", "", ""))
            put_together[event.index] = (
                known[0] or event.id or "",
                known[1] or event.name or "",
                known[2] + event.arguments,
            )
    assert list(put_together.values()) == expected


@pytest.mark.parametrize(
    "message",
    [
        {"content": ["H", {"type": "text", "text": "i"}]},
        {"content": "Hi", "reasoning": ["hm"], "tool_calls": None},
        {"content": "Hi", "refusal": None},
    ],
)
async def test_an_odd_whole_answer_is_read(message: object) -> None:
    reply = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": COUNTS}

    answer = await complete(answering(reply), call("openai"))

    assert (answer.message.text, answer.usage.output_tokens) == ("Hi", 7)


async def test_a_whole_answer_that_calls_no_function_is_garbled() -> None:
    reply = {
        "choices": [{"message": {"tool_calls": [{"id": "a", "function": None}]}, "finish_reason": "stop"}]
    }

    with pytest.raises(ProviderGarbled):
        await complete(answering(reply), call("openai"))
