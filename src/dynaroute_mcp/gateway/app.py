"""The gateway as an ASGI app: routes, one gate before them, one envelope for every error."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dynaroute_mcp.gateway.auth import Gate
from dynaroute_mcp.gateway.cache import Cache
from dynaroute_mcp.gateway.metrics import Metrics
from dynaroute_mcp.gateway.openapi import routes
from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.gateway.routes import OPERATIONS
from dynaroute_mcp.gateway.session import Desk
from dynaroute_mcp.types import Ambient

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core

_CHAT: Final = "POST /v1/chat/completions"
_INSTEAD: Final[Mapping[str, str]] = {
    "responses": (
        "nothing of a response is kept here (`store` is false), to be read, deleted or continued: "
        "send the whole conversation as `input` to POST /v1/responses"
    ),
    "completions": (
        f"text completions are not spoken here; send `messages` to {_CHAT}. "
        "LangChain: ChatOpenAI; LlamaIndex's OpenAILike: is_chat_model=True; Vercel AI SDK: chatModel('auto')"
    ),
    "messages": f"Anthropic's Messages API is not spoken here; send OpenAI's `messages` to {_CHAT}",
    "embeddings": f"there are no embeddings here, only chats ({_CHAT}); ask a provider of embeddings itself",
}
"""What to do instead of calling what clients of several APIs try."""


def create_app(
    core: "Callable[[], Awaitable[Core]]",
    ambient: Ambient,
    *,
    allowed_hosts: Collection[str] = (),
) -> ASGIApp:
    """Make the ASGI app.

    Args:
        core: gives the core of the moment; its settings hold the admin token.
        ambient: time and chance of the process.
        allowed_hosts: names other than loopback and bare addresses under which it is reached.
    """
    desk = Desk(
        core=core,
        clock=ambient.clock,
        monotonic=ambient.monotonic,
        new_id=ambient.request_id,
        cache=Cache(ambient.monotonic),
        metrics=Metrics(ambient.monotonic),
    )
    return Gate(_Addresses(tuple(routes(OPERATIONS))), desk=desk, allowed_hosts=allowed_hosts)


class _Addresses(Router):
    """Starlette's router; an address that has no part to fill in is found at once."""

    def __init__(self, rows: Sequence[Route]) -> None:
        super().__init__(rows, redirect_slashes=False, default=self._nowhere)  # an address is right or wrong
        self._plain = {row.path: row for row in rows if not row.param_convertors}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to whom it is for."""
        route = self._plain.get(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await super().app(scope, receive, send)
        else:
            scope["route"] = route
            await route.app(scope, receive, send)

    async def _nowhere(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        wanted = [step for step in scope["path"].split("/") if step not in ("", "v1")]
        advice = self._advice(wanted, scope["path"])
        if wanted[:1] == ["messages"]:
            # Claude Code takes a 404 for an unknown model, and keeps the advice back
            raise Refusal(400, advice, reason="invalid_request")
        raise Refusal(404, advice, reason="not_found")

    def _advice(self, wanted: Sequence[str], path: str) -> str:
        """Say what somebody wanted who came to an address that there is not."""
        meant = f"/v1/{'/'.join(wanted)}"
        if meant in self._plain and meant != path:
            return f"there is no such route; it is {meant}: check the base URL, which ends in /v1"
        return _INSTEAD.get("".join(wanted[:1]), "there is no such route; GET /openapi.json lists them")
