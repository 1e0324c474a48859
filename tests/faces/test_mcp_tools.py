"""The eleven tools, promise by promise, over the wire in both protocol eras."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from mcp import Client
from tests.faces.behaviours import BEHAVIOURS, COVERED, shows
from tests.faces.mcp_clients import Era, already, data, in_memory, text
from tests.scripted import ASK, KEYS, Script, failure, scripted_core, settings

from dynaroute_mcp.errors import ConfigurationInvalid, ProviderUnavailable
from dynaroute_mcp.mcp_server import waiting
from dynaroute_mcp.mcp_server.opening import LazyCore
from dynaroute_mcp.mcp_server.server import build
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.types import Finished, FinishReason, TextDelta, Usage

USED = Usage(uncached_input_tokens=1_000, output_tokens=500)
ERAS: tuple[Era, ...] = ("auto", "legacy")
COUNTS = {"prompt_tokens": 1_000, "completion_tokens": 500}


def answering(words: str = "Paris.", usage: Usage = USED) -> Script:
    return Script(events=(TextDelta(text=words), Finished(finish_reason="stop", usage=usage)), usage=usage)


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Era:
    chosen: Era = request.param
    return chosen


@asynccontextmanager
async def client_on(
    folder: Path, script: Script | None = None, era: Era = "auto", **fields: object
) -> AsyncIterator[Client]:
    async with (
        scripted_core(settings(folder, **fields), script or answering()) as core,
        in_memory(core, era) as client,
    ):
        yield client


async def error(client: Client, tool: str, **arguments: object) -> str:
    result = await client.call_tool(f"dynaroute_{tool}", arguments)
    assert result.is_error
    return text(result)


async def ok(client: Client, tool: str, **arguments: object) -> dict[str, object]:
    return data(await client.call_tool(f"dynaroute_{tool}", arguments))


# ---------------------------------------------------------------- keys


@shows("generate-shows-once", "list-masked")
async def test_a_key_is_shown_once_and_masked_ever_after(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        made = await ok(client, "generate_api_key", user_id="alice")
        result = await client.call_tool("dynaroute_list_api_keys", {"user_id": "alice"})

    key = str(made["api_key"])
    assert key.startswith("dr_")
    assert len(key) == 46
    assert made["masked_key"] == f"{key[:8]}...{key[-4:]}"
    assert key not in text(result)
    (row,) = data(result)["keys"]
    assert (row["masked_key"], row["status"], row["tier"]) == (made["masked_key"], "active", "free")
    assert key not in str(row)


@shows("generate-owner")
@pytest.mark.parametrize("owner", ["", "  ", "a\x00b", "\u202eevil", "x" * 201])
async def test_a_user_id_must_be_a_name(tmp_path: Path, owner: str) -> None:
    async with client_on(tmp_path) as client:
        assert "user_id must have 1 to 200 characters" in await error(
            client, "generate_api_key", user_id=owner
        )


@shows("verify-active")
async def test_an_active_key_tells_what_is_left(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        made = await ok(client, "generate_api_key", user_id="alice")
        found = await ok(client, "verify_api_key", api_key=made["api_key"])

    assert found["valid"] is True
    assert (found["status"], found["user_id"], found["subscription_tier"]) == ("active", "alice", "free")
    assert (found["token_limit"], found["tokens_remaining"]) == (1_000_000, 1_000_000)
    assert found["limits"] == {
        "requests_per_minute": 100,
        "requests_per_day": 1_000,
        "monthly_spend_usd": 10.0,
    }
    assert found["expires_at"] is None


@shows("verify-unknown")
async def test_an_unknown_key_is_an_answer(tmp_path: Path) -> None:
    async with client_on(tmp_path) as other:
        made = await ok(other, "generate_api_key", user_id="alice")
    (tmp_path / "second").mkdir()
    async with client_on(tmp_path / "second") as client:
        assert await ok(client, "verify_api_key", api_key=made["api_key"]) == {
            "valid": False,
            "status": "not_found",
        }


@shows("verify-mistyped", "revoke-unknown")
async def test_a_mistyped_key_is_told_as_such(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        found = await ok(client, "verify_api_key", api_key="dr_mistyped")
        refused = await error(client, "revoke_api_key", api_key="dr_mistyped")

    assert (found["valid"], found["status"]) == (False, "not_found")
    assert "checksum" in str(found["message"])
    assert refused.startswith("[not_found] no such key")


@shows("revoke-at-once")
async def test_a_revoked_key_stops_at_once_and_stays_revoked(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        key = (await ok(client, "generate_api_key", user_id="alice"))["api_key"]
        first = await ok(client, "revoke_api_key", api_key=key)
        second = await ok(client, "revoke_api_key", api_key=key)
        found = await ok(client, "verify_api_key", api_key=key)

    assert (first["success"], first["already_revoked"]) == (True, False)
    assert (second["success"], second["already_revoked"]) == (True, True)
    assert second["revoked_at"] == first["revoked_at"]
    assert found == {"valid": False, "status": "revoked", "revoked_at": first["revoked_at"]}


async def test_a_key_that_is_lost_is_revoked_by_the_id_that_the_list_shows(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        made = await ok(client, "generate_api_key", user_id="alice")
        revoked = await ok(client, "revoke_api_key", api_key=made["key_id"])
        found = await ok(client, "verify_api_key", api_key=made["api_key"])
        refused = await error(client, "revoke_api_key", api_key="key_000000000000")

    assert (revoked["masked_key"], found["status"]) == (made["masked_key"], "revoked")
    assert refused.startswith("[not_found] no key has the id 'key_000000000000'")


@shows("subscription-local", "savings-keyless")
async def test_the_local_owner_has_no_limits_and_no_running_total(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        found = await ok(client, "get_subscription")
        savings = await ok(client, "get_cost_savings", model_used="Gemini 2.5 Flash", **COUNTS)

    assert (found["user_id"], found["subscription_tier"], found["token_limit"]) == ("local", "local", None)
    assert (savings["actual_cost"], savings["savings_percentage"]) == (0.00155, 74.17)
    assert savings["cumulative"] is None


@shows("subscription-key", "savings-key", "usage-sums")
async def test_a_key_has_its_owners_plan_and_sums(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path) as client:
        key = (await ok(client, "generate_api_key", user_id="alice"))["api_key"]
    async with client_on(tmp_path, era=era, api_key=key) as client:
        await ok(client, "route_prompt", prompt="Capital of France?")
        plan = await ok(client, "get_subscription")
        summary = await ok(client, "get_usage_summary")
        savings = await ok(client, "get_cost_savings", model_used="gpt-4.1", **COUNTS)

    assert (plan["user_id"], plan["subscription_tier"], plan["tokens_used"]) == ("alice", "free", 1_500)
    assert (summary["total_requests"], summary["total_tokens"]) == (1, 1_500)
    assert summary["gpt41_equivalent_cost"] == 0.006
    assert summary["total_savings"] == pytest.approx(0.006 - float(str(summary["total_cost"])))
    assert summary["subscription"] == plan
    total = savings["cumulative"]
    assert isinstance(total, dict)
    assert (total["total_requests"], total["savings"]) == (1, summary["total_savings"])


@shows("subscription-bad-key")
async def test_a_bad_key_of_the_process_is_told_by_the_call_that_needs_it(tmp_path: Path) -> None:
    async with client_on(tmp_path, api_key="dr_wrong") as client:
        refused = await error(client, "get_subscription")
        label = await ok(client, "classify_prompt", prompt="Hello")

    assert refused.startswith("[authentication_failed]")
    assert label["category"] == "Code Generation"


# ---------------------------------------------------------------- routing


@shows("route-answer", "route-text")
async def test_an_answer_is_complete_as_data_and_as_text(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        result = await client.call_tool("dynaroute_route_prompt", {"prompt": "Capital of France?"})

    found = data(result)
    assert found["response"] == "Paris."
    assert (found["category"], found["level"]) == ("Code Generation", 1)
    assert found["litellm_id"].endswith(found["model"])
    assert found["usage"]["total_tokens"] == 1_500
    assert found["cost"]["gpt41_total_cost"] == 0.006
    assert found["cost"]["savings"] == pytest.approx(0.006 - found["cost"]["total_cost"])
    assert found["routing"]["candidates"][0] == found["model"]
    assert found["routing"]["fallback_chain"] == found["routing"]["candidates"][1:]
    assert [each["outcome"] for each in found["routing"]["attempts"]] == ["ok"]
    assert (found["sandbox"], found["truncated"], found["recorded"]) == (False, False, True)
    told = text(result)
    assert f"{found['model']} ({found['provider']}) wrote:\n\nParis." in told
    for fact in (
        "Code Generation, level 1",
        found["routing"]["reason"],
        "1,000 + 500 tokens",
        "GPT-4.1 $0.006",
        f"recorded as {found['request_id']}",
    ):
        assert fact in told
    assert "cut" not in told


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("length", "- cut at the limit of output tokens"),
        ("content_filter", "- refused or cut on grounds of safety"),
    ],
)
async def test_an_answer_that_did_not_end_by_itself_is_told_as_such(
    tmp_path: Path, reason: FinishReason, said: str
) -> None:
    script = Script(events=(TextDelta(text="Pa"), Finished(finish_reason=reason, usage=USED)), usage=USED)
    async with client_on(tmp_path, script) as client:
        result = await client.call_tool("dynaroute_route_prompt", {"prompt": "Capital of France?"})

    assert data(result)["finish_reason"] == reason
    assert said in text(result)


async def test_what_is_told_as_data_is_told_as_text_too(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        await ok(client, "route_prompt", prompt="Capital of France?")
        made = await ok(client, "generate_api_key", user_id="alice")
        used = text(await client.call_tool("dynaroute_get_usage_summary", {}))
        verified = text(await client.call_tool("dynaroute_verify_api_key", {"api_key": made["api_key"]}))
        listed = await client.call_tool("dynaroute_list_models", {"search": "GPT-4.1", "detailed": True})
        nothing = text(await client.call_tool("dynaroute_list_models", {"search": "no such model"}))
    row = data(listed)["models"][-1]

    assert "Code Generation: 1 request, $" in used
    assert "Requests a minute: 100, a day: 1,000; dollars a month: $10.00." in verified
    assert nothing == "No model passes these filters."
    for fact in (
        f"{row['context_window']:,} tokens window",
        f"{row['max_output_tokens']:,} out",
        f"levels {', '.join(map(str, row['levels']))}",
        "vision",
        f"deprecated, retires {row['retires_at']}",
    ):
        assert fact in text(listed).splitlines()[-1]


@shows("route-overrides")
async def test_level_and_category_can_be_set(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        found = await ok(
            client,
            "route_prompt",
            prompt="x",
            level_override=4,
            category_override="text formatting & EDITING",
        )

    assert (found["category"], found["level"]) == ("Text Formatting & Editing", 4)
    routing = found["routing"]
    assert isinstance(routing, dict)
    assert (routing["level_overridden"], routing["category_overridden"]) == (True, True)


@shows("route-level-range")
@pytest.mark.parametrize("level", [0, 6, -1, 99])
async def test_a_level_outside_the_range_is_refused(tmp_path: Path, level: int) -> None:
    async with client_on(tmp_path) as client:
        refused = await error(client, "route_prompt", prompt="x", level_override=level)

    assert f"level_override must be 1 (easiest) to 5 (hardest), not {level}" in refused


@shows("route-category-unknown")
async def test_an_unknown_category_lists_the_known_ones_nearest_first(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        refused = await error(client, "route_prompt", prompt="x", category_override="Code Generator")

    assert "unknown category 'Code Generator'; did you mean Code Generation" in refused
    near, _, known = refused.partition("? There are 31: ")
    assert near.count(",") <= 2
    assert known.startswith("Law, Business, ")
    assert "Astrology" in known


@shows("route-empty", "classify-empty")
@pytest.mark.parametrize("tool", ["route_prompt", "classify_prompt"])
@pytest.mark.parametrize("prompt", ["", " \n\t"])
async def test_an_empty_prompt_is_refused(tmp_path: Path, tool: str, prompt: str) -> None:
    async with client_on(tmp_path) as client:
        assert "the prompt is empty" in await error(client, tool, prompt=prompt)


@pytest.mark.parametrize("blank", [None, ""])
@pytest.mark.parametrize("tool", ["route_prompt", "list_models"])
async def test_an_optional_argument_that_is_null_or_empty_is_left_out(
    tmp_path: Path, tool: str, blank: object
) -> None:
    async with client_on(tmp_path) as client:
        (schema,) = [
            listed.input_schema
            for listed in (await client.list_tools()).tools
            if listed.name == f"dynaroute_{tool}"
        ]
        needed = dict.fromkeys(schema["required"], "Hello")
        plain = await ok(client, tool, **needed)
        found = await ok(client, tool, **dict.fromkeys(schema["properties"], blank) | needed)
        unknown = await error(client, tool, **needed, nonsense=blank)

    assert found.get("model") == plain.get("model")
    assert found.get("count") == plain.get("count")
    assert "there is no argument 'nonsense'" in unknown


@shows("route-json-text")
@pytest.mark.parametrize("prompt", ['{"a":1}', "[1]", "null", "true", "12", '"quoted"'])
async def test_a_prompt_that_looks_like_json_is_sent_as_it_is(tmp_path: Path, prompt: str) -> None:
    script = answering()
    async with client_on(tmp_path, script) as client:
        await ok(client, "route_prompt", prompt=prompt, system=prompt)

    assert [message.text for message in script.calls[0].request.messages] == [prompt, prompt]


@shows("route-odd-text")
async def test_nul_and_lone_surrogates_do_no_harm(tmp_path: Path, era: Era) -> None:
    script = answering("broken \ud83d here, whole 😀 there")
    async with client_on(tmp_path, script, era) as client:
        found = await ok(client, "route_prompt", prompt="a\0b \ud83d")
        refused = await error(client, "calculate_cost", model_name="\ud83d", **COUNTS)

    assert found["response"] == "broken \ufffd here, whole 😀 there"
    assert "unknown model" in refused


@shows("route-huge")
async def test_ten_megabytes_are_taken(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        found = await ok(client, "classify_prompt", prompt="word " * 2_000_000)

    assert found["level"] == 1


@shows("route-system")
async def test_a_system_prompt_and_an_output_bound_reach_the_provider(tmp_path: Path) -> None:
    script = answering()
    async with client_on(tmp_path, script) as client:
        await ok(
            client,
            "route_prompt",
            prompt="Hi",
            system="Be brief",
            max_tokens=7,
            strategy="best",
            max_cost_usd=1.5,
        )

    (call,) = script.calls
    assert [(message.role, message.text) for message in call.request.messages] == [
        ("system", "Be brief"),
        ("user", "Hi"),
    ]
    assert call.max_output_tokens == 7
    assert call.request.routing.strategy == "best"
    assert str(call.request.routing.max_cost_usd) == "1.5"


@shows("route-bounds")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_cost_usd", 0),
        ("max_cost_usd", -1),
        ("max_cost_usd", "inf"),
    ],
)
async def test_bounds_that_make_no_sense_are_refused(tmp_path: Path, name: str, value: object) -> None:
    async with client_on(tmp_path) as client:
        assert f"{name} must be" in await error(client, "route_prompt", prompt="x", **{name: value})


@shows("route-dry-run")
async def test_a_dry_run_explains_and_calls_nobody(tmp_path: Path, era: Era) -> None:
    script = answering()
    async with client_on(tmp_path, script, era) as client:
        result = await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi", "dry_run": True})
        summary = await ok(client, "get_usage_summary")

    found = data(result)
    assert script.calls == []
    assert summary["total_requests"] == 0
    assert found["dry_run"] is True
    assert "response" not in found
    estimate = found["estimate"]
    assert estimate["min_cost"] <= estimate["expected_cost"] <= estimate["max_cost"]
    assert {"model", "reason"} <= found["losers"][0].keys()
    told = text(result)
    assert told.startswith(f"Dry run, nothing was called: {found['model']}")
    assert found["losers"][0]["reason"] in told


@shows("route-progress")
async def test_whoever_waits_is_told_what_goes_on(tmp_path: Path, era: Era) -> None:
    told: list[tuple[float, str | None]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async with client_on(tmp_path, era=era) as client:
        result = await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi"}, progress_callback=listen)

    assert [number for number, _ in told] == sorted({number for number, _ in told})
    assert data(result)["litellm_id"] in str(told[-1][1])


class Slow(Script):
    """Sends its first piece and then nothing more."""

    async def between(self) -> None:
        await anyio.sleep_forever()


@shows("route-deadline")
async def test_at_the_deadline_what_has_arrived_is_the_answer(tmp_path: Path) -> None:
    script = Slow(events=(TextDelta(text="As far as I"), Finished(finish_reason="stop", usage=USED)))
    async with scripted_core(settings(tmp_path), script) as core:
        lazy = LazyCore(lambda: already(core))
        server = build(lazy, deadline_s=0.05)
        async with Client(server) as client:
            result = await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi"})

    assert data(result)["response"] == "As far as I"
    assert data(result)["truncated"] is True
    assert "cut at the deadline" in text(result)


@shows("route-all-failed", "route-secrets")
async def test_when_all_fail_every_attempt_is_told_and_no_key(tmp_path: Path, era: Era) -> None:
    script = Script(always=failure(ProviderUnavailable, status=503))
    async with client_on(tmp_path, script, era) as client:
        refused = await error(client, "route_prompt", prompt="Hi")

    assert refused.startswith("[provider_unavailable]")
    assert refused.count(script.calls[0].model.id) >= 1
    assert f"tried {len(script.calls)} times" in refused
    assert not any(key in refused for key in KEYS.values())


# ---------------------------------------------------------------- labels, prices, books


@shows("classify-label")
async def test_a_label_comes_without_a_call(tmp_path: Path, era: Era) -> None:
    script = answering()
    async with client_on(tmp_path, script, era) as client:
        result = await client.call_tool("dynaroute_classify_prompt", {"prompt": "Sort this list"})

    assert data(result) == {
        "category": "Code Generation",
        "level": 1,
        "complexity": "L1",
        "level_description": "Foundational recall & direct task",
        "cost_tier": "Lowest",
        "confidence": 1.0,
        "classifier": "L1",
        "alternatives": [],
        "signals": ["told so"],
        "difficulty": None,
    }
    assert "Code Generation, level 1 of 5" in text(result)
    assert script.calls == []


@shows("models-short")
async def test_models_are_short_by_default(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        short = await ok(client, "list_models")
        full = await ok(client, "list_models", detailed=True, search="GPT-4.1")

    assert (short["currency"], short["unit"]) == ("USD", "per_1m_tokens")
    assert isinstance(short["models"], list)
    assert set(short["models"][0]) == {
        "name",
        "litellm_id",
        "provider",
        "input_cost_per_million",
        "output_cost_per_million",
        "available",
    }
    assert isinstance(full["models"], list)
    (row,) = [row for row in full["models"] if row["name"] == "GPT-4.1"]
    assert (row["input_cost_per_million"], row["output_cost_per_million"]) == (2.0, 8.0)
    assert (row["litellm_id"], row["status"], row["retires_at"]) == (
        "openai/gpt-4.1",
        "deprecated",
        "2027-01-14",
    )
    assert "tools" in row["capabilities"]


@shows("models-filters")
async def test_filters_narrow_and_a_cut_says_so(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        result = await client.call_tool(
            "dynaroute_list_models",
            {"provider": "OpenAI", "capability": "vision", "level": 1, "available_only": True, "limit": 2},
        )
        none = await ok(client, "list_models", search="no such model")
        misspelt = await error(client, "list_models", provider="openia")
        refused = await error(client, "list_models", level=7)

    found = data(result)
    assert found["count"] == 2 < found["total"]
    assert {(row["provider"], row["available"]) for row in found["models"]} == {("openai", True)}
    assert f"2 of {found['total']} models" in text(result)
    assert (none["count"], none["models"]) == (0, [])
    assert "level must be 1" in refused
    assert "unknown provider 'openia'; did you mean openai, " in misspelt


@shows("cost-example")
async def test_the_published_example_is_priced(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        result = await client.call_tool(
            "dynaroute_calculate_cost", {"model_name": "Gemini 2.5 Flash", **COUNTS}
        )

    assert data(result) == {
        "model_name": "Gemini 2.5 Flash",
        "litellm_id": "gemini/gemini-2.5-flash",
        "prompt_tokens": 1_000,
        "completion_tokens": 500,
        "input_cost": 0.0003,
        "output_cost": 0.00125,
        "total_cost": 0.00155,
        "gpt41_equivalent_cost": 0.006,
        "savings": 0.00445,
        "savings_percentage": 74.17,
        "currency": "USD",
    }
    assert "$0.00155, GPT-4.1 $0.006, saved $0.00445 (74.17 %)" in text(result)


@shows("cost-dearer")
async def test_a_dearer_model_shows_a_loss(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        result = await client.call_tool(
            "dynaroute_calculate_cost", {"model_name": "Claude 4.5 Sonnet", **COUNTS}
        )

    assert (data(result)["savings"], data(result)["savings_percentage"]) == (-0.0045, -75.0)
    assert "$0.0045 dearer (75.00 %)" in text(result)


@shows("cost-unknown-model")
@pytest.mark.parametrize(
    ("tool", "name"), [("calculate_cost", "model_name"), ("get_cost_savings", "model_used")]
)
async def test_an_unknown_model_offers_the_nearest_names(tmp_path: Path, tool: str, name: str) -> None:
    async with client_on(tmp_path) as client:
        refused = await error(client, tool, **{name: "Claud 4.5 Sonet", **COUNTS})

    assert refused.startswith("[unknown_name] unknown model 'Claud 4.5 Sonet'; did you mean")
    assert "anthropic/claude-sonnet-4-5" in refused


@shows("cost-absurd")
@pytest.mark.parametrize("count", [-1, 10**20])
async def test_absurd_counts_are_refused(tmp_path: Path, count: int) -> None:
    async with client_on(tmp_path) as client:
        refused = await error(
            client, "calculate_cost", model_name="gpt-4.1", prompt_tokens=1, completion_tokens=count
        )

    assert "completion_tokens must be between 0 and 1,000,000,000" in refused


@shows("usage-apart")
async def test_simulated_calls_are_counted_apart(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path), answering()) as core:
        from_sandbox = replace(await core.caller(), sandbox=True)
        await core.router.complete(ASK, from_sandbox)
        await core.router.complete(ASK, await core.caller())
        async with in_memory(core) as client:
            result = await client.call_tool("dynaroute_get_usage_summary", {})

    found = data(result)
    assert (found["total_requests"], found["simulated_requests"], found["sandbox"]) == (1, 1, False)
    assert "1 more requests were simulated" in text(result)


# ---------------------------------------------------------------- arguments and failures


@shows("strict-arguments")
async def test_an_unknown_argument_is_named_with_the_nearest(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        near = await error(client, "route_prompt", prompt="x", level_overide=3)
        short = await error(client, "route_prompt", prompt="x", level=3)
        unlike = await error(client, "route_prompt", prompt="x", temperature=1)
        far = await error(client, "calculate_cost", model_name="gpt-4.1", **COUNTS, zzz=1)
        none = await error(client, "get_subscription", user_id="alice")

    assert near.endswith("there is no argument 'level_overide'; did you mean 'level_override'?")
    assert short.endswith("did you mean 'level_override'?")
    assert "there is no argument 'temperature'; it takes prompt, " in unlike
    assert far.endswith("there is no argument 'zzz'; it takes model_name, prompt_tokens, completion_tokens")
    assert none.endswith("there is no argument 'user_id'; it takes none")


@shows("strict-arguments")
async def test_of_thousands_of_unknown_arguments_a_few_are_told(tmp_path: Path, era: Era) -> None:
    unknown = dict.fromkeys((f"promp{number}" for number in range(2_000)), 1)
    async with client_on(tmp_path, era=era) as client:
        told = await error(client, "get_subscription", **unknown)

    assert told.count("there is no argument") == 20


@shows("wrong-types")
async def test_a_wrong_type_is_told_without_a_dump(tmp_path: Path, era: Era) -> None:
    async with client_on(tmp_path, era=era) as client:
        refused = await error(
            client, "route_prompt", prompt={"secret": [1]}, strategy=7, max_tokens="lots", level_override=2.5
        )
        missing = await error(client, "route_prompt")

    for name in ("prompt: ", "strategy: ", "max_tokens: ", "level_override: "):
        assert name in refused
    assert not any(word in refused for word in ("secret", "pydantic", "http", "ArgModel", "input_value"))
    assert missing.endswith("prompt is required")


@shows("unknown-tool")
async def test_an_unknown_tool_names_the_known_ones(tmp_path: Path) -> None:
    async with client_on(tmp_path) as client:
        result = await client.call_tool("../../etc/passwd", {})

    assert result.is_error
    assert "unknown tool '../../etc/passwd'; there are dynaroute_route_prompt" in text(result)


class Broken(Script):
    """Fails in a way that nobody foresaw."""

    async def before(self, call: Call) -> None:
        raise ZeroDivisionError("secret detail")


@shows("crash-hidden")
async def test_a_crash_shows_nothing_of_itself(tmp_path: Path) -> None:
    async with client_on(tmp_path, Broken()) as client:
        result = await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi"})
        after = await ok(client, "classify_prompt", prompt="Hi")

    assert result.is_error
    assert text(result) == "Error executing tool dynaroute_route_prompt"
    assert after["level"] == 1


@shows("no-core")
async def test_a_core_that_cannot_be_opened_is_told_until_it_can(tmp_path: Path, era: Era) -> None:
    broken = True

    @asynccontextmanager
    async def opener() -> AsyncIterator[Core]:
        if broken:
            raise ConfigurationInvalid("config.yaml: strategy: not a strategy")
        async with scripted_core(settings(tmp_path)) as core:
            yield core

    async with Client(build(LazyCore(opener)), mode=era) as client:
        refused = await error(client, "list_models")
        again = await error(client, "classify_prompt", prompt="Hi")
        broken = False
        found = await ok(client, "classify_prompt", prompt="Hi")

    assert refused == again == "[configuration_invalid] config.yaml: strategy: not a strategy"
    assert found["level"] == 1


class Silent(Script):
    """Is asked, and does not say anything for a while."""

    async def before(self, call: Call) -> None:
        await anyio.sleep(0.05)


@shows("route-silence")
async def test_silence_is_filled_with_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TELL_EVERY_S", 0.01)
    told: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async with client_on(tmp_path, Silent(events=answering().events)) as client:
        await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi"}, progress_callback=listen)

    assert told[0] == "still at it after 0.01 s"


def test_every_promise_has_a_test() -> None:
    assert BEHAVIOURS.keys() == COVERED
