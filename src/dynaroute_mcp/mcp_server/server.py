"""The MCP server: tools, resources, prompts and completions on one core, whatever the transport.

`mcp dev src/dynaroute_mcp/mcp_server/server.py` opens it in the Inspector.
"""

from collections.abc import Iterable
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Final

from mcp import MCPError
from mcp.server import CacheHint, MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.stdio import stdio_server
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    ToolAnnotations,
)
from pydantic import ValidationError

from dynaroute_mcp import results
from dynaroute_mcp.mcp_server.access import remember_visitor
from dynaroute_mcp.mcp_server.opening import LazyCore, with_key
from dynaroute_mcp.mcp_server.reading import Reading
from dynaroute_mcp.mcp_server.resources import Resources, cheapest_model, explain_bill
from dynaroute_mcp.mcp_server.schema import explain, strict_tool, without_blanks
from dynaroute_mcp.mcp_server.tools import DEADLINE_S, Tools

__all__ = ["DynaRouteMCPServer", "Server", "build"]

INSTRUCTIONS: Final = (
    "DynaRoute routes prompts to the cheapest language model that is good enough. "
    "dynaroute_route_prompt answers a prompt and spends money; with dry_run it explains its choice for free. "
    "Also free: dynaroute_classify_prompt, dynaroute_list_models, dynaroute_calculate_cost and "
    "dynaroute_get_cost_savings. dynaroute_get_usage_summary and dynaroute_get_subscription tell the caller's "
    "own figures; the other tools manage DynaRoute API keys."
)

_HANDSHAKE: Final = frozenset({"initialize", "server/discover", "ping"})

READS: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
MAKES: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
DESTROYS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False
)
SPENDS: Final = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
)


class Server(MCPServer[None]):
    """The SDK's server with errors that say what to do, and the lazy core it runs on."""

    core: LazyCore

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],  # Any: JSON
        context: Context[None, Any] | None = None,
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool.

        Raises:
            ToolError: what went wrong and what to do; of a crash only the tool's name.
        """
        tool = self._tool_manager.get_tool(name)
        given = without_blanks(tool, arguments) if tool is not None else arguments
        try:
            return await super().call_tool(name, given, context)
        except UnexpectedToolError:
            raise
        except ToolError as error:
            raise ToolError(results.encodable(self._reason(name, error))) from error.__cause__

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,  # Any: as the SDK has it; the values are text
        context: Context[None, Any] | None = None,
    ) -> GetPromptResult | InputRequiredResult:
        """Render a prompt; an argument that is left blank takes its default.

        Raises:
            MCPError: there is no such prompt or argument; says which there are.
        """
        prompt = self._prompt_manager.get_prompt(name)
        if prompt is None:
            known = ", ".join(prompt.name for prompt in self._prompt_manager.list_prompts())
            raise _refused(f"unknown prompt {name[:80]!r}; there are {known}")
        given = {key: value for key, value in (arguments or {}).items() if value}
        takes = [argument.name for argument in prompt.arguments or ()]
        if wrong := next((key for key in given if key not in takes), None):
            raise _refused(f"{name} has no argument {wrong[:80]!r}; it takes {', '.join(takes)}")
        return await super().get_prompt(name, given, context)

    async def run_stdio_async(self) -> None:
        """Serve stdin and stdout until the client hangs up, and answer what the SDK would drop unread."""
        async with stdio_server() as (messages, answers):
            server = self._lowlevel_server
            await server.run(Reading(messages), answers, server.create_initialization_options())

    def _reason(self, name: str, error: ToolError) -> str:
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            known = ", ".join(tool.name for tool in self._tool_manager.list_tools())
            return f"unknown tool {name[:80]!r}; there are {known}"
        cause = error.__cause__
        return explain(tool, cause) if isinstance(cause, ValidationError) else str(cause or error)


def _refused(reason: str) -> MCPError:
    return MCPError(code=INVALID_PARAMS, message=results.encodable(reason))


def build(core: LazyCore | None = None, *, deadline_s: float = DEADLINE_S) -> Server:
    """Make a server.

    Args:
        core: shared with other servers of this process; by default one of its own, with the settings of this
            process.
        deadline_s: how long an answer may take.
    """
    core = core or LazyCore()

    async def warm_up(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Open the core while the client is still reading the list of tools."""
        if ctx.method not in _HANDSHAKE:
            core.warm()
        return await call_next(ctx)

    server = Server(
        "dynaroute",
        title="DynaRoute",
        version=version("dynaroute-mcp"),
        instructions=INSTRUCTIONS,
        lifespan=core.lifespan,
        log_level="WARNING",
        cache_hints={"tools/list": CacheHint(ttl_ms=300_000, scope="public")},
        middleware=[remember_visitor, warm_up],
        tools=list(_tools(Tools(core, deadline_s))),
    )
    server.core = core
    _add_resources(server, Resources(core))
    return server


def _tools(tools: Tools) -> Iterable[Tool]:
    rows = (
        (tools.dynaroute_route_prompt, results.RoutedPrompt, "Route a prompt", SPENDS),
        (tools.dynaroute_classify_prompt, results.Classified, "Classify a prompt", READS),
        (tools.dynaroute_list_models, results.ModelList, "List models", READS),
        (tools.dynaroute_calculate_cost, results.CostQuote, "Calculate cost", READS),
        (tools.dynaroute_get_cost_savings, results.CostSavings, "Get cost savings", READS),
        (tools.dynaroute_get_usage_summary, results.UsageSummary, "Get usage summary", READS),
        (tools.dynaroute_get_subscription, results.SubscriptionInfo, "Get subscription", READS),
        (tools.dynaroute_generate_api_key, results.GeneratedKey, "Generate an API key", MAKES),
        (tools.dynaroute_verify_api_key, results.VerifiedKey, "Verify an API key", READS),
        (tools.dynaroute_list_api_keys, results.KeyList, "List API keys", READS),
        (tools.dynaroute_revoke_api_key, results.RevokedKey, "Revoke an API key", DESTROYS),
    )
    for method, result, title, annotations in rows:
        loaded = {"anthropic/alwaysLoad": True} if annotations is SPENDS else None
        yield strict_tool(method, result, title=title, annotations=annotations, meta=loaded)


def _add_resources(server: Server, resources: Resources) -> None:
    for uri, read, title in (
        ("dynaroute://models", resources.models, "Models and prices"),
        ("dynaroute://models/{+model_id}", resources.model, "One model"),
        ("dynaroute://categories", resources.categories, "Categories and levels"),
        ("dynaroute://usage", resources.usage, "Usage and savings"),
        ("dynaroute://health", resources.health, "Health of the models"),
    ):
        server.resource(uri, title=title, description=read.__doc__, mime_type="application/json")(read)
    server.prompt(title="Find the cheapest model")(cheapest_model)
    server.prompt(title="Explain the bill")(explain_bill)
    server.completion()(resources.complete)  # type: ignore[no-untyped-call]  # the SDK left it untyped


def __getattr__(name: str) -> Server:
    """Build the `mcp` that `mcp dev` and `mcp run` look for when they ask for it, and not before."""
    if name == "mcp":
        return _default()
    raise AttributeError(name)


@cache
def _default() -> Server:
    return build()


class DynaRouteMCPServer:
    """The server for programs that start it themselves."""

    def __init__(self, api_key: str | None = None) -> None:
        """Take the DynaRoute key to work for; `None` takes `DYNAROUTE_API_KEY`, else the local owner."""
        self.server = build(LazyCore(partial(with_key, api_key)))

    async def run(self) -> None:
        """Serve stdin and stdout until the client hangs up."""
        await self.server.run_stdio_async()
