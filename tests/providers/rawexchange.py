"""One request to the misbehaving server, the connection to answer it on, and what a good answer looks like."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.abc import SocketStream

DialectName = Literal["openai", "anthropic", "gemini"]
DIALECTS: tuple[DialectName, ...] = ("openai", "anthropic", "gemini")
TEXT = "Paris is the capital of France."
USAGE = (12, 7)
"""Input and output tokens of a good answer."""
JSON = "application/json"


@dataclass(kw_only=True)
class Fault:
    """What goes wrong, and how often."""

    kind: str
    times: int | None = 1
    """`None` is for ever."""
    seconds: float = 30.0
    """How long a hang lasts."""
    delay: float = 0.05
    """Pause between the pieces of a slow answer, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    """On anyio's clock."""

    @property
    def dialect(self) -> DialectName:
        """Which API was called."""
        if "generateContent" in self.path or "streamGenerateContent" in self.path:
            return "gemini"
        return "anthropic" if self.path.endswith("/messages") else "openai"

    @property
    def streams(self) -> bool:
        """Whether a stream was asked for."""
        return "streamGenerateContent" in self.path or b'"stream":true' in self.body.replace(b" ", b"")

    @property
    def key(self) -> str:
        """The key that came along, without its scheme."""
        named = (self.headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key"))
        return next((value.removeprefix("Bearer ") for value in named if value), "")


@dataclass(kw_only=True)
class RawServer:
    """The server's state: what to spoil, and what was seen."""

    port: int
    kinds: "Mapping[str, Handler]"
    """Every way to misbehave, by name."""
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    left: anyio.Event = field(default_factory=anyio.Event)
    """Set once a client has gone away before its answer's end."""

    @property
    def stolen(self) -> list[Seen]:
        """Requests that followed a redirect with the key."""
        return [one for one in self.seen if one.path.startswith("/steal")]

    def base_url(self, dialect: DialectName) -> str:
        """Where an adapter is pointed."""
        return f"http://127.0.0.1:{self.port}/{dialect}/{'v1beta' if dialect == 'gemini' else 'v1'}"

    def due(self) -> Fault | None:
        """Take the next fault from the queue."""
        while self.faults:
            fault = self.faults[0]
            if fault.times is None:
                return fault
            fault.times -= 1
            if fault.times >= 0:
                return fault
            self.faults.pop(0)
        return None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and the connection to answer it on."""

    server: RawServer
    client: SocketStream
    seen: Seen
    fault: Fault

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.client.send(piece)

    async def answer(
        self, body: bytes, *, status: int = 200, kind: str = JSON, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        await self.send(
            head(status, {"content-type": kind, "content-length": str(len(body)), **(headers or {})}) + body
        )

    async def error(
        self, status: int, document: object = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an error in the shape of all three dialects at once."""
        await self.answer(
            json.dumps(document or {"error": {"message": "no"}}).encode(), status=status, headers=headers
        )

    async def pieces(self, pieces: Iterable[bytes], *, pause_s: float = 0.0) -> None:
        """Send pieces of a stream as they are, the end of the connection being the end of the stream."""
        await self.send(head(200, {"content-type": "text/event-stream"}))
        for piece in pieces:
            await self.send(piece)
            await anyio.sleep(pause_s)

    async def reply(self, change: Callable[[dict[str, object]], object]) -> None:
        """Send a whole answer with something changed; a stream is answered well."""
        if self.seen.streams:
            return await well(self)
        document = whole(self.seen.dialect)
        changed = change(document)
        body = changed if isinstance(changed, bytes) else json.dumps(changed or document).encode()
        return await self.answer(body)


Handler = Callable[[Exchange], Awaitable[None]]


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\nconnection: close\r\n{lines}\r\n".encode("latin-1")


# ---------------------------------------------------------------- good answers


def whole(dialect: DialectName, text: str = TEXT) -> dict[str, object]:
    """A good answer."""
    prompt, written = USAGE
    match dialect:
        case "openai":
            return {
                "id": "chatcmpl-raw",
                "model": "raw",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                ],
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": written,
                    "total_tokens": prompt + written,
                },
            }
        case "anthropic":
            return {
                "id": "msg_raw",
                "type": "message",
                "model": "raw",
                "content": [{"type": "text", "text": text}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": prompt, "output_tokens": written},
            }
        case "gemini":
            return {
                "candidates": [
                    {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}
                ],
                "usageMetadata": {
                    "promptTokenCount": prompt,
                    "candidatesTokenCount": written,
                    "totalTokenCount": prompt + written,
                },
            }


def stream_documents(dialect: DialectName, text: str = TEXT) -> list[Mapping[str, object]]:
    """The documents of a good stream, one a word and one or two for its end."""
    words = [word if n == 0 else f" {word}" for n, word in enumerate(text.split(" "))]
    prompt, written = USAGE
    deltas: list[Mapping[str, object]]
    match dialect:
        case "openai":
            deltas = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in words]
            return [
                *deltas,
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": written}},
            ]
        case "anthropic":
            deltas = [
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in words
            ]
            return [
                {"type": "message_start", "message": {"usage": {"input_tokens": prompt, "output_tokens": 1}}},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                *deltas,
                {"type": "content_block_stop", "index": 0},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn"},
                    "usage": {"output_tokens": written},
                },
                {"type": "message_stop"},
            ]
        case "gemini":
            deltas = [{"candidates": [{"content": {"parts": [{"text": word}]}}]} for word in words[:-1]]
            return [*deltas, whole("gemini", words[-1])]


def events(exchange: Exchange, text: str = TEXT, *, end: str = "\n") -> list[bytes]:
    """A good stream as events; only OpenAI's ends with a word of its own."""
    dialect = exchange.seen.dialect
    events = []
    for document in stream_documents(dialect, text):
        name = f"event: {document['type']}{end}" if dialect == "anthropic" else ""
        events.append(f"{name}data: {json.dumps(document, ensure_ascii=False)}{end}{end}".encode())
    return [*events, f"data: [DONE]{end}{end}".encode()] if dialect == "openai" else events


def first_content(exchange: Exchange) -> int:
    return 2 if exchange.seen.dialect == "anthropic" else 0


async def well(exchange: Exchange) -> None:
    if exchange.seen.streams:
        await exchange.pieces(events(exchange))
    else:
        await exchange.answer(json.dumps(whole(exchange.seen.dialect)).encode())
