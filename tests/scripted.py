"""A provider that does as it is told, and a core around it with a clock that a test sets."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from dynaroute_mcp.accounts import Accounts
from dynaroute_mcp.availability import Availability
from dynaroute_mcp.books import Books
from dynaroute_mcp.calling import Calling
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.classifier import Classifier
from dynaroute_mcp.errors import ProviderError
from dynaroute_mcp.health import Health
from dynaroute_mcp.providers.base import Call, Dialect, Endpoint
from dynaroute_mcp.providers.discovery import Discovered
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.reports import Reports
from dynaroute_mcp.router import Lane, Router
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.settings import CallSettings, Settings
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.sqlite import open_store
from dynaroute_mcp.tally import Tally
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import (
    Ambient,
    ChatRequest,
    Classification,
    Completion,
    Finished,
    Message,
    StreamEvent,
    Text,
    TextDelta,
    Usage,
)
from dynaroute_mcp.vault import Vault

CATALOG = load_catalog()
LUNA, HAIKU, FLASH = "openai/gpt-6-luna", "anthropic/claude-haiku-5-5", "gemini/gemini-2.5-flash"
SOL = "openai/gpt-6-sol"
START = datetime(2026, 11, 22, tzinfo=UTC)
ASK = ChatRequest(messages=(Message(role="user", parts=(Text(text="Hello"),)),))
QUICK = CallSettings(backoff_s=0.001, backoff_cap_s=0.004, retry_after_cap_s=0.05)

Make = Callable[[Call], ProviderError]


def failure(kind: type[ProviderError], **facts: float) -> Make:
    def make(call: Call) -> ProviderError:
        status = int(facts["status"]) if "status" in facts else None
        error = kind("it failed", provider=call.endpoint.provider.id, model_id=call.model.id, status=status)
        error.retry_after_s = facts.get("retry_after_s")
        return error

    return make


@dataclass
class Script:
    """A dialect that fails as told, call by call, and answers when it has nothing left to say."""

    failures: dict[str, list[Make]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    clock: Callable[[], float] = lambda: 0.0
    events: tuple[StreamEvent, ...] = (TextDelta(text="Hi"), Finished(finish_reason="stop", usage=Usage()))
    breaks: Make | None = None
    always: Make | None = None
    """Fail every call like this."""
    usage: Usage = field(default_factory=Usage)
    closed: int = 0
    told: Reported | None = None
    """What the provider says of the tokens as soon as it is asked."""

    @property
    def asked(self) -> list[str]:
        return [call.model.id for call in self.calls]

    async def before(self, call: Call) -> None:
        """Runs before each answer, for a test to override."""

    async def between(self) -> None:
        """Runs after each event of a stream, for a test to override."""

    async def _next(self, call: Call) -> None:
        self.calls.append(call)
        call.meter.reported = self.told
        self.at.append(self.clock())
        await self.before(call)
        if self.always:
            raise self.always(call)
        if pending := self.failures.get(call.model.id):
            raise pending.pop(0)(call)

    async def complete(self, call: Call) -> Completion:
        await self._next(call)
        message = Message(role="assistant", parts=(Text(text=f"from {call.model.id}"),))
        return Completion(
            message=message, finish_reason="stop", usage=self.usage, wire_model=call.model.wire_id
        )

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        await self._next(call)
        try:
            yield self._events(call)
        finally:
            self.closed += 1

    async def _events(self, call: Call) -> AsyncIterator[StreamEvent]:
        for event in self.events:
            yield event
            await self.between()
        if self.breaks:
            raise self.breaks(call)


class Fixed:
    """A classifier that says the same of every text, and keeps what it was asked."""

    def __init__(self, category: Category = Category.CODE_GENERATION, level: Level = Level.L1) -> None:
        self.label = Classification(
            categories={each: float(each is category) for each in Category},
            levels={each: float(each is level) for each in Level},
            signals=("told so",),
        )
        self.asked: list[str] = []

    def classify(self, text: str) -> Classification:
        self.asked.append(text)
        return self.label


class Time:
    """A wall clock and a monotonic one that go on only when told."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s

    def ambient(self) -> Ambient:
        numbers = itertools.count(1)
        return Ambient(
            clock=self.now,
            monotonic=self.monotonic,
            uniform=lambda _low, high: high,
            randbelow=lambda bound: (next(numbers) * 7_919) % bound,
        )


KEYS = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-anthropic", "GEMINI_API_KEY": "g-key"}


def settings(folder: Path, **fields: object) -> Settings:
    """Three providers with keys, quick retries, no look at local servers."""
    values = {"variables": KEYS, "calls": QUICK, "discover_local": False, **fields}
    return Settings.model_validate({"database": folder / "dynaroute.db", **values})


@asynccontextmanager
async def scripted_core(
    chosen: Settings,
    script: Script | None = None,
    *,
    time: Time | None = None,
    classifier: Classifier | None = None,
    store: Store | None = None,
    discover: Callable[[], Awaitable[Sequence[Discovered]]] | None = None,
) -> AsyncIterator[Core]:
    """A whole core on a real database, whose every provider follows one script."""
    ambient = (time or Time()).ambient()
    vault = Vault(chosen.encryption_key, ambient.randbelow)
    availability = Availability(CATALOG, chosen, discover, vault=vault)
    follow = script or Script()
    wires: Mapping[DialectName, Dialect] = dict.fromkeys(get_args(DialectName), follow)
    stand_ins = {row.id: Endpoint(provider=row, base_url="sandbox:") for row in CATALOG.providers.values()}

    def lane(endpoints: Callable[[], Mapping[str, Endpoint]]) -> Lane:
        health = Health(chosen.breaker)
        calling = Calling(
            catalog=lambda: availability.catalog,
            endpoints=endpoints,
            dialects=wires,
            health=health,
            settings=chosen.calls,
            ambient=ambient,
        )
        return Lane(calling=calling, health=health)

    real = lane(lambda: availability.endpoints)
    tally = Tally()
    async with open_store(chosen.database) as opened:
        books_store = store or opened
        router = Router(
            classifier=classifier or Fixed(),
            availability=availability,
            books=Books(books_store, availability, chosen, ambient, tally),
            real=real,
            sandbox=lane(lambda: stand_ins),
            settings=chosen,
            ambient=ambient,
        )
        yield Core(
            router=router,
            accounts=Accounts(books_store, CATALOG, ambient, vault),
            reports=Reports(books_store, availability, ambient, real.health),
            availability=availability,
            settings=chosen,
            store=books_store,
            tally=tally,
        )
