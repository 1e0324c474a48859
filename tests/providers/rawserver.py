"""A loopback server that misbehaves on demand, below the level at which a well-made fake could.

It speaks just enough HTTP/1.1 to be asked in any of the three dialects, tells dialect and streaming by the
request, and answers well unless a fault is due. Faults are queued: `Fault(kind="html502", times=2)` spoils
two requests, and `times=None` spoils all that follow. Every request is kept in `seen`, in order of arrival.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from tests.providers.rawexchange import (
    DIALECTS,
    TEXT,
    DialectName,
    Exchange,
    Fault,
    Handler,
    RawServer,
    Seen,
    well,
)
from tests.providers.rawkinds import KINDS

__all__ = ["DIALECTS", "KINDS", "TEXT", "DialectName", "Fault", "Handler", "RawServer", "Seen", "raw_server"]

_MAX_HEAD = 65_536


@asynccontextmanager
async def raw_server(more: Mapping[str, Handler] | None = None) -> AsyncGenerator[RawServer]:
    """Serve on a free loopback port for as long as the context lasts; `more` are further ways to misbehave."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        server = RawServer(port=listener.extra(SocketAttribute.local_port), kinds={**KINDS, **(more or {})})

        async def handle(client: SocketStream) -> None:
            async with client:
                try:
                    await _exchange(server, client)
                except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                    server.left.set()  # the client left, as it may

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            yield server
            tasks.cancel_scope.cancel()


async def _exchange(server: RawServer, client: SocketStream) -> None:
    received = BufferedByteReceiveStream(client)
    head = (await received.receive_until(b"\r\n\r\n", _MAX_HEAD)).decode("latin-1")
    request_line, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await received.receive_exactly(int(headers.get("content-length", "0")))
    path = request_line.split(" ")[1]
    seen = Seen(path=path, headers=headers, body=body, at=anyio.current_time())
    server.seen.append(seen)
    fault = server.due()
    handler = server.kinds[fault.kind] if fault is not None else well
    await handler(Exchange(server=server, client=client, seen=seen, fault=fault or Fault(kind="none")))
