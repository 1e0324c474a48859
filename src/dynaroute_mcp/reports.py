"""What models cost, and what was spent and saved: every figure that is not an answer.

Sums come from the store as they were recorded; nothing is estimated here. Savings are signed.
"""

import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from dynaroute_mcp.availability import NO_OWN_KEYS, Availability, OwnKeys
from dynaroute_mcp.catalog import Capability, Model
from dynaroute_mcp.errors import InvalidRequest, NotFound, StoreUnavailable
from dynaroute_mcp.health import Figures, Health, ModelHealth, Try, figures, tries_of
from dynaroute_mcp.limits import window
from dynaroute_mcp.policy import levels_served
from dynaroute_mcp.pricing import NOTHING, Rates, both, current_rates, gpt41_saving, lost, price
from dynaroute_mcp.store.base import CallFilter, CallRow, Store, Totals, Waits
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import Ambient, Caller, Cost, Saving, Usage

MAX_TOKENS = 1_000_000_000
"""Most tokens of one kind that a quote is made for."""

_WAITS_OF_CALLS = 10_000
"""As many of a period's newest calls tell how long calls take."""

_GRACE = timedelta(minutes=1)
"""How long after its deadline a call without an outcome counts as lost."""

VITALS_HOURS = 1
"""How far back the books are read for how models did lately."""
_VITALS_CALLS = 2_000
"""Newest calls of that time that are read."""
_RECALLED_CALLS = 300
"""As many teach a new process how models are: enough to judge by, and read within milliseconds."""

