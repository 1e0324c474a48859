"""The composition root: from settings to a running core.

Clock, chance and environment enter here and travel on as arguments. Everything that is opened is opened here
and closed in reverse. Opening asks nobody: the database file, local servers and providers are first touched
by a call.
"""

import logging
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from dynaroute_mcp import policy, pricing
from dynaroute_mcp.accounts import LOCAL, Accounts
from dynaroute_mcp.availability import SANDBOX, Availability
from dynaroute_mcp.books import Books, Experience
from dynaroute_mcp.calling import Calling
from dynaroute_mcp.catalog import Catalog, Model, load_catalog
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.classifier import Classifier
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.classifier.second import find_second_tier
from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.health import Try
from dynaroute_mcp.memory import Memory
from dynaroute_mcp.pricing.check import STALE_AFTER_DAYS
from dynaroute_mcp.providers.base import Dialect, Endpoint
from dynaroute_mcp.providers.discovery import discover
from dynaroute_mcp.providers.listing import listed_models
from dynaroute_mcp.providers.local import LocalModel, LocalModels, Notes
from dynaroute_mcp.providers.registry import dialects
from dynaroute_mcp.providers.self_test import SelfTest, self_test
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.reports import Reports
from dynaroute_mcp.router import Lane, Router
from dynaroute_mcp.settings import HOME, Settings, if_there, read_settings
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.sqlite import SqliteStore, open_store
from dynaroute_mcp.tally import Tally
from dynaroute_mcp.tokens import estimate_tokens
from dynaroute_mcp.types import Ambient, Caller
from dynaroute_mcp.vault import Vault

AMBIENT = Ambient(
    clock=lambda: datetime.now(UTC),  # noqa: TID251 -- the one place where the wall clock enters
    monotonic=time.monotonic,
    uniform=random.SystemRandom().uniform,
    randbelow=secrets.randbelow,
)

logger = logging.getLogger(__name__)

_LISTS_AFTER_S = 2.0
_TESTS_AFTER_S = 5.0
_TESTS_AT_ONCE = 3
"""Each test may load a model into memory; the next start tests the next ones."""
_HOUSEKEEPING_AFTER_S = 30.0
_HOUSEKEEPING_EVERY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What the faces may use, and nothing else."""

    router: Router
    accounts: Accounts
    reports: Reports
    availability: Availability
    settings: Settings
    store: Store
    local: LocalModels | None = None
    """Of the servers on this machine; `None` where nobody looks for them."""
    tally: Tally = field(default_factory=Tally)

    async def caller(self) -> Caller:
        """Tell on whose behalf this process speaks: `DYNAROUTE_API_KEY`'s owner, else the local owner.

        Raises:
            AuthenticationFailed: the key is set but not valid.
        """
        key = self.settings.api_key
        return LOCAL if key is None else await self.accounts.caller_for(key.get_secret_value())


def load_settings(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of this process.

    Raises:
        ConfigurationInvalid: names the file and the field.
    """
    return read_settings(environ, config)


@asynccontextmanager
async def open_core(
    settings: Settings, ambient: Ambient = AMBIENT, memory: Memory | None = None
) -> AsyncIterator[Core]:
    """Open a core for the life of a process, or with the memory of the process's core before it.

    Raises:
        ConfigurationInvalid: the catalog or its overlay is wrong; names file and field.
    """
    catalog, classifier = await anyio.to_thread.run_sync(_load, settings)
    async with (
        open_store(settings.database) as store,
        Wire.open(now=ambient.clock) as wire,
        _beside(partial(_keep_house, store, settings.retention_days, ambient)),
    ):
        vault = Vault(settings.encryption_key, ambient.randbelow)
        spoken = dialects(wire, estimate=estimate_tokens)
        local = _local(wire, catalog, spoken, settings, ambient) if settings.discover_local else None
        find = local.find if local else None
        availability = Availability(catalog, settings, find, partial(listed_models, wire), vault)
        memory = memory or Memory()
        books = Books(store, availability, settings, ambient, memory.tally)
        stand_ins = _stand_ins(catalog)
        real = _lane(availability, spoken, lambda: availability.endpoints, settings, ambient, memory)
        reports = Reports(store, availability, ambient, real.health)
        router = Router(
            classifier=classifier,
            availability=availability,
            books=books,
            real=real,
            sandbox=_lane(availability, spoken, lambda: stand_ins, settings, ambient, Memory()),
            settings=settings,
            ambient=ambient,
        )
        async with (
            _beside(books.experience.keep),
            _beside(partial(_recall, books.experience, reports, ambient.clock(), memory)),
            _beside(partial(_look_after_catalog, availability, settings, ambient)),
            _beside(partial(_test_local, local, availability, real, tests=settings.test_local)),
        ):
            yield Core(
                router=router,
                accounts=Accounts(store, catalog, ambient, vault),
                reports=reports,
                availability=availability,
                settings=settings,
                store=store,
                local=local,
                tally=books.tally,
            )
    _forget()


def _local(
    wire: Wire,
    catalog: Catalog,
    spoken: Mapping[DialectName, Dialect],
    settings: Settings,
    ambient: Ambient,
) -> LocalModels:
    async def ask(endpoint: Endpoint, model: Model) -> SelfTest:
        dialect = spoken[endpoint.provider.dialect]
        return await self_test(dialect, endpoint, model, monotonic=ambient.monotonic)

    return LocalModels(
        look=partial(discover, wire),
        ask=ask,
        notes=Notes(settings.database.with_name(f"{settings.database.name}.local-models.json")),
        demand=catalog.ladder.demand,
        untested=settings.untested_local_level,
        clock=ambient.clock,
    )


