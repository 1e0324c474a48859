"""Terms of a key: what it may do, what it favours, who may change that, and how it gets another secret."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.scripted import ASK, START, Script, Time, scripted_core, settings

from dynaroute_mcp.accounts import LONGEST_GRACE_S, NO_TERMS, Accounts, Terms, terms_of
from dynaroute_mcp.errors import AuthenticationFailed, InvalidRequest, NotFound, PermissionDenied, UnknownName
from dynaroute_mcp.results import VerifiedKey
from dynaroute_mcp.results.keys import PlanLimits
from dynaroute_mcp.taxonomy import Category, Strategy
from dynaroute_mcp.types import KeyRule, Preferences, Usage

FULL = Terms(
    strategy=Strategy.BEST,
    expires_at=START + timedelta(days=30),
    usd_per_month=Decimal(5),
    tokens_per_month=1_000,
    requests_per_minute=2,
    requests_per_day=3,
    models=("gpt-4.1", "anthropic"),
    exclude=("deepseek",),
    prefer=("anthropic",),
    rules=(KeyRule(category=Category.LAW, model="gpt-4.1"),),
)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def accounts(tmp_path: Path, time: Time) -> AsyncIterator[Accounts]:
    async with scripted_core(settings(tmp_path), time=time) as core:
        yield core.accounts


async def test_an_amount_that_is_no_number_is_refused(accounts: Accounts) -> None:
    with pytest.raises(InvalidRequest, match="usd_per_month must be above 0"):
        await accounts.generate_key("alice", terms=Terms(usd_per_month=Decimal("nan")))


async def test_terms_are_kept_and_travel_with_the_caller(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice", terms=FULL)

    caller = await accounts.caller_for(made.secret)

    assert terms_of(made.row) == FULL
    assert (caller.requests_per_minute, caller.requests_per_day, caller.models) == (2, 3, FULL.models)
    assert caller.preferences == Preferences(exclude=FULL.exclude, prefer=FULL.prefer, rules=FULL.rules)
    assert caller.limited


async def test_an_edit_holds_from_the_next_request_on_and_leaves_the_rest(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice", terms=FULL)

    await accounts.edit_key(made.row.key_id, lambda terms: replace(terms, models=(), requests_per_day=9))

    row = await accounts.get_key(made.row.key_id)
    assert terms_of(row) == replace(FULL, models=(), requests_per_day=9)
    assert (await accounts.caller_for(made.secret)).requests_per_day == 9


@pytest.mark.parametrize(
    ("terms", "param"),
    [
        (Terms(requests_per_minute=0), "requests_per_minute"),
        (Terms(requests_per_day=10**10), "requests_per_day"),
        (Terms(models=("gpt-4.1",) * 101), "models"),
        (Terms(expires_at=START), "expires_at"),
    ],
)
async def test_a_wrong_term_is_refused_when_made_and_when_changed(
    accounts: Accounts, terms: Terms, param: str
) -> None:
    known = await accounts.generate_key("alice")

    with pytest.raises(InvalidRequest) as made:
        await accounts.generate_key("alice", terms=terms)
    with pytest.raises(InvalidRequest) as changed:
        await accounts.edit_key(known.row.key_id, lambda _: terms)

    assert (made.value.param, changed.value.param) == (param, param)
    assert terms_of(await accounts.get_key(known.row.key_id)) == NO_TERMS


@pytest.mark.parametrize("field", ["models", "exclude", "prefer"])
async def test_a_name_that_is_nowhere_is_refused_with_the_nearest(accounts: Accounts, field: str) -> None:
    terms = replace(NO_TERMS, **{field: ("gpt-4.11",)})  # type: ignore[arg-type]  # one of the lists

    with pytest.raises(UnknownName, match=r"'gpt-4\.11'; did you mean .*gpt-4\.1") as caught:
        await accounts.generate_key("alice", terms=terms)

    assert caught.value.param == field


async def test_models_of_servers_on_this_machine_may_be_named_before_they_run(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice", terms=Terms(prefer=("ollama/llama4:8b", "Ollama")))

    assert made.row.preferences.prefer == ("ollama/llama4:8b", "Ollama")


@pytest.mark.parametrize(
    "terms",
    [
        Terms(requests_per_minute=1),
        Terms(requests_per_day=1),
        Terms(models=("openai",)),
        Terms(expires_at=START + timedelta(days=1)),
    ],
)
async def test_a_key_with_limits_or_an_end_makes_and_changes_no_keys(
    accounts: Accounts, terms: Terms
) -> None:
    made = await accounts.generate_key("alice", terms=terms)
    other = await accounts.generate_key("alice")
    caller = await accounts.caller_for(made.secret)

    with pytest.raises(PermissionDenied):
        await accounts.generate_key("alice", by=caller)
    for key_id in (made.row.key_id, other.row.key_id):
        with pytest.raises(PermissionDenied):
            await accounts.edit_key(key_id, lambda _: NO_TERMS, by=caller)
        with pytest.raises(PermissionDenied):
            await accounts.provider_keys.add(key_id, "openai", "sk-mine-123456", by=caller)
    with pytest.raises(PermissionDenied):
        await accounts.rotate_key(other.row.key_id, by=caller)


async def test_an_expired_key_may_be_given_a_new_end_and_other_changes(
    accounts: Accounts, time: Time
) -> None:
    made = await accounts.generate_key("alice", terms=Terms(expires_at=START + timedelta(days=1)))
    time.passed_s = 2 * 86_400

    await accounts.edit_key(made.row.key_id, lambda terms: replace(terms, requests_per_day=1))
    with pytest.raises(AuthenticationFailed):
        await accounts.caller_for(made.secret)
    await accounts.edit_key(
        made.row.key_id, lambda terms: replace(terms, expires_at=START + timedelta(days=9))
    )

    assert (await accounts.caller_for(made.secret)).owner == "alice"


async def test_a_revoked_key_is_changed_no_more(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice")
    await accounts.revoke_key(made.secret)

    with pytest.raises(InvalidRequest, match="is revoked"):
        await accounts.edit_key(made.row.key_id, lambda _: FULL)
    with pytest.raises(InvalidRequest, match="is revoked"):
        await accounts.rotate_key(made.row.key_id)
    with pytest.raises(NotFound):
        await accounts.edit_key("key_000000000000", lambda _: FULL)


async def test_a_rotated_key_keeps_its_id_and_terms_and_the_old_secret_stops_at_once(
    accounts: Accounts,
) -> None:
    made = await accounts.generate_key("alice", terms=FULL)

    rotated = await accounts.rotate_key(made.row.key_id)

    assert rotated.row.key_id == made.row.key_id
    assert terms_of(rotated.row) == FULL
    assert rotated.old_until is None
    assert (await accounts.caller_for(rotated.secret)).key_id == made.row.key_id
    with pytest.raises(AuthenticationFailed):
        await accounts.caller_for(made.secret)
    verified = VerifiedKey.of(await accounts.verify_key(made.secret))
    assert (verified.valid, verified.status, verified.revoked_at) == (
        False,
        "revoked",
        "2026-11-22T00:00:00Z",
    )


async def test_during_a_grace_both_secrets_speak_for_the_key_and_verify_tells_the_old_one(
    accounts: Accounts, time: Time
) -> None:
    made = await accounts.generate_key("alice")

    rotated = await accounts.rotate_key(made.row.key_id, grace_s=3600)

    old, new = await accounts.caller_for(made.secret), await accounts.caller_for(rotated.secret)
    assert old == replace(new, expires_at=rotated.old_until, superseded=True)
    verified = VerifiedKey.of(await accounts.verify_key(made.secret))
    assert (verified.valid, verified.expires_at) == (True, "2026-11-22T01:00:00Z")
    assert "newer key has taken its place" in verified.message
    assert VerifiedKey.of(await accounts.verify_key(rotated.secret)).message == ""
    time.passed_s = 3600
    assert (await accounts.verify_key(made.secret)).state == "revoked"
    assert (await accounts.caller_for(rotated.secret)).owner == "alice"


@pytest.mark.parametrize("grace_s", [0, 60])
async def test_a_clock_that_is_set_back_lets_no_old_secret_in_again(
    accounts: Accounts, time: Time, grace_s: float
) -> None:
    made = await accounts.generate_key("alice")
    time.passed_s = 600
    rotated = await accounts.rotate_key(made.row.key_id, grace_s=grace_s)
    time.passed_s += grace_s
    if grace_s:
        with pytest.raises(AuthenticationFailed):
            await accounts.caller_for(made.secret)

    time.passed_s = 0

    with pytest.raises(AuthenticationFailed):
        await accounts.caller_for(made.secret)
    assert (await accounts.revoke_key(made.secret)).already
    assert VerifiedKey.of(await accounts.verify_key(made.secret)).revoked_at is not None
    assert (await accounts.caller_for(rotated.secret)).owner == "alice"


@pytest.mark.parametrize("ends", [None, START + timedelta(hours=1), START + timedelta(days=1)])
async def test_a_secret_on_its_way_out_gets_no_new_one_whenever_its_key_ends(
    accounts: Accounts, ends: datetime | None
) -> None:
    made = await accounts.generate_key("alice", terms=Terms(expires_at=ends))
    rotated = await accounts.rotate_key(made.row.key_id, grace_s=2 * 3600)
    old, new = [await accounts.caller_for(each.secret) for each in (made, rotated)]

    with pytest.raises(PermissionDenied, match="a newer key has taken this one's place"):
        await accounts.rotate_key(made.row.key_id, by=old)

    assert (await accounts.rotate_key(made.row.key_id, by=new)).row.key_id == made.row.key_id


async def test_revoking_either_secret_during_the_grace_ends_both(accounts: Accounts) -> None:
    for by_old in (True, False):
        made = await accounts.generate_key("alice")
        rotated = await accounts.rotate_key(made.row.key_id, grace_s=60)

        await accounts.revoke_key(made.secret if by_old else rotated.secret)

        for secret in (made.secret, rotated.secret):
            assert (await accounts.verify_key(secret)).state == "revoked"


async def test_a_secret_whose_grace_is_over_revokes_nothing(accounts: Accounts, time: Time) -> None:
    made = await accounts.generate_key("alice")
    rotated = await accounts.rotate_key(made.row.key_id, grace_s=60)
    time.passed_s = 61

    told = await accounts.revoke_key(made.secret)

    assert (told.already, told.revoked_at) == (True, START + timedelta(seconds=60))
    assert (await accounts.verify_key(rotated.secret)).state == "active"


@pytest.mark.parametrize("grace_s", [-1, LONGEST_GRACE_S + 1, float("nan")])
async def test_a_grace_out_of_range_is_refused(accounts: Accounts, grace_s: float) -> None:
    made = await accounts.generate_key("alice")

    with pytest.raises(InvalidRequest, match="between 0 and 604,800"):
        await accounts.rotate_key(made.row.key_id, grace_s=grace_s)


async def test_an_end_that_utc_does_not_know_is_refused_and_the_key_works_on(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice")
    beyond = datetime.fromisoformat("9999-12-31T23:59:59-23:59")

    with pytest.raises(InvalidRequest, match="before the year 10000") as caught:
        await accounts.edit_key(made.row.key_id, lambda terms: replace(terms, expires_at=beyond), by=None)

    assert caught.value.param == "expires_at"
    assert (await accounts.caller_for(made.secret)).expires_at is None


async def test_a_key_is_shown_its_own_limits_where_they_leave_less_than_the_plan(tmp_path: Path) -> None:
    used = Usage(uncached_input_tokens=300, output_tokens=100)
    tight = Terms(usd_per_month=Decimal(5), tokens_per_month=100_000, requests_per_day=3)

    async with scripted_core(settings(tmp_path), Script(usage=used)) as core:
        wide, narrow = [
            (await core.accounts.generate_key("alice", terms=terms)).secret for terms in (NO_TERMS, tight)
        ]
        for secret, times in ((wide, 2), (narrow, 1)):
            for _ in range(times):
                await core.router.complete(ASK, await core.accounts.caller_for(secret))
        shown = [VerifiedKey.of(await core.accounts.verify_key(secret)) for secret in (wide, narrow)]
        held = await core.accounts.subscription(await core.accounts.caller_for(narrow))

    assert [(key.token_limit, key.tokens_used, key.tokens_remaining) for key in shown] == [
        (1_000_000, 1_200, 998_800),
        (100_000, 400, 99_600),
    ]
    assert [key.limits for key in shown] == [
        PlanLimits(requests_per_minute=100, requests_per_day=1_000, monthly_spend_usd=10),
        PlanLimits(requests_per_minute=100, requests_per_day=3, monthly_spend_usd=5),
    ]
    assert held.plan is not None
    assert (held.plan.id, held.plan.requests_per_day, held.spent.requests_today) == ("free", 3, 1)
    assert (held.plan.requests_per_minute, held.spent.requests_this_minute) == (100, 3)