Period = Literal["today", "week", "month", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A model as the lists show it."""

    model: Model
    rates: Rates | None
    """Standard prices of the moment; `None` when unknown."""
    levels: tuple[Level, ...]
    """Levels whose demand the model meets on average over the skills."""
    available: bool
    """It can be called right now: its provider has a key or runs here, and it is not retired."""
    retired: bool
    """It answers no more: by its status, or because its last day has passed."""
    standing: str
    """Its status of the moment, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What a number of tokens costs on a model, beside GPT-4.1."""

    model: Model
    usage: Usage
    cost: Cost | None
    """`None` when the model's price is unknown."""
    gpt41: Saving | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a caller used in a period."""

    period: Period
    total: Totals
    by_model: Sequence[Totals]
    by_category: Sequence[Totals]
    waits: Waits
    sandbox: bool
    """These are simulated calls: of a test key, or because no provider can be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How one model did lately."""

    id: str
    """A model, or a provider as a whole."""
    figures: Figures
    breaker: ModelHealth | None = None
    """How one process stands to it; `None` where the figures are of all processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """What today's catalog makes of the recorded calls of one model."""

    model_id: str
    calls: int
    """Those whose cost differs."""
    before_usd: Decimal
    """Of these, as recorded; calls that had no price count nothing."""
    after_usd: Decimal
    unpriced_before: int


class Reports:
    """Answers questions about prices and about the books."""

    def __init__(
        self, store: Store, availability: Availability, ambient: Ambient, health: Health | None = None
    ) -> None:
        """Take what is reported on; `health` is of the real providers in this process."""
        self._store = store
        self._availability = availability
        self._clock = ambient.clock
        self._health = health

    async def models(
        self,
        *,
        search: str = "",
        provider: str | None = None,
        capability: Capability | None = None,
        level: Level | None = None,
        available_only: bool = False,
        include_retired: bool = False,
        own: OwnKeys = NO_OWN_KEYS,
    ) -> tuple[Listing, ...]:
        """List models, those that can be called first, then by name of the provider and price.

        A provider goes by its id, or by what other tools call it: `gemini` is `google`. Of a search each word
        is somewhere in a model's name or id: people write Claude 4.5 Sonnet and Claude Sonnet 4.5.

        Raises:
            UnknownName: there is no such provider; offers the nearest names.
        """
        await self._availability.ready()
        now, catalog = self._clock(), self._availability.catalog
        if provider is not None:
            provider = catalog.get_provider(provider).id
        words = search.casefold().split()
        listings = [
            self._listing(model, now, own)
            for model in catalog.models
            if all(word in f"{model.name} {model.id}".casefold() for word in words)
        ]
        kept = [
            row
            for row in listings
            if (provider is None or row.model.provider == provider)
            and (capability is None or capability in row.model.capabilities)
            and (level is None or level in row.levels)
            and (row.available or not available_only)
            and (include_retired or not row.retired)
        ]
        return tuple(sorted(kept, key=_order))

    def quote(self, model_name: str, prompt_tokens: int, completion_tokens: int) -> Quote:
        """Price a number of tokens on a model, by any of its names.

        Raises:
            UnknownName: there is no such model; offers the nearest three.
            InvalidRequest: a count is negative or absurd.
        """
        for name, count in (("prompt_tokens", prompt_tokens), ("completion_tokens", completion_tokens)):
            if not 0 <= count <= MAX_TOKENS:
                raise InvalidRequest(
                    f"{name} must be between 0 and {MAX_TOKENS:,}, not {count:,}", param=name
                )
        catalog = self._availability.catalog
        model = catalog.get_model(model_name)
        usage = Usage(uncached_input_tokens=prompt_tokens, output_tokens=completion_tokens)
        cost = price(catalog, model.id, self._clock(), usage)
        saving = gpt41_saving(catalog, cost, usage) if cost else None
        return Quote(model=model, usage=usage, cost=cost, gpt41=saving)

    async def usage(
        self,
        caller: Caller,
        period: Period = "all",
        *,
        everyone: bool = False,
        key_id: str | None = None,
    ) -> Summary:
        """Sum up what a caller used, with one key if it is named; of everyone, for the owner of the database.

        Calls whose process died are told from running ones first.
        """
        with contextlib.suppress(StoreUnavailable):  # a database that can only be read still has its sums
            await self._store.mark_lost(self._clock() - _GRACE)
        owner = None if everyone else caller.owner
        which = CallFilter(owner=owner, key_id=key_id, since=self.since(period), sandbox=caller.sandbox)
        (total,) = await self._store.totals(which, by="all")
        await self._availability.ready()
        if total.requests == 0 and self._availability.simulated:  # nothing but simulations can have happened
            which = replace(which, sandbox=True)
            (total,) = await self._store.totals(which, by="all")
        return Summary(
            period=period,
            total=total,
            by_model=await self._store.totals(which, by="model"),
            by_category=await self._store.totals(which, by="category"),
            waits=await self._store.waits(which, newest=_WAITS_OF_CALLS),
            sandbox=which.sandbox,
        )

    async def call(self, request_id: str) -> CallRow:
        """Read one recorded call.

        Raises:
            NotFound: no call has this id.
        """
        row = await self._store.find_call(request_id)
        if row is None:
            raise NotFound(
                f"no request {request_id[:80]!r} is recorded here; `dynaroute usage` lists the last ones"
            )
        return row

    async def reprice(self, *, write: bool) -> tuple[Repriced, ...]:
        """Price every recorded real call anew, by the row of today's catalog that was in force when it ended.

        A cost that is not known any more stays as it was recorded. Budgets and plans keep counting what was
        charged then, and so do the sums of days that retention has folded.

        Args:
            write: put the new costs in the place of the old ones, which the rows keep; else only tell.

        Returns:
            The models of which a call costs something else, the largest difference first.
        """
        await self._availability.ready()
        costs: dict[str, Cost | None] = {}
        found: dict[str, list[tuple[Cost | None, Cost]]] = {}
        async for row in self._store.calls(CallFilter()):
            change = self._repriced(row)
            if change is not None:
                costs[row.intent.request_id] = change[1]
                found.setdefault(row.outcome.model_id if row.outcome else "", []).append(change)
        if write:
            await self._store.reprice(costs, self._clock())
        told = [_summed(model_id, changes) for model_id, changes in found.items()]
        return tuple(sorted(told, key=lambda each: (-abs(each.after_usd - each.before_usd), each.model_id)))

    def _repriced(self, row: CallRow) -> tuple[Cost | None, Cost] | None:
        """What a call cost and what it costs now, where that differs."""
        outcome = row.outcome
        if outcome is None or (outcome.cost is not None and outcome.cost.basis == NOTHING.basis):
            return None
        catalog = self._availability.catalog
        now = price(catalog, outcome.model_id, outcome.finished_at, outcome.usage)
        now = now and both(now, lost(catalog, outcome.attempts, outcome.finished_at))
        if now is None or (outcome.cost is not None and _nano(now) == _nano(outcome.cost)):
            return None
        return outcome.cost, now

    def vitals_here(self) -> tuple[Vitals, ...]:
        """How this process stands to each model and provider that it asked; other processes have their own breakers."""
        rows = self._health.snapshot(self._clock()) if self._health else ()
        return tuple(Vitals(id=row.id, figures=row.figures, breaker=row) for row in rows)

    async def vitals(self) -> tuple[Vitals, ...]:
        """How each model did in the last hour by the books, whichever process asked; by id."""
        found: defaultdict[str, list[Try]] = defaultdict(list)
        for model_id, _, each in await self._tries(self._clock(), None, _VITALS_CALLS):
            found[model_id].append(each)
        return tuple(Vitals(id=model_id, figures=figures(found[model_id])) for model_id in sorted(found))

    async def recall(self, before: datetime) -> None:
        """Teach this process how models did in the hour before; a database that can't be read teaches nothing."""
        if self._health is not None:
            with contextlib.suppress(StoreUnavailable):
                self._health.recall(await self._tries(before, before, _RECALLED_CALLS))

    def since(self, period: Period) -> datetime | None:
        """Tell when a period began, in UTC; `None` counts everything."""
        now = self._clock()
        if period == "all":
            return None
        if period == "week":
            return now - timedelta(days=7)
        _, ends = window("day" if period == "today" else "month", now)
        return ends - timedelta(days=1) if period == "today" else (ends - timedelta(days=1)).replace(day=1)

    async def _tries(self, now: datetime, until: datetime | None, calls: int) -> list[tuple[str, str, Try]]:
        """Read the tries of the newest calls that were begun in the hour before now."""
        which = CallFilter(since=now - timedelta(hours=VITALS_HOURS), until=until)
        rows = [row.outcome async for row in self._store.calls(which, limit=calls)]
        return [each for outcome in rows if outcome is not None for each in tries_of(outcome)]

    async def recent(self, which: CallFilter, limit: int) -> list[CallRow]:
        """Read the newest calls."""
        return [row async for row in self._store.calls(which, limit=limit)]

    def _listing(self, model: Model, now: datetime, own: OwnKeys) -> Listing:
        catalog, today = self._availability.catalog, now.date()
        return Listing(
            model=model,
            rates=current_rates(catalog, model.id, now),
            levels=levels_served(catalog, model),
            available=self._availability.can_call(model, today, own),
            retired=model.retired(today),
            standing=model.standing(today),
        )


def _summed(model_id: str, changes: Sequence[tuple[Cost | None, Cost]]) -> Repriced:
    zero = Decimal(0)
    return Repriced(
        model_id=model_id,
        calls=len(changes),
        before_usd=sum((before.total_usd for before, _ in changes if before), zero),
        after_usd=sum((after.total_usd for _, after in changes), zero),
        unpriced_before=sum(before is None for before, _ in changes),
    )


def _nano(cost: Cost) -> int:
    """As precise as it is recorded."""
    return round(cost.total_usd * 10**9)


def _order(row: Listing) -> tuple[bool, str, Decimal, str]:
    dearness = row.rates.output_usd_per_mtok if row.rates else Decimal("Infinity")
    return (not row.available, row.model.provider, dearness, row.model.id)
