"""A stand-in for the model behind Claude Code: it asks for tools as told, and keeps what it is shown."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Json = dict[str, Any]  # Any: the wire of Anthropic's Messages API
ToolUse = tuple[str, Json]


class ScriptedModel:
    """Speaks just enough of the Messages API to take a Claude Code session to its last turn."""

    def __init__(self, script: Sequence[ToolUse]) -> None:
        self._pending = list(script)
        self._asked = 0
        self.tools: list[Json] = []
        """The tools that the model was offered on the first turn."""
        self.results: dict[str, str] = {}
        """What it was shown as the result of each tool call, by the call's number."""
        self.app = Starlette(
            routes=[
                Route("/v1/messages", self._answer, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
                Route("/{path:path}", self._nothing, methods=["GET", "POST", "HEAD"]),
            ]
        )

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self._note(body)
        block = self._next(body)
        if not body.get("stream"):
            return JSONResponse({**_message([block]), "stop_reason": _stop(block)})
        return StreamingResponse(_events(block), media_type="text/event-stream")

    def _note(self, body: Json) -> None:
        offered = body.get("tools") or []
        if offered and not self.tools:
            self.tools = offered
        contents = [message["content"] for message in body["messages"]]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        self.results |= {part["tool_use_id"]: _shown(part) for part in parts if "tool_use_id" in part}

    def _next(self, body: Json) -> Json:
        if not body.get("tools") or not self._pending:  # a side question (a title, a summary), or the end
            return {"type": "text", "text": "done"}
        name, arguments = self._pending.pop(0)
        self._asked += 1
        return {"type": "tool_use", "id": f"call_{self._asked}", "name": name, "input": arguments}

    async def _count(self, _request: Request) -> Response:
        return JSONResponse({"input_tokens": 1})

    async def _nothing(self, _request: Request) -> Response:
        return JSONResponse({}, 404)


def _shown(part: Json) -> str:
    content = part.get("content", "")
    return content if isinstance(content, str) else "".join(piece.get("text", "") for piece in content)


def _message(content: list[Json]) -> Json:
    usage = {"input_tokens": 1, "output_tokens": 1}
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": "claude-scripted",
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _stop(block: Json) -> str:
    return "tool_use" if block["type"] == "tool_use" else "end_turn"


async def _events(block: Json) -> AsyncIterator[str]:
    if block["type"] == "tool_use":
        start = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        start, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
    stop = {"stop_reason": _stop(block), "stop_sequence": None}
    for kind, facts in (
        ("message_start", {"message": _message([])}),
        ("content_block_start", {"index": 0, "content_block": start}),
        ("content_block_delta", {"index": 0, "delta": delta}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": stop, "usage": {"output_tokens": 1}}),
        ("message_stop", {}),
    ):
        yield f"event: {kind}\ndata: {json.dumps({'type': kind, **facts})}\n\n"
