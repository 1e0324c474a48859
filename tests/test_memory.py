"""What outlives a reading of the configuration: who rests and where conversations are, but of no changed provider."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import httpx2
import pytest
from tests.scripted import ASK, KEYS, Script, failure, settings
from tests.test_own_keys import MASTER, with_own_key

from dynaroute_mcp import runtime
from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.catalog import Dialect as DialectName
from dynaroute_mcp.errors import ProviderKeyRejected
from dynaroute_mcp.memory import Memory
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.runtime import open_core
from dynaroute_mcp.serving import Front
from dynaroute_mcp.settings import BreakerSettings
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import ChatRequest, Message, Text, Usage


@dataclass
class Vendors(Script):
    """Providers that answer, but for those that reject every key."""

    closed_to_us: set[str] = field(default_factory=set)
    providers: list[str] = field(default_factory=list)
    """Of the calls, in their order."""

    async def before(self, call: Call) -> None:
        self.providers.append(call.endpoint.provider.id)
        if call.endpoint.provider.id in self.closed_to_us:
            raise failure(ProviderKeyRejected)(call)


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> Vendors:
    """What is behind a core that is really opened."""
    script = Vendors(usage=Usage(uncached_input_tokens=2_000, output_tokens=50))
    spoken = dict.fromkeys(get_args(DialectName), script)
    monkeypatch.setattr(runtime, "dialects", lambda _wire, *, estimate: spoken)
    return script


def turn(number: int) -> ChatRequest:
    said = [Message(role="user", parts=(Text(text="Hello"),))]
    for _ in range(number - 1):
        said.append(Message(role="assistant", parts=(Text(text="Hi"),)))
        said.append(Message(role="user", parts=(Text(text="And then?"),)))
    return ChatRequest(messages=tuple(said))


CHANGES: list[tuple[dict[str, object], bool]] = [
    ({}, False),
    ({"strategy": Strategy.BEST, "breaker": BreakerSettings(open_s=5)}, False),
    ({"variables": {**KEYS, "OPENAI_API_KEY": "sk-another", "ANTHROPIC_API_KEY": "sk-another"}}, True),
    ({"variables": {**KEYS, "OPENAI_BASE_URL": "https://mine.example/v1"}}, True),
    ({"providers": {"openai": {"base_url": "https://mine.example/v1"}}}, True),
]


@pytest.mark.parametrize(("change", "afresh"), CHANGES)
async def test_a_provider_that_rests_is_left_alone_until_its_own_settings_change(
    tmp_path: Path, vendors: Vendors, change: dict[str, object], afresh: bool
) -> None:
    memory, asked_openai = Memory(), ChatRequest(messages=ASK.messages, model="gpt-6-luna")
    vendors.closed_to_us = {"openai"}
    async with open_core(settings(tmp_path), memory=memory) as core:
        with pytest.raises(ProviderKeyRejected):
            await core.router.complete(asked_openai, LOCAL)

    async with open_core(settings(tmp_path, **change), memory=memory) as core:
        resting = {row.id for row in core.reports.vitals_here() if row.breaker and row.breaker.retry_in_s}

    assert resting == (set() if afresh else {"openai"})


async def test_a_provider_that_comes_back_begins_afresh(tmp_path: Path, vendors: Vendors) -> None:
    memory, asked_openai = Memory(), ChatRequest(messages=ASK.messages, model="gpt-6-luna")
    without = {name: key for name, key in KEYS.items() if name != "OPENAI_API_KEY"}
    vendors.closed_to_us = {"openai"}
    async with open_core(settings(tmp_path), memory=memory) as core:
        with pytest.raises(ProviderKeyRejected):
            await core.router.complete(asked_openai, LOCAL)
    async with open_core(settings(tmp_path, variables=without), memory=memory) as core:
        gone = core.reports.vitals_here()
    async with open_core(settings(tmp_path), memory=memory) as core:
        back = core.reports.vitals_here()

    assert gone == back == ()


async def test_a_key_whose_own_provider_rests_does_not_ask_it_after_a_reading(
    tmp_path: Path, vendors: Vendors
) -> None:
    memory, chosen = Memory(), settings(tmp_path, encryption_key=MASTER)
    vendors.closed_to_us = {"anthropic"}
    async with open_core(chosen, memory=memory) as core:
        models = ("anthropic/claude-haiku-5-5", "openai/gpt-5.5-pro")
        who = await core.accounts.caller_for(await with_own_key(core, models=models))
        before = (await core.router.choose(ASK, who)).choice
        with pytest.raises(ProviderKeyRejected):
            await core.router.complete(ChatRequest(messages=ASK.messages, model="claude-haiku-5-5"), who)
    async with open_core(chosen, memory=memory) as core:
        after = (await core.router.choose(ASK, who)).choice
        others = core.reports.vitals_here()

    assert (before.winner.provider, after.winner.provider) == ("anthropic", "openai")
    assert others == ()


@pytest.mark.parametrize("afresh", [False, True])
async def test_a_conversation_stays_where_its_cache_is_unless_its_provider_changed(
    tmp_path: Path, vendors: Vendors, afresh: bool
) -> None:
    memory, first = Memory(), settings(tmp_path)
    async with open_core(first, memory=memory) as core:
        answer = await core.router.complete(turn(1), LOCAL)
    variables = {name: "another" if afresh else key for name, key in KEYS.items()}
    async with open_core(settings(tmp_path, variables=variables), memory=memory) as core:
        pin = (await core.router.choose(turn(2), LOCAL)).pin

    assert (pin and pin.model_id) == (None if afresh else answer.model_id)


async def test_what_the_books_tell_is_learnt_once(tmp_path: Path, vendors: Vendors) -> None:
    memory = Memory()
    counts = list[int]()
    for _ in range(3):
        async with open_core(settings(tmp_path), memory=memory) as core:
            await core.router.complete(ASK, LOCAL)
            counts.append(sum(row.figures.calls for row in core.reports.vitals_here()))

    assert counts == [1, 2, 3]


async def test_a_hangup_does_not_send_requests_to_a_dead_provider_again(
    tmp_path: Path, vendors: Vendors
) -> None:
    chosen = settings(tmp_path, admin_token="a-token-of-the-operator")
    front = Front(chosen, "all", (), reread=lambda: chosen)
    vendors.closed_to_us = {"anthropic", "openai"}
    hello = {"messages": [{"role": "user", "content": "Hello"}]}
    async with (
        front.app.lifespan_context(front.app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=front.app),
            base_url="http://127.0.0.1:8000",
            headers={"Authorization": "Bearer a-token-of-the-operator"},
        ) as client,
    ):
        assert (await client.post("/v1/chat/completions", json=hello)).status_code == 200
        before = len(vendors.providers)
        await front.renew()
        assert (await client.post("/v1/chat/completions", json=hello)).status_code == 200

    assert "anthropic" in vendors.providers[:before]
    assert vendors.providers[before:] == vendors.providers[before - 1 : before]
