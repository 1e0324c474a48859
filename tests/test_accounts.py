"""Accounts: keys that are shown once, checked without a look-up where possible, and stopped at once."""

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.accounts import LOCAL, Accounts, Terms, digest, is_well_formed, new_secret
from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    UnknownName,
)
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.sqlite import open_store
from dynaroute_mcp.types import Ambient, Caller

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CATALOG = load_catalog()


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


def ambient(clock: Clock) -> Ambient:
    numbers = itertools.count(1)
    return Ambient(
        clock=clock,
        monotonic=lambda: 0.0,
        uniform=lambda low, _high: low,
        randbelow=lambda bound: (next(numbers) * 7_919) % bound,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "accounts.db") as opened:
        yield opened


@pytest.fixture
def accounts(store: Store, clock: Clock) -> Accounts:
    return Accounts(store, CATALOG, ambient(clock))


@given(st.lists(st.integers(0, 61), min_size=37, max_size=37), st.booleans())
def test_a_key_has_its_published_shape_and_checks_itself(digits: list[int], sandbox: bool) -> None:
    drawn = iter(digits)

    secret = new_secret(lambda _bound: next(drawn), sandbox=sandbox)

    assert is_well_formed(secret)
    assert len(secret.removeprefix("dr_test_" if sandbox else "dr_")) == 43


@given(st.data())
def test_a_single_wrong_character_is_noticed_without_a_look_up(data: st.DataObject) -> None:
    digits = iter(range(37))
    secret = new_secret(lambda bound: next(digits) % bound)
    place = data.draw(st.integers(3, len(secret) - 1))
    other = data.draw(st.sampled_from("0aZ9").filter(lambda character: character != secret[place]))

    assert not is_well_formed(secret[:place] + other + secret[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "dr_", "sk-abc", "dr_" + "é" * 43, "dr_" + "0" * 60_000, "dr_\x00" + "0" * 42]
)
def test_anything_else_is_no_key(text: str) -> None:
    assert not is_well_formed(text)


async def test_a_new_key_works_and_only_its_hash_is_stored(
    accounts: Accounts, store: Store, tmp_path: Path
) -> None:
    made = await accounts.generate_key("alice")

    caller = await accounts.caller_for(made.secret)
    assert caller == Caller(owner="alice", key_id=made.row.key_id, plan="free")
    (row,) = await store.list_keys("alice")
    assert row.digest == digest(made.secret)
    assert row.masked == f"{made.secret[:8]}...{made.secret[-4:]}"
    assert made.secret not in repr(made)
    assert made.secret.encode() not in everything_in(tmp_path)


