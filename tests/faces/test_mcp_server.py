"""What the server shows of itself: schemas that every client takes, resources, completions, one core."""

import inspect
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from inline_snapshot import snapshot
from mcp import Client, MCPError
from mcp.types import (
    PromptReference,
    ReadResourceResult,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
    Tool,
)
from tests.faces.mcp_clients import Era, in_memory
from tests.scripted import ASK, HAIKU, LUNA, Script, failure, scripted_core, settings

from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import ProviderRateLimited
from dynaroute_mcp.mcp_server import server as server_module
from dynaroute_mcp.mcp_server.opening import LazyCore, with_key, with_settings
from dynaroute_mcp.mcp_server.server import INSTRUCTIONS, DynaRouteMCPServer, build
from dynaroute_mcp.mcp_server.tools import Tools
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.taxonomy import Category

ERAS: tuple[Era, ...] = ("auto", "legacy")
FORBIDDEN = ("anyOf", "oneOf", "allOf", "$ref", "$defs", '"title"', '"default": null', '"default":null')


async def listed() -> list[Tool]:
    async with Client(build()) as client:
        return (await client.list_tools()).tools


async def test_there_are_exactly_the_eleven_tools() -> None:
    assert sorted(tool.name for tool in await listed()) == snapshot(
        [
            "dynaroute_calculate_cost",
            "dynaroute_classify_prompt",
            "dynaroute_generate_api_key",
            "dynaroute_get_cost_savings",
            "dynaroute_get_subscription",
            "dynaroute_get_usage_summary",
            "dynaroute_list_api_keys",
            "dynaroute_list_models",
            "dynaroute_revoke_api_key",
            "dynaroute_route_prompt",
            "dynaroute_verify_api_key",
        ]
    )


async def test_required_parameters_are_those_of_the_contract() -> None:
    assert {
        tool.name.removeprefix("dynaroute_"): tool.input_schema["required"] for tool in await listed()
    } == {
        "generate_api_key": ["user_id"],
        "verify_api_key": ["api_key"],
        "revoke_api_key": ["api_key"],
        "list_api_keys": ["user_id"],
        "get_subscription": [],
        "route_prompt": ["prompt"],
        "classify_prompt": ["prompt"],
        "list_models": [],
        "calculate_cost": ["model_name", "prompt_tokens", "completion_tokens"],
        "get_usage_summary": [],
        "get_cost_savings": ["model_used", "prompt_tokens", "completion_tokens"],
    }


async def test_schemas_are_flat_named_and_small() -> None:
    tools = await listed()
    schemas = [json.dumps(part) for tool in tools for part in (tool.input_schema, tool.output_schema)]

    assert not [word for word in FORBIDDEN for schema in schemas if word in schema]
    assert sum(map(len, (schema.replace(": ", ":").replace(", ", ",") for schema in schemas))) < 8_000
    for tool in tools:
        assert re.fullmatch(r"[a-z0-9_]{1,40}", tool.name)
        assert len(f"mcp__dynaroute__{tool.name}") <= 64
        assert tool.input_schema["additionalProperties"] is False
        for parameter in tool.input_schema["properties"].values():
            assert parameter["type"] in {"string", "integer", "number", "boolean"}
            assert parameter["description"]


async def test_descriptions_say_what_comes_back_and_cost_little() -> None:
    tools = await listed()
    words = [tool.description or "" for tool in tools]

    assert all("Returns" in description for description in words)
    assert all(len(description) <= 1_000 for description in words)
    assert sum(map(len, words)) / 3 < 2_000  # a token of English is three characters or more
    assert "SPENDS MONEY" in next(t.description or "" for t in tools if t.name.endswith("route_prompt"))


async def test_all_four_hints_are_set_on_every_tool() -> None:
    hints = {
        tool.name.removeprefix("dynaroute_"): (
            tool.annotations.read_only_hint,
            tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint,
            tool.annotations.open_world_hint,
        )
        for tool in await listed()
        if tool.annotations
    }

    assert len(hints) == 11
    assert hints.pop("route_prompt") == (False, False, False, True)
    assert hints.pop("generate_api_key") == (False, False, False, False)
    assert hints.pop("revoke_api_key") == (False, True, True, False)
    assert set(hints.values()) == {(True, False, True, False)}


async def test_only_the_main_tool_is_always_loaded() -> None:
    loaded = [tool.name for tool in await listed() if tool.meta and tool.meta.get("anthropic/alwaysLoad")]

    assert loaded == ["dynaroute_route_prompt"]


def test_a_tool_is_a_few_lines() -> None:
    for name, method in vars(Tools).items():
        if name.startswith("dynaroute_"):
            source = inspect.getsource(method)
            body = source.split('"""')[2].strip().splitlines()
            assert len(body) <= 20, name


