"""A key's row that somebody has edited by hand: it is told by its key, and hides no other."""

from contextlib import closing
from pathlib import Path

import pytest
from tests.store.conformance_keys import full_row
from tests.store.examples import NOW, key_row

from dynaroute_mcp.errors import StoreCorrupt
from dynaroute_mcp.store.driver import connect
from dynaroute_mcp.store.sqlite import open_store

DAMAGE = [
    "models = '[\"gpt-4.1\"'",
    "models = '{}'",
    "models = '[1]'",
    "preferences = '[]'",
    "preferences = '{\"exclude\": []}'",
    'preferences = \'{"exclude": "openai", "prefer": [], "rules": []}\'',
    'preferences = \'{"exclude": [], "prefer": [], "rules": [["*"]]}\'',
    "provider_keys = '[[1, 2, 3, 4]]'",
    "provider_keys = '[[\"openai\"]]'",
    "provider_keys = 'no JSON'",
    "created_at = 'yesterday'",
    "created_at = 9223372036854775807",
    "tokens_per_month = 'many'",
    "strategy = 'fastest'",
    "last4 = x'ff00'",
]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_one_row_that_cannot_be_read_is_told_and_the_others_are_listed(
    tmp_path: Path, damage: str
) -> None:
    path, sound = tmp_path / "dynaroute.db", key_row("2")
    async with open_store(path) as store:
        await store.add_key(full_row())
        await store.add_key(sound)
        with closing(connect(path)) as connection:
            connection.execute(f"UPDATE keys SET {damage} WHERE key_id = 'key_1'")
        for _ in range(2):  # by a thread's connection, then by the event loop's
            with pytest.raises(
                StoreCorrupt, match=r"row of key 'key_1' can't be read .*dynaroute keys create"
            ):
                await store.find_key(full_row().digest)
            assert await store.find_key(sound.digest) == sound
        with pytest.raises(StoreCorrupt):
            await store.edit_key("key_1", lambda row: row)
        with pytest.raises(StoreCorrupt):
            await store.revoke_key(full_row().digest, NOW)

        assert await store.list_keys("alice") == [sound]
        assert list(await store.unreadable_keys(None)) == ["key_1"]
        assert await store.unreadable_keys("bob") == {}