def _load(settings: Settings) -> tuple[Catalog, Classifier]:
    catalog = load_catalog(None, settings.catalog_overlay or if_there(HOME / "catalog.yaml"))
    return catalog, _judge(settings)


def _forget() -> None:
    """Let go of the catalog of a core that has ended: it is large, and each core brings its own."""
    policy.forget()
    pricing.forget()


def _judge(settings: Settings) -> Classifier:
    """The first tier, with the second behind it where that is installed and wanted."""
    first = load_classifier()
    return (find_second_tier(first) if settings.classifier.accurate else None) or first


def _lane(
    availability: Availability,
    spoken: Mapping[DialectName, Dialect],
    endpoints: Callable[[], Mapping[str, Endpoint]],
    settings: Settings,
    ambient: Ambient,
    memory: Memory,
) -> Lane:
    health = memory.take_over(availability, settings.breaker)
    calling = Calling(
        catalog=lambda: availability.catalog,
        endpoints=endpoints,
        dialects=spoken,
        health=health,
        settings=settings.calls,
        ambient=ambient,
    )
    return Lane(calling=calling, health=health, conversations=memory.conversations, apart=memory.apart)


@asynccontextmanager
async def _beside(work: Callable[[], Coroutine[object, object, None]]) -> AsyncIterator[None]:
    """Run work as long as the context lasts; an error of the context's own body comes out unwrapped.

    Nobody's answer depends on this work, so one of its own ends nothing but itself.
    """
    failure: Exception | None = None

    async def alone() -> None:
        try:
            await work()
        except Exception:  # whatever it is: answers go on without
            logger.exception("work beside the requests ended; a restart begins it again")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alone)
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- raised again below, where no task group wraps it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _recall(experience: Experience, reports: Reports, opened_at: datetime, memory: Memory) -> None:
    """Once somebody asks for an answer: learn from the books how models did before. Nobody waits for it."""
    await experience.wanted()
    if not memory.recalled:
        memory.recalled = True
        await reports.recall(opened_at)


async def _test_local(
    local: LocalModels | None, availability: Availability, lane: Lane, *, tests: bool
) -> None:
    """Well after the start, and while nobody asks: test a few local models that were never tested.

    A command that is over sooner tests nothing; `dynaroute discover --test` does.
    """
    await anyio.sleep(_TESTS_AFTER_S)
    if local is None:
        return
    await availability.ready()
    untold = [each for each in local.found if not lane.health.knows(each.model.id)]
    lane.health.recall(row for each in untold for row in _speed(each))
    if not tests:
        return
    for _ in range(_TESTS_AT_ONCE):
        while lane.calling.running.calls:  # a server on this machine answers one after the other  # noqa: ASYNC110 -- nobody tells when a process has nothing to do
            await anyio.sleep(_TESTS_AFTER_S)
        async for tested in local.test(most=1):
            availability.learn(tested.model)
            lane.health.recall(_speed(tested))


def _speed(local: LocalModel) -> Iterator[tuple[str, str, Try]]:
    """How fast a model was in its test, as a call that was made then."""
    note = local.note
    if note is not None and note.result.tokens_per_s is not None:
        row = Try(at=note.at, ok=True, took_s=note.took_s, output_tokens=note.output_tokens)
        yield local.model.id, local.model.provider, row


async def _look_after_catalog(availability: Availability, settings: Settings, ambient: Ambient) -> None:
    """Once, soon after the start: warn of old prices, and ask providers which models they still list.

    A command that is over sooner asks nobody.
    """
    await anyio.sleep(_LISTS_AFTER_S)
    checked_on = availability.catalog.checked_on
    if checked_on is None or (ambient.clock().date() - checked_on).days > STALE_AFTER_DAYS:
        logger.warning(
            "prices may be out of date; upgrade with `pip install -U dynaroute-mcp`",
            extra={"checked": checked_on or "never"},
        )
    if settings.check_models:
        await availability.drop_unlisted()


async def _keep_house(store: SqliteStore, retention_days: int | None, ambient: Ambient) -> None:
    """Once a day: give up dead calls, check the file, fold old calls into sums. Never in a hurry to start."""
    keep = None if retention_days is None else timedelta(days=retention_days)
    await anyio.sleep(_HOUSEKEEPING_AFTER_S)
    while True:
        try:
            report = await store.retention.daily(ambient.clock(), keep=keep)
        except StoreUnavailable as error:
            logger.warning("the database could not be looked after", extra={"reason": str(error)})
        else:
            for problem in report.problems:
                logger.error("the database is damaged", extra={"problem": problem})
        await anyio.sleep(_HOUSEKEEPING_EVERY_S)


def _stand_ins(catalog: Catalog) -> dict[str, Endpoint]:
    """Put the sandbox in the place of every provider: its prices and models, nobody called."""
    sandbox = catalog.providers[SANDBOX]
    return {
        provider_id: Endpoint(
            provider=provider.model_copy(update={"dialect": sandbox.dialect}), base_url=sandbox.base_url
        )
        for provider_id, provider in catalog.providers.items()
    }
