"""A provider on loopback for the official SDKs and for our adapters alike: one recorded answer, every request kept."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Document = Mapping[str, Any]


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass
class Recorded:
    """What is answered: a whole document, or these as a stream where one is asked for."""

    whole: Document
    stream: Sequence[Document]
    asked: list[Asked] = field(default_factory=list)
    address: str = ""


@contextmanager
def recorded(whole: Document, stream: Sequence[Document]) -> Iterator[Recorded]:
    """Serve an answer for as long as the context lasts."""
    server = Recorded(whole, stream)

    class Handler(BaseHTTPRequestHandler):
        """Answers every POST."""

        def do_POST(self) -> None:
            """Keep the request and answer it."""
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.path, headers, body))
            streams = body.get("stream") or "streamGenerateContent" in self.path
            content = _events(server.stream) if streams else json.dumps(server.whole)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if streams else "application/json")
            self.send_header("content-length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def _events(documents: Sequence[Document]) -> str:
    """Events named as each dialect names its own; only OpenAI's end with a word."""
    lines = []
    for each in documents:
        name = f"event: {each['type']}\n" if "type" in each else ""
        lines.append(f"{name}data: {json.dumps(each)}\n\n")
    last = "data: [DONE]\n\n" if documents and "object" in documents[0] else ""
    return "".join(lines) + last
