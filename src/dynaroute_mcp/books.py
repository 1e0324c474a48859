"""The price and record steps: what a call may cost is reserved before it, what it did cost is settled after it.

An intent is durable before a provider is asked, its outcome before the answer is given. A fault of the
database never fails an answer that was paid for; a caller with a ceiling on dollars is refused when nothing
can be reserved.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil

import anyio

from dynaroute_mcp.availability import NO_OWN_KEYS, Availability, OwnKeys
from dynaroute_mcp.errors import NotFound, StoreUnavailable
from dynaroute_mcp.limits import (
    Limit,
    holds,
    limits_of,
    personal,
    priced_only,
    tightest,
    usd_left,
    warnings,
)
from dynaroute_mcp.overcount import HONEST, SMALL_PROMPT_TOKENS, Overcounts
from dynaroute_mcp.policy import Expectation, Pin
from dynaroute_mcp.pricing import NOTHING, both, lost, price, saving, saving_pct
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.rows import json_text
from dynaroute_mcp.tally import Tally
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import (
    Ambient,
    Attempt,
    Caller,
    CallStatus,
    Candidate,
    Choice,
    Classification,
    Cost,
    FinishReason,
    Intent,
    Left,
    Outcome,
    Saving,
    Usage,
)

logger = logging.getLogger(__name__)

GPT41 = "gpt-4.1"
"""The frozen baseline behind every figure called savings."""

_SETTLE_S = 5.0
"""A settling may take this long before the answer goes out with `recorded: false`; it is done when it can be."""

_LEARN_EVERY_S = 60.0
_LEARN_FROM_CALLS = 20_000
"""As many of the newest calls teach how long answers are."""

_RECALL_CALLS = 1_000
"""As many of the newest calls tell whose provider counts more than was estimated."""

_NANO = Decimal(10) ** 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What limits a caller right now."""

    limits: tuple[Limit, ...] = ()
    usd_left: Decimal | None = None
    """What the tightest ceiling on dollars leaves; `None` without a ceiling."""
    priced_only: bool = False
    """Models without a known price must not be called."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One request, classified and with its model chosen; what a dry run shows, and what a call starts from."""

    request_id: str
    caller: Caller
    classification: Classification
    choice: Choice
    simulated: bool
    """The sandbox answers, either for a test key or because no provider can be called."""
    standing: Standing
    pin: Pin | None
    """The model that the conversation was on."""
    started_at: datetime
    started: float
    """On the monotonic clock."""
    classifying: Cost | None = None
    """What it cost to ask a model what the request is; a call of its own in the books."""
    overhead: bool = False
    """It is such a call itself: without a router there would be none, so it has no baseline."""
    own: OwnKeys = field(default=NO_OWN_KEYS, repr=False)
    """The providers' keys that the caller's key brings along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the call of a decision ended."""

    status: CallStatus
    model_id: str
    provider: str
    usage: Usage
    attempts: tuple[Attempt, ...] = ()
    first_token_ms: int | None = None
    finish_reason: FinishReason | None = None
    error_code: str | None = None
    answered: bool = True
    """False when no provider answered, so that nothing is owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a call cost, and what the same tokens would have cost elsewhere."""

    cost: Cost | None
    gpt41: Saving | None = None
    baseline: Saving | None = None
    versus_highest_pct: Decimal | None = None
    gpt41_usd: Decimal = Decimal(0)
    """What is recorded of the baselines, also of a call whose price is only found later."""
    baseline_usd: Decimal = Decimal(0)
    latency_ms: int = 0
    wasted_usd: Decimal | None = None
    """The part of the cost that went to tries of which nothing came."""
    recorded: bool = True
    left: Mapping[str, Left] | None = None
    """Of the caller's own limits; `None` where that is not known."""


class Experience:
    """How long answers were so far, as the books tell: read beside the requests, at most once a minute."""

    def __init__(self, store: Store, input_margin: float) -> None:
        self._store = store
        self._margin = input_margin
        self._learnt: Mapping[tuple[Category, Level], Expectation] = {}
        self.overcounts = Overcounts()
        self._wanted = anyio.Event()

    def learnt(self) -> Mapping[tuple[Category, Level], Expectation]:
        """What is known just now; asking has it read anew soon, and never waits."""
        self._wanted.set()
        return self._learnt

    async def wanted(self) -> None:
        """Wait until somebody asks."""
        await self._wanted.wait()

    async def keep(self) -> None:
        """Read whenever somebody asked, until cancelled."""
        while True:
            await self._wanted.wait()
            await self.read()
            await anyio.sleep(_LEARN_EVERY_S)
            self._wanted = anyio.Event()

    async def read(self) -> None:
        """Read the newest calls; books that can't be read have taught nothing."""
        try:
            rows = await self._store.lengths(_LEARN_FROM_CALLS)
            shares = await self._store.overcounts(
                _RECALL_CALLS, margin=self._margin, least=SMALL_PROMPT_TOKENS
            )
        except StoreUnavailable:
            rows, shares = (), {}
        self.overcounts.recall(shares)
        self._learnt = {
            (row.category, row.level): Expectation(
                visible_tokens=row.visible_tokens,
                reasoning_tokens=row.reasoning_tokens,
                calls=row.calls,
                thinking_calls=row.thinking_calls,
            )
            for row in rows
        }


