"""A model server on loopback that lists itself as one of the products does, and answers well, or ill as told."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from dynaroute_mcp.providers.discovery import ServerKind

SOLVED = "1. Paris\n2. 27\n3. Ann"

LISTINGS: Mapping[ServerKind, Mapping[str, object]] = {
    "ollama": {
        "/api/tags": {"models": [{"name": "m", "model": "m", "digest": "sha256:0a", "size": 5_000}]},
        "/api/show": {
            "capabilities": ["completion"],
            "parameters": "num_ctx 8192",
            "model_info": {"llama.context_length": 131_072},
        },
    },
    "llamacpp": {
        "/v1/models": {"data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_params": 7, "size": 5}}]},
        "/props": {"default_generation_settings": {"n_ctx": 8_192}},
    },
    "lmstudio": {
        "/api/v0/models": {
            "data": [{"id": "m", "type": "llm", "quantization": "Q4_K_M", "max_context_length": 8_192}]
        },
    },
    "vllm": {"/v1/models": {"data": [{"id": "m", "owned_by": "vllm", "root": "m", "max_model_len": 8_192}]}},
}
"""By path, in the shapes of the products' own references (see `discovery`), with values of ours."""


@dataclass
class LocalServer:
    """What is served, and what was asked."""

    kind: ServerKind
    address: str
    chats: int = 0


@asynccontextmanager
async def local_server(kind: ServerKind, ill: str = "", *, listing: str = "") -> AsyncGenerator[LocalServer]:
    """Serve on a free port; `ill` says how chats misbehave, `listing` how lists do."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener:
        server = LocalServer(kind, f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}")

        async def handle(client: SocketStream) -> None:
            async with client:
                try:
                    await _exchange(server, client, ill, listing)
                except (anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                    return  # the client left, as it may

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, handle)
            yield server
            tasks.cancel_scope.cancel()


async def _exchange(server: LocalServer, client: SocketStream, ill: str, listing: str) -> None:
    received = BufferedByteReceiveStream(client)
    head = (await received.receive_until(b"\r\n\r\n", 65_536)).decode("latin-1")
    lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
    await received.receive_exactly(sum(int(line.split(":")[1]) for line in lengths))
    path = head.split(" ")[1]
    chat = path == "/v1/chat/completions"
    server.chats += chat
    document = (
        _chat("I do not know" if ill == "dumb" else SOLVED) if chat else LISTINGS[server.kind].get(path)
    )
    await _answer(client, document, ill if chat else listing)


def _chat(text: str) -> object:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 90, "completion_tokens": 12},
    }


async def _answer(client: SocketStream, document: object, ill: str) -> None:
    if ill == "slow":
        await anyio.sleep(30)
    elif ill == "endless":
        await client.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n[")
        while True:
            await client.send(b" " * 1_000)
            await anyio.sleep(0.001)
    body = b"<html>\xff\x00" if ill == "garbage" else json.dumps(document).encode()
    status = 500 if ill == "refusing" else 404 if document is None else 200
    await client.send(
        f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    )
