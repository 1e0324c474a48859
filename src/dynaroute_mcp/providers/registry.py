"""Every dialect by the name that the catalog uses for it."""

from collections.abc import Callable, Mapping

from dynaroute_mcp import catalog
from dynaroute_mcp.providers.anthropic import Messages
from dynaroute_mcp.providers.base import Call, Dialect, Translation
from dynaroute_mcp.providers.gemini import GenerateContent
from dynaroute_mcp.providers.http_dialect import HttpDialect
from dynaroute_mcp.providers.openai import ChatCompletions
from dynaroute_mcp.providers.responses import Responses
from dynaroute_mcp.providers.sandbox import Sandbox
from dynaroute_mcp.providers.wire import Wire


def dialects(wire: Wire, *, estimate: Callable[[str], int]) -> Mapping[catalog.Dialect, Dialect]:
    """Build all dialects on one wire.

    Args:
        wire: Open for as long as the dialects are used.
        estimate: Counts the tokens of a text, for answers without usage.
    """
    chat, responses, messages, content = ChatCompletions(), Responses(), Messages(), GenerateContent()

    def openai(call: Call) -> Translation:
        flags = call.model.constraints
        return (
            responses
            if flags.needs_responses or (flags.tools_need_responses and call.request.tools)
            else chat
        )

    return {
        "openai": HttpDialect(wire, openai, estimate),
        "anthropic": HttpDialect(wire, lambda _: messages, estimate),
        "gemini": HttpDialect(wire, lambda _: content, estimate),
        "sandbox": Sandbox(estimate),
    }