async def test_a_test_key_reaches_the_sandbox_only(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice", sandbox=True)

    assert made.secret.startswith("dr_test_")
    assert (await accounts.caller_for(made.secret)).sandbox


async def test_a_revoked_key_stops_at_once_and_revoking_again_changes_nothing(
    accounts: Accounts, clock: Clock
) -> None:
    secret = (await accounts.generate_key("alice")).secret

    first = await accounts.revoke_key(secret)
    clock.now += timedelta(hours=1)
    second = await accounts.revoke_key(secret)

    assert (first.already, first.revoked_at) == (False, NOW)
    assert (second.already, second.revoked_at) == (True, NOW)
    assert (await accounts.verify_key(secret)).state == "revoked"
    with pytest.raises(AuthenticationFailed):
        await accounts.caller_for(secret)


async def test_an_expired_key_is_told_from_a_revoked_one(accounts: Accounts, clock: Clock) -> None:
    secret = (await accounts.generate_key("alice", terms=Terms(expires_at=NOW + timedelta(days=1)))).secret
    assert (await accounts.verify_key(secret)).state == "active"

    clock.now += timedelta(days=1)

    assert (await accounts.verify_key(secret)).state == "expired"


async def test_the_refusal_is_the_same_whatever_is_wrong_with_a_key(accounts: Accounts, clock: Clock) -> None:
    revoked = (await accounts.generate_key("alice")).secret
    await accounts.revoke_key(revoked)
    expired = (await accounts.generate_key("alice", terms=Terms(expires_at=NOW + timedelta(days=1)))).secret
    clock.now += timedelta(days=2)
    unknown = new_secret(lambda _bound: 5)

    refusals = set()
    for key in (revoked, expired, unknown, "dr_typo"):
        with pytest.raises(AuthenticationFailed) as caught:
            await accounts.caller_for(key)
        refusals.add(str(caught.value))

    assert len(refusals) == 1


async def test_an_unknown_key_is_an_answer_and_a_mistyped_one_is_told_apart(accounts: Accounts) -> None:
    assert (await accounts.verify_key(new_secret(lambda _bound: 5))).state == "not_found"
    assert (await accounts.verify_key("dr_typo")).state == "malformed"


async def test_revoking_a_key_that_never_was_says_so(accounts: Accounts) -> None:
    with pytest.raises(NotFound, match="no such key"):
        await accounts.revoke_key("dr_typo")


@pytest.mark.parametrize("owner", ["", "  ", "x" * 201, "a\nb", "\u202egpj.exe", "\x1b]0;pwn\x07", "\ud800"])
async def test_an_owner_that_could_fool_a_reader_is_refused(accounts: Accounts, owner: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await accounts.generate_key(owner)

    assert caught.value.param == "user_id"


async def test_an_owner_is_stored_as_text_whatever_it_looks_like(accounts: Accounts) -> None:
    owner = "x'); DROP TABLE usage;--"

    await accounts.generate_key(owner)

    assert [status.row and status.row.owner for status in await accounts.key_statuses(owner)] == [owner]


async def test_a_key_that_would_be_born_expired_is_refused(accounts: Accounts) -> None:
    with pytest.raises(InvalidRequest, match="is past"):
        await accounts.generate_key("alice", terms=Terms(expires_at=NOW))


async def test_a_changed_plan_holds_for_old_and_new_keys(accounts: Accounts) -> None:
    old = (await accounts.generate_key("alice")).secret

    await accounts.set_plan("alice", "pro")

    new = (await accounts.generate_key("alice")).secret
    assert [(await accounts.caller_for(key)).plan for key in (old, new)] == ["pro", "pro"]


async def test_an_unknown_plan_is_refused_with_those_that_there_are(accounts: Accounts) -> None:
    with pytest.raises(UnknownName, match="enterprise"):
        await accounts.set_plan("alice", "platinum")


async def test_a_subscription_tells_the_plan_and_when_it_renews(accounts: Accounts) -> None:
    caller = await accounts.caller_for((await accounts.generate_key("alice")).secret)

    told = await accounts.subscription(caller)

    assert told.plan is not None
    assert (told.plan.id, told.plan.tokens_per_month) == ("free", 1_000_000)
    assert told.renews_at == datetime(2026, 12, 1, tzinfo=UTC)


async def test_the_local_owner_has_no_plan(accounts: Accounts) -> None:
    assert (await accounts.subscription(LOCAL)).plan is None


async def test_a_key_with_limits_hands_them_to_its_caller_and_to_the_key_that_takes_its_place(
    accounts: Accounts,
) -> None:
    terms = Terms(usd_per_month=Decimal("2.5"), tokens_per_month=1_000)
    made = await accounts.generate_key("alice", terms=terms)
    rotated = await accounts.rotate_key(made.row.key_id)

    for key in (made, rotated):
        assert (key.row.usd_per_month, key.row.tokens_per_month) == (Decimal("2.5"), 1_000)
    caller = await accounts.caller_for(rotated.secret)
    assert (caller.usd_per_month, caller.tokens_per_month) == (Decimal("2.5"), 1_000)


async def test_a_key_with_limits_can_not_make_one_without(accounts: Accounts) -> None:
    made = await accounts.generate_key("alice", terms=Terms(tokens_per_month=1))
    caller = await accounts.caller_for(made.secret)

    with pytest.raises(PermissionDenied, match="makes no keys"):
        await accounts.generate_key("alice", by=caller)
    with pytest.raises(PermissionDenied, match="makes no keys"):
        await accounts.rotate_key((await accounts.generate_key("alice")).row.key_id, by=caller)
    assert (await accounts.rotate_key(made.row.key_id, by=caller)).row.tokens_per_month == 1


@pytest.mark.parametrize(
    "terms",
    [Terms(usd_per_month=Decimal(0)), Terms(tokens_per_month=-1), Terms(tokens_per_month=10**12)],
)
async def test_a_limit_that_is_none_or_absurd_is_refused(accounts: Accounts, terms: Terms) -> None:
    with pytest.raises(InvalidRequest, match="must be above 0"):
        await accounts.generate_key("alice", terms=terms)
