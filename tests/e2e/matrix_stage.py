"""Two fakes of the providers' APIs, one misbehaving server, and real cores that are pointed at them."""

import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import yaml
from llmock.scenarios import Reply, behavior_from_dict
from llmock.testing import LLMockServer
from tests.e2e.matrix_case import PLACES, Case, Place
from tests.e2e.rawmore import MORE
from tests.providers.rawserver import DIALECTS, TEXT, DialectName, Fault, RawServer, raw_server

from dynaroute_mcp.runtime import Core, open_core
from dynaroute_mcp.settings import BreakerSettings, CallSettings, Settings

KEYS: Final = {
    "PRIMARY_API_KEY": "sk-firstprimary0123456789",
    "FALLBACK_API_KEY": "sk-secondfallback987654321",
}
ADMIN: Final = "the-operators-token"
PRICES: Final = {"primary": (Decimal(1), Decimal(2)), "fallback": (Decimal(10), Decimal(20))}
"""Dollars per million tokens of input and output: the primary is cheaper, so that it is the first choice."""
MODELS: Final = {"primary": "primary/small", "fallback": "fallback/large"}
SAID: Final = {
    "llmock": "Alpha beta gamma delta epsilon zeta eta theta.",
    "raw": TEXT,
    "fallback": "One two three four five six seven eight.",
}
CALLS: Final = CallSettings(
    attempts_per_model=3,
    max_attempts=6,
    backoff_s=0.1,
    backoff_cap_s=0.2,
    retry_after_cap_s=5,
    connect_s=0.5,
    first_token_s=0.5,
    idle_s=0.4,
    answer_s=0.5,
    total_s=10,
)
AT_ONCE: Final = CALLS.model_copy(update={"backoff_s": 0.01})
"""Where nobody judges the back-off."""


def overlay(base_url: str, dialect: DialectName, fallback_url: str) -> dict[str, Any]:
    """A user's catalog: two providers of their own, one model each."""
    ends = {"primary": (dialect, base_url), "fallback": ("openai", fallback_url)}
    return {
        "providers": [_provider(name, spoken, url) for name, (spoken, url) in ends.items()],
        "models": [_model(name, model) for name, model in MODELS.items()],
        "prices": [_price(name, model) for name, model in MODELS.items()],
    }


def _provider(name: str, dialect: str, base_url: str) -> dict[str, Any]:
    key = f"{name.upper()}_API_KEY"
    return {"id": name, "name": name, "dialect": dialect, "base_url": base_url, "key_env": [key]}


def _model(provider: str, model: str) -> dict[str, Any]:
    return {
        "id": model,
        "provider": provider,
        "wire_id": model.partition("/")[2],
        "name": model,
        "family": "matrix",
        "context_tokens": 100_000 if provider == "primary" else 200_000,
        "max_output_tokens": 1_000,
        "quality": {"text": {"value": 0.99, "source": "test", "as_of": "2026-11-22"}},
    }


def _price(provider: str, model: str) -> dict[str, Any]:
    rates = dict(zip(("input", "output"), map(str, PRICES[provider]), strict=True))
    return {"model": model, "from": "2026-01-01", "usd_per_mtok": rates}


def settings(folder: Path, catalog: Mapping[str, Any], *, alone: bool = False, **fields: object) -> Settings:
    """Settings under which the two providers of `catalog` are all that can be called."""
    file = folder / "catalog.yaml"
    file.write_text(yaml.safe_dump(dict(catalog)), encoding="utf-8")
    values: dict[str, object] = {
        "database": folder / "dynaroute.db",
        "admin_token": ADMIN,
        "catalog_overlay": file,
        "variables": KEYS,
        "exclude": ("fallback",) if alone else (),
        "calls": CALLS,
        "breaker": BreakerSettings(enabled=False),
        "discover_local": False,
        "check_models": False,
        **fields,
    }
    return Settings.model_validate(values)


@dataclass(kw_only=True)
class Stage:
    """All that a case needs; one for the whole matrix."""

    llmock: LLMockServer
    fallback: LLMockServer
    raw: RawServer
    cores: dict[tuple[Place, DialectName, bool], Core]

    def core(self, case: Case, dialect: DialectName) -> Core:
        return self.cores[case.at, dialect, case.alone]

    def prepare(self, case: Case) -> None:
        """Forget what was, and tell everybody what to do wrong."""
        for server, said, faults in (
            (self.llmock, SAID["llmock"], case.faults),
            (self.fallback, SAID["fallback"], case.behind),
        ):
            server.state.reset()
            told = [behavior_from_dict(dict(fault)) for fault in faults]
            server.state.scenarios.add(Reply(text=said, times=None), *told)
        self.raw.seen.clear()
        self.raw.faults[:] = [Fault(**fault) for fault in case.raw]

    def asked(self, case: Case) -> tuple[int | None, int]:
        """How often the primary and the fallback were asked; a closed port cannot tell."""
        counts = {"llmock": arrived(self.llmock), "raw": len(self.raw.seen), "nobody": None}
        return counts[case.at], arrived(self.fallback)

    def gaps_s(self, case: Case) -> list[float]:
        """Seconds from one try at the primary to the next."""
        if case.at == "llmock":
            at = [record.started_at for record in self.llmock.state.journal.records(wait=patience_s(case))]
        else:
            at = [seen.at for seen in self.raw.seen]
        return [later - earlier for earlier, later in pairwise(at)]


def patience_s(case: Case) -> float:
    """How long llmock's journal may be waited for; what still sleeps there is left out of it."""
    return 0 if any(fault["type"] in {"delay", "slow_first_token"} for fault in case.faults) else 1


def arrived(server: LLMockServer) -> int:
    """Requests that llmock has begun to serve, the unfinished ones included.

    A request is in its journal a moment before it stops being in flight, so that one that just ends is waited
    for.
    """
    journal = server.state.journal
    return len(journal.records(wait=0.05)) + journal.in_flight


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses: bound, so that nobody else gets it, and never listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """Start the servers and open a core for every place, dialect and chain."""
    async with AsyncExitStack() as opened:
        llmock = opened.enter_context(LLMockServer())
        fallback = opened.enter_context(LLMockServer())
        raw = await opened.enter_async_context(raw_server(MORE))
        port = opened.enter_context(closed_port())
        stage = Stage(llmock=llmock, fallback=fallback, raw=raw, cores={})
        for place in PLACES:
            for dialect in DIALECTS:
                urls = {
                    "llmock": llmock.base_url(dialect),
                    "raw": raw.base_url(dialect),
                    "nobody": f"http://127.0.0.1:{port}/v1",
                }
                for alone in (False, True):
                    home = folder / f"{place}-{dialect}-{alone}"
                    home.mkdir()
                    catalog = overlay(urls[place], dialect, fallback.base_url("openai"))
                    core = await opened.enter_async_context(
                        open_core(
                            settings(
                                home, catalog, alone=alone, calls=CALLS if place == "llmock" else AT_ONCE
                            )
                        )
                    )
                    stage.cores[place, dialect, alone] = core
        yield stage
