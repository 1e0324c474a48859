"""The conformance suite on SQLite."""

from pathlib import Path

import pytest
from tests.store.conformance import *  # noqa: F403  # every test of the suite
from tests.store.conformance_keys import *  # noqa: F403
from tests.store.conformance_reading import *  # noqa: F403
from tests.store.examples import OpenStore

from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.sqlite import SqliteStore
from dynaroute_mcp.store.sqlite import open_store as open_sqlite


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    return lambda: open_sqlite(tmp_path / "data" / "dynaroute.db")


def test_the_sqlite_store_is_a_store(tmp_path: Path) -> None:
    store: Store = SqliteStore(tmp_path / "dynaroute.db")

    assert not (tmp_path / "dynaroute.db").exists()
    assert store is not None
