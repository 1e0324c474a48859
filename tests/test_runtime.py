"""The composition root: a real core opens without key and network, and is looked after while it runs."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.scripted import ASK, CATALOG, START
from tests.store.examples import intent

from dynaroute_mcp import runtime
from dynaroute_mcp.accounts import LOCAL
from dynaroute_mcp.errors import AuthenticationFailed, ConfigurationInvalid
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.runtime import AMBIENT, load_settings, open_core
from dynaroute_mcp.settings import Settings


def offline(folder: Path, **fields: object) -> Settings:
    return Settings.model_validate({"database": folder / "x.db", "discover_local": False, **fields})


async def test_a_core_answers_without_key_and_network(tmp_path: Path) -> None:
    async with open_core(offline(tmp_path)) as core:
        answer = await core.router.complete(ASK, await core.caller())

    assert answer.sandbox
    assert answer.recorded
    assert "simulated" in answer.completion.message.text


async def test_the_process_speaks_for_the_owner_of_its_key(tmp_path: Path) -> None:
    async with open_core(offline(tmp_path)) as core:
        assert await core.caller() == LOCAL
        secret = (await core.accounts.generate_key("alice")).secret

    async with open_core(offline(tmp_path, api_key=secret)) as core:
        assert (await core.caller()).owner == "alice"


async def test_a_wrong_key_is_refused_when_it_is_used_and_not_at_start(tmp_path: Path) -> None:
    async with open_core(offline(tmp_path, api_key="dr_wrong")) as core:
        with pytest.raises(AuthenticationFailed):
            await core.caller()


async def test_a_broken_overlay_names_its_file(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("models: {nonsense: 3}", encoding="utf-8")

    with pytest.raises(ConfigurationInvalid, match=r"mine\.yaml"):
        async with open_core(offline(tmp_path, catalog_overlay=overlay)):
            pytest.fail("it opened")


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    database = str(tmp_path / "elsewhere.db")
    config = tmp_path / "config.yaml"
    config.write_text("strategy: best\n", encoding="utf-8")

    settings = load_settings(config, {"DYNAROUTE_DATABASE": database})

    assert (str(settings.database), settings.strategy) == (database, "best")


async def test_an_error_inside_an_open_core_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_core(offline(tmp_path)):
            raise ZeroDivisionError


async def test_a_server_looks_after_its_database_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_HOUSEKEEPING_AFTER_S", 0.0)
    monkeypatch.setattr(runtime, "_HOUSEKEEPING_EVERY_S", 0.0)
    long_ago, now = intent(started_at=START - timedelta(hours=2)), START
    ambient = replace(AMBIENT, clock=lambda: now)

    async with open_core(offline(tmp_path), ambient) as core:
        await core.store.begin(long_ago, ())
        with anyio.fail_after(5):
            while (row := await core.store.find_call(long_ago.request_id)) and row.status != "lost":  # noqa: ASYNC110 -- the work in the background tells nobody
                await anyio.sleep(0.01)

    assert row is not None
    assert row.status == "lost"


async def test_a_database_that_cannot_be_looked_after_is_said_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "_HOUSEKEEPING_AFTER_S", 0.0)
    (tmp_path / "x.db").write_text("this is no database, whatever its name says " * 100, encoding="utf-8")

    async with open_core(offline(tmp_path)) as core:
        with anyio.fail_after(5):
            while not caplog.records:  # noqa: ASYNC110 -- the work in the background tells nobody
                await anyio.sleep(0.01)
        answer = await core.router.complete(ASK, LOCAL)

    assert "could not be looked after" in caplog.text
    assert not answer.recorded


async def test_work_beside_the_requests_that_crashes_takes_nobody_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(*_: object) -> None:
        raise OverflowError

    monkeypatch.setattr(runtime, "_keep_house", crash)
    async with open_core(offline(tmp_path)) as core:
        await anyio.wait_all_tasks_blocked()
        answer = await core.router.complete(ASK, LOCAL)

    assert answer.recorded
    assert "work beside the requests ended" in caplog.text


async def test_soon_after_the_start_old_prices_are_warned_of_and_unlisted_models_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def listed(_wire: Wire, _endpoint: Endpoint) -> frozenset[str]:
        return frozenset(model.wire_id for model in CATALOG.models) - {"gpt-6-sol"}

    monkeypatch.setattr(runtime, "_LISTS_AFTER_S", 0.0)
    monkeypatch.setattr(runtime, "listed_models", listed)
    late = replace(AMBIENT, clock=lambda: START + timedelta(days=100))
    async with open_core(offline(tmp_path, variables={"OPENAI_API_KEY": "sk-1"}), late) as core:
        with anyio.fail_after(5):
            while len(caplog.records) < 2:  # noqa: ASYNC110 -- the work in the background tells nobody
                await anyio.sleep(0.001)
        status = core.availability.catalog.get_model("gpt-6-sol").status

    assert status == "retired"
    assert "prices may be out of date" in caplog.text


async def test_providers_are_not_asked_where_the_operator_does_not_want_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def listed(_wire: Wire, _endpoint: Endpoint) -> frozenset[str]:
        pytest.fail("a provider was asked")

    monkeypatch.setattr(runtime, "_LISTS_AFTER_S", 0.0)
    monkeypatch.setattr(runtime, "listed_models", listed)
    async with open_core(offline(tmp_path, variables={"OPENAI_API_KEY": "sk-1"}, check_models=False)):
        await anyio.wait_all_tasks_blocked()
