"""`doctor`, `db`, `config`, `serve` and `mcp`: the installation itself."""

import csv
import gc
import io
import json
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from inline_snapshot import snapshot
from tests.faces.shell import Shell
from tests.scripted import LUNA, Script, failure
from tests.test_availability import LLAMA, OLLAMA

from dynaroute_mcp import runtime, serving
from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.cli import doctor
from dynaroute_mcp.cli.database import COLUMNS
from dynaroute_mcp.errors import (
    ProviderGarbled,
    ProviderKeyRejected,
    ProviderModelMissing,
    ProviderUnavailable,
)
from dynaroute_mcp.mcp_server import stdio
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.discovery import Discovered
from dynaroute_mcp.providers.self_test import SelfTest
from dynaroute_mcp.providers.usage import Reported
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.results import HealthReport, ModelVitals, View
from dynaroute_mcp.results.health import Spread
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import Usage

USED = Usage(uncached_input_tokens=1000, output_tokens=500)


def vitals(model_id: str, **facts: object) -> ModelVitals:
    nothing = Spread(p50=None, p95=None)
    row = {"id": model_id, "calls": 1, "failures": 0, "error_rate": 0.0, "tokens_per_s": None, **facts}
    return ModelVitals.model_validate({**row, "first_token_s": nothing, "answer_s": nothing})


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, Script(usage=USED))


# ---------------------------------------------------------------- doctor


def test_doctor_finds_everything_in_order(shell: Shell) -> None:
    result = shell("doctor")

    assert result.exit_code == 0
    assert "failure" not in result.stdout
    assert "provider openai" in result.stdout
    assert "key ...1234" in result.stdout
    assert "sk-openai-1234" not in result.stdout
    assert "SQLite" in result.stdout


def test_doctor_names_the_variables_where_no_provider_can_be_called(tmp_path: Path) -> None:
    result = Shell(tmp_path, None)("doctor")

    assert result.exit_code == 0
    assert "warning  providers" in result.stdout
    assert "-> set one of OPENAI_API_KEY, ANTHROPIC_API_KEY" in result.stdout


def test_doctor_warns_of_old_prices(shell: Shell) -> None:
    shell.time.passed_s = timedelta(days=60).total_seconds()

    assert "warning  catalog" in shell("doctor").stdout


def test_doctor_tells_what_providers_refused_lately(shell: Shell) -> None:
    chosen = shell.json("route", "--dry-run", "Hello")["litellm_id"]
    shell.script = Script(failures={chosen: [failure(ProviderKeyRejected)]})
    shell("route", "Hello")
    shell.script = Script(always=failure(ProviderModelMissing))
    shell("route", "Hello", "--model", LUNA)
    result = shell("doctor")

    assert result.exit_code == 0
    assert f"rejects its key: 1x in 7 days, last with {chosen}" in result.stdout
    assert f"does not serve {LUNA}: 1x in 7 days" in result.stdout
    assert "-> check the key and its rights in the provider's console" in result.stdout


def test_doctor_fails_with_a_database_that_is_none(shell: Shell) -> None:
    Path(shell.environ["DYNAROUTE_DATABASE"]).write_bytes(b"not a database, but long enough to be read" * 50)
    result = shell("doctor")

    assert result.exit_code == 1
    assert "failure  database" in result.stdout


def test_doctor_fails_with_settings_that_are_wrong(shell: Shell) -> None:
    Path(shell.environ["DYNAROUTE_CONFIG"]).write_text("strategy: fastest\n", encoding="utf-8")
    result = shell("doctor", "--json")

    findings = json.loads(result.stdout)["findings"]
    assert result.exit_code == 1
    assert [row["state"] for row in findings if row["about"] == "settings"] == ["failure"]


