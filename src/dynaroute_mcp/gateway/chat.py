"""`POST /v1/chat/completions`: reads a request, and tells its answer as OpenAI's chat completions do.

A stream that fails after its first content ends with an error event and without `[DONE]`.
"""

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.gateway import answering, decode, encode, shapes
from dynaroute_mcp.gateway.receiving import read_body
from dynaroute_mcp.gateway.session import fields_of
from dynaroute_mcp.gateway.wire import ChatBody
from dynaroute_mcp.types import Answer, StreamEvent


async def complete(request: Request) -> Response:
    """Answer a chat request."""
    body = decode.body_of(ChatBody, await read_body(request))
    asked, dropped = decode.chat_request(body, strategy=fields_of(request.scope).get("x-routing-strategy"))
    usage_apart = bool(body.stream_options and body.stream_options.include_usage)
    form = partial(_Completion, dropped=dropped, usage_apart=usage_apart)
    ask = answering.Ask(body=body, request=asked, stream=bool(body.stream), form=form)
    return await answering.answer(request, ask)


class _Completion:
    """A chat completion; see `Form`."""

    def __init__(self, origin: answering.Origin, *, dropped: Sequence[str], usage_apart: bool) -> None:
        self._head = encode.Head(id=f"chatcmpl-{origin.own}", created=origin.created, model=origin.model)
        self._provider = origin.provider
        self._dropped = dropped
        self._usage_apart = usage_apart
        self._opened = False

    def whole(self, answer: Answer) -> shapes.ChatCompletion:
        """Show an answer in one piece."""
        return encode.completion(answer, self._head, self._dropped)

    def piece(self, event: StreamEvent) -> bytes:
        """Write one event, behind the opening if it is the first."""
        return self._opening(event) + encode.piece(self._head, event, self._provider)

    def ending(self, answer: Answer) -> bytes:
        """Write the last events of a stream that ended well."""
        last = encode.ending(answer, self._head, self._dropped, usage_apart=self._usage_apart)
        return self._opening(None) + b"".join(last)

    def broken(self, error: shapes.Error) -> bytes:
        """Write the last event of a stream that did not."""
        return encode.as_event(error)

    def _opening(self, first: StreamEvent | None) -> bytes:
        if self._opened:
            return b""
        self._opened = True
        return encode.opening(self._head, first)
