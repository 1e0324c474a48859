"""`/v1/keys` over HTTP: terms and their change, rotation with a grace, providers' keys of a key's own."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.faces.gateway_door import ADMIN, door
from tests.scripted import HAIKU, Script

from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.store.driver import connect

MASTER = "a-master-key-of-more-than-32-characters"
SECRET = "sk-ant-api03-alices-very-own-key-9f0e"
TERMS = {
    "strategy": "best",
    "expires_at": "2027-01-01T00:00:00Z",
    "requests_per_minute": 5,
    "requests_per_day": 50,
    "tokens_per_month": 1000,
    "usd_per_month": 2.5,
    "models": ["gpt-4.1", "anthropic"],
    "exclude": ["deepseek"],
    "prefer": ["anthropic"],
    "rules": [{"category": "law", "model": "gpt-4.1"}, {"category": "*", "model": HAIKU}],
}


async def test_a_key_is_made_with_terms_shown_and_changed_field_by_field(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        key_id = (await at.client.post("/v1/keys", json=TERMS)).json()["key_id"]
        shown = (await at.client.get(f"/v1/keys/{key_id}")).json()
        changed = await at.client.patch(
            f"/v1/keys/{key_id}", json={"models": [], "requests_per_day": None, "exclude": ["openrouter"]}
        )

    assert shown["limits"] == {
        "requests_per_minute": 5,
        "requests_per_day": 50,
        "tokens_per_month": 1000,
        "usd_per_month": 2.5,
        "models": ["gpt-4.1", "anthropic"],
        "expires_at": "2027-01-01T00:00:00Z",
    }
    assert shown["preferences"]["rules"][0] == {"category": "Law", "model": "gpt-4.1"}
    after = changed.json()
    assert (after["limits"]["models"], after["limits"]["requests_per_day"]) == ([], None)
    assert after["preferences"] == shown["preferences"] | {"exclude": ["openrouter"]}
    assert after["limits"]["requests_per_minute"] == 5


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"requests_per_day": 0}, 400, "requests_per_day"),
        ({"usd_per_month": -1}, 400, "usd_per_month"),
        ({"usd_per_month": 1e-12}, 400, "usd_per_month"),
        ({"tokens_per_month": True}, 400, "tokens_per_month"),
        ({"owner": "bob"}, 400, "owner"),
        ({"plan": "pro"}, 400, "plan"),
        ({"exclude": ["gpt-4.11"]}, 404, "exclude"),
        ({"models": "gpt-4.1"}, 400, "models"),
        ({"rules": [{"category": "Lore", "model": "gpt-4.1"}]}, 400, "rules"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 409, "expires_at"),
    ],
)
async def test_a_wrong_change_is_refused_and_changes_nothing(
    tmp_path: Path, body: dict[str, Any], status: int, param: str
) -> None:
    async with door(tmp_path) as at:
        key_id = (await at.client.post("/v1/keys", json=TERMS)).json()["key_id"]
        before = (await at.client.get(f"/v1/keys/{key_id}")).json()
        refused = await at.client.patch(f"/v1/keys/{key_id}", json=body)

        assert (await at.client.get(f"/v1/keys/{key_id}")).json() == before
    error = refused.json()["error"]
    assert refused.status_code == status
    assert error["param"].startswith(param)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"owner": "bob"}, "owner: there is no such field"),
        ({"expires_at": "soon"}, "expires_at: send a time with its zone, such as 2027-01-31T00:00:00Z"),
        ({"expires_at": "2027-01-31"}, "expires_at: send a time with its zone, such as 2027-01-31T00:00:00Z"),
        (
            {"expires_at": "2027-13-31T00:00:00Z"},
            "expires_at: send a time with its zone, such as 2027-01-31T00:00:00Z",
        ),
        ({"expires_at": True}, "expires_at: send a time with its zone, such as 2027-01-31T00:00:00Z"),
        (
            {"rules": [{"category": "Laww", "model": HAIKU}]},
            "rules[0].category: there is no such category; did you mean Law? There are: Law, Business,",
        ),
    ],
)
async def test_a_wrong_term_is_refused_in_words_that_say_what_to_send(
    tmp_path: Path, body: dict[str, Any], said: str
) -> None:
    async with door(tmp_path) as at:
        key_id = (await at.client.post("/v1/keys", json=TERMS)).json()["key_id"]
        refused = await at.client.patch(f"/v1/keys/{key_id}", json=body)

    assert refused.json()["error"]["message"].startswith(said)


async def test_a_key_with_limits_lifts_none_of_them_but_may_rotate_itself(tmp_path: Path) -> None:
    async with door(tmp_path, encryption_key=MASTER) as at:
        made = (await at.client.post("/v1/keys", json={"requests_per_day": 9})).json()
        held, path = at.speaker(made["api_key"]), f"/v1/keys/{made['key_id']}"
        free = f"/v1/keys/{(await at.client.post('/v1/keys', json={})).json()['key_id']}"
        refused = [
            await held.patch(path, json={"requests_per_day": None}),
            await held.post("/v1/keys", json={}),
            await held.post(f"{path}/providers", json={"provider": "openai", "api_key": SECRET}),
            await held.delete(f"{path}/providers/openai"),
            await held.post(f"{free}/rotate"),
            await held.delete(free),
        ]
        rotated = await held.post(f"{path}/rotate")
        revoked = await at.speaker(rotated.json()["api_key"]).delete(path)

    assert [answer.status_code for answer in refused] == [403] * 6
    assert (rotated.status_code, rotated.json()["key_id"]) == (201, made["key_id"])
    assert revoked.status_code == 200


async def test_a_secret_on_its_way_out_hands_nothing_on(tmp_path: Path) -> None:
    async with door(tmp_path, encryption_key=MASTER) as at:
        made = (await at.client.post("/v1/keys", json={})).json()
        old, path = at.speaker(made["api_key"]), f"/v1/keys/{made['key_id']}"
        new = at.speaker((await old.post(f"{path}/rotate", json={"grace_s": 60})).json()["api_key"])
        refused = [
            await old.post(f"{path}/rotate", json={"grace_s": 60}),
            await old.post("/v1/keys", json={}),
            await old.patch(path, json={"requests_per_day": 1}),
            await old.post(f"{path}/providers", json={"provider": "openai", "api_key": SECRET}),
        ]
        chat = await old.post("/v1/classify", json={"prompt": "Hi"})
        again = await new.post(f"{path}/rotate")

    assert [answer.status_code for answer in refused] == [403] * 4
    assert (chat.status_code, again.status_code) == (200, 201)


async def test_limits_of_a_key_hold_beside_the_plan_and_the_answer_names_them(tmp_path: Path) -> None:
    async with door(tmp_path, Script()) as at:
        made = (await at.client.post("/v1/keys", json={"requests_per_minute": 2})).json()
        held = at.speaker(made["api_key"])
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        answers = [await held.post("/v1/chat/completions", json=body) for _ in range(3)]
        at.time.passed_s = 60
        later = await held.post("/v1/chat/completions", json=body)

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert later.status_code == 200
    assert "this key may make 2 requests a minute and has made 2;" in answers[2].json()["error"]["message"]
    assert [answer.headers["x-ratelimit-limit"] for answer in answers] == ["2"] * 3
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]


async def test_a_rotation_with_a_grace_tells_how_long_the_old_key_lives(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        made = (await at.client.post("/v1/keys", json={})).json()
        path = f"/v1/keys/{made['key_id']}/rotate"
        rotated = await at.client.post(path, json={"grace_s": 60})
        old, new = at.speaker(made["api_key"]), at.speaker(rotated.json()["api_key"])
        within = [await who.get("/v1/keys/verify") for who in (old, new)]
        at.time.passed_s = 60
        over = [await who.get("/v1/keys/verify") for who in (old, new)]
        too_long = await at.client.post(path, json={"grace_s": 604_801})

    assert rotated.json()["old_key_accepted_until"] == "2026-11-22T00:01:00Z"
    assert [answer.status_code for answer in within] == [200, 200]
    assert "newer key" in within[0].json()["message"]
    assert [answer.status_code for answer in over] == [401, 200]
    assert too_long.status_code == 400


async def test_providers_keys_are_taken_listed_masked_and_forgotten(tmp_path: Path) -> None:
    async with door(tmp_path, encryption_key=MASTER) as at:
        path = f"/v1/keys/{(await at.client.post('/v1/keys', json={})).json()['key_id']}/providers"
        added = await at.client.post(path, json={"provider": "Anthropic", "api_key": SECRET})
        listed = await at.client.get(path)
        keys = await at.client.get("/v1/keys")
        deleted = await at.client.delete(f"{path}/anthropic")
        again = await at.client.delete(f"{path}/anthropic")

    assert (added.status_code, added.json()["provider"]) == (201, "anthropic")
    assert listed.json()["providers"] == [added.json()]
    assert added.json()["masked_key"] == "sk-ant-a...9f0e"
    assert keys.json()["keys"][-1]["providers"] == [added.json()]
    assert deleted.json() == {"id": path.split("/")[3], "provider": "anthropic", "deleted": True}
    assert again.status_code == 404
    assert SECRET not in added.text + listed.text + keys.text + deleted.text


async def test_without_a_master_key_the_reason_and_the_remedy_are_told(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        path = f"/v1/keys/{(await at.client.post('/v1/keys', json={})).json()['key_id']}/providers"
        refused = await at.client.post(path, json={"provider": "openai", "api_key": SECRET})

    error = refused.json()["error"]
    assert (refused.status_code, error["reason"]) == (409, "no_encryption_key")
    assert "DYNAROUTE_ENCRYPTION_KEY" in error["message"]
    assert SECRET not in refused.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"provider": "nobody", "api_key": SECRET}, 404),
        ({"provider": "openai", "api_key": "sk\r\nX-Evil: 1"}, 400),
        ({"provider": "openai", "api_key": SECRET, "base_url": "http://169.254.169.254"}, 400),
        ({"provider": "sandbox", "api_key": SECRET}, 400),
    ],
)
async def test_a_wrong_providers_key_is_refused_without_being_repeated(
    tmp_path: Path, body: dict[str, Any], status: int
) -> None:
    async with door(tmp_path, encryption_key=MASTER) as at:
        path = f"/v1/keys/{(await at.client.post('/v1/keys', json={})).json()['key_id']}/providers"
        refused = await at.client.post(path, json=body)

    assert refused.status_code == status
    assert body["api_key"] not in refused.text
    assert "Evil" not in refused.text


async def test_another_owners_keys_are_out_of_reach_and_the_admin_reaches_all(tmp_path: Path) -> None:
    async with door(tmp_path, encryption_key=MASTER) as at:
        made = await at.core.accounts.generate_key("bob")
        path, body = f"/v1/keys/{made.row.key_id}", {"provider": "openai", "api_key": SECRET}
        for who, wanted in ((at.client, [404] * 5), (at.speaker(ADMIN), [200, 200, 201, 200, 200])):
            answers = [
                await who.get(path),
                await who.patch(path, json={"prefer": ["openai"]}),
                await who.post(f"{path}/providers", json=body),
                await who.get(f"{path}/providers"),
                await who.delete(f"{path}/providers/openai"),
            ]
            assert [answer.status_code for answer in answers] == wanted


async def test_models_that_only_a_keys_own_provider_serves_are_available_to_it(tmp_path: Path) -> None:
    async with door(tmp_path, encryption_key=MASTER, variables={"OPENAI_API_KEY": "sk-openai"}) as at:
        made = (await at.client.post("/v1/keys", json={"exclude": ["gpt-4.1"]})).json()
        path = f"/v1/keys/{made['key_id']}/providers"
        await at.client.post(path, json={"provider": "anthropic", "api_key": SECRET})
        for key, wanted in ((made["api_key"], True), (at.key, False)):
            shown = await at.speaker(key).get(f"/v1/models/{HAIKU}")
            assert shown.json()["available"] is wanted

    assert load_catalog().get_model(HAIKU).provider == "anthropic"


async def test_a_damaged_key_is_told_so_and_the_others_are_listed_beside_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with door(tmp_path) as at:
        new = (await at.client.post("/v1/keys", json={})).json()
        with closing(connect(at.core.settings.database)) as connection:
            connection.execute("UPDATE keys SET models = '{' WHERE key_id = ?", (new["key_id"],))
        listed = (await at.client.get("/v1/keys")).json()
        called = await at.speaker(new["api_key"]).get("/v1/models")
        shown = await at.client.get(f"/v1/keys/{new['key_id']}")

    assert (listed["count"], len(listed["keys"]), listed["unreadable"]) == (1, 1, 1)
    for reply in (called, shown):
        error = reply.json()["error"]
        assert (reply.status_code, error["reason"]) == (503, "store_corrupt")
        assert "dynaroute keys create" in error["message"]
    assert [r for r in caplog.records if new["key_id"] in str(vars(r).get("reason"))] != []
