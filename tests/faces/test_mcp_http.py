"""The HTTP face: who is let in, and what each may touch."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send
from tests.faces.mcp_clients import ADMIN, Era, app_of, data, http, in_memory, over_http, text
from tests.scripted import Script, scripted_core, settings

from dynaroute_mcp.accounts import Terms
from dynaroute_mcp.errors import ConfigurationInvalid, StoreUnavailable
from dynaroute_mcp.mcp_server import bodies, web
from dynaroute_mcp.mcp_server.access import OPERATOR, STRANGER, Visitor, remember_visitor, visitor
from dynaroute_mcp.mcp_server.bodies import MAX_BODY_BYTES, MAX_VALUES
from dynaroute_mcp.mcp_server.opening import check_binding
from dynaroute_mcp.mcp_server.web import create_app
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.sites import is_loopback
from dynaroute_mcp.types import Finished, TextDelta, Usage

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    },
}
JSON_OR_STREAM = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    script = Script(
        events=(TextDelta(text="Hi"), Finished(finish_reason="stop", usage=Usage(output_tokens=5)))
    )
    async with scripted_core(settings(tmp_path), script) as opened:
        yield opened


@dataclass
class Arrived:
    """A message with the HTTP request that brought it."""

    request: Request


async def post(core: Core, *, admin: str | None = ADMIN, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http(app_of(core, admin=admin)) as client:
        return await client.post("/mcp", json=INITIALIZE, headers=JSON_OR_STREAM | named)


async def new_key(core: Core, owner: str, *, sandbox: bool = False) -> str:
    return (await core.accounts.generate_key(owner, sandbox=sandbox)).secret


# ---------------------------------------------------------------- the gate


async def test_nobody_gets_in_without_a_key(core: Core) -> None:
    reply = await post(core)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="DynaRoute"'
    assert "dynaroute keys create" in reply.json()["error_description"]


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer dr_wrong", "bearer sk-of-another-service"])
async def test_a_key_of_another_service_is_refused(core: Core, given: str) -> None:
    reply = await post(core, Authorization=given)

    assert reply.status_code == 401
    assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize("given", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer  "])
async def test_other_schemes_are_no_key(core: Core, given: str) -> None:
    assert (await post(core, Authorization=given)).status_code == 401


async def test_the_admin_token_opens_and_without_one_it_does_not(core: Core) -> None:
    assert (await post(core, Authorization=f"Bearer {ADMIN}")).status_code == 200
    assert (await post(core, admin=None, Authorization=f"Bearer {ADMIN}")).status_code == 401
    assert (await post(core, admin=None, Authorization="Bearer ")).status_code == 401


async def test_a_key_opens_until_it_is_revoked(core: Core) -> None:
    key = await new_key(core, "alice")
    before = await post(core, admin=None, Authorization=f"Bearer {key}")
    await core.accounts.revoke_key(key)
    after = await post(core, admin=None, Authorization=f"Bearer {key}")

    assert (before.status_code, after.status_code) == (200, 401)


@pytest.mark.parametrize(
    "host", ["evil.example:8080", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::1"]
)
async def test_a_foreign_host_is_refused_before_anything_else(core: Core, host: str) -> None:
    assert (await post(core, Host=host)).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8000", "10.1.2.3:8000", "app.localhost"])
async def test_loopback_names_and_bare_addresses_are_served(core: Core, host: str) -> None:
    assert (await post(core, Host=host, Authorization=f"Bearer {ADMIN}")).status_code == 200


async def test_an_allowed_name_is_served(core: Core) -> None:
    app = create_app(core.settings, allowed_hosts=["Router.Example"])
    async with http(app) as client:
        reply = await client.get(
            "/health", headers={"Host": "router.example:443", "Origin": "https://router.example"}
        )

    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "null",
        "http://10.6.6.6",
        "file://localhost",
        "//[",
    ],
)
async def test_a_foreign_page_is_refused(core: Core, origin: str) -> None:
    assert (await post(core, Origin=origin, Authorization=f"Bearer {ADMIN}")).status_code == 403


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:1"])
async def test_a_page_on_this_machine_is_served(core: Core, origin: str) -> None:
    assert (await post(core, Origin=origin, Authorization=f"Bearer {ADMIN}")).status_code == 200


async def test_a_form_post_reaches_no_tool(core: Core) -> None:
    async with http(app_of(core), Authorization=f"Bearer {ADMIN}") as client:
        reply = await client.post("/mcp", content="{}", headers={"Content-Type": "text/plain"})

    assert reply.status_code == 400


async def test_a_body_too_large_is_refused_in_words(core: Core) -> None:
    async with http(app_of(core), Authorization=f"Bearer {ADMIN}") as client:
        reply = await client.post(
            "/mcp", content=b"x" * (MAX_BODY_BYTES + 1), headers={"Content-Type": "application/json"}
        )

    assert (reply.status_code, reply.text) == (413, "Request body too large")


async def test_a_message_of_thousands_of_values_is_refused_before_they_take_minutes(core: Core) -> None:
    call: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    crowded = call | {"params": {"name": "x", "arguments": {"prompt": [0] * (MAX_VALUES + 1)}}}
    wordy = INITIALIZE | {"id": "a, " * MAX_VALUES}
    async with http(app_of(core), Authorization=f"Bearer {ADMIN}") as client:
        refused = await client.post("/mcp", json=crowded, headers=JSON_OR_STREAM)
        served = await client.post("/mcp", json=wordy, headers=JSON_OR_STREAM)
        broken = await client.post(
            "/mcp", content="," * MAX_VALUES, headers=JSON_OR_STREAM | {"Content-Type": "application/json"}
        )

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert "more than 10,000 values" in refused.json()["error_description"]
    assert served.status_code == 200
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, -32700)


async def test_a_message_that_does_not_come_is_not_waited_for(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    monkeypatch.setattr(bodies, "BODY_S", 0.01)
    async with http(app_of(core), Authorization=f"Bearer {ADMIN}") as client:
        with anyio.fail_after(5):
            late = await client.post("/mcp", content=never(), headers=JSON_OR_STREAM)

    assert (late.status_code, late.json()["error"]) == (408, "body_timeout")


async def test_a_guessed_session_does_not_exist(core: Core) -> None:
    assert (await post(core, Mcp_Session_Id="1", Authorization=f"Bearer {ADMIN}")).status_code == 404


async def test_a_session_belongs_to_the_key_that_opened_it(core: Core) -> None:
    alice, bob = await new_key(core, "alice"), await new_key(core, "bob")
    async with http(app_of(core)) as client:
        opened = await client.post(
            "/mcp", json=INITIALIZE, headers=JSON_OR_STREAM | {"Authorization": f"Bearer {alice}"}
        )
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
        stolen = await client.post(
            "/mcp", json=INITIALIZE, headers=JSON_OR_STREAM | session | {"Authorization": f"Bearer {bob}"}
        )

    assert stolen.status_code == 404


async def test_a_database_that_is_away_is_said(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_key: str) -> None:
        raise StoreUnavailable("database /srv/dynaroute.db: it is locked", public="the database is locked")

    monkeypatch.setattr(core.accounts, "caller_for", away)

    reply = await post(core, Authorization="Bearer dr_any")

    assert (reply.status_code, reply.json()["error"]) == (503, "store_unavailable")
    assert reply.json()["error_description"] == "the database is locked"


@pytest.mark.parametrize("path", ["/sse", "/messages/?session_id=1", "/mcp", "/no-such-path"])
async def test_every_path_but_health_is_behind_the_gate(core: Core, path: str) -> None:
    async with http(app_of(core)) as client:
        assert (await client.get(path)).status_code == 401
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("transport", "mcp", "sse"), [("sse", 404, 405), ("streamable-http", 406, 404), ("http", 406, 405)]
)
async def test_a_transport_that_was_not_asked_for_is_not_there(
    core: Core, transport: web.Transport, mcp: int, sse: int
) -> None:
    chosen = core.settings.model_copy(update={"admin_token": SecretStr(ADMIN)})
    app = create_app(chosen, transport=transport)
    async with http(app, Authorization=f"Bearer {ADMIN}") as client:
        assert (await client.post("/mcp", json={}, headers={"Accept": "text/html"})).status_code == mcp
        assert (await client.post("/sse", json={})).status_code == sse


# ---------------------------------------------------------------- what each may touch


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_key_manages_its_own_owners_keys_only(core: Core, era: Era) -> None:
    alice, bob = await new_key(core, "alice"), await new_key(core, "bob")
    async with over_http(app_of(core), alice, era) as client:
        own = data(await client.call_tool("dynaroute_generate_api_key", {"user_id": "alice"}))
        listed = data(await client.call_tool("dynaroute_list_api_keys", {"user_id": "alice"}))
        foreign = [
            await client.call_tool("dynaroute_generate_api_key", {"user_id": "bob"}),
            await client.call_tool("dynaroute_list_api_keys", {"user_id": "bob"}),
            await client.call_tool("dynaroute_revoke_api_key", {"api_key": bob}),
        ]
        revoked = data(await client.call_tool("dynaroute_revoke_api_key", {"api_key": own["api_key"]}))

    assert (listed["count"], revoked["success"]) == (2, True)
    assert [result.is_error for result in foreign] == [True, True, True]
    assert text(foreign[0]).startswith("[permission_denied]")
    assert (await core.accounts.verify_key(bob)).state == "active"


async def test_a_key_sees_its_own_use_only(core: Core) -> None:
    alice, bob = await new_key(core, "alice"), await new_key(core, "bob")
    async with over_http(app_of(core), alice) as client:
        data(await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi"}))
        hers = data(await client.call_tool("dynaroute_get_usage_summary", {}))
    async with over_http(app_of(core), bob) as client:
        his = data(await client.call_tool("dynaroute_get_usage_summary", {}))
        read = await client.read_resource("dynaroute://usage")

    assert (hers["total_requests"], hers["subscription"]["user_id"]) == (1, "alice")
    assert (his["total_requests"], his["subscription"]["user_id"]) == (0, "bob")
    assert '"user_id": "bob"' in str(read.contents[0])


async def test_a_test_key_makes_and_revokes_test_keys_only(core: Core) -> None:
    live, test = await new_key(core, "alice"), await new_key(core, "alice", sandbox=True)
    async with over_http(app_of(core), test) as client:
        made = data(await client.call_tool("dynaroute_generate_api_key", {"user_id": "alice"}))
        refused = await client.call_tool("dynaroute_revoke_api_key", {"api_key": live})
        revoked = data(await client.call_tool("dynaroute_revoke_api_key", {"api_key": made["api_key"]}))

    assert made["api_key"].startswith("dr_test_")
    assert refused.is_error
    assert revoked["success"]
    assert (await core.accounts.verify_key(live)).state == "active"


async def test_a_test_key_lists_test_keys_only(core: Core) -> None:
    await new_key(core, "alice")
    test = await new_key(core, "alice", sandbox=True)
    async with over_http(app_of(core), test) as client:
        listed = data(await client.call_tool("dynaroute_list_api_keys", {"user_id": "alice"}))

    assert [row["masked_key"][:8] for row in listed["keys"]] == ["dr_test_"]


async def test_by_its_id_too_a_key_revokes_only_what_it_may(core: Core) -> None:
    rows = {
        name: await core.accounts.generate_key(name.split("-")[0], sandbox="test" in name)
        for name in ("alice", "alice-2", "alice-test", "bob")
    }
    ids = {name: new.row.key_id for name, new in rows.items()}
    async with over_http(app_of(core), rows["alice"].secret) as client:
        foreign = await client.call_tool("dynaroute_revoke_api_key", {"api_key": ids["bob"]})
        own = data(await client.call_tool("dynaroute_revoke_api_key", {"api_key": ids["alice-2"]}))
    async with over_http(app_of(core), rows["alice-test"].secret) as client:
        live = await client.call_tool("dynaroute_revoke_api_key", {"api_key": ids["alice"]})

    assert text(foreign).startswith("[not_found] no key has the id")
    assert text(live).startswith("[not_found] no such key among those")
    assert own["success"]
    states = [(await core.accounts.verify_key(rows[name].secret)).state for name in ("alice", "bob")]
    assert states == ["active", "active"]


async def test_a_key_with_limits_of_its_own_revokes_itself_and_no_other(core: Core) -> None:
    other = await new_key(core, "alice")
    limited = (await core.accounts.generate_key("alice", terms=Terms(requests_per_day=5))).secret
    async with over_http(app_of(core), limited) as client:
        await (
            client.list_tools()
        )  # the client asks for the schemas before it reads a result; then its key is gone
        refused = await client.call_tool("dynaroute_revoke_api_key", {"api_key": other})
        itself = data(await client.call_tool("dynaroute_revoke_api_key", {"api_key": limited}))

    assert text(refused).startswith("[permission_denied] a key with limits of its own")
    assert itself["success"]
    assert (await core.accounts.verify_key(other)).state == "active"


async def test_where_the_database_lies_is_for_the_log_and_for_this_machine(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    database = core.settings.database
    database.write_bytes(b"this is no database, whatever its name says" * 100)
    async with over_http(app_of(core), ADMIN) as client:
        called = text(await client.call_tool("dynaroute_list_api_keys", {"user_id": "alice"}))
        with pytest.raises(MCPError) as read:
            await client.read_resource("dynaroute://usage")
    logged = [str(vars(record).get("reason")) for record in caplog.records]
    async with in_memory(core) as client:
        here = text(await client.call_tool("dynaroute_list_api_keys", {"user_id": "alice"}))

    away = "[store_corrupt] the server's database is damaged or not a database; its log says what to do"
    assert (called, read.value.message) == (away, away)
    assert str(database) in logged[0]
    assert here.startswith(f"[store_corrupt] database {database} is damaged")


async def test_a_test_key_never_reaches_a_paid_provider(core: Core) -> None:
    test = await new_key(core, "alice", sandbox=True)
    async with over_http(app_of(core), test) as client:
        routed = data(await client.call_tool("dynaroute_route_prompt", {"prompt": "Hi"}))

    assert (routed["sandbox"], routed["provider"]) == (True, "sandbox")


async def test_the_admin_token_manages_everybody(core: Core) -> None:
    bob = await new_key(core, "bob")
    async with over_http(app_of(core), ADMIN) as client:
        listed = data(await client.call_tool("dynaroute_list_api_keys", {"user_id": "bob"}))
        made = data(await client.call_tool("dynaroute_generate_api_key", {"user_id": "carol"}))
        revoked = data(await client.call_tool("dynaroute_revoke_api_key", {"api_key": bob}))
        subscription = data(await client.call_tool("dynaroute_get_subscription", {}))

    assert (listed["count"], made["user_id"], revoked["success"]) == (1, "carol", True)
    assert subscription["user_id"] == "local"


async def test_a_request_that_came_past_the_gate_touches_nobodys_things(core: Core) -> None:
    with pytest.raises(Exception, match="carries no DynaRoute key"):
        await STRANGER.caller_in(core)
    with pytest.raises(Exception, match="own owner's keys only"):
        STRANGER.must_own("local")


@pytest.mark.parametrize(
    ("scope", "kind"),
    [
        ({"type": "http"}, "stranger"),
        ({"type": "http", "dynaroute.visitor": "operator"}, "stranger"),
        ({"type": "http", "dynaroute.visitor": OPERATOR}, "operator"),
    ],
)
async def test_only_the_gate_says_who_a_visitor_is(scope: dict[str, Any], kind: str) -> None:
    seen: list[Visitor] = []

    async def handler(_ctx: object) -> None:
        seen.append(visitor())

    arrived = Arrived(request=Request(scope))
    await remember_visitor(arrived, handler)  # type: ignore[arg-type]  # the request is all that is read

    assert [each.kind for each in seen] == [kind]
    assert visitor() is STRANGER


# ---------------------------------------------------------------- the older transport


async def test_a_stream_that_ends_sends_no_second_response() -> None:
    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        for body in (b"the stream", b"an empty end"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    async def nothing(request: Request) -> Response:
        return Response()

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    route = Route("/sse", nothing)
    route.app = twice
    mount = Mount("/messages", twice)

    assert web._once(mount) is mount
    kept = web._once(route)
    assert isinstance(kept, Route)
    await kept.app({"type": "http"}, receive, send)

    assert [message.get("body") for message in sent] == [None, b"the stream"]


# ---------------------------------------------------------------- listening


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_an_open_address_needs_an_admin_token(tmp_path: Path, host: str, loopback: bool) -> None:
    closed, opened = settings(tmp_path), settings(tmp_path, admin_token=ADMIN)

    assert is_loopback(host) is loopback
    check_binding(opened, host)
    if loopback:
        check_binding(closed, host)
    else:
        with pytest.raises(ConfigurationInvalid, match="DYNAROUTE_ADMIN_TOKEN"):
            check_binding(closed, host)
