"""The OpenAPI document, made from the same table that makes the routes and the same models that read the bodies."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dynaroute_mcp.gateway.shapes import Error

Handler = Callable[[Request], Awaitable[Response]]
Json = dict[str, Any]  # Any: JSON

_REFS: Final = "#/components/schemas/{model}"
_ALWAYS: Final = (400, 401, 403, 404, 405, 421, 429, 500, 503)
_WITH_BODY: Final = (408, 409, 413, 415)
_WITH_CALL: Final = (502, 504)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A value beside the body."""

    name: str
    meaning: str
    schema: Mapping[str, object]
    where: Literal["query", "path"] = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route: how it is reached, what it takes, what it gives."""

    method: str
    path: str
    handler: Handler
    answer: object
    """The shape of the answer; a string is a media type whose content has no shape."""
    body: type[BaseModel] | None = None
    body_optional: bool = False
    status: int = 200
    parameters: Sequence[Parameter] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """Optional request headers; told in words, because a client may always send others."""
    open: bool = False
    """Needs no key."""
    calls: bool = False
    """Asks a provider."""
    streams: object = None
    """The shape of one event, where the answer may be a stream."""
    routed_as: str | None = None
    """Starlette's path where it differs from the documented one."""
    aliases: Sequence[str] = ()
    """The same at other addresses."""


def routes(operations: Sequence[Operation]) -> Iterable[Route]:
    """Make one route for each address, so that a wrong method is told all the right ones."""
    by_path: dict[str, dict[str, Handler]] = {}
    for operation in operations:
        for path in (operation.routed_as or operation.path, *operation.aliases):
            by_path.setdefault(path, {})[operation.method] = operation.handler
    for path, handlers in by_path.items():
        yield Route(path, _Address(handlers))


class _Address:
    """The handlers of one address, by method."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        if "GET" in handlers:
            self._handlers = {**handlers, "HEAD": handlers["GET"]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        handler = self._handlers.get(scope["method"])
        if handler is None:
            raise HTTPException(405, headers={"Allow": ", ".join(self._handlers)})
        response = await handler(Request(scope, receive, send))
        await response(scope, receive, send)


def document(operations: Sequence[Operation]) -> Json:
    """Write the document."""
    shapes = _Shapes(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        for path in (operation.path, *operation.aliases):
            paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, path, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DynaRoute",
            "version": version("dynaroute-mcp"),
            "description": "Classifies each prompt and answers it with the cheapest model that is good enough.",
        },
        "paths": paths,
        "components": {
            "schemas": shapes.definitions,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A `dr_` key or the admin token."}
            },
        },
    }


class _Shapes:
    """JSON Schemas of everything that the operations take and give, with their shared parts."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        shapes = {Error: "serialization"}
        for operation in operations:
            for shape in (operation.answer, operation.streams):
                if shape is not None and not isinstance(shape, str):
                    shapes[shape] = "serialization"  # type: ignore[index]  # types are hashable
            if operation.body is not None:
                shapes[operation.body] = "validation"  # type: ignore[index]
        inputs = [(shape, mode, _adapter(shape)) for shape, mode in shapes.items()]
        self._schemas, rest = TypeAdapter.json_schemas(inputs, ref_template=_REFS)  # type: ignore[arg-type]
        self.definitions: Json = rest.get("$defs", {})

    def of(self, shape: object, mode: str = "serialization") -> Json:
        """Return the schema of a shape."""
        return self._schemas[shape, mode]  # type: ignore[index]


@cache
def _adapter(shape: object) -> TypeAdapter[object]:
    return TypeAdapter(shape)  # type: ignore[arg-type]  # any type will do


def _operation(operation: Operation, path: str, shapes: _Shapes) -> Json:
    summary = (inspect.getdoc(operation.handler) or "").partition("\n")[0]
    shown: Json = {
        "operationId": f"{operation.method.lower()}{path.translate(_ID)}",
        "summary": summary,
        "responses": dict(_responses(operation, shapes)),
        "security": [] if operation.open else [{"key": []}],
    }
    if operation.headers:
        shown["description"] = "Optional headers: " + " ".join(
            f"`{name}`: {meaning}" for name, meaning in operation.headers.items()
        )
    if operation.parameters:
        shown["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body is not None:
        schema = shapes.of(operation.body, "validation")
        content = {"application/json": {"schema": schema}}
        shown["requestBody"] = {"required": not operation.body_optional, "content": content}
    return shown


_ID: Final = str.maketrans({"/": "_", "{": "", "}": "", "-": "_", ".": "_"})


def _responses(operation: Operation, shapes: _Shapes) -> Iterable[tuple[str, Json]]:
    if isinstance(operation.answer, str):
        kind = "object" if operation.answer == "application/json" else "string"
        content: Json = {operation.answer: {"schema": {"type": kind}}}
    else:
        content = {"application/json": {"schema": shapes.of(operation.answer)}}
    if operation.streams is not None:
        data = {"type": "string", "contentMediaType": "application/json"}
        event = {"type": "object", "properties": {"data": data}, "required": ["data"]}
        content["text/event-stream"] = {"schema": event}
    meaning = (inspect.getdoc(operation.answer) or "The answer.").partition("\n")[0]
    yield str(operation.status), {"description": meaning, "content": content}
    statuses = [*_ALWAYS, *(_WITH_BODY if operation.body else ()), *(_WITH_CALL if operation.calls else ())]
    for status in sorted(statuses):
        yield (
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "content": {"application/json": {"schema": shapes.of(Error)}},
            },
        )


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.meaning,
        "schema": dict(parameter.schema),
    }
