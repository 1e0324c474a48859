"""Lines that the SDK's parser refuses: what JSON allows becomes a message, all else stays an error."""

import json

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest, jsonrpc_message_adapter
from pydantic import ValidationError

from dynaroute_mcp.mcp_server.reading import Reading, mended

HEAD = '{"jsonrpc":"2.0","id":1,"method":"ping","params":'


def refused(line: str) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    return caught.value


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"a\udc00\ud83d\ude00"', "a\ufffd\U0001f600"),
        ("9" * 5_000, float("inf")),
        ("-" + "9" * 5_000, float("-inf")),
    ],
)
def test_what_json_allows_is_read(written: str, read: object) -> None:
    message = mended(refused(f'{HEAD}{{"x":{written}}}}}'))

    assert isinstance(message, SessionMessage)
    assert isinstance(message.message, JSONRPCRequest)
    assert (message.message.id, message.message.params) == (1, {"x": read})


@pytest.mark.parametrize(
    "line", ["no json", '{"jsonrpc":"2.0"}', r'{"x":"\ud83d"}', HEAD + "[" * 100_000, HEAD + '"\\ud83d"']
)
def test_what_is_no_message_stays_the_error_that_it_was(line: str) -> None:
    error = refused(line)

    assert mended(error) is error


async def test_a_stream_is_read_to_its_end_and_closed() -> None:
    send, receive = anyio.create_memory_object_stream[SessionMessage | Exception](3)
    whole = SessionMessage(jsonrpc_message_adapter.validate_python(json.loads(HEAD + "{}}")))
    items = (whole, refused(HEAD + r'{"x":"\ud83d"}}'), OSError("gone"))

    async with Reading(receive) as reading:
        for item in items:
            await send.send(item)
        first = await reading.receive()
        send.close()
        rest = [type(item) async for item in reading]

    assert (first, rest) == (whole, [SessionMessage, OSError])
    again = Reading(receive)
    await again.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await again.receive()
