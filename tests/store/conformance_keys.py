"""What every store does with a key's terms, its providers' keys, and the secrets that newer ones took the place of."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import anyio
import pytest
from tests.store.examples import NOW, OpenStore, key_row

from dynaroute_mcp.errors import InvalidRequest
from dynaroute_mcp.store.base import KeyRow
from dynaroute_mcp.taxonomy import Category
from dynaroute_mcp.types import KeyRule, Preferences, SealedKey

SEALED = SealedKey(provider="openai", sealed="v1.aa.bb", masked="sk-...1234", added_at=NOW)
TERMS = Preferences(
    exclude=("openai", "Zoë/🦊"),
    prefer=("anthropic",),
    rules=(KeyRule(category=Category.LAW, model="gpt-4.1"), KeyRule(category="*", model="flash")),
)


def full_row() -> KeyRow:
    return replace(
        key_row(),
        strategy="best",
        expires_at=NOW + timedelta(days=1),
        usd_per_month=Decimal("2.5"),
        tokens_per_month=10,
        requests_per_minute=2,
        requests_per_day=3,
        models=("gpt-4.1", "anthropic"),
        preferences=TERMS,
        provider_keys=(SEALED,),
    )


async def test_a_key_keeps_its_terms_its_preferences_and_its_providers_keys(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(full_row())

        assert await store.find_key(key_row().digest) == full_row()
        assert await store.list_keys("alice") == [full_row()]


async def test_an_edit_changes_what_it_says_and_nothing_else(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(full_row())

        edited = await store.edit_key("key_1", lambda row: replace(row, models=(), strategy=None))

        assert edited == replace(full_row(), models=(), strategy=None)
        assert await store.find_key(key_row().digest) == edited
        assert await store.edit_key("key_9", lambda row: row) is None


async def test_an_edit_that_raises_changes_nothing(open_store: OpenStore) -> None:
    def refuse(_row: KeyRow) -> KeyRow:
        raise InvalidRequest("no")

    async with open_store() as store:
        await store.add_key(key_row())

        with pytest.raises(InvalidRequest, match="no"):
            await store.edit_key("key_1", refuse)
        assert await store.find_key(key_row().digest) == key_row()


async def test_edits_at_once_lose_nothing(open_store: OpenStore) -> None:
    async with open_store() as store, open_store() as other:
        await store.add_key(key_row())

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                one = replace(SEALED, provider=f"p{number}")
                tasks.start_soon(
                    (store, other)[number % 2].edit_key,
                    "key_1",
                    lambda row, one=one: replace(row, provider_keys=(*row.provider_keys, one)),
                )

        (row,) = await store.list_keys(None)
        assert {each.provider for each in row.provider_keys} == {f"p{number}" for number in range(20)}


async def test_a_rotated_key_is_found_by_both_digests_and_tells_them_apart(open_store: OpenStore) -> None:
    until = NOW + timedelta(hours=1)
    async with open_store() as store:
        await store.add_key(full_row())

        rotated = await store.rotate_key("key_1", key_row().digest, (b"new", "dr_newww", "9999"), NOW, until)

        assert rotated == replace(full_row(), digest=b"new", first8="dr_newww", last4="9999")
        assert await store.find_key(b"new") == rotated
        assert await store.find_key(key_row().digest) == replace(rotated, superseded_until=until)
        assert await store.list_keys(None) == [rotated]


async def test_of_two_rotations_at_once_one_succeeds(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(key_row())

        first = await store.rotate_key("key_1", key_row().digest, (b"new", "dr_newww", "9999"), NOW, NOW)
        second = await store.rotate_key("key_1", key_row().digest, (b"newer", "dr_newer", "8888"), NOW, NOW)

        assert (first is None, second) == (False, None)
        assert await store.rotate_key("key_9", b"new", (b"x", "dr_xxxxx", "7777"), NOW, NOW) is None


async def test_a_second_rotation_ends_what_the_first_left_open(open_store: OpenStore) -> None:
    later, until = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)
    async with open_store() as store:
        await store.add_key(key_row())
        await store.rotate_key("key_1", key_row().digest, (b"new", "dr_newww", "9999"), NOW, until)

        await store.rotate_key("key_1", b"new", (b"newer", "dr_newer", "8888"), later, until)

        first, second = await store.find_key(key_row().digest), await store.find_key(b"new")
        assert first is not None
        assert second is not None
        assert (first.superseded_until, second.superseded_until) == (later, until)
        assert (first.grace_ended, second.grace_ended) == (True, False)


async def test_a_grace_that_was_ended_stays_so_and_keeps_its_time(open_store: OpenStore) -> None:
    later, until = NOW + timedelta(minutes=1), NOW + timedelta(hours=1)
    async with open_store() as store:
        await store.add_key(key_row())
        await store.rotate_key("key_1", key_row().digest, (b"new", "dr_newww", "9999"), NOW, until)

        for _ in range(2):
            await store.end_grace(key_row().digest)
        await store.rotate_key("key_1", b"new", (b"newer", "dr_newer", "8888"), later, later)

        first, second = await store.find_key(key_row().digest), await store.find_key(b"new")
        assert first is not None
        assert second is not None
        assert (first.superseded_until, second.superseded_until) == (until, later)
        assert first.grace_ended
        assert second.grace_ended


async def test_revoking_ends_both_secrets_and_forgets_the_providers_keys(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.add_key(full_row())
        await store.rotate_key(
            "key_1", key_row().digest, (b"new", "dr_newww", "9999"), NOW, NOW + timedelta(days=1)
        )

        await store.revoke_key(key_row().digest, NOW)

        for digest in (b"new", key_row().digest):
            row = await store.find_key(digest)
            assert row is not None
            assert (row.revoked_at, row.provider_keys) == (NOW, ())
        assert await store.rotate_key("key_1", b"new", (b"x", "dr_xxxxx", "7777"), NOW, NOW) is None
