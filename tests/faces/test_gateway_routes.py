"""The other routes: keys, usage, models, one-prompt routing, health, and the document that describes them all."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs are installed
from tests.faces.gateway_door import ADMIN, HELLO, door
from tests.scripted import START, Script, failure

from dynaroute_mcp.errors import ProviderGarbled
from dynaroute_mcp.gateway.routes import OPERATIONS
from dynaroute_mcp.gateway.routing import Preferences, strategy_for
from dynaroute_mcp.providers.base import Call
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import (
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    TokenChance,
    ToolCallDelta,
    Usage,
)

USAGE = Usage(uncached_input_tokens=1_000, output_tokens=500)


class Stumbling(Script):
    """Providers of which every other call gives an answer that can't be used."""

    async def before(self, call: Call) -> None:
        if len(self.calls) % 2:
            raise failure(ProviderGarbled)(call)


async def test_a_key_makes_lists_rotates_and_revokes_keys_of_its_own_owner(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        made = await at.client.post("/v1/keys", json={"strategy": "best"})
        rotated = await at.client.post(f"/v1/keys/{made.json()['key_id']}/rotate", json={})
        old = await at.speaker(made.json()["api_key"]).get("/v1/keys/verify")
        new = await at.speaker(rotated.json()["api_key"]).get("/v1/keys/verify")
        revoked = await at.client.delete(f"/v1/keys/{rotated.json()['key_id']}")
        again = await at.client.delete(f"/v1/keys/{rotated.json()['key_id']}")
        listed = await at.client.get("/v1/keys")

    assert (made.status_code, rotated.status_code) == (201, 201)
    assert made.json()["api_key"].startswith("dr_")
    assert (old.status_code, new.status_code) == (401, 200)
    assert (new.json()["valid"], new.json()["user_id"]) == (True, "alice")
    assert (revoked.json()["already_revoked"], again.json()["already_revoked"]) == (False, True)
    assert [key["status"] for key in listed.json()["keys"]] == ["active", "revoked"]
    assert made.json()["api_key"] not in listed.text


async def test_a_key_that_works_no_more_cannot_be_rotated(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        key_id = (await at.client.post("/v1/keys", json={})).json()["key_id"]
        await at.client.delete(f"/v1/keys/{key_id}")
        response = await at.client.post(f"/v1/keys/{key_id}/rotate")

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"user_id": "bob"}, 403),
        ({"plan": "enterprise"}, 403),
        ({"is_admin": True}, 400),
        ({"hash": "aa"}, 400),
        ({"user_id": "a\u202eb"}, 400),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 409),
        ({"expires_at": "soon"}, 400),
    ],
)
async def test_a_key_slips_nothing_into_a_new_key(tmp_path: Path, body: Any, status: int) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post("/v1/keys", json=body)

    assert response.status_code == status