def test_doctor_names_what_stands_for_nothing_in_settings_and_environment(shell: Shell) -> None:
    config = Path(shell.environ["DYNAROUTE_CONFIG"])
    config.write_text(
        "discover_local: false\nexclude: [openruter, ollama/llama3, claude]\nprefer: [mistrall]\n"
        "rules: [{category: Law, model: gpt-6-lunna}]\nproviders: {gemini: {enabled: true}, opnai: {enabled: false}}\n"
        "baseline_model: gpt-4.1\n",
        encoding="utf-8",
    )
    shell.environ |= {"DYNAROUTE_DATABSE": "/tmp/x.db", "DYNAROUTE_STRATEGY": "best"}
    found = [each for each in shell.json("doctor")["findings"] if each["about"] == "settings"]

    assert [each["state"] for each in found] == ["ok"] + ["warning"] * 6
    told = [each["found"].partition(", ")[0] for each in found[1:]]
    assert told == snapshot(
        [
            "exclude: unknown model or provider 'openruter'; did you mean openrouter",
            "prefer: unknown model or provider 'mistrall'; did you mean mistral",
            "rules for Law: unknown model or provider 'gpt-6-lunna'; did you mean openai/gpt-6-luna",
            "providers: unknown model or provider 'opnai'; did you mean openai",
            "environment variable DYNAROUTE_DATABSE means nothing; did you mean DYNAROUTE_DATABASE?",
            "environment variable DYNAROUTE_STRATEGY means nothing; there are DYNAROUTE_CONFIG",
        ]
    )


def test_doctor_fails_with_a_catalog_that_is_wrong(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("models: {nonsense: 3}", encoding="utf-8")
    shell = Shell(tmp_path, None)
    with Path(shell.environ["DYNAROUTE_CONFIG"]).open("a", encoding="utf-8") as config:
        config.write(f"catalog_overlay: {overlay}\n")

    result = shell("doctor")
    assert result.exit_code == 1
    assert "failure  catalog" in result.stdout


def test_doctor_says_whose_calls_these_are(shell: Shell) -> None:
    assert "the local owner's" in shell("doctor").stdout

    shell.environ["DYNAROUTE_API_KEY"] = shell("keys", "create", "alice").stdout.splitlines()[0]
    assert "key of alice, plan free" in shell("doctor").stdout

    shell.environ["DYNAROUTE_API_KEY"] = "dr_wrong"
    assert shell("doctor").exit_code == 1


def test_doctor_shows_how_models_did_by_the_books(shell: Shell) -> None:
    shell.script = Script({LUNA: [failure(ProviderUnavailable)]}, usage=USED)
    shell("route", "Hello", "--model", LUNA)
    result, told = shell("doctor"), shell.json("doctor")

    assert "model, last hour" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(LUNA)]
    assert line.split()[1:4] == ["2", "1", "(50%)"]
    assert (told["models"][0]["id"], told["models"][0]["failures"]) == (LUNA, 1)
    assert told["gateway"] is None


GATEWAY_SAYS = HealthReport(
    books=View(of="books", models=()),
    here=View(
        of="here",
        models=(
            vitals("a/open", state="open", retry_in_s=12.3, last_error="provider_unavailable"),
            vitals("b/ill", state="closed", calls=40, error_rate=0.3, degraded=True),
            vitals("c/well", state="closed"),
        ),
    ),
)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            GATEWAY_SAYS.payload(),
            ["a/open: its breaker is open; asked again in 12 s; last error provider_unavail"],
        ),
        (GATEWAY_SAYS.payload(), ["b/ill: degraded: 30% of 40 calls failed"]),
        (
            {"books": {"of": "", "models": []}, "here": {"of": "", "models": []}},
            ["0 models asked, none rests"],
        ),
        ({"data": []}, ["no DynaRoute gateway tells its health there"]),
        (None, ["no DynaRoute gateway tells its health there"]),
    ],
)
def test_doctor_asks_the_gateway_which_models_rest(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, document: object, told: list[str]
) -> None:
    asked: list[str] = []

    async def get_json(_wire: Wire, url: str, **_rest: object) -> object:
        asked.append(url)
        return document

    monkeypatch.setattr(Wire, "get_json", get_json)
    result = shell("doctor", "--gateway", "http://127.0.0.1:9000/")

    assert asked == ["http://127.0.0.1:9000/health/models"]
    assert all(words in result.stdout for words in told)
    assert "c/well" not in result.stdout
    assert result.exit_code == 0


