"""What can be read and completed: models, categories, the caller's use, and two prompts to start from."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Annotated, ParamSpec

from mcp.server.mcpserver import UserMessage
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
)
from pydantic import Field

from dynaroute_mcp.errors import DynarouteError, UnknownName
from dynaroute_mcp.mcp_server.access import visitor
from dynaroute_mcp.mcp_server.tools import usage_summary
from dynaroute_mcp.results import HealthReport, ModelList, ModelRow
from dynaroute_mcp.taxonomy import Category, Level

if TYPE_CHECKING:
    from dynaroute_mcp.runtime import Core

P = ParamSpec("P")

_MAX_COMPLETIONS = 100
"""The protocol's bound."""


def expected(read: Callable[P, Awaitable[object]]) -> Callable[P, Awaitable[str]]:
    """Encode what a resource holds; show our own errors, leave crashes to the SDK, which hides them."""

    @wraps(read)
    async def call(*args: P.args, **kwargs: P.kwargs) -> str:
        try:
            return json.dumps(await read(*args, **kwargs))
        except UnknownName as error:
            raise ResourceNotFoundError(str(error)) from error
        except DynarouteError as error:
            raise ResourceError(visitor().told(error)) from error

    return call


class Resources:
    """What a client may read."""

    def __init__(self, core: "Callable[[], Awaitable[Core]]") -> None:
        self._core = core

    @expected
    async def models(self) -> object:
        """Every model that prompts can go to, with its prices in US dollars per million tokens."""
        core = await self._core()
        listings = await core.reports.models()
        return ModelList.of(listings, limit=len(listings), full=False).payload()

    @expected
    async def model(self, model_id: str) -> object:
        """All that is known of one model, by any of its names."""
        core = await self._core()
        wanted = core.availability.catalog.get_model(model_id).id
        listings = await core.reports.models(include_retired=True)
        return ModelRow.of(next(row for row in listings if row.model.id == wanted), full=True).payload()

    @expected
    async def categories(self) -> object:
        """The 31 categories and five levels, and what each means."""
        return {
            "categories": [{"name": category, "meaning": category.meaning} for category in Category],
            "levels": [
                {"level": level, "name": level.title, "cost_tier": level.cost_tier} for level in Level
            ],
        }

    @expected
    async def usage(self) -> object:
        """What the caller used and saved until now."""
        return (await usage_summary(await self._core())).payload()

    @expected
    async def health(self) -> object:
        """How models did in the last hour, and which ones rest: by the books of all processes, and in this one."""
        core = await self._core()
        return HealthReport.over(await core.reports.vitals(), core.reports.vitals_here()).payload()

    async def complete(
        self,
        _ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        _context: CompletionContext | None,
    ) -> Completion | None:
        """Complete the name of a category or of a model."""
        if argument.name == "category":
            return _completion(argument.value, [str(category) for category in Category])
        if argument.name in ("model_id", "model"):
            core = await self._core()
            return _completion(argument.value, [row.model.id for row in await core.reports.models()])
        return None


def cheapest_model(
    category: Annotated[str, Field(description="One of the 31 categories")] = "General Knowledge",
) -> list[UserMessage]:
    """Find out which model answers a kind of prompt for the least money."""
    return [
        UserMessage(
            f"Which models are good enough for {category} prompts at each difficulty level, "
            "and what do they cost? "
            "Use the DynaRoute tools that list models and calculate cost; call no model."
        )
    ]


def explain_bill(
    model: Annotated[str, Field(description="A model to compare with")] = "GPT-4.1",
) -> list[UserMessage]:
    """Explain what was spent and saved, and what another model would have cost."""
    return [
        UserMessage(
            f"Summarise my DynaRoute usage, then compare its cost with the same tokens on {model}. "
            "Use the DynaRoute tools that summarise usage and calculate cost; call no model."
        )
    ]


def _completion(typed: str, names: list[str]) -> Completion:
    wanted = typed.casefold()
    starting = [name for name in names if name.casefold().startswith(wanted)]
    found = starting + [name for name in names if wanted in name.casefold() and name not in starting]
    return Completion(
        values=found[:_MAX_COMPLETIONS], total=len(found), has_more=len(found) > _MAX_COMPLETIONS
    )