async def test_another_owners_key_looks_like_one_that_does_not_exist(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        key_id = (await at.core.accounts.generate_key("bob")).row.key_id
        answers = [
            await at.client.delete(f"/v1/keys/{key_id}"),
            await at.client.post(f"/v1/keys/{key_id}/rotate"),
            await at.client.get(f"/v1/usage/{key_id}"),
            await at.client.get(f"/v1/usage/{key_id}/savings"),
        ]
        listing = await at.client.get("/v1/keys", params={"user_id": "bob"})

    assert [answer.status_code for answer in answers] == [404] * 4
    assert listing.status_code == 403


async def test_a_test_key_manages_test_keys_only(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        tester = at.speaker(await at.key_for("alice", sandbox=True))
        made = await tester.post("/v1/keys", json={})
        real = (await at.core.store.list_keys("alice"))[0].key_id
        refused = await tester.delete(f"/v1/keys/{real}")

    assert made.json()["api_key"].startswith("dr_test_")
    assert refused.status_code == 403


async def test_a_test_key_sees_and_corrects_what_test_keys_did_only(tmp_path: Path) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        tester = at.speaker(await at.key_for("alice", sandbox=True))
        real, test = [row.key_id for row in await at.core.store.list_keys("alice")]
        answers = [await client.post("/v1/chat/completions", json=HELLO) for client in (at.client, tester)]
        kept = [answer.json()["_custom_routing_info"]["request_id"] for answer in answers]
        paths = [f"/v1/{path}" for path in (f"keys/{real}", f"usage/{real}", f"usage/{real}/savings")]
        refused = [(await tester.get(path)).status_code for path in paths]
        own = [(await tester.get(path.replace(real, test))).status_code for path in paths]
        listed = [row["key_id"] for row in (await tester.get("/v1/keys")).json()["keys"]]
        feedback = [{"request_id": each, "prompt": "Hello", "level": 2} for each in kept]
        corrected = [(await tester.post("/v1/feedback", json=each)).status_code for each in feedback]
        by_real = [(await at.client.post("/v1/feedback", json=each)).status_code for each in feedback]

    assert (refused, own) == ([403] * 3, [200] * 3)
    assert listed == [test]
    assert corrected == [404, 201]
    assert by_real == [201, 201]


async def test_the_operator_manages_everybodys_keys(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        operator = at.speaker(ADMIN)
        expires = (START + timedelta(days=1)).isoformat()
        made = await operator.post("/v1/keys", json={"name": "bob", "plan": "pro", "expires_at": expires})
        everybody = await operator.get("/v1/keys")
        bob = await operator.get("/v1/keys", params={"user_id": "bob"})
        verified = await operator.get("/v1/keys/verify")

    assert (made.json()["user_id"], made.json()["tier"]) == ("bob", "pro")
    assert (everybody.json()["count"], bob.json()["count"]) == (2, 1)
    assert verified.status_code == 400


async def test_usage_tells_the_callers_own_and_each_keys_sums(tmp_path: Path) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        for _ in range(2):
            await at.chat()
        other = at.speaker(await at.key_for("alice"))
        await other.post("/v1/chat/completions", json=HELLO)
        key_id = (await at.core.store.list_keys("alice"))[0].key_id
        own = (await at.client.get("/v1/usage")).json()
        of_key = (await at.client.get(f"/v1/usage/{key_id}", params={"period": "today"})).json()
        saved = (await at.client.get(f"/v1/usage/{key_id}/savings")).json()
        everybody = (await at.speaker(ADMIN).get("/v1/usage")).json()

    assert own["requests"] == {"total": 3, "successful": 3, "failed": 0, "success_rate": 100.0}
    assert own["tokens"]["total"] == 4_500
    assert own["rate_limits"]["requests_per_minute"] == {"limit": 100, "used": 3}
    assert (of_key["total_requests"], of_key["total_tokens"]) == (2, 3_000)
    assert list(of_key["models_used"].values()) == [2]
    assert (saved["total_requests"], saved["request_count"], saved["period"]) == (2, 2, "month")
    assert saved["saved"] == pytest.approx(saved["baseline_cost"] - saved["total_cost"])
    assert everybody["requests"]["total"] == 3
    assert everybody["rate_limits"]["monthly_spend"]["limit"] is None


async def test_an_unknown_period_is_refused(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.client.get("/v1/usage", params={"period": "decade"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "period")


async def test_models_are_listed_for_clients_of_both_contracts(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        listed = (await at.client.get("/v1/models")).json()
        filtered = (
            await at.client.get(
                "/v1/models",
                params={"provider": "openai", "capabilities": "tools,vision", "routable_only": "true"},
            )
        ).json()
        nothing = (await at.client.get("/v1/models", params={"task_type": "video"})).json()
        refused = await at.client.get("/v1/models", params={"routable_only": "maybe"})
        misspelt = await at.client.get("/v1/models", params={"provider": "openia"})
        unfiltered = (await at.client.get("/v1/models", params={"provider": ""})).json()

    assert listed["object"] == "list"
    assert listed["data"] == listed["models"]
    assert listed["total"] == len(listed["data"]) > 20
    assert {row["price_tier"] for row in listed["data"]} >= {
        "economy",
        "standard",
        "balanced",
        "premium",
        "flagship",
    }
    assert (misspelt.status_code, misspelt.json()["error"]["param"]) == (404, "provider")
    assert "did you mean openai, " in misspelt.json()["error"]["message"]
    assert unfiltered == listed
    assert filtered["data"]
    assert all(row["provider"] == "openai" and row["available"] for row in filtered["data"])
    assert all({"tools", "vision"} <= set(row["capabilities"]) for row in filtered["data"])
    assert nothing["total"] == 0
    assert refused.status_code == 400


@pytest.mark.parametrize("name", ["openai/gpt-4.1", "gpt-4.1", "GPT-4.1"])
async def test_a_model_is_found_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    async with door(tmp_path) as at:
        found = await at.client.get(f"/v1/models/{name}")
        unknown = await at.client.get("/v1/models/nobody/nothing")

    assert found.json()["id"] == "openai/gpt-4.1"
    assert found.json()["pricing"]["output_per_million_tokens"] == 8.0
    assert found.json()["retires_at"] == "2027-01-14"
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "model")


async def test_one_prompt_is_routed_with_its_published_defaults(tmp_path: Path) -> None:
    async with door(tmp_path, Script(usage=USAGE)) as at:
        response = await at.client.post(
            "/v1/route",
            json={
                "prompt": "Hi",
                "user_preferences": {"cost_weight": 0.7, "quality_weight": 0.3},
                "level_override": 2,
            },
        )

    body, sent = response.json(), at.script.calls[0].request
    assert (sent.parameters.max_tokens, sent.parameters.temperature) == (150, 0.7)
    assert sent.routing.strategy is Strategy.CHEAPEST
    assert body["usage"] == {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500}
    assert body["cost"]["baseline"] == 0.006
    assert (body["routing"]["level"], body["routing"]["complexity_score"]) == (2, 0.25)
    assert body["request_id"].startswith("req_")


async def test_tokens_of_a_failed_try_stand_where_its_dollars_do_and_openai_s_usage_is_the_answers(
    tmp_path: Path,
) -> None:
    async with door(tmp_path, Stumbling(usage=USAGE, told=Reported(input=2_000, output=300))) as at:
        answer = (await at.chat()).json()
        use = (await at.client.get("/v1/usage")).json()
        routed = (await at.client.post("/v1/route", json={"prompt": "Hi"})).json()

    assert answer["usage"]["prompt_tokens"] == 1_000
    assert use["tokens"] == {"prompt": 3_000, "completion": 800, "total": 3_800}
    assert use["cost"]["actual"] == round(answer["usage"]["cost"]["total_cost"], 6)
    assert routed["usage"] == {"prompt_tokens": 3_000, "completion_tokens": 800, "total_tokens": 3_800}


@pytest.mark.parametrize(
    ("cost", "quality", "strategy"),
    [
        (0.7, 0.3, Strategy.CHEAPEST),
        (0.5, 0.5, Strategy.BALANCED),
        (0.2, 0.8, Strategy.BEST),
        (0, 0, Strategy.BALANCED),
    ],
)
def test_two_thirds_of_the_weights_decide(cost: float, quality: float, strategy: Strategy) -> None:
    assert strategy_for(Preferences(cost_weight=cost, quality_weight=quality)) is strategy


async def test_a_prompt_is_classified_without_a_call(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        label = (await at.client.post("/v1/classify", json={"prompt": "Write a loop"})).json()
        empty = await at.client.post("/v1/classify", json={"prompt": " \n"})

    assert (label["category"], label["level"]) == ("Code Generation", 1)
    assert empty.status_code == 400
    assert at.script.calls == []


async def test_usage_tells_how_long_calls_took_by_rank_and_on_average(tmp_path: Path) -> None:
    class Slower(Script):
        async def before(self, _call: object) -> None:
            at.time.passed_s += len(self.calls)

    async with door(tmp_path, Slower()) as at:
        before = (await at.client.get("/v1/usage")).json()["latency_ms"]
        for number in range(4):
            await at.chat(stream=number == 0)
        after = (await at.client.get("/v1/usage")).json()["latency_ms"]

    assert set(before.values()) == {None}
    assert (after["p50"], after["p95"], after["mean"]) == (2_000, 4_000, 2_500)
    assert (after["first_token_p50"], after["first_token_p95"]) == (1_000, 1_000)


async def test_health_and_readiness_need_no_key(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        health, ready = await at.stranger.get("/health"), await at.stranger.get("/ready")

    assert health.json() == {"status": "ok"}
    assert ready.json() == {"status": "ready", "providers": 3}


async def test_the_document_describes_every_route_and_answers_have_the_shapes_it_tells(
    tmp_path: Path,
) -> None:
    async with door(tmp_path, Script(usage=USAGE), encryption_key="m" * 16 + "k" * 16) as at:
        document = (await at.stranger.get("/openapi.json")).json()
        key_id = (await at.client.post("/v1/keys", json={})).json()["key_id"]
        answers = {
            ("post", "/v1/chat/completions"): await at.chat(),
            ("post", "/v1/responses"): await at.client.post("/v1/responses", json={"input": "Hi"}),
            ("post", "/v1/route"): await at.client.post("/v1/route", json={"prompt": "Hi"}),
            ("post", "/v1/classify"): await at.client.post("/v1/classify", json={"prompt": "Hi"}),
            ("get", "/v1/models"): await at.client.get("/v1/models"),
            ("get", "/v1/models/{model}"): await at.client.get("/v1/models/gpt-4.1"),
            ("get", "/v1/usage"): await at.client.get("/v1/usage"),
            ("get", "/v1/usage/{id}"): await at.client.get(f"/v1/usage/{key_id}"),
            ("get", "/v1/usage/{id}/savings"): await at.client.get(f"/v1/usage/{key_id}/savings"),
            ("post", "/v1/keys"): await at.client.post("/v1/keys", json={}),
            ("get", "/v1/keys"): await at.client.get("/v1/keys"),
            ("get", "/v1/keys/verify"): await at.client.get("/v1/keys/verify"),
            ("get", "/v1/keys/{id}"): await at.client.get(f"/v1/keys/{key_id}"),
            ("patch", "/v1/keys/{id}"): await at.client.patch(f"/v1/keys/{key_id}", json={}),
            ("post", "/v1/keys/{id}/rotate"): await at.client.post(f"/v1/keys/{key_id}/rotate"),
            ("post", "/v1/keys/{id}/providers"): await at.client.post(
                f"/v1/keys/{key_id}/providers", json={"provider": "openai", "api_key": "sk-12345678"}
            ),
            ("get", "/v1/keys/{id}/providers"): await at.client.get(f"/v1/keys/{key_id}/providers"),
            ("delete", "/v1/keys/{id}/providers/{provider}"): await at.client.delete(
                f"/v1/keys/{key_id}/providers/openai"
            ),
            ("delete", "/v1/keys/{id}"): await at.client.delete(f"/v1/keys/{key_id}"),
            ("get", "/ready"): await at.client.get("/ready"),
        }

    assert set(document["paths"]) == {path for each in OPERATIONS for path in (each.path, *each.aliases)}
    for (method, path), answer in answers.items():
        told = document["paths"][path][method]["responses"][str(answer.status_code)]
        schema = told["content"]["application/json"]["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(answer.json())


async def test_a_cached_answer_costs_nothing_and_belongs_to_one_key(tmp_path: Path) -> None:
    ttl = {"X-GR-Cache-TTL": "60"}
    async with door(tmp_path, Script(usage=USAGE)) as at:
        post = at.client.post
        miss = await post("/v1/chat/completions", json=HELLO, headers=ttl)
        hit = await post("/v1/chat/completions", json=HELLO, headers=ttl)
        streamed = await post("/v1/chat/completions", json=HELLO | {"stream": True}, headers=ttl)
        other = await post("/v1/chat/completions", json=HELLO | {"temperature": 1}, headers=ttl)
        stranger = await at.speaker(await at.key_for("alice")).post(
            "/v1/chat/completions", json=HELLO, headers=ttl
        )
        at.time.passed_s = 61
        late = await post("/v1/chat/completions", json=HELLO, headers=ttl)
        never = await post("/v1/chat/completions", json=HELLO)

    told = [each.headers.get("X-GR-Cache") for each in (miss, hit, streamed, other, stranger, late, never)]
    assert told == ["MISS", "HIT", "HIT", "MISS", "MISS", "MISS", None]
    assert hit.json()["choices"] == miss.json()["choices"]
    assert hit.json()["usage"]["cost"]["total_cost"] == 0
    assert hit.headers["X-TokenRouter-Cost"] == "0.000000"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert len(at.script.calls) == 5


async def test_settings_that_are_read_anew_begin_with_an_empty_cache(tmp_path: Path) -> None:
    ttl = {"X-GR-Cache-TTL": "60"}
    async with door(tmp_path) as at:
        await at.client.post("/v1/chat/completions", json=HELLO, headers=ttl)
        at.core = replace(at.core, settings=at.core.settings.model_copy())
        again = await at.client.post("/v1/chat/completions", json=HELLO, headers=ttl)

    assert again.headers["X-GR-Cache"] == "MISS"


async def test_a_cached_answer_saves_the_whole_baseline_whichever_it_is_measured_against(
    tmp_path: Path,
) -> None:
    ttl = {"X-GR-Cache-TTL": "60"}
    async with door(tmp_path, Script(usage=USAGE)) as at:
        miss, hit = [await at.client.post("/v1/chat/completions", json=HELLO, headers=ttl) for _ in range(2)]

    cost = hit.json()["usage"]["cost"]
    assert (cost["savings"], cost["savings_percentage"]) == (cost["gpt41_total_cost"], 100)
    spent, saved = (Decimal(miss.headers[f"X-TokenRouter-{name}"]) for name in ("Cost", "Saved"))
    assert spent > 0
    assert Decimal(hit.headers["X-TokenRouter-Saved"]) == spent + saved
    assert hit.headers["X-TokenRouter-Saved-Pct"] == "100.0"


@pytest.mark.parametrize(
    "event",
    [
        ReasoningDelta(text="h" * 200_000),
        ToolCallDelta(index=0, id="call_1", name="write", arguments="h" * 200_000),
        TextDelta(text="Hi", logprobs=(TokenChance(token="Hi", logprob=-0.1),) * 10_000),
    ],
)
async def test_an_answer_that_is_long_in_any_part_is_not_kept(tmp_path: Path, event: StreamEvent) -> None:
    ask, ttl = HELLO | {"stream": True}, {"X-GR-Cache-TTL": "60"}
    script = Script(events=(event, Finished(finish_reason="stop", usage=USAGE)))
    async with door(tmp_path, script) as at:
        told = [await at.client.post("/v1/chat/completions", json=ask, headers=ttl) for _ in range(2)]

    assert [each.headers["X-GR-Cache"] for each in told] == ["MISS", "MISS"]


async def test_an_answer_is_not_kept_beyond_a_change_of_what_its_key_may_use(tmp_path: Path) -> None:
    ttl = {"X-GR-Cache-TTL": "60"}
    async with door(tmp_path) as at:
        speaker = at.speaker(await at.key_for("carol"))
        key_id = (await speaker.get("/v1/keys")).json()["keys"][0]["key_id"]
        before = [await speaker.post("/v1/chat/completions", json=HELLO, headers=ttl) for _ in range(2)]
        used = before[0].headers["X-TokenRouter-Model"]
        changed = await at.speaker(ADMIN).patch(f"/v1/keys/{key_id}", json={"exclude": [used]})
        after = await speaker.post("/v1/chat/completions", json=HELLO, headers=ttl)

    assert changed.status_code == 200
    assert [each.headers["X-GR-Cache"] for each in before] == ["MISS", "HIT"]
    assert after.headers.get("X-GR-Cache") != "HIT"
    assert after.headers.get("X-TokenRouter-Model") != used


@pytest.mark.parametrize("ttl", ["-1", "soon", "1e3", "9" * 12])
async def test_a_time_to_keep_answers_is_whole_seconds(tmp_path: Path, ttl: str) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post("/v1/chat/completions", json=HELLO, headers={"X-GR-Cache-TTL": ttl})

    assert response.json()["error"]["param"] == "X-GR-Cache-TTL"


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/v1/responses/compact", "send the whole conversation as `input` to POST /v1/responses"),
        ("/v1/responses/", "it is /v1/responses: check the base URL"),
        ("/v1/completions", "send `messages` to POST /v1/chat/completions"),
        ("/v1/embeddings", "there are no embeddings here"),
        ("/v1/v1/chat/completions", "it is /v1/chat/completions: check the base URL"),
        ("/v1/chat/completions/", "it is /v1/chat/completions: check the base URL"),
        ("/keys/verify", "it is /v1/keys/verify: check the base URL"),
        ("/v1/images/generations", "GET /openapi.json lists them"),
        ("/v1", "GET /openapi.json lists them"),
    ],
)
async def test_an_address_that_there_is_not_says_where_to_go(tmp_path: Path, path: str, advice: str) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post(path, json={"model": "auto", "input": "Hello"})

    error = response.json()["error"]
    assert (response.status_code, error["type"], error["reason"]) == (404, "not_found_error", "not_found")
    assert advice in error["message"]


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/messages", "/v1/v1/messages", "/v1/messages/count_tokens"]
)
async def test_anthropics_api_is_refused_with_a_status_whose_message_claude_code_shows(
    tmp_path: Path, path: str
) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post(f"{path}?beta=true", json={"model": "claude-opus-5"})

    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error")
    assert "Anthropic's Messages API is not spoken here" in error["message"]


async def test_a_client_that_takes_text_completions_is_told_which_setting_changes_that(
    tmp_path: Path,
) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post("/v1/completions", json={"model": "auto", "prompt": "Hello"})

    message = response.json()["error"]["message"]
    settings = ("ChatOpenAI", "is_chat_model=True", "chatModel('auto')")
    assert [setting for setting in settings if setting not in message] == []


async def test_the_404_for_an_unknown_model_offers_the_router(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        asked = await at.client.post("/v1/chat/completions", json={**HELLO, "model": "gpt-3.5-turbo"})
        looked_up = await at.client.get("/v1/models/gpt-3.5-turbo")

    for response in (asked, looked_up):
        assert (response.status_code, response.json()["error"]["param"]) == (404, "model")
        assert "unknown model 'gpt-3.5-turbo'; did you mean " in response.json()["error"]["message"]
        assert response.json()["error"]["message"].endswith("(`auto` lets the router choose)")


async def test_models_are_listed_for_a_base_url_without_v1_too(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.client.get("/models")
        usual = await at.client.get("/v1/models")

    assert response.status_code == 200
    assert response.json() == usual.json()
