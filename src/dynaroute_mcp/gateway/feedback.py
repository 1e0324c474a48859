"""`POST /v1/feedback`: what a request should have been labelled."""

from typing import Annotated

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from dynaroute_mcp.corrections import Correction, correct
from dynaroute_mcp.gateway import decode, wire
from dynaroute_mcp.gateway.encode import as_json
from dynaroute_mcp.gateway.receiving import read_body
from dynaroute_mcp.gateway.session import desk_of, session_of
from dynaroute_mcp.results.corrections import Corrected
from dynaroute_mcp.taxonomy import Level


class FeedbackBody(wire.Wire):
    """The body of `POST /v1/feedback`; one of `category` and `level` must be there."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="ignore",
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("category", "level")
            ]
        },
    )

    request_id: Annotated[str, Field(min_length=1, max_length=200)]
    prompt: Annotated[str, Field(min_length=1, pattern=r"\S")]
    """The text that was labelled: it is not stored with a request."""
    category: wire.CategoryName | None = None
    level: wire.LevelNumber | None = None
    keep_text: bool = False
    """Store the prompt too; by default only a digest of it."""


async def correct_label(request: Request) -> Response:
    """Say what one of the caller's requests should have been labelled. Kept for a later fit; nothing learns from it."""
    session = session_of(request)
    body = decode.body_of(FeedbackBody, await read_body(request))
    given = Correction(
        request_id=body.request_id,
        prompt=body.prompt,
        category=body.category,
        level=Level(body.level) if body.level else None,
        keep_text=body.keep_text,
    )
    by = None if session.operator else session.caller
    row = await correct(session.core.store, given, by=by, at=desk_of(request).clock())
    return Response(as_json(Corrected.of(row).payload()), status_code=201, media_type="application/json")
