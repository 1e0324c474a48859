"""Availability: keys and addresses from where they may come, local servers looked for once."""

from pathlib import Path

import anyio
import pytest
from tests.scripted import CATALOG, START, settings

from dynaroute_mcp.availability import Availability
from dynaroute_mcp.catalog import Model, Provider
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.discovery import Discovered
from dynaroute_mcp.settings import Settings

OLLAMA = Provider(
    id="ollama",
    name="Ollama",
    dialect="openai",
    base_url="http://127.0.0.1:11434/v1",
    keyless=True,
    source="found",
)
LLAMA = Model(
    id="ollama/llama3",
    provider="ollama",
    wire_id="llama3",
    name="llama3",
    family="llama",
    context_tokens=8_192,
    max_output_tokens=2_048,
    free=True,
    source="found",
)


def available(folder: Path, **fields: object) -> Availability:
    return Availability(CATALOG, settings(folder, **fields), None)


def test_a_provider_with_a_key_can_be_called_and_others_name_their_variable(tmp_path: Path) -> None:
    now = available(tmp_path, variables={"OPENAI_API_KEY": "sk-x"})

    assert set(now.endpoints) == {"openai"}
    assert not now.simulated
    assert now.missing_keys()["anthropic"] == "ANTHROPIC_API_KEY"
    assert "openai" not in now.missing_keys()


def test_without_any_key_everything_is_simulated(tmp_path: Path) -> None:
    assert available(tmp_path, variables={}).simulated


def test_the_second_name_of_a_variable_counts_too(tmp_path: Path) -> None:
    (endpoint,) = available(tmp_path, variables={"GOOGLE_API_KEY": "g"}).endpoints.values()

    assert (endpoint.provider.dialect, endpoint.api_key) == ("gemini", "g")


def test_a_key_in_the_file_wins_over_the_variable(tmp_path: Path) -> None:
    now = available(tmp_path, providers={"openai": {"api_key": "from-file"}})

    assert now.endpoints["openai"].api_key == "from-file"


def test_a_provider_that_is_switched_off_is_not_called(tmp_path: Path) -> None:
    now = available(tmp_path, providers={"openai": {"enabled": False}})

    assert "openai" not in now.endpoints


@pytest.mark.parametrize("name", ["gemini", "Gemini", "google"])
def test_the_file_may_call_a_provider_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    on = available(tmp_path, variables={}, providers={name: {"api_key": "from-file"}})
    off = available(tmp_path, variables={"GEMINI_API_KEY": "g"}, providers={name: {"enabled": False}})

    assert on.endpoints["google"].api_key == "from-file"
    assert off.simulated


def test_a_providers_id_goes_before_its_other_names(tmp_path: Path) -> None:
    given = {"google": {"api_key": "by-id"}, "gemini": {"api_key": "by-another-name"}}

    assert available(tmp_path, variables={}, providers=given).endpoints["google"].api_key == "by-id"


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"providers": {"openai": {"base_url": "https://file.example/v1/"}}}, "https://file.example/v1"),
        (
            {"variables": {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}},
            "http://127.0.0.1:9/v1",
        ),
        ({}, "https://api.openai.com/v1"),
    ],
    ids=["file", "variable", "catalog"],
)
def test_an_address_comes_from_the_file_the_variable_or_the_catalog(
    tmp_path: Path, fields: dict[str, object], address: str
) -> None:
    assert available(tmp_path, **fields).endpoints["openai"].base_url == address


def test_an_endpoint_never_shows_its_key(tmp_path: Path) -> None:
    assert "sk-openai" not in repr(available(tmp_path).endpoints)


def test_a_retired_model_cannot_be_called_even_with_a_key(tmp_path: Path) -> None:
    now = available(tmp_path, variables={"DEEPSEEK_API_KEY": "k"})

    assert not now.can_call(CATALOG.get_model("deepseek-chat"), START.date())
    assert now.can_call(CATALOG.get_model("deepseek-v4-pro"), START.date())


