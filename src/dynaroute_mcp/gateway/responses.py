"""`POST /v1/responses`: reads a request of OpenAI's Responses API, and tells its answer in it.

Nothing of an answer is kept: what a conversation needs to go on comes back with the next request. A stream that
fails after its first content ends with `error` and `response.failed`; the last event is the end, there is no
`[DONE]`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, count
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.gateway import answering, decode, encode
from dynaroute_mcp.gateway import responses_decode as reading
from dynaroute_mcp.gateway import responses_shapes as shapes
from dynaroute_mcp.gateway.receiving import read_body
from dynaroute_mcp.gateway.responses_output import Event, Output
from dynaroute_mcp.gateway.responses_wire import FunctionTool, ResponsesBody
from dynaroute_mcp.gateway.session import fields_of
from dynaroute_mcp.gateway.shapes import Error
from dynaroute_mcp.types import Answer, FinishReason, StreamEvent

_CUT: Final[dict[FinishReason, Literal["max_output_tokens", "content_filter"]]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_TOOL: Final = {*FunctionTool.model_fields}


async def create(request: Request) -> Response:
    """Answer a request of the Responses API."""
    body = decode.body_of(ResponsesBody, await read_body(request))
    asked, dropped = reading.chat_request(body, strategy=fields_of(request.scope).get("x-routing-strategy"))
    ask = answering.Ask(
        body=body,
        request=asked,
        stream=bool(body.stream),
        form=partial(_Response, body=body, dropped=dropped),
        fields=reading.FIELDS,
    )
    return await answering.answer(request, ask)


class _Response:
    """A response; see `Form`."""

    def __init__(self, origin: answering.Origin, *, body: ResponsesBody, dropped: Sequence[str]) -> None:
        self._origin = origin
        self._echo = _echo(body)
        self._dropped = dropped
        self._output = Output(origin.request_id.removeprefix("req_"), origin.provider)
        self._numbers = count()
        self._opened = False

    def whole(self, answer: Answer) -> shapes.Response:
        """Show an answer in one piece."""
        for event in answering.events_of(answer):
            _run(self._output.take(event))
        _run(self._output.close(_status(answer)))
        return self._ended(answer)

    def piece(self, event: StreamEvent) -> bytes:
        """Write the events for one event of the core, behind the opening if it is the first."""
        return self._written(chain(self._opening(), self._output.take(event)))

    def ending(self, answer: Answer) -> bytes:
        """Write the last events of a stream that ended well."""
        status = _status(answer)
        lines = self._written(chain(self._opening(), self._output.close(status)))
        return lines + self._written([(f"response.{status}", {"response": self._ended(answer)})])

    def broken(self, error: Error) -> bytes:
        """Write the last events of a stream that did not: an error as OpenAI's clients raise it, and what there is."""
        told = error["error"]
        fault: shapes.Fault = {"code": "server_error", "message": told["message"]}
        failed = self._shown("failed", self._output.items("incomplete"))
        failed["error"] = fault
        fields = {"code": told["reason"], "message": told["message"], "param": told["param"], **error}
        return self._written([("error", fields), ("response.failed", {"response": failed})])

    def _opening(self) -> Iterator[Event]:
        if not self._opened:
            self._opened = True
            begun = {"response": self._shown("in_progress", [])}
            yield "response.created", begun
            yield "response.in_progress", begun

    def _written(self, events: "Iterator[Event] | Sequence[Event]") -> bytes:
        return b"".join(
            b"event: "
            + kind.encode()
            + b"\n"
            + encode.as_event({"type": kind, "sequence_number": next(self._numbers), **fields})
            for kind, fields in events
        )

    def _ended(self, answer: Answer) -> shapes.Response:
        status = _status(answer)
        cut = _CUT.get(answer.completion.finish_reason)
        shown = self._shown(status, self._output.items(status))
        shown["incomplete_details"] = {"reason": cut} if cut else None
        shown["usage"] = _usage(answer)
        shown["_custom_routing_info"] = encode.routing_info(answer, self._dropped)
        return shown

    def _shown(
        self, status: Literal["in_progress", "completed", "incomplete", "failed"], output: list[shapes.Item]
    ) -> shapes.Response:
        return {
            "id": f"resp_{self._origin.own}",
            "object": "response",
            "created_at": self._origin.created,
            "status": status,
            "model": self._origin.model,
            "output": output,
            "error": None,
            "incomplete_details": None,
            "usage": None,
            "background": False,
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
            "_custom_routing_info": None,
            **self._echo,
        }


def _run(events: Iterator[Event]) -> None:
    for _ in events:
        pass


def _status(answer: Answer) -> Literal["completed", "incomplete"]:
    return "incomplete" if answer.completion.finish_reason in _CUT else "completed"


def _echo(body: ResponsesBody) -> shapes.Echo:
    text, choice = body.text, body.tool_choice
    wanted = text.format if text else None
    form = wanted.model_dump(by_alias=True) if wanted else {"type": "text"}
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "safety_identifier": body.safety_identifier,
        "temperature": body.temperature,
        "text": {"format": form, "verbosity": (text and text.verbosity) or "medium"},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump() if choice else "auto",
        "tools": [tool.model_dump(include=_TOOL) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "user": body.user,
    }


def _usage(answer: Answer) -> shapes.Usage:
    used = answer.completion.usage
    written = used.cache_write_5m_tokens + used.cache_write_1h_tokens
    return {
        "input_tokens": used.input_tokens,
        "input_tokens_details": {"cached_tokens": used.cache_read_tokens, "cache_write_tokens": written},
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.total_tokens,
        "cost": encode.cost(answer),
    }
