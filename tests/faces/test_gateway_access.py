"""Who gets in and what bodies get through: keys, sites, limits, and everything that is refused in one envelope."""

import gzip
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send
from tests.faces.gateway_door import ADMIN, CHAT, HELLO, Wire, door
from tests.scripted import ASK, SOL, START, Script, failure

from dynaroute_mcp.accounts import LOCAL, Accounts, Subscription, new_secret
from dynaroute_mcp.errors import ProviderGarbled, StoreUnavailable
from dynaroute_mcp.gateway import decode, receiving, wire
from dynaroute_mcp.gateway.auth import FAILURES_A_MINUTE
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.types import Caller, TextDelta, Usage

ENVELOPE = {"message", "type", "code", "reason", "param", "request_id"}


def check_envelope(response: Any, status: int) -> Any:
    error = response.json()["error"]
    assert response.status_code == error["code"] == status
    assert set(error) >= ENVELOPE
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    return error


async def test_an_unknown_a_revoked_an_expired_and_a_mistyped_key_are_answered_alike(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        revoked = await at.key_for("bob")
        expired = await at.key_for("bob", expires_at=START + timedelta(seconds=1))
        await at.core.accounts.revoke_key(revoked)
        at.time.passed_s = 2
        unknown = new_secret(lambda bound: bound - 1)
        keys = (unknown, revoked, expired, unknown[:-1] + "0", "sk-other", "dr_" + "a" * 60_000, "dr_ÅÄÖ")
        answers = [
            await at.stranger.post(CHAT, json=HELLO, headers=[(b"Authorization", f"Bearer {key}".encode())])
            for key in keys
        ]

    bodies = set()
    for answer in answers:
        error = check_envelope(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        bodies.add(json.dumps({**error, "request_id": ""}))
    assert len(bodies) == 1
    assert at.script.calls == []


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer  "])
async def test_no_key_is_unauthorized(tmp_path: Path, header: str | None) -> None:
    async with door(tmp_path) as at:
        sent = {} if header is None else {"Authorization": header}
        response = await at.stranger.post(CHAT, json=HELLO, headers=sent)

    assert check_envelope(response, 401)["type"] == "authentication_error"


async def test_a_revoked_key_stops_at_once(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        before = await at.chat()
        await at.core.accounts.revoke_key(at.key)
        after = await at.chat()

    assert (before.status_code, after.status_code) == (200, 401)


async def test_failed_keys_are_slowed_down_and_a_valid_one_from_the_same_address_is_not(
    tmp_path: Path,
) -> None:
    async with door(tmp_path) as at:
        unknown = new_secret(lambda bound: bound - 1)
        wrong = at.speaker(unknown)
        statuses = [(await wrong.get("/v1/models")).status_code for _ in range(FAILURES_A_MINUTE + 1)]
        slowed = await wrong.get("/v1/models")
        elsewhere = await at.speaker(unknown, address="10.0.0.9").get("/v1/models")
        valid = await at.client.get("/v1/models")
        mistyped = await at.speaker("dr_wrong").get("/v1/models")
        at.time.passed_s = 61
        later = await wrong.get("/v1/models")

    assert statuses == [401] * FAILURES_A_MINUTE + [429]
    assert check_envelope(slowed, 429)["reason"] == "too_many_failures"
    assert int(slowed.headers["Retry-After"]) == 61
    assert [each.status_code for each in (elsewhere, valid, mistyped, later)] == [401, 200, 401, 401]


async def test_the_admin_token_works_on_behalf_of_the_process(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.speaker(ADMIN).post(CHAT, json=HELLO)

    assert response.status_code == 200
    assert at.script.calls
    assert "X-RateLimit-Limit" not in response.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:8000"}, 421),
        ({"Host": "evil.example@127.0.0.1"}, 421),
        ({"Host": "127.0.0.1#.evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Host": "router.example"}, 200),
        ({"Host": "ROUTER.example", "Origin": "https://router.example"}, 200),
        ({"Origin": "http://localhost:3000"}, 200),
    ],
)
async def test_only_sites_of_this_machine_and_allowed_ones_may_ask(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async with door(tmp_path) as at:
        response = await at.client.get("/v1/models", headers=headers)

    assert response.status_code == status
    assert "access-control-allow-origin" not in response.headers


async def test_a_preflight_of_a_foreign_page_gets_no_permission(tmp_path: Path) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with door(tmp_path) as at:
        response = await at.stranger.options(CHAT, headers=asked)

    check_envelope(response, 403)
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "//admin", 404),
        ("GET", "/v1/%2e%2e/admin", 404),
        ("POST", CHAT + "/", 404),
        ("PUT", CHAT, 405),
        ("GET", CHAT, 405),
    ],
)
async def test_a_wrong_address_or_method_is_told_in_the_same_envelope(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with door(tmp_path) as at:
        response = await at.client.request(method, path)
        without_key = await at.stranger.request(method, path)

    check_envelope(response, status)
    check_envelope(without_key, 401)


NESTED = b"[" * 200_000 + b"]" * 200_000
USER = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"model=x", None),
        (b"[]", None),
        (NESTED, None),
        (b'{"messages":[{"role":"user","content":"x"}],"temperature":NaN}', None),
        (b'{"messages":[{"role":"user","content":"\xff"}]}', None),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', None),
        ({}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0]"),
        ({"messages": [USER, {"role": "user", "content": 7}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
            "messages[0].content[0]",
        ),
        ({"messages": [USER], "max_tokens": -1_000_000}, "max_tokens"),
        ({"messages": [USER], "max_tokens": True}, "max_tokens"),
        ({"messages": [USER], "max_tokens": 2**63}, "max_tokens"),
        ({"messages": [USER], "temperature": "hot"}, "temperature"),
        ({"messages": [USER], "n": 2}, "n"),
        ({"messages": [USER], "stream": "yes"}, "stream"),
        ({"messages": [USER], "stream_options": 7}, "stream_options"),
        ({"messages": [USER], "level_override": 6}, "level_override"),
        ({"messages": [USER], "category_override": "Cooking"}, "category_override"),
        ({"messages": [USER], "strategy": "fast"}, "strategy"),
        ({"messages": [USER], "budget_dollars": -1}, "budget_dollars"),
        ({"messages": [USER], "functions": [{}]}, "functions"),
        ({"messages": [USER], "modalities": ["audio"]}, "modalities[0]"),
        ({"messages": [USER], "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (b'{"messages":[{"role":"user","content":"x"}],"temperature":1e400}', "temperature"),
        (
            b'{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":'
            b'{"name":"f","parameters":{"maximum":[1e400]}}}]}',
            "tools",
        ),
    ],
)
async def test_a_wrong_body_is_refused_with_the_field_at_fault(
    tmp_path: Path, body: Any, param: str | None
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with door(tmp_path) as at:
        response = await at.client.post(CHAT, content=raw, headers={"Content-Type": "application/json"})

    error = check_envelope(response, 400)
    assert error["param"] == param
    assert len(error["message"]) < 1_000
    assert at.script.calls == []


async def test_a_mistyped_category_is_offered_the_nearest(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post(CHAT, json={"messages": [USER], "category_override": "lawz"})

    told = check_envelope(response, 400)["message"]
    assert told.startswith(
        "category_override: there is no such category; did you mean Law? There are: Law, Business, "
    )


async def test_a_missing_list_of_messages_has_its_published_sentence(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        response = await at.client.post(CHAT, json={"model": "auto"})

    assert response.json()["error"]["message"] == "No messages array found in request"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
async def test_only_plain_json_is_read(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    raw = json.dumps(HELLO).encode()
    body = gzip.compress(raw) if "Content-Encoding" in headers else raw
    async with door(tmp_path) as at:
        response = await at.client.post(CHAT, content=body, headers=headers)

    assert response.status_code == status


async def test_a_body_of_many_tiny_values_is_refused_before_it_takes_gigabytes(tmp_path: Path) -> None:
    many = json.dumps(HELLO | {"reasoning_details": [{}] * (decode.MAX_VALUES + 1)})
    text = json.dumps({"messages": [{"role": "user", "content": "a, " * decode.MAX_VALUES}]})
    async with door(tmp_path) as at:
        refused = await at.client.post(CHAT, content=many)
        served = await at.client.post(CHAT, content=text)

    assert "more than 100,000 values" in check_envelope(refused, 400)["message"]
    assert served.status_code == 200


@pytest.mark.parametrize(("role", "field"), [("user", "content"), ("assistant", "tool_calls")])
def test_of_a_list_that_is_wrong_throughout_one_fault_is_told(role: str, field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        wire.ChatBody.model_validate({"messages": [{"role": role, "content": "x", field: [0] * 1_000}]})

    assert caught.value.error_count() < 5


async def test_a_body_is_counted_while_it_is_read(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        wire = Wire(at.app, {"authorization": f"Bearer {at.key}"})
        await wire.ask(*[b"a" * 1024 * 1024] * 12, more=True)
        declared = await at.client.post(CHAT, content=b"", headers={"Content-Length": str(10**12)})

    assert wire.status == 413
    check_envelope(declared, 413)


async def test_a_body_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "BODY_S", 0.02)
    async with door(tmp_path) as at:
        wire = Wire(at.app, {"authorization": f"Bearer {at.key}"})
        with anyio.fail_after(3):
            await wire.ask(b"{", more=True)

    assert wire.status == 408


async def test_a_client_that_leaves_while_sending_harms_nobody(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        wire = Wire(at.app, {"authorization": f"Bearer {at.key}"})
        wire.hang_up()
        await wire.ask(b"{", more=True)

    assert wire.status == 400


async def test_a_callers_own_request_id_comes_back_and_a_wild_one_does_not(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        own = await at.client.post(CHAT, json=HELLO, headers={"X-Request-ID": "trace-1.a"})
        wild = await at.client.post(CHAT, json=HELLO, headers={"X-Request-ID": 'a b"<script>'})

    assert own.headers["X-Request-ID"] == "trace-1.a"
    assert own.json()["id"] == "chatcmpl-trace-1.a"
    assert own.headers["X-DynaRoute-Request-ID"] == own.json()["_custom_routing_info"]["request_id"]
    assert wild.headers["X-Request-ID"].startswith("req_")


async def test_every_answer_tells_what_is_left_of_the_plan(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        first, second = await at.chat(), await at.client.get("/v1/nothing")

    assert first.headers["X-RateLimit-Limit"] == "100"
    assert first.headers["X-RateLimit-Remaining"] == second.headers["X-RateLimit-Remaining"] == "99"
    assert first.headers["X-RateLimit-Reset"] == str(int(START.timestamp()) + 60)
    assert first.headers["x-ratelimit-remaining-requests"] == "99"
    assert first.headers["x-ratelimit-reset-requests"] == "60s"
    assert first.headers["X-RateLimit-Remaining-Day"] == "999"
    assert first.headers["X-RateLimit-Spend-Limit"] == "10.00"
    assert first.headers["x-ratelimit-limit-tokens"] == "1000000"


async def test_the_request_over_the_limit_is_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        statuses = [(await at.chat()).status_code for _ in range(100)]
        over = await at.chat()
        at.time.passed_s = 60
        next_minute = await at.chat()

    error = check_envelope(over, 429)
    assert statuses == [200] * 100
    assert (error["type"], error["limit"]) == ("rate_limit_error", "requests_per_minute")
    assert 1 <= int(over.headers["Retry-After"]) <= 60
    assert "X-Should-Retry" not in over.headers
    assert over.headers["X-RateLimit-Remaining"] == "0"
    assert next_minute.status_code == 200


async def test_a_used_up_month_of_dollars_is_no_matter_of_waiting(tmp_path: Path) -> None:
    async with door(tmp_path, budgets=[{"scope": "month", "usd": 0}]) as at:
        response = await at.chat()

    assert check_envelope(response, 429)["type"] == "insufficient_quota"
    assert response.headers["X-Should-Retry"] == "false"


async def test_a_crash_is_told_without_its_text_and_the_server_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Crash(Script):
        async def before(self, call: Any) -> None:
            if len(self.calls) == 1:
                raise ZeroDivisionError("secret")

    async with door(tmp_path, Crash()) as at:
        crashed, next_one = await at.chat(), await at.chat()

    error = check_envelope(crashed, 500)
    assert (error["type"], error["reason"]) == ("server_error", "internal")
    assert "secret" not in crashed.text
    assert "a request crashed" in caplog.text
    assert next_one.status_code == 200


async def test_a_crash_in_a_stream_cuts_the_connection(tmp_path: Path) -> None:
    class Crash(Script):
        async def between(self) -> None:
            raise ZeroDivisionError

    async with door(tmp_path, Crash()) as at:
        wire = Wire(at.app, {"authorization": f"Bearer {at.key}"})
        with pytest.raises(ZeroDivisionError):
            await wire.ask(json.dumps(HELLO | {"stream": True}).encode())

    assert wire.status == 200
    assert wire.sent[-1]["more_body"] is True


async def test_where_the_books_cannot_be_read_the_answer_comes_without_its_limits(tmp_path: Path) -> None:
    class Unreadable(Accounts):
        async def subscription(self, caller: Caller) -> Subscription:
            raise StoreUnavailable("the file is locked")

    async with door(tmp_path) as at:
        at.let_accounts_be(Unreadable)
        response = await at.client.get("/v1/models")

    assert response.status_code == 200
    assert "x-ratelimit-limit" not in response.headers


async def test_where_the_database_lies_is_for_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Unreadable(Accounts):
        async def caller_for(self, secret: str) -> Caller:
            raise StoreUnavailable("database /srv/secret/dynaroute.db: a row can't be read")

    async with door(tmp_path) as at:
        at.let_accounts_be(Unreadable)
        response = await at.client.get("/v1/models")

    error = check_envelope(response, 503)
    assert error["message"].startswith("the database can't be used just now; the server's log")
    assert "/srv/secret/dynaroute.db" not in response.text
    assert "/srv/secret/dynaroute.db" in caplog.text


@pytest.mark.parametrize("path", ["/metrics", "/health/models"])
@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Real-IP", "X-Forwarded-Host", "CF-Connecting-IP"])
async def test_whoever_comes_through_a_proxy_is_not_this_machine(
    tmp_path: Path, path: str, header: str
) -> None:
    async with door(tmp_path) as at:
        stranger = await at.stranger.get(path, headers={header: "1.2.3.4"})
        operator = await at.speaker(ADMIN).get(path, headers={header: "1.2.3.4"})

    assert (stranger.status_code, operator.status_code) == (401, 200)


@pytest.mark.parametrize("path", ["/metrics", "/health/models"])
@pytest.mark.parametrize(
    ("host", "http_version", "status"),
    [
        ("127.0.0.1:8000", "1.1", 200),
        ("localhost", "1.1", 200),
        ("[::1]:8000", "2", 200),
        ("router.example", "1.1", 401),  # as Caddy and HAProxy pass it on
        ("192.168.1.7:8000", "1.1", 401),
        ("127.0.0.1:8000", "1.0", 401),  # as nginx asks by itself
    ],
)
async def test_a_proxy_beside_the_gateway_that_says_nothing_is_not_this_machine_either(
    tmp_path: Path, path: str, host: str, http_version: str, status: int
) -> None:
    async with door(tmp_path) as at:

        async def proxied(scope: Scope, receive: Receive, send: Send) -> None:
            await at.app({**scope, "http_version": http_version}, receive, send)

        async def ask(**headers: str) -> int:
            return (await client.get(path, headers={"Host": host, **headers})).status_code

        transport = httpx2.ASGITransport(app=proxied, client=("127.0.0.1", 50_000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            stranger, operator = await ask(), await ask(Authorization=f"Bearer {ADMIN}")

    assert (stranger, operator) == (status, 200)


async def test_metrics_are_open_to_this_machine_and_to_the_admin_token(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.chat()
        await at.stranger.get("/v1/models")
        here = await at.stranger.get("/metrics")
        behind_a_proxy = await at.stranger.get("/metrics", headers={"X-Forwarded-For": "1.2.3.4"})
        there = await at.speaker(at.key, address="10.0.0.9").get("/metrics")
        operator = await at.speaker(ADMIN, address="10.0.0.9").get("/metrics")

    assert (here.status_code, operator.status_code) == (200, 200)
    assert here.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'dynaroute_requests_total{path="/v1/chat/completions",status="200"} 1' in here.text
    assert 'dynaroute_requests_total{path="other",status="401"} 1' in here.text
    assert 'dynaroute_request_seconds_bucket{path="/v1/chat/completions",le="+Inf"} 1' in here.text
    check_envelope(behind_a_proxy, 401)
    check_envelope(there, 403)


async def test_the_health_of_models_is_open_to_this_machine_and_to_the_admin_token(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        await at.chat()
        await at.chat(stream=True)
        here = await at.stranger.get("/health/models")
        there = await at.speaker(at.key, address="10.0.0.9").get("/health/models")
        operator = await at.speaker(ADMIN, address="10.0.0.9").get("/health/models")
        counted = await at.stranger.get("/metrics")

    check_envelope(there, 403)
    assert here.json() == operator.json()
    (row,) = here.json()["here"]["models"]
    assert (row["calls"], row["failures"], row["state"]) == (2, 0, "closed")
    assert f'dynaroute_model_error_ratio{{model="{row["id"]}"}} 0' in counted.text
    assert f'dynaroute_model_rests_seconds{{model="{row["id"]}"}} 0' in counted.text
    assert f'dynaroute_model_answer_seconds{{model="{row["id"]}",quantile="0.5"}} 0' in counted.text
    assert f'dynaroute_model_tokens_per_second{{model="{row["id"]}"}}' not in counted.text


async def test_metrics_count_what_the_books_do_however_a_call_ended(tmp_path: Path) -> None:
    told = Reported(input=100_000, output=1_000)
    script = Script(usage=Usage(uncached_input_tokens=1_000, output_tokens=500), told=told)
    async with door(tmp_path, script) as at:
        await at.chat(model=SOL)
        script.always = failure(ProviderGarbled)
        await at.chat(model=SOL)
        script.always, script.events = None, (TextDelta(text="One"), TextDelta(text=" two"))
        async with at.core.router.stream(replace(ASK, model=SOL), LOCAL) as routed:
            async for _ in routed:
                break
        total = (await at.core.reports.usage(LOCAL, everyone=True)).total
        counted = (await at.stranger.get("/metrics")).text.splitlines()

    shown = {
        name: Decimal(value)
        for name, _, value in (line.rpartition(" ") for line in counted if line[0] != "#")
    }
    assert total.requests == 3
    assert shown[f'dynaroute_cost_usd_total{{model="{SOL}"}}'] == total.cost_usd
    assert shown["dynaroute_saved_usd_total"] == total.gpt41_usd - total.cost_usd
    assert shown[f'dynaroute_tokens_total{{model="{SOL}",kind="input"}}'] == total.input_tokens
    assert shown[f'dynaroute_tokens_total{{model="{SOL}",kind="output"}}'] == total.output_tokens
    assert shown[f'dynaroute_attempts_total{{model="{SOL}",outcome="ok"}}'] == 2
    assert shown[f'dynaroute_attempts_total{{model="{SOL}",outcome="provider_garbled"}}'] == 2
    assert "# TYPE dynaroute_saved_usd_total gauge" in counted
