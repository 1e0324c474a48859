"""Messages on stdin that JSON allows and the SDK's parser refuses: it drops them, and their client waits in vain.

Half of a surrogate pair, which a client writes that cuts a text within an emoji, becomes U+FFFD. An integer of
thousands of digits becomes infinite, which no argument takes and every answer can say.
"""

import json
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

from dynaroute_mcp.results import encodable

if TYPE_CHECKING:
    from mcp.shared._stream_protocols import ReadStream

    Item = SessionMessage | Exception

_LONGEST_INTEGER: Final = 4300
"""Digits; Python itself reads no more."""


class Reading:
    """The SDK's stream of messages, in which what it could not parse is read once more."""

    def __init__(self, stream: "ReadStream[Item]") -> None:
        self._stream = stream

    async def receive(self) -> "Item":
        """Return the next message, or why it is none."""
        return mended(await self._stream.receive())

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "Item":
        return mended(await self._stream.__anext__())

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool | None:
        return await self._stream.__aexit__(exc_type, exc_val, exc_tb)


def mended(item: "Item") -> "Item":
    """Read a line again that could not be parsed; what is no message at all stays the error that it was."""
    if not isinstance(item, ValidationError):
        return item
    fault = item.errors(include_url=False, include_context=False)[0]
    if fault["type"] != "json_invalid":
        return item
    try:
        found = encodable(json.loads(fault["input"], parse_int=_number))
        return SessionMessage(jsonrpc_message_adapter.validate_python(found, by_name=False))
    except (ValueError, RecursionError):
        return item


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else float(digits)
