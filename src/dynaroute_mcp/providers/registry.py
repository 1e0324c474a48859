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

_RESPONSES = Responses()
_TRANSLATIONS: Mapping[catalog.Dialect, Translation] = {
    "openai": ChatCompletions(),
    "anthropic": Messages(),
    "gemini": GenerateContent(),
}


def dialects(wire: Wire, *, estimate: Callable[[str], int]) -> Mapping[catalog.Dialect, Dialect]:
    """Build all dialects on one wire.

    Args:
        wire: Open for as long as the dialects are used.
        estimate: Counts the tokens of a text, for answers without usage.
    """
    http = HttpDialect(wire, translation_of, estimate)
    return {"openai": http, "anthropic": http, "gemini": http, "sandbox": Sandbox(estimate)}


def translation_of(call: Call) -> Translation:
    """Pick the translation for a call, by its provider's dialect and its model's flags.

    Raises:
        KeyError: the dialect is not spoken over HTTP.
    """
    dialect, flags = call.endpoint.provider.dialect, call.model.constraints
    if dialect == "openai" and (flags.needs_responses or (flags.tools_need_responses and call.request.tools)):
        return _RESPONSES
    return _TRANSLATIONS[dialect]
