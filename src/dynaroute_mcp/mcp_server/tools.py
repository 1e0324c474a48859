"""The eleven tools: each decodes its arguments, calls one part of the core and encodes what comes back.

A docstring is what a model reads before it calls, so it says what the tool does, what it costs and what it
returns.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, TextContent

from dynaroute_mcp.errors import DynarouteError, NotFound
from dynaroute_mcp.mcp_server import arguments as a
from dynaroute_mcp.mcp_server import wording
from dynaroute_mcp.mcp_server.access import visitor
from dynaroute_mcp.mcp_server.waiting import while_telling
from dynaroute_mcp.results import (
    Classified,
    CostQuote,
    CostSavings,
    GeneratedKey,
    KeyList,
    ModelList,
    Result,
    RevokedKey,
    RoutedPrompt,
    SubscriptionInfo,
    UsageSummary,
    VerifiedKey,
    encodable,
)

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core

P = ParamSpec("P")
R = TypeVar("R")

DEADLINE_S: Final = 50.0
"""Our own deadline for an answer: clients give up after 60 s, and then nobody sees what was paid for."""


def expected(tool: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Show our own errors to the model; leave crashes to the SDK, which hides their text."""

    @wraps(tool)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await tool(*args, **kwargs)
        except DynarouteError as error:
            raise ToolError(visitor().told(error)) from error

    return call