async def test_instructions_name_tools_that_exist() -> None:
    names = {tool.name for tool in await listed()}

    assert set(re.findall(r"dynaroute_\w+", INSTRUCTIONS)) <= names


# ---------------------------------------------------------------- resources, prompts, completions


def content(result: ReadResourceResult) -> object:
    (block,) = result.contents
    assert isinstance(block, TextResourceContents)
    assert block.mime_type == "application/json"
    return json.loads(block.text)


@pytest.mark.parametrize("era", ERAS)
async def test_resources_hold_models_categories_and_use(tmp_path: Path, era: Era) -> None:
    async with scripted_core(settings(tmp_path)) as core, in_memory(core, era) as client:
        models = content(await client.read_resource("dynaroute://models"))
        categories = content(await client.read_resource("dynaroute://categories"))
        usage = content(await client.read_resource("dynaroute://usage"))

    assert isinstance(models, dict)
    assert models["count"] == models["total"] == len(models["models"]) >= 40
    assert isinstance(categories, dict)
    assert (len(categories["categories"]), len(categories["levels"])) == (31, 5)
    assert isinstance(usage, dict)
    assert usage["subscription"]["user_id"] == "local"


async def test_a_resource_tells_which_models_fail_and_rest(tmp_path: Path) -> None:
    script = Script({LUNA: [failure(ProviderRateLimited, retry_after_s=30.0)] * 2})
    async with scripted_core(settings(tmp_path), script) as core, in_memory(core) as client:
        with pytest.raises(ProviderRateLimited):
            await core.router.complete(replace(ASK, model=LUNA), LOCAL)
        await core.router.complete(replace(ASK, model=HAIKU), LOCAL)
        report = content(await client.read_resource("dynaroute://health"))

    assert isinstance(report, dict)
    assert [row["id"] for row in report["books"]["models"]] == [HAIKU]
    assert "all processes" in report["books"]["of"]
    rows = {row["id"]: row for row in report["here"]["models"]}
    assert (rows[LUNA]["state"], rows[LUNA]["retry_in_s"]) == ("cooling", 30.0)
    assert rows[LUNA]["last_error"] == "provider_rate_limited"
    assert (rows[HAIKU]["state"], rows[HAIKU]["error_rate"]) == ("closed", 0.0)


@pytest.mark.parametrize("name", ["openai/gpt-4.1", "openai%2Fgpt-4.1", "GPT-4.1"])
async def test_one_model_is_read_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    async with scripted_core(settings(tmp_path)) as core, in_memory(core) as client:
        row = content(await client.read_resource(f"dynaroute://models/{name}"))

    assert isinstance(row, dict)
    assert (row["litellm_id"], row["context_window"] > 0) == ("openai/gpt-4.1", True)


@pytest.mark.parametrize("era", ERAS)
async def test_an_unknown_model_is_invalid_parameters(tmp_path: Path, era: Era) -> None:
    async with scripted_core(settings(tmp_path)) as core, in_memory(core, era) as client:
        with pytest.raises(MCPError, match="unknown model") as caught:
            await client.read_resource("dynaroute://models/no-such-model")

    assert caught.value.code == -32602


async def test_a_resource_that_fails_says_why(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path, api_key="dr_wrong")) as core, in_memory(core) as client:
        with pytest.raises(MCPError, match="authentication_failed"):
            await client.read_resource("dynaroute://usage")


async def test_prompts_need_no_argument_and_take_one() -> None:
    async with Client(build()) as client:
        prompts = (await client.list_prompts()).prompts
        for prompt in prompts:
            (message,) = (await client.get_prompt(prompt.name)).messages
            assert isinstance(message.content, TextContent)
        (asked,) = (await client.get_prompt("cheapest_model", {"category": "Law"})).messages

    assert {prompt.name for prompt in prompts} == {"cheapest_model", "explain_bill"}
    assert isinstance(asked.content, TextContent)
    assert "Law" in asked.content.text


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("cheapest", {}, "unknown prompt 'cheapest'; there are cheapest_model, explain_bill"),
        ("explain_bill", {"modle": "x"}, "explain_bill has no argument 'modle'; it takes model"),
    ],
)
async def test_a_prompt_or_argument_that_there_is_not_is_told_as_such(
    name: str, arguments: dict[str, str], said: str
) -> None:
    async with Client(build()) as client:
        with pytest.raises(MCPError, match=f"^{re.escape(said)}$") as caught:
            await client.get_prompt(name, arguments)

    assert caught.value.code == -32602