class Books:
    """Reserves, prices and records."""

    def __init__(
        self,
        store: Store,
        availability: Availability,
        settings: Settings,
        ambient: Ambient,
        tally: Tally | None = None,
    ) -> None:
        margin = availability.catalog.ladder.input_margin
        self.experience = Experience(store, margin)
        self._margin = margin
        self._store = store
        self._availability = availability
        self._settings = settings
        self._ambient = ambient
        self.tally = tally or Tally()

    async def standing(self, caller: Caller, at: datetime) -> Standing:
        """Read what limits a caller.

        Raises:
            StoreUnavailable: the caller has a ceiling and its counter can't be read.
        """
        plan = self._availability.catalog.plans.get(caller.plan) if caller.plan else None
        limits = limits_of(caller, plan, self._settings.budgets, self._settings.project, at)
        if all(limit.ceiling is None for limit in limits):
            return Standing(limits=limits)
        counters = await self._store.counters(sorted({limit.scope for limit in limits}))
        return Standing(
            limits=limits,
            usd_left=usd_left(limits, counters),
            priced_only=priced_only(limits),
            warnings=warnings(limits, counters),
        )

    async def reserve(self, decision: Decision) -> bool:
        """Write the intent and take the most that the call can use from every counter.

        Returns:
            False when the database can't be written and no ceiling applies: the call may go on unrecorded.

        Raises:
            LimitExceeded: a ceiling would be passed; nothing was taken.
            StoreUnavailable: a ceiling applies and can't be enforced.
        """
        choice = decision.choice
        known = [c.max_usd for c in choice.chain if c.max_usd is not None]
        max_usd = max(known) if len(known) == len(choice.chain) else None
        overcounts = self.experience.overcounts.known()
        tokens = max(
            over.input_bound(choice.input_tokens) + over.output_bound(each.max_output_tokens)
            for each in choice.chain
            for over in (overcounts.get(each.model_id, HONEST),)
        )
        try:
            await self._store.begin(
                self._intent(decision, max_usd),
                holds(decision.standing.limits, tokens=tokens, max_usd=max_usd),
            )
        except StoreUnavailable as error:
            if any(limit.ceiling is not None for limit in decision.standing.limits):
                raise
            logger.warning("a call goes on unrecorded", extra={"reason": str(error)})
            return False
        return True

    async def settle(self, decision: Decision, ending: Ending, *, reserved: bool | None) -> Bill:
        """Price what was used and complete the intent, if there is one where `reserved` is `None`. Never fails."""
        finished_at = self._ambient.clock()
        bill = self._bill(decision, ending, finished_at)
        self._learn(decision, ending)
        used = (ending.model_id, ending.usage, ending.attempts)
        self.tally.count(*used, bill.cost, bill.gpt41_usd, simulated=decision.simulated)
        if reserved is False:
            return replace(bill, recorded=False)
        outcome = self._outcome(decision, ending, bill, finished_at)
        charged = None if bill.cost is None else round(bill.cost.total_usd * _NANO)
        with anyio.move_on_after(_SETTLE_S, shield=True):
            try:
                counters = await self._store.settle(outcome, charged)
            except (StoreUnavailable, NotFound):  # the file was taken away meanwhile
                if reserved is not None:
                    facts = {"request": decision.request_id}
                    logger.exception("a finished call could not be recorded", extra=facts)
            else:
                left = tightest(personal(decision.standing.limits), counters) if counters else None
                return replace(bill, left=left)
        return replace(bill, recorded=False)

    def _learn(self, decision: Decision, ending: Ending) -> None:
        """Note what a real call took beyond what was thought possible, before the next one is reserved."""
        choice = decision.choice
        asked = next((each for each in choice.chain if each.model_id == ending.model_id), None)
        if ending.answered and asked is not None and not decision.simulated:
            self.experience.overcounts.seen(
                ending.model_id,
                ending.usage,
                input_bound=ceil(choice.input_tokens * self._margin),
                output_bound=asked.max_output_tokens,
            )

    def _bill(self, decision: Decision, ending: Ending, at: datetime) -> Bill:
        latency_ms = round((self._ambient.monotonic() - decision.started) * 1000)
        catalog = self._availability.catalog
        wasted = lost(catalog, ending.attempts, at)
        if not ending.answered:
            return Bill(cost=wasted or NOTHING, latency_ms=latency_ms)
        cost = price(catalog, ending.model_id, at, ending.usage)
        cost = cost and both(cost, wasted)
        if decision.overhead:
            return Bill(cost=cost, latency_ms=latency_ms)
        dearest = decision.choice.dearest_id
        most = price(catalog, dearest, at, ending.usage) if dearest else None
        paid_usd = cost.total_usd if cost else Decimal(0)
        paid_usd += decision.classifying.total_usd if decision.classifying else 0
        gpt41, own = self._saving(GPT41, decision, ending, paid_usd, at), self._settings.baseline_model
        baseline = gpt41 if own == GPT41 else self._saving(own, decision, ending, paid_usd, at)
        return Bill(
            cost=cost,
            gpt41=gpt41 if cost else None,
            baseline=baseline if cost else None,
            gpt41_usd=gpt41.baseline_usd if gpt41 else Decimal(0),
            baseline_usd=baseline.baseline_usd if baseline else Decimal(0),
            versus_highest_pct=saving_pct(most.total_usd, paid_usd) if most and cost else None,
            latency_ms=latency_ms,
            wasted_usd=wasted.total_usd if wasted else None,
        )

    def _saving(
        self, baseline: str, decision: Decision, ending: Ending, paid_usd: Decimal, at: datetime
    ) -> Saving | None:
        pin = decision.pin
        moved = pin is not None and pin.model_id != ending.model_id
        warm = pin.warm_tokens if pin is not None and moved else 0
        return saving(self._availability.catalog, baseline, ending.usage, paid_usd, at, warm_tokens=warm)

    def _intent(self, decision: Decision, max_usd: Decimal | None) -> Intent:
        choice = decision.choice
        return Intent(
            request_id=decision.request_id,
            caller=decision.caller,
            started_at=decision.started_at,
            deadline_at=decision.started_at + timedelta(seconds=self._settings.calls.total_s),
            model_id=choice.winner.model_id,
            provider=choice.winner.provider,
            category=decision.classification.category,
            level=decision.classification.level,
            strategy=choice.strategy,
            confidence=decision.classification.confidence,
            classifier_tier=decision.classification.tier,
            input_tokens=choice.input_tokens,
            reserved_usd=max_usd,
            sandbox=decision.simulated,
            decision=json_text(_describe(decision)),
            project=self._settings.project,
        )

    def _outcome(self, decision: Decision, ending: Ending, bill: Bill, at: datetime) -> Outcome:
        return Outcome(
            request_id=decision.request_id,
            finished_at=at,
            status=ending.status,
            model_id=ending.model_id,
            provider=ending.provider,
            usage=ending.usage,
            cost=bill.cost,
            gpt41_usd=bill.gpt41_usd,
            baseline_usd=bill.baseline_usd,
            latency_ms=bill.latency_ms,
            first_token_ms=ending.first_token_ms,
            attempts=ending.attempts,
            error_code=ending.error_code,
            finish_reason=ending.finish_reason,
        )


def _describe(decision: Decision) -> dict[str, object]:
    """Tell a decision without the prompt: what `dynaroute explain` shows later."""
    choice, label = decision.choice, decision.classification

    def dollars(amount: Decimal | None) -> str | None:
        return None if amount is None else str(amount.normalize())

    def shown(candidate: Candidate) -> dict[str, object]:
        return {
            "model": candidate.model_id,
            "quality": candidate.quality,
            "expected_usd": dollars(candidate.expected_usd),
            "max_usd": dollars(candidate.max_usd),
        }

    return {
        "reason": choice.reason,
        "strategy": choice.strategy,
        "demanded_level": int(choice.demanded_level),
        "demanded_quality": choice.demanded_quality,
        "meets_demand": choice.meets_demand,
        "signals": label.signals,
        "difficulty": label.difficulty,
        "input_tokens": choice.input_tokens,
        "expected_output_tokens": choice.expected_output_tokens,
        "min_usd": dollars(choice.min_usd),
        "candidates": [shown(candidate) for candidate in choice.chain],
        "notes": choice.notes,
        "why": choice.explanation.facts,
    }
