"""The path: request -> classify -> choose -> call -> price -> record -> answer.

`Router.choose` stops after the second step: a dry run is the same code, cut short. `complete` and `stream`
share every step but the call.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from dynaroute_mcp.availability import Availability, OwnKeys
from dynaroute_mcp.books import Books, Decision, Standing
from dynaroute_mcp.calling import Calling
from dynaroute_mcp.classifier import Classifier, SecondOpinion
from dynaroute_mcp.classifier.conversation import last_ask
from dynaroute_mcp.conversations import Conversations
from dynaroute_mcp.delivery import Routed, answer_of, ended, failed, unasked
from dynaroute_mcp.errors import (
    DeadlinePassed,
    DynarouteError,
    InvalidRequest,
    LimitExceeded,
    NoCandidate,
    ProviderError,
)
from dynaroute_mcp.health import Health
from dynaroute_mcp.policy import Pin, Situation, choose
from dynaroute_mcp.pricing import lost
from dynaroute_mcp.refining import charged, question, refined
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.tokens import estimate_prompt
from dynaroute_mcp.types import Ambient, Answer, Caller, ChatRequest, Choice, Classification, Cost

logger = logging.getLogger(__name__)

Progress = Callable[[str], Awaitable[None]]
"""Told what happens while a caller waits, in words for people."""

_INLINE_CHARS = 4_000
"""Texts up to this length are classified on the event loop: a thread would cost more than the work."""

_SECONDS_AT_ONCE, _SECONDS_WAITING = 2, 32
"""Prompts that the second tier judges at a time, and how many may be there: beyond, the first tier's word stands."""

_KEPT_APART = 1_000
"""Keys with providers' keys of their own whose models' health is remembered."""

_RESERVE_TRIES = 3
"""How often a cheaper choice is sought when others take the rest of a budget meanwhile."""

_PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A set of providers with a health of their own: the real ones, or the sandbox in their place."""

    calling: Calling
    health: Health
    conversations: Conversations = field(default_factory=Conversations)
    apart: OrderedDict[str, Health] = field(default_factory=OrderedDict)
    """Health of the same providers under the keys of callers who bring their own, by key id, the newest last."""


class Router:
    """Answers requests. One per process; safe for any number of requests at once."""

    def __init__(
        self,
        *,
        classifier: Classifier,
        availability: Availability,
        books: Books,
        real: Lane,
        sandbox: Lane,
        settings: Settings,
        ambient: Ambient,
    ) -> None:
        self._classifier = classifier
        self._second = classifier if isinstance(classifier, SecondOpinion) else None
        self._seconds = anyio.CapacityLimiter(_SECONDS_AT_ONCE)
        self._reconsidering = 0
        self._availability = availability
        self._books = books
        self._real = real
        self._sandbox = sandbox
        self._settings = settings
        self._ambient = ambient

    async def classify(
        self, text: str, *, level: Level | None = None, category: Category | None = None
    ) -> Classification:
        """Label a prompt; what is overridden is certain."""
        if len(text) <= _INLINE_CHARS:
            label = self._classifier.classify(text)
        else:
            label = await anyio.to_thread.run_sync(self._classifier.classify, text)
        if level is None or category is None:
            label = await self._reconsidered(text, label)
        if level is not None:
            label = replace(
                label, levels={each: float(each == level) for each in Level}, level_overridden=True
            )
        if category is not None:
            certain = {each: float(each == category) for each in Category}
            label = replace(label, categories=certain, category_overridden=True)
        return label

    async def _reconsidered(self, text: str, label: Classification) -> Classification:
        """Ask the second tier where the first is unsure, unless too many wait for it already."""
        second = self._second
        if second is None or not second.wanted(label) or self._reconsidering >= _SECONDS_WAITING:
            return label
        self._reconsidering += 1
        try:
            return await anyio.to_thread.run_sync(second.refine, text, label, limiter=self._seconds)
        finally:
            self._reconsidering -= 1

    async def _refined(
        self, request: ChatRequest, caller: Caller
    ) -> tuple[Classification | None, Cost | None]:
        """Ask the third tier, where there is one and the others are unsure: the label, and what asking cost."""
        chosen, wishes = self._settings.classifier, request.routing
        settled = wishes.category_override is not None and wishes.level_override is not None
        simulated = caller.sandbox or self._availability.simulated
        if chosen.refine_model is None or settled or simulated or request.model is not None:
            return None, None
        ask = last_ask(request.messages)
        label = await self.classify(ask, level=wishes.level_override, category=wishes.category_override)
        if label.confidence >= chosen.refine_below or not ask.strip():
            return label, None
        asking = question(ask, chosen.refine_model, chosen.refine_s, wishes.max_cost_usd)
        if not await self._leaves_enough(asking, request, caller, label):
            return label, None
        try:
            answer = await self.complete(asking, caller)
        except DynarouteError as error:
            logger.warning("the third tier gave no label", extra={"code": error.code})
            attempts = error.attempts if isinstance(error, ProviderError) else ()
            return label, lost(self._availability.catalog, attempts, self._ambient.clock())
        return refined(label, answer), answer.cost

    async def _leaves_enough(
        self, asking: ChatRequest, request: ChatRequest, caller: Caller, label: Classification
    ) -> bool:
        """Tell whether the request's ceiling pays for a question about it and for an answer."""
        if request.routing.max_cost_usd is None:
            return True
        try:
            most_usd = (await self.choose(asking, caller)).choice.winner.max_usd
            assert most_usd is not None, "a ceiling lets no model pass that has no price"
            await self.choose(charged(request, most_usd), caller, label)
        except DynarouteError:
            return False
        return True

    async def choose(
        self, request: ChatRequest, caller: Caller, label: Classification | None = None
    ) -> Decision:
        """Classify a request and choose its model, without calling anyone or spending anything.

        Args:
            request: what to answer.
            caller: on whose behalf.
            label: what it is, where that is known already.

        Raises:
            InvalidRequest: the request is empty, or names a model that does not exist.
            NoCandidate: no model passes every hard filter.
        """
        started_at, started = self._ambient.clock(), self._ambient.monotonic()
        ask = last_ask(request.messages)
        if not ask.strip() and not request.has_substance:
            raise InvalidRequest("the prompt is empty; say what you want answered", param="prompt")
        await self._availability.ready()
        wishes = request.routing
        label = label or await self.classify(
            ask, level=wishes.level_override, category=wishes.category_override
        )
        own = self._availability.own_keys(caller)
        simulated = caller.sandbox or (self._availability.simulated and not own.key_id)
        counted = caller if caller.sandbox == simulated else replace(caller, sandbox=simulated)
        standing = await self._books.standing(counted, started_at)
        pin = self._conversations(simulated=simulated).pin(request, caller, started_at)
        situation = await self._situation(request, caller, label, pin, None if simulated else own, standing)
        choice = self._pick(situation, standing)
        notes = (*self._first_notes(request, caller, own), *choice.notes, *standing.warnings)
        return Decision(
            request_id=self._ambient.request_id(),
            caller=caller,
            classification=label,
            choice=choice if notes == choice.notes else replace(choice, notes=notes),
            simulated=simulated,
            standing=standing,
            pin=pin,
            started_at=started_at,
            started=started,
            own=own,
            overhead=wishes.overhead,
        )

    async def complete(self, request: ChatRequest, caller: Caller) -> Answer:
        """Answer a request whole.

        Raises:
            DynarouteError: see `errors`; a `ProviderError` carries every attempt.
        """
        decision, reserved = await self._book(request, caller)
        try:
            placed = await self._lane_of(decision).calling.complete(request, decision.choice)
        except BaseException as error:
            await self._give_up(decision, error, reserved=reserved)
            raise
        bill = await self._books.settle(decision, ended(placed, placed.reply), reserved=reserved)
        answer = answer_of(decision, placed, placed.reply, bill)
        self._remember(request, decision, answer)
        return answer

    async def complete_within(
        self, request: ChatRequest, caller: Caller, deadline_s: float, progress: Progress
    ) -> Answer:
        """Answer a request whole, telling progress; at the deadline the text that has arrived is the answer.

        Args:
            request: what to answer.
            caller: on whose behalf.
            deadline_s: how long the caller waits.
            progress: told every few seconds what is going on.

        Raises:
            DynarouteError: as `complete`; also when the deadline passes before any text.
        """
        routed: Routed | None = None
        timed = replace(request, routing=replace(request.routing, timeout_s=deadline_s))
        with anyio.move_on_after(deadline_s):
            async with self.stream(timed, caller) as routed:
                await progress(
                    f"level {routed.decision.classification.level} -> {routed.placed.candidate.model_id}"
                )
                told = self._ambient.monotonic()
                async for _ in routed:
                    if self._ambient.monotonic() - told > _PROGRESS_EVERY_S:
                        told = self._ambient.monotonic()
                        await progress(
                            f"{routed.placed.candidate.model_id}: {routed.output_tokens:,} tokens so far"
                        )
        if routed is None or routed.answer is None:
            raise DeadlinePassed(
                f"no model had begun to answer within {deadline_s:g} s; try again, or lower the level"
            )
        return routed.answer

    @asynccontextmanager
    async def stream(self, request: ChatRequest, caller: Caller) -> AsyncIterator[Routed]:
        """Answer a request piece by piece; entering has received the first content, or failed with every attempt.

        The usage is recorded before the last event is handed out, also when the consumer leaves early.

        Raises:
            DynarouteError: as `complete`, on entering.
            StreamBroken: while iterating.
        """
        decision, reserved = await self._book(request, caller)
        routed: Routed | None = None
        try:
            async with self._lane_of(decision).calling.stream(request, decision.choice) as placed:
                routed = Routed(decision, placed, self._books, reserved=reserved)
                yield routed
        except BaseException as error:
            if routed is None:
                await self._give_up(decision, error, reserved=reserved)
            else:
                await routed.close(error)
            raise
        await routed.close(None)
        if routed.answer is not None:
            self._remember(request, decision, routed.answer)

    async def _book(self, request: ChatRequest, caller: Caller) -> tuple[Decision, bool]:
        """Choose and reserve; where others take the rest of a budget meanwhile, choose again for what is left."""
        label, classifying = await self._refined(request, caller)
        if classifying is not None:
            request = charged(request, classifying.total_usd)
        for tries_left in reversed(range(_RESERVE_TRIES)):
            decision = await self.choose(request, caller, label)
            if classifying is not None:
                decision = replace(decision, classifying=classifying)
            try:
                return decision, await self._books.reserve(decision)
            except anyio.get_cancelled_exc_class():
                await self._books.settle(decision, unasked(decision), reserved=None)
                raise
            except LimitExceeded as error:
                downgrade = self._settings.budget_action == "downgrade" and error.limit.startswith("usd")
                if not (downgrade and tries_left):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _give_up(self, decision: Decision, error: BaseException, *, reserved: bool) -> None:
        await self._books.settle(decision, failed(decision, error), reserved=reserved)
        if isinstance(error, ProviderError):
            error.request_id = decision.request_id

    def _pick(self, situation: Situation, standing: Standing) -> Choice:
        cap = standing.usd_left if self._settings.budget_action == "downgrade" else None
        if cap is None:
            return choose(situation)
        try:
            return choose(replace(situation, usd_left=cap))
        except NoCandidate:
            return choose(situation)  # to reserve it will fail, and name the limit

    async def _situation(
        self,
        request: ChatRequest,
        caller: Caller,
        label: Classification,
        pin: Pin | None,
        own: OwnKeys | None,
        standing: Standing,
    ) -> Situation:
        """Gather what the choice depends on; without keys, not even the operator's, it is simulated."""
        settings, catalog, now = self._settings, self._availability.catalog, self._ambient.clock()
        health = self._lane(own).health
        input_tokens, marked_tokens = await self._tokens(request)
        return Situation(
            catalog=catalog,
            classification=label,
            request=request,
            input_tokens=input_tokens,
            marked_tokens=marked_tokens,
            strategy=request.routing.strategy or caller.strategy or settings.strategy,
            usable=frozenset(catalog.providers) if own is None else self._availability.usable(own),
            cooling=health.cooling(now),
            conditions=health.conditions(now),
            at=now,
            settings=settings,
            priced_only=standing.priced_only,
            overcounts=self._books.experience.overcounts.known() if own else {},
            preferences=caller.preferences,
            allowed=caller.models,
            unreadable=own.unreadable if own else frozenset(),
            pin=pin,
            learnt=self._books.experience.learnt(),
        )

    def _first_notes(self, request: ChatRequest, caller: Caller, own: OwnKeys) -> tuple[str, ...]:
        if caller.sandbox:
            return ("Simulated answer: a dr_test_ key never reaches a provider.",)
        if own.key_id or not self._availability.simulated:
            by_key = request.routing.strategy is None and caller.strategy is not None
            return (f"strategy {caller.strategy} is this key's",) if by_key else ()
        names = ", ".join(list(self._availability.missing_keys().values())[:3])
        return (
            "Simulated answer: no provider key is set and no local server was found. "
            f"Set one of {names}, … (see `dynaroute doctor`) or start Ollama to get real answers.",
        )

    async def _tokens(self, request: ChatRequest) -> tuple[int, int]:
        if sum(len(message.text) for message in request.messages) <= _INLINE_CHARS:
            return estimate_prompt(request)
        return await anyio.to_thread.run_sync(estimate_prompt, request)

    def _remember(self, request: ChatRequest, decision: Decision, answer: Answer) -> None:
        """Keep the conversation on its model, unless a failure and not the choice brought it there."""
        if answer.model_id == decision.choice.winner.model_id and not answer.truncated:
            self._conversations(simulated=decision.simulated).answered(
                request,
                decision.caller,
                answer.model_id,
                answer.completion.usage,
                self._ambient.clock(),
                unasked=not self._availability.catalog.providers[answer.provider].caches_on_demand,
            )

    def _conversations(self, *, simulated: bool) -> Conversations:
        return (self._sandbox if simulated else self._real).conversations

    def _lane_of(self, decision: Decision) -> Lane:
        return self._lane(None if decision.simulated else decision.own)

    def _lane(self, own: OwnKeys | None) -> Lane:
        """Where a caller's requests go: a bad key that somebody brings along is nobody else's trouble."""
        if own is None:
            return self._sandbox
        if not own.key_id:
            return self._real
        apart = self._real.apart
        health = apart.pop(own.key_id, None) or Health(self._settings.breaker)
        apart[own.key_id] = health
        while len(apart) > _KEPT_APART:
            apart.popitem(last=False)
        return replace(self._real, calling=self._real.calling.apart(own.endpoints, health), health=health)