async def test_an_argument_of_a_prompt_that_is_left_blank_takes_its_default() -> None:
    async with Client(build()) as client:
        blank = (await client.get_prompt("explain_bill", {"model": ""})).messages
        absent = (await client.get_prompt("explain_bill")).messages

    assert blank == absent


@pytest.mark.parametrize("era", ERAS)
async def test_names_of_categories_and_models_are_completed(tmp_path: Path, era: Era) -> None:
    template = ResourceTemplateReference(uri="dynaroute://models/{+model_id}")
    prompt = PromptReference(name="cheapest_model")
    async with scripted_core(settings(tmp_path)) as core, in_memory(core, era) as client:
        categories = await client.complete(prompt, {"name": "category", "value": "co"})
        everything = await client.complete(prompt, {"name": "category", "value": ""})
        models = await client.complete(template, {"name": "model_id", "value": "openai/gpt-4"})
        inside = await client.complete(template, {"name": "model_id", "value": "haiku"})
        nothing = await client.complete(prompt, {"name": "colour", "value": ""})

    assert categories.completion.values[:2] == ["Computer Science", "Code Generation"]
    assert everything.completion.values == [str(category) for category in Category]
    assert "openai/gpt-4.1" in models.completion.values
    assert inside.completion.values
    assert all("haiku" in value for value in inside.completion.values)
    assert nothing.completion.values == []


# ---------------------------------------------------------------- one core, opened late


class Counted:
    """Opens a core and counts how often, and how many are open."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.opened = 0
        self.open = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Core]:
        self.opened += 1
        self.open += 1
        try:
            yield self.core
        finally:
            self.open -= 1


async def test_nothing_is_opened_before_a_client_asks_for_something(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        counted = Counted(core)
        async with Client(build(LazyCore(counted)), mode="legacy") as client:
            before = counted.opened
            await client.call_tool("dynaroute_classify_prompt", {"prompt": "Hi"})
            during = counted.open

    assert (before, during, counted.open) == (0, 1, 0)


async def test_listing_the_tools_warms_the_core_up(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        counted = Counted(core)
        async with Client(build(LazyCore(counted))) as client:
            await client.list_tools()
            with anyio.fail_after(5):
                while not counted.opened:
                    await anyio.lowlevel.checkpoint()

    assert counted.opened == 1


async def test_many_connections_share_one_core_until_the_last_has_left(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        counted = Counted(core)
        lazy = LazyCore(counted)
        first_left = anyio.Event()

        async def first() -> None:
            async with lazy.lifespan():
                assert await lazy() is core
                left.set()
                await go.wait()
            first_left.set()

        left, go = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(first)
            await left.wait()
            async with lazy.lifespan():
                go.set()
                await anyio.wait_all_tasks_blocked()
                assert await lazy() is core
                assert not first_left.is_set()
            with anyio.fail_after(5):
                await first_left.wait()

    assert (counted.opened, counted.open) == (1, 0)


async def test_a_core_can_be_opened_again_by_the_next_connection(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        counted = Counted(core)
        lazy = LazyCore(counted)
        for _ in range(2):
            async with lazy.lifespan():
                assert await lazy() is core

    assert (counted.opened, counted.open) == (2, 0)


async def test_a_core_is_never_handed_out_outside_a_lifespan() -> None:
    with pytest.raises(RuntimeError, match="lifespan"):
        await LazyCore(with_settings)()


async def test_an_opener_that_crashes_is_told_as_a_crash() -> None:
    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        yield cast("Core", 1 // 0)

    async with Client(build(LazyCore(opener))) as client:
        result = await client.call_tool("dynaroute_list_models", {})

    assert result.is_error
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert block.text == "Error executing tool dynaroute_list_models"


async def test_the_real_core_is_opened_with_the_settings_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYNAROUTE_DATABASE", str(tmp_path / "mine.db"))
    monkeypatch.setenv("DYNAROUTE_CONFIG", str(tmp_path / "config.yaml"))
    (tmp_path / "config.yaml").write_text("discover_local: false\n", encoding="utf-8")

    async with with_settings() as core:
        assert core.settings.database == tmp_path / "mine.db"
        key = (await core.accounts.generate_key("alice")).secret
    async with with_key(key) as core:
        assert (await core.caller()).owner == "alice"
    async with with_key(None) as core:
        assert (await core.caller()).owner == "local"


async def test_programs_start_the_server_with_a_key_of_their_own() -> None:
    started = DynaRouteMCPServer(api_key="dr_mine")

    assert len(await started.server.list_tools()) == 11


def test_the_module_has_the_object_that_mcp_dev_looks_for() -> None:
    assert server_module.mcp is server_module.mcp
    assert server_module.mcp.name == "dynaroute"
    with pytest.raises(AttributeError):
        _ = server_module.nothing_else
