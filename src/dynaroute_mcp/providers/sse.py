"""Bytes to server-sent events, however they are cut.

Follows the event stream format of the HTML standard
(https://html.spec.whatwg.org/multipage/server-sent-events.html), with two differences: an event that the end
of the stream cuts off is still given out, because some providers leave out the last blank line; and lines and
events have a bound. It knows no dialect.
"""

from dataclasses import dataclass

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Bound on one line and on the data of one event."""

_BOM = b"\xef\xbb\xbf"
_BEFORE = _BOM + b" \t\r\n"
"""What may stand before a document."""


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


class BodyParser:
    """Parser of a body that should be a stream: one JSON document in its place is one event.

    Some servers answer whole though a stream was asked for, and many send an error so.
    """

    def __init__(self) -> None:
        self._stream: SseParser | None = None
        self._document = bytearray()
        self._begun = False

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Take more bytes; return the events that they complete.

        Raises:
            EventTooLarge: a line or event passed the bound; a document is bound by the body alone.
        """
        if self._stream is not None:
            return self._stream.feed(piece)
        self._document += piece
        start = b"{" if self._begun else piece.lstrip(_BEFORE)[:1]
        self._begun = bool(start)
        if start in (b"", b"{", b"["):
            return []
        self._stream = SseParser()
        return self._stream.feed(bytes(self._document))

    def close(self) -> list[ServerEvent]:
        """Give out what the end of the body cut off, or the document."""
        if self._stream is not None:
            return self._stream.close()
        document = self._document.lstrip(_BEFORE).decode("utf-8", "replace")
        return [ServerEvent(data=document)] if document else []
