"""Bytes to server-sent events, however they are cut.

Follows the event stream format of the HTML standard (https://html.spec.whatwg.org/multipage/server-sent-events.html),
with two differences: an event that the end of the stream cuts off is still given out, because some providers leave out
the last blank line; and lines and events have a bound. It knows no dialect.
"""

from dataclasses import dataclass

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Bound on one line and on the data of one event."""

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """A line or an event beyond `MAX_EVENT_BYTES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event that carries data."""

    data: str
    """The data lines joined by newlines; bytes that are no UTF-8 are replaced."""
    name: str = ""


class SseParser:
    """Incremental parser of one stream: feed it pieces of any size, close it at the end."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._first_line = True
        self._name = ""
        self._data: list[str] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take more bytes; return the events that they complete.

        Raises:
            EventTooLarge: a line or event passed the bound.
        """
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if piece.endswith(b"\r"):
            self._after_cr = True
        *ended, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[ServerEvent] = []
        for line in ended:
            self._line += line
            self._bounded(len(self._line))
            events += self._end_line()
        self._line += rest
        self._bounded(len(self._line))
        return events

    def close(self) -> list[ServerEvent]:
        """Give out what the end of the stream cut off."""
        return self._end_line() + self._end_event() if self._line else self._end_event()

    def _end_line(self) -> list[ServerEvent]:
        line = bytes(self._line)
        self._line.clear()
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._end_event()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data_bytes += len(value) + 1
            self._bounded(self._data_bytes)
            self._data.append(value.decode("utf-8", "replace"))
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        return []

    def _end_event(self) -> list[ServerEvent]:
        events = [ServerEvent(data="\n".join(self._data), name=self._name)] if self._data else []
        self._name, self._data, self._data_bytes = "", [], 0
        return events

    @staticmethod
    def _bounded(size: int) -> None:
        if size > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MAX_EVENT_BYTES} bytes")