def test_doctor_says_that_an_address_is_none(shell: Shell) -> None:
    result = shell("doctor", "--gateway", "http://10.0.0.9:8000")

    assert result.exit_code == 1
    assert "must use https" in result.stdout


@pytest.mark.parametrize(
    "typed",
    ["nope", "127.0.0.1:8000", "localhost:8000", "http://", "http://[::1", "http://a:b", "http://a:0"],
)
def test_doctor_shows_how_an_address_is_written(shell: Shell, typed: str) -> None:
    result = shell("doctor", "--gateway", typed)

    assert result.exit_code == 2
    assert f"'{typed}' is no address; write it like http://127.0.0.1:8000" in result.stderr


def test_doctor_tells_a_wrong_address_of_a_provider_where_it_was_set(tmp_path: Path) -> None:
    shell = Shell(tmp_path, None)
    shell.environ |= {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://10.0.0.9/v1"}
    result = shell("doctor", "--json")

    (row,) = [row for row in json.loads(result.stdout)["findings"] if row["state"] == "failure"]
    assert result.exit_code == 1
    assert (row["about"], row["found"].split()[0]) == ("settings", "OPENAI_BASE_URL")
    assert row["next_step"] == "correct OPENAI_BASE_URL, then run this again"


def test_doctor_tells_a_wrong_address_in_a_catalog_of_ones_own_as_the_catalogs(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(
        "providers: [{id: company, name: C, dialect: openai, base_url: 'http://10.0.0.9/v1', key_env: [C_API_KEY]}]\n",
        encoding="utf-8",
    )
    shell = Shell(tmp_path, None, environ={"C_API_KEY": "k"})
    Path(shell.environ["DYNAROUTE_CONFIG"]).write_text(f"catalog_overlay: {overlay}\n", encoding="utf-8")
    result = shell("doctor")

    assert "failure  catalog" in result.stdout
    assert "in the catalog of your own, providers[company].base_url must use https" in result.stdout


# ---------------------------------------------------------------- discover


def test_discover_says_where_nobody_looks_and_where_nobody_is(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "discover_local is false" in shell("discover").stderr

    machine = LocalMachine(monkeypatch, shell)
    machine.servers = ()
    assert "no local server was found" in shell("discover").stdout


def test_discover_lists_tests_and_remembers(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = LocalMachine(monkeypatch, shell)

    assert "1 not tested yet: `dynaroute discover --test` tests them" in shell("discover").stdout
    assert "1 model, 0 tested" in shell("doctor").stdout
    assert "tested ollama/llama3" in shell("discover", "--test").stderr
    (row,) = shell.json("discover", "--test")["models"]
    assert (row["highest_level"], row["tokens_per_s"], row["error"]) == (2, 30.0, None)
    assert "1 model, 1 tested" in shell("doctor").stdout
    assert machine.asked == 1

    machine.shown = SelfTest(highest_level=None, error="it timed out")
    assert "failed: it timed out" in shell("discover", "--again").stdout
    assert machine.asked == 2


class LocalMachine:
    """A machine with one server that serves one model."""

    servers: tuple[Discovered, ...] = (Discovered(provider=OLLAMA, models=(LLAMA,)),)
    shown = SelfTest(highest_level=Level.L2, took_s=2.0, output_tokens=60)
    asked = 0

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
        """Put it in the place of this one."""
        Path(shell.environ["DYNAROUTE_CONFIG"]).write_text("discover_local: true\n", encoding="utf-8")
        shell.script = None

        async def discover(_wire: Wire) -> tuple[Discovered, ...]:
            return self.servers

        async def self_test(*_call: object, **_clock: object) -> SelfTest:
            self.asked += 1
            return self.shown

        async def nobody(*_asked: object) -> None:
            return None

        monkeypatch.setattr(runtime, "discover", discover)
        monkeypatch.setattr(runtime, "self_test", self_test)
        monkeypatch.setattr(doctor, "gateway_view", nobody)


# ---------------------------------------------------------------- db


def test_a_sound_database_is_said_to_be_sound(shell: Shell) -> None:
    shell("route", "Hello")

    assert "state     sound" in shell("db", "check").stdout
    assert shell.json("db", "check")["calls"] == 1


def test_a_damaged_database_is_found_and_given_a_code(shell: Shell) -> None:
    shell("route", "Hello")
    database = Path(shell.environ["DYNAROUTE_DATABASE"])
    shell("db", "vacuum")
    content = bytearray(database.read_bytes())
    content[8192:] = bytes(len(content) - 8192)
    database.write_bytes(content)

    assert shell("db", "check").exit_code == 10
    assert "failure  database" in shell("doctor").stdout


def test_a_copy_is_whole_and_never_written_over(shell: Shell, tmp_path: Path) -> None:
    shell("route", "Hello")
    target = tmp_path / "copy.db"

    assert shell.json("db", "backup", str(target))["file_bytes"] == target.stat().st_size
    with sqlite3.connect(target) as copy:
        assert copy.execute("SELECT count(*) FROM calls").fetchone() == (1,)
    copy.close()
    assert shell("db", "backup", str(target)).exit_code == 10
    assert "is copied to" in shell("db", "backup", str(tmp_path / "other.db")).stdout


def test_there_is_nothing_to_copy_or_shrink_before_the_first_call(shell: Shell, tmp_path: Path) -> None:
    assert shell("db", "backup", str(tmp_path / "copy.db")).exit_code == 10
    assert shell("db", "vacuum").exit_code == 10


def test_shrinking_tells_both_sizes(shell: Shell) -> None:
    shell("route", "Hello")
    sizes = shell.json("db", "vacuum")

    assert 0 < sizes["bytes_after"] <= sizes["bytes_before"]
    assert "before" in shell("db", "vacuum").stdout


def test_an_export_and_an_explanation_count_the_tokens_of_failed_tries_with_their_dollars(
    shell: Shell,
) -> None:
    told = Reported(input=2_000, output=300)
    shell.script = Script(failures={LUNA: [failure(ProviderGarbled)]}, usage=USED, told=told)
    shell("route", "Hello", "--model", LUNA)
    exported = json.loads(shell("db", "export", "--format", "jsonl").stdout)
    explained = shell.json("explain", exported["request_id"])

    for row in (exported, explained):
        assert row["prompt_tokens"] == USED.input_tokens + 2_000
        assert row["completion_tokens"] == USED.output_tokens + 300


def test_an_export_holds_every_call_exactly(shell: Shell) -> None:
    shell("route", "Hello", "--model", LUNA)
    (row,) = csv.DictReader(io.StringIO(shell("db", "export").stdout))
    told = json.loads(shell("db", "export", "--format", "jsonl").stdout)

    assert tuple(row) == COLUMNS
    assert (row["model_used"], row["prompt_tokens"], row["status"]) == (LUNA, "1000", "ok")
    assert told["cost_usd"] == row["cost_usd"]
    assert told["error_code"] is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    "args", [("db", "export"), ("db", "export", "--format", "jsonl"), ("feedback", "export")]
)
def test_an_export_that_the_disk_does_not_take_fails(shell: Shell, args: tuple[str, ...]) -> None:
    asked = shell.json("route", "hi")["request_id"]
    shell("feedback", asked, "hi", "--level", "2")
    result = shell(*args, "-o", "/dev/full")

    assert result.exit_code == 1
    assert "can't be written" in result.stderr


def test_an_export_is_no_formula_to_a_spreadsheet(shell: Shell, tmp_path: Path) -> None:
    shell.environ["DYNAROUTE_API_KEY"] = shell("keys", "create", "=cmd|' /C calc'!A0").stdout.splitlines()[0]
    shell("route", "Hello")
    target = tmp_path / "calls.csv"
    shell("db", "export", "-o", str(target))

    (row,) = csv.DictReader(io.StringIO(target.read_text(encoding="utf-8")))
    assert row["user_id"] == "'=cmd|' /C calc'!A0"


def test_an_export_tells_what_a_failed_call_did_not_have(shell: Shell) -> None:
    shell.script = Script(always=failure(ProviderModelMissing))
    shell("route", "Hello", "--model", LUNA)
    (row,) = csv.DictReader(io.StringIO(shell("db", "export").stdout))

    assert (row["status"], row["error_code"]) == ("error", "provider_model_missing")


# ---------------------------------------------------------------- catalog


def test_our_prices_are_those_of_other_lists_or_say_why_not(shell: Shell) -> None:
    told = shell.json("catalog", "check")
    shown = shell("catalog", "check")

    assert told["compared"] > 100
    assert all(drift["excuse"] for drift in told["drifts"])
    assert f"compared   {told['compared']:,} prices" in shown.stdout


@pytest.fixture
def dearer(tmp_path: Path) -> Path:
    """A catalog in which a model costs more than anybody else says."""
    folder = tmp_path / "catalog"
    shutil.copytree(Path(__file__).parents[2] / "catalog", folder)
    prices = folder / "prices.yaml"
    text = prices.read_text(encoding="utf-8")
    head, model, rest = text.partition(f"- model: {LUNA}\n")
    prices.write_text(head + model + rest.replace("{input: ", "{input: 9", 1), encoding="utf-8")
    return folder


def test_a_price_that_differs_is_shown_with_both_figures_and_fails(
    shell: Shell, dearer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynaroute_mcp.cli.catalog.load_catalog", lambda _folder: load_catalog(dearer))
    result = shell("catalog", "check")

    assert result.exit_code == 1
    assert any(line.startswith(LUNA) and " input " in line for line in result.stdout.splitlines())


def test_a_difference_becomes_a_row_only_when_writing_is_asked_for(shell: Shell, dearer: Path) -> None:
    before = (dearer / "prices.yaml").read_text(encoding="utf-8")

    assert "1 changes found" in shell("catalog", "sync", "--folder", str(dearer)).stdout
    assert (dearer / "prices.yaml").read_text(encoding="utf-8") == before
    written = shell.json("catalog", "sync", "--folder", str(dearer), "--write")
    assert [row["model"] for row in written["changed"]] == [LUNA]
    assert shell.json("catalog", "sync", "--folder", str(dearer))["changed"] == []


def test_providers_are_asked_which_models_they_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def listed(_wire: Wire, endpoint: Endpoint) -> frozenset[str] | None:
        wires = {row.wire_id for row in load_catalog().models if row.provider == endpoint.provider.id}
        return frozenset(wires - {"gpt-6-sol"}) if endpoint.provider.id == "openai" else None

    monkeypatch.setattr("dynaroute_mcp.runtime.listed_models", listed)
    shell = Shell(tmp_path, None)
    nobody = shell("catalog", "check", "--live")
    shell.environ |= {"OPENAI_API_KEY": "sk-1", "MISTRAL_API_KEY": "m-1"}
    shown, told = shell("catalog", "check", "--live"), shell("catalog", "check", "--live", "--json")

    assert (nobody.exit_code, "no provider has a key" in nobody.stdout) == (0, True)
    assert (shown.exit_code, told.exit_code) == (1, 1)
    assert "openai/gpt-6-sol" in shown.stdout
    assert "could not be asked" in shown.stdout
    providers = {row["provider"]: row for row in json.loads(told.stdout)["providers"]}
    assert providers["openai"]["unlisted"] == ["openai/gpt-6-sol"]
    assert providers["mistral"]["listed"] is None


def test_without_the_lists_a_check_says_what_to_install(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> object:
        raise ModuleNotFoundError

    monkeypatch.setattr("dynaroute_mcp.cli.catalog.import_module", missing)
    result = shell("catalog", "check")

    assert result.exit_code == 9
    assert "pip install 'dynaroute-mcp[catalog]'" in result.stderr


# ---------------------------------------------------------------- config


def test_a_snippet_starts_the_server_with_absolute_paths(shell: Shell) -> None:
    shell.environ["DYNAROUTE_API_KEY"] = "dr_secret"
    snippet = json.loads(shell("config", "cursor").stdout)

    server = snippet["mcpServers"]["dynaroute"]
    assert (server["command"], server["args"]) == (sys.executable, ["-m", "dynaroute_mcp"])
    assert server["env"]["DYNAROUTE_DATABASE"] == shell.environ["DYNAROUTE_DATABASE"]
    assert "dr_secret" not in str(snippet)


def test_each_client_gets_the_form_that_it_reads(shell: Shell) -> None:
    first_words = {
        name: shell("config", name).stdout.split()[:3]
        for name in ("claude-desktop", "cursor", "claude-code", "vscode", "mcp-dev")
    }

    assert {name: words[:2] for name, words in first_words.items() if name != "mcp-dev"} == snapshot(
        {
            "claude-desktop": ["{", '"mcpServers":'],
            "cursor": ["{", '"mcpServers":'],
            "claude-code": ["claude", "mcp"],
            "vscode": ["{", '"servers":'],
        }
    )
    assert first_words["mcp-dev"][1] == "dev"
    assert Path(first_words["mcp-dev"][2]).is_file()


def test_a_snippet_carries_the_named_configuration_with_its_whole_path(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.folder)
    shell.environ["DYNAROUTE_DATABASE"] = "books.db"
    env = json.loads(shell("--config", "mine.yaml", "config", "--json").stdout)["env"]

    assert env == {
        "DYNAROUTE_CONFIG": str(shell.folder / "mine.yaml"),
        "DYNAROUTE_DATABASE": str(shell.folder / "books.db"),
    }


def test_a_snippet_for_scripts_is_the_server_alone(shell: Shell) -> None:
    assert set(shell.json("config")) == {"command", "args", "env"}


# ---------------------------------------------------------------- serve


def test_serving_beyond_this_machine_needs_an_admin_token(shell: Shell) -> None:
    result = shell("serve", "--host", "0.0.0.0")

    assert result.exit_code == 9
    assert "DYNAROUTE_ADMIN_TOKEN" in result.stderr


def test_an_address_of_ipv6_is_written_so_that_it_can_be_opened(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(*_: object, listening: Callable[[], None], **__: object) -> None:
        listening()

    monkeypatch.setattr(serving, "serve", serve)

    assert "http://[::1]:8000: API at /v1" in shell("serve", "--host", "::1").stderr


@pytest.mark.parametrize("transport", ["all", "sse", "streamable-http"])
def test_serve_opens_what_is_asked_for(shell: Shell, monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    seen: list[tuple[object, ...]] = []

    def serve(
        settings: Settings,
        *how: object,
        allowed_hosts: tuple[str, ...],
        reread: Callable[[], Settings],
        listening: Callable[[], None],
    ) -> None:
        listening()
        seen.append((*how, allowed_hosts, reread() == settings))

    monkeypatch.setattr(serving, "serve", serve)
    result = shell("serve", "--transport", transport, "--port", "8123", "--allow-host", "box.lan")

    assert seen == [("127.0.0.1", 8123, transport, ("box.lan",), True)]
    assert "http://127.0.0.1:8123: API at /v1" in result.stderr
    assert result.stdout == ""


@pytest.fixture
def collector() -> Iterator[None]:
    """Give the collector of this process back as it was: a server sets it for itself."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_a_port_that_is_taken_is_told_in_one_line(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = shell("serve", "--port", str(port))

    assert result.exit_code == 9
    assert result.stderr == (
        f"Error: can't listen on 127.0.0.1, port {port}: another program listens there; stop it, or name another"
        " --port [configuration_invalid]\n"
    )


@pytest.mark.usefixtures("collector")
def test_a_server_with_a_wrong_catalog_says_what_is_wrong_and_no_more(shell: Shell) -> None:
    overlay = shell.folder / "catalog.yaml"
    overlay.write_text("models:\n  - {id: house/one}\n", encoding="utf-8")
    config = Path(shell.environ["DYNAROUTE_CONFIG"])
    config.write_text(f"catalog_overlay: {overlay}\n", encoding="utf-8")
    result = shell("serve", "--port", "8123")

    assert result.exit_code == 9
    assert result.stderr == (
        "Error: catalog.yaml: models[house/one].provider: is missing [configuration_invalid]\n"
    )


def test_stdio_is_served_by_two_commands(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings | None] = []
    monkeypatch.setattr(stdio, "serve", seen.append)
    shell("serve", "--transport", "stdio")
    shell("mcp")
    shell("--config", shell.environ["DYNAROUTE_CONFIG"], "mcp")

    assert [chosen and chosen.discover_local for chosen in seen] == [False, None, False]