class Tools:
    """What a client may call. Who calls is `visitor()`; over HTTP a key reaches its own owner only."""

    def __init__(self, core: "Callable[[], Awaitable[Core]]", deadline_s: float = DEADLINE_S) -> None:
        self._core = core
        self._deadline_s = deadline_s

    # ------------------------------------------------------------ keys

    @expected
    async def dynaroute_generate_api_key(self, user_id: a.UserId) -> CallToolResult:
        """Make a DynaRoute API key for a user, on their plan.

        Returns the key, which is shown only this once.
        """
        core, who = await self._core(), visitor()
        who.must_own(user_id.strip())
        new = await core.accounts.generate_key(user_id, sandbox=who.sandboxed, by=who.caller)
        result = GeneratedKey.of(new)
        return _told(result, wording.generated(result))

    @expected
    async def dynaroute_verify_api_key(self, api_key: a.ApiKey) -> CallToolResult:
        """Verify a DynaRoute API key.

        Returns its status, plan, limits and remaining tokens; an unknown key is not valid.
        """
        core = await self._core()
        status = await core.accounts.verify_key(api_key.strip())
        result = VerifiedKey.of(status)
        return _told(result, wording.verified(result))

    @expected
    async def dynaroute_revoke_api_key(self, api_key: a.ApiKeyOrId) -> CallToolResult:
        """Revoke a DynaRoute API key for good, at once and everywhere.

        Usage records are kept. Returns when it ended.
        """
        core, who = await self._core(), visitor()
        key, accounts = api_key.strip(), core.accounts
        by_id = key.startswith("key_")
        if who.kind != "operator":
            row = await accounts.get_key(key, who.owner) if by_id else (await accounts.verify_key(key)).row
            if row is None or (who.sandboxed and not row.sandbox):
                raise NotFound("no such key among those that this key may revoke")
            who.must_own(row.owner)
        revoke = accounts.revoke_key_id if by_id else accounts.revoke_key
        result = RevokedKey.of(await revoke(key, by=who.caller))
        return _told(result, wording.revoked(result))

    @expected
    async def dynaroute_list_api_keys(self, user_id: a.UserId) -> CallToolResult:
        """List a user's DynaRoute API keys.

        Returns them masked, with status, plan, dates and number of requests.
        """
        core, who, owner = await self._core(), visitor(), user_id.strip()
        who.must_own(owner)
        rows = await core.accounts.key_statuses(owner, test_only=who.sandboxed)
        result = KeyList.of(owner, rows)
        return _told(result, wording.listed(result))

    @expected
    async def dynaroute_get_subscription(self) -> CallToolResult:
        """Get the subscription of the caller.

        Returns the plan, its limits, what is used of them and when they renew.
        """
        core = await self._core()
        caller = await visitor().caller_in(core)
        result = SubscriptionInfo.of(await core.accounts.subscription(caller))
        return _told(result, wording.subscribed(result))

    # ------------------------------------------------------------ routing

    @expected
    async def dynaroute_route_prompt(  # noqa: PLR0913 -- the arguments of the tool
        self,
        prompt: a.Prompt,
        ctx: Context,
        *,
        level_override: a.LevelOverride = None,
        category_override: a.CategoryOverride = "",
        system: a.System = "",
        strategy: a.StrategyName = None,
        max_tokens: a.MaxTokens = None,
        max_cost_usd: a.MaxCost = None,
        dry_run: a.DryRun = False,
    ) -> CallToolResult:
        """Answer a prompt with the cheapest model that is good enough for it.

        SPENDS MONEY on the operator's provider keys, unless dry_run. Returns the answer, model,
        category, level, tokens, cost and what GPT-4.1 would have cost.
        """
        request = a.to_request(
            prompt,
            system=system,
            level=level_override,
            category=category_override,
            strategy=strategy,
            max_tokens=max_tokens,
            max_cost_usd=max_cost_usd,
        )
        core = await self._core()
        caller = await visitor().caller_in(core)
        if dry_run:
            result = RoutedPrompt.of_decision(await core.router.choose(request, caller))
        else:
            answer = await while_telling(
                lambda report: core.router.complete_within(request, caller, self._deadline_s, report),
                ctx.report_progress,
            )
            result = RoutedPrompt.of(answer)
        return _told(result, wording.routed(result))

    @expected
    async def dynaroute_classify_prompt(self, prompt: a.PromptToLabel) -> CallToolResult:
        """Classify a prompt locally; free, calls no model.

        Returns one of 31 categories, a difficulty level from 1 to 5, the confidence and the signals
        that spoke.
        """
        core = await self._core()
        result = Classified.of(await core.router.classify(a.to_prompt(prompt)))
        return _told(result, wording.classified(result))

    # ------------------------------------------------------------ prices and books

    @expected
    async def dynaroute_list_models(
        self,
        *,
        search: a.Search = "",
        provider: a.ProviderName = "",
        capability: a.CapabilityName = None,
        level: a.FitLevel = None,
        available_only: a.AvailableOnly = False,
        detailed: a.Detailed = False,
        limit: a.Limit = 100,
    ) -> CallToolResult:
        """List the models that prompts can go to.

        Returns names, LiteLLM ids and prices in US dollars per million tokens; more with detailed.
        """
        core = await self._core()
        found = await core.reports.models(
            search=search,
            provider=provider.strip() or None,
            capability=capability,
            level=a.to_level(level, "level"),
            available_only=available_only,
        )
        result = ModelList.of(found, limit=limit, full=detailed)
        return _told(result, wording.models(result))

    @expected
    async def dynaroute_calculate_cost(
        self,
        model_name: a.ModelName,
        prompt_tokens: a.PromptTokens,
        completion_tokens: a.CompletionTokens,
    ) -> CallToolResult:
        """Calculate the cost of a number of tokens on a model, without calling it.

        Returns US dollars beside the GPT-4.1 equivalent; savings may be negative.
        """
        core = await self._core()
        result = CostQuote.of(
            core.reports.quote(model_name, prompt_tokens, completion_tokens), model_name.strip()
        )
        return _told(result, wording.quoted(result))

    @expected
    async def dynaroute_get_usage_summary(self) -> CallToolResult:
        """Get a summary of the caller's usage.

        Returns requests, tokens, cost and savings against GPT-4.1, by model and category, and the
        subscription.
        """
        result = await usage_summary(await self._core())
        return _told(result, wording.summed(result))

    @expected
    async def dynaroute_get_cost_savings(
        self,
        model_used: a.ModelName,
        prompt_tokens: a.PromptTokens,
        completion_tokens: a.CompletionTokens,
    ) -> CallToolResult:
        """Get the savings of one call against GPT-4.1.

        Returns its cost, the GPT-4.1 equivalent and, where a DynaRoute key is set, all that the key
        has saved.
        """
        core = await self._core()
        quote = core.reports.quote(model_used, prompt_tokens, completion_tokens)
        who = visitor()
        caller = None if who.kind == "stranger" else await who.caller_in(core)
        keyed = caller is not None and caller.key_id is not None
        summary = await core.reports.usage(caller) if caller is not None and keyed else None
        result = CostSavings.of(quote, model_used.strip(), summary)
        return _told(result, wording.saved(result))


async def usage_summary(core: "Core") -> UsageSummary:
    """Sum up what the visitor used.

    Raises:
        AuthenticationFailed: nobody's figures are asked for.
    """
    caller = await visitor().caller_in(core)
    summary = await core.reports.usage(caller)
    simulated = await core.reports.usage(replace(caller, sandbox=True))
    subscription = await core.accounts.subscription(caller)
    return UsageSummary.of(summary, subscription, simulated.total.requests)


def _told(result: Result, text: str) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=encodable(text))], structured_content=result.payload()
    )