async def test_local_servers_are_looked_for_once_however_many_wait(tmp_path: Path) -> None:
    looks = 0

    async def discover() -> tuple[Discovered, ...]:
        nonlocal looks
        looks += 1
        await anyio.lowlevel.checkpoint()
        return (Discovered(provider=OLLAMA, models=(LLAMA,)),)

    now = Availability(CATALOG, Settings(variables={}, database=tmp_path / "x.db"), discover)
    before = now.simulated

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(now.ready)

    assert looks == 1
    assert before
    assert not now.simulated
    assert now.can_call(now.catalog.get_model("ollama/llama3"), START.date())
    assert now.endpoints["ollama"].api_key is None


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://[::ffff:169.254.169.254]/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://localtest.me/",
        "http://[::]/",
        "http://0/",
        "http://evil@127.0.0.1/",
        "http://127.0.0.1#@api.openai.com/",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_no_key_may_go_to_is_refused_by_its_setting(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="OPENAI_BASE_URL"):
        available(tmp_path, variables={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": address})


def test_an_address_is_refused_where_it_was_set(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    plain = {"gemini": {"api_key": "k", "base_url": "http://10.0.0.9/v1"}}
    with pytest.raises(ConfigurationInvalid, match=r"config\.yaml: providers\.gemini\.base_url") as by_file:
        available(tmp_path, providers=plain, config_file=config)
    with pytest.raises(ConfigurationInvalid, match="OPENAI_BASE_URL must use https") as by_variable:
        available(tmp_path, variables={"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://10.0.0.9/v1"})

    assert by_file.value.setting == "providers.gemini.base_url"
    assert by_variable.value.setting == "OPENAI_BASE_URL"


def asking(folder: Path, lists: dict[str, frozenset[str] | None], **fields: object) -> Availability:
    async def listed(endpoint: Endpoint) -> frozenset[str] | None:
        return lists[endpoint.provider.id]

    return Availability(CATALOG, settings(folder, **fields), None, listed)


ALL_OF_OPENAI = frozenset(model.wire_id for model in CATALOG.models if model.provider == "openai")


async def test_what_a_provider_no_longer_lists_is_not_called_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lists = {"openai": ALL_OF_OPENAI - {"gpt-6-sol"}, "anthropic": None, "google": frozenset({"imagen"})}
    now = asking(tmp_path, lists)
    before = now.can_call(now.catalog.get_model("gpt-6-sol"), START.date())
    await now.drop_unlisted()

    assert before
    assert not now.can_call(now.catalog.get_model("gpt-6-sol"), START.date())
    assert now.can_call(now.catalog.get_model("gpt-6-luna"), START.date())
    assert now.can_call(now.catalog.get_model("claude-haiku-5-5"), START.date())
    assert now.can_call(now.catalog.get_model("gemini-2.5-flash"), START.date())
    (told,) = caplog.records
    assert vars(told)["models"] == "openai/gpt-6-sol"


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "https://proxy.example/v1"])
async def test_an_address_of_the_operators_own_need_not_list_what_it_answers_for(
    tmp_path: Path, address: str
) -> None:
    variables = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": address}
    now = asking(tmp_path, {"openai": frozenset({"gpt-6-luna"})}, variables=variables)

    await now.drop_unlisted()

    assert now.can_call(now.catalog.get_model("gpt-6-sol"), START.date())


async def test_listings_say_what_is_missing_where_and_who_could_not_be_asked(tmp_path: Path) -> None:
    lists = {"openai": ALL_OF_OPENAI - {"gpt-6-sol"}, "anthropic": None, "google": frozenset({"imagen"})}
    now = asking(tmp_path, lists)
    await now.drop_unlisted()

    assert [(row.provider, row.listed is None, row.unlisted) for row in await now.listings()] == [
        ("anthropic", True, ()),
        ("google", False, ()),
        ("openai", False, ("openai/gpt-6-sol",)),
    ]


async def test_nobody_is_asked_where_nobody_can_ask(tmp_path: Path) -> None:
    assert {row.listed for row in await available(tmp_path).listings()} == {None}
