"""Loading the catalog: what is wrong is refused with file, row and field, and an overlay corrects ours."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.plain_yaml import parse_yaml

FOLDER = Path(__file__).parents[1] / "catalog"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Edit = Callable[[str, str, str], Path]
Overlay = Callable[[str], Path]


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """Copy the catalog with one piece of one file replaced."""

    def edited(file: str, old: str, new: str) -> Path:
        folder = tmp_path / "catalog"
        shutil.copytree(FOLDER, folder)
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return folder

    return edited


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    def written(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        (
            "models.yaml",
            "context_tokens: 1050000",
            "context_tokens: -1",
            r"models\.yaml: models\[.*\]\.context_tokens",
        ),
        (
            "models.yaml",
            "context_tokens: 1050000",
            "context_tokns: 1",
            r"models\[.*\]\.context_tokns: there is no such field; did you mean 'context_tokens'",
        ),
        ("models.yaml", "provider: openai", "provider: opnai", "unknown provider 'opnai'"),
        ("models.yaml", "profile: openai-classic", "profile: nix", "unknown profile 'nix'"),
        (
            "models.yaml",
            "replacement: openai/gpt-6-luna",
            "replacement: openai/x",
            "unknown replacement 'openai/x'",
        ),
        ("models.yaml", "name: GPT-6 Luna", "name: GPT-6 Sol", "the name 'gpt-6-sol' already belongs to"),
        ("models.yaml", "name: GPT-6 Luna", 'name: "GPT\\nLuna"', "printable text"),
        ("models.yaml", "name: GPT-6 Luna", f"name: {'x' * 200}", "at most 120 characters"),
        ("models.yaml", "id: mistral/codestral-2508", "id: mistral/ministral-3b-2512", "stands there twice"),
        (
            "prices.yaml",
            "input: 10, output: 50",
            "input: -1, output: 50",
            r"usd_per_mtok\.input: must be at least 0",
        ),
        ("prices.yaml", "input: 10, output: 50", "input: .nan, output: 50", r"prices\[openai/gpt-6-astra\]"),
        ("providers.yaml", "OPENAI_API_KEY", "OPENAI_TOKEN", r"key_env\[0\].*: must end in _API_KEY"),
        ("providers.yaml", "OPENAI_BASE_URL", "OPENAI_URL", "base_url_env: must end in _BASE_URL"),
        ("prices.yaml", "input: 10, output: 50", "input: NaN, output: 50", "finite"),
        ("prices.yaml", "input: 10, output: 50", "input: Infinity, output: 50", "finite"),
        ("prices.yaml", "model: openai/gpt-6-luna", "model: openai/gpt-7", "unknown model 'openai/gpt-7'"),
        ("prices.yaml", "calendar: deepseek-peak", "calendar: nix", "unknown calendar 'nix'"),
        ("prices.yaml", "from: 2026-10-20", "from: 2026-10-29", "two rows from 2026-10-29"),
        (
            "ratings.yaml",
            "- {model: openai/gpt-5.4-nano,",
            "- {model: openai/gpt-7,",
            "unknown model 'openai/gpt-7'",
        ),
        ("ratings.yaml", "like: openai/gpt-6-luna", "like: openai/gpt-7", "'openai/gpt-7' has no rating"),
        ("skills.yaml", "anchor: openai/gpt-4.1", "anchor: openai/gpt-7", "must be rated in every skill"),
        ("skills.yaml", "Facts: {text: 1}", "Facts: {text: 0.9}", r"categories\.Facts: weights must"),
        ("skills.yaml", "  Facts: {text: 1}\n", "", r"categories\.Facts: weights must"),
        ("ladder.yaml", "    Facts: 0.4\n", "", "output_factor: no entry for Facts"),
        ("ladder.yaml", "1: 0.262, 2: 0.387", "1: 0.6, 2: 0.387", "must rise with the level"),
        ("ladder.yaml", "hardest_difficulty: 0.44", "hardest_difficulty: 0.1", "must lie below hardest"),
        ("providers.yaml", "aliases: [claude]", "aliases: [openai]", "already belongs to"),
        (
            "plans.yaml",
            "requests_per_minute: 100,",
            "requests_per_minute: 0,",
            r"plans\[free\]\.requests_per_minute",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_file_row_and_field(
    edit: Edit, file: str, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationInvalid, match=complaint):
        load_catalog(edit(file, old, new))


def test_tiers_must_rise(edit: Edit) -> None:
    tier = "      - {above_tokens: 32000, usd_per_mtok: {input: 0.1, output: 0.4"

    with pytest.raises(ConfigurationInvalid, match=r"qwen3\.7-flash\]\.tiers: must rise"):
        load_catalog(edit("prices.yaml", tier, tier.replace("32000", "256001")))


def test_a_missing_folder_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="does not exist"):
        load_catalog(tmp_path / "nowhere")
    with pytest.raises(ConfigurationInvalid, match=r"providers\.yaml: can't be read"):
        load_catalog(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: &x [1]\nb: *x", "line 1: aliases are not allowed"),
        ("a: !!python/object/apply:os.system [ls]", "tag .* is not allowed"),
        ("a: !secret x", "tag '!secret' is not allowed"),
        ("a: 1\na: 2", "line 2: 'a' is given twice"),
        ("a: [", "not valid YAML: line"),
        ("- a", "must be a mapping"),
        ("a: 1\n---\nb: 2", "not valid YAML"),
        ("[a]: 1", "a key must be text"),
        ("a: " + "[" * 200_000, "nested too deeply"),
        ("a: " + "[" * 20 + "]" * 20, "nested too deeply"),
        ("- " * 200_000, "nested too deeply"),
        ("a: 1\r? " + "? - : " * 50_000, "nested too deeply"),
        ("\ufeff--- " + "-\t" * 200_000, "nested too deeply"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=complaint):
        parse_yaml(text, "mine.yaml")


def test_brackets_may_be_many_when_they_are_not_deep() -> None:
    assert parse_yaml("a: [" + "[1], " * 500 + "]", "mine.yaml")["a"] == [["1"]] * 500


def test_scalars_stay_text_and_an_empty_file_is_empty() -> None:
    assert parse_yaml("a: no\nb: 0.10\nc: ~\nd: '~'", "mine.yaml") == {
        "a": "no",
        "b": "0.10",
        "c": None,
        "d": "~",
    }
    assert parse_yaml("", "mine.yaml") == {}


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigurationInvalid, match="can't be read as UTF-8"):
        load_catalog(None, path)


def test_an_overlay_corrects_the_fields_that_it_names(overlay: Overlay) -> None:
    ours = load_catalog()
    mine = load_catalog(
        None, overlay("models: [{id: openai/gpt-6-luna, context_tokens: 128000, status: deprecated}]")
    )

    luna = mine.get_model("gpt-6-luna")
    assert (luna.context_tokens, luna.status) == (128_000, "deprecated")
    assert luna.max_output_tokens == ours.get_model("gpt-6-luna").max_output_tokens
    assert mine.get_model("gpt-6-sol") == ours.get_model("gpt-6-sol")
    assert mine.digest != ours.digest


def test_an_overlay_adds_a_provider_its_models_and_their_prices(overlay: Overlay) -> None:
    mine = load_catalog(
        None,
        overlay(
            """
            providers: [{id: acme, name: Acme, dialect: openai, base_url: https://llm.acme.example/v1}]
            models:
              - {id: acme/one, provider: acme, wire_id: one, name: Acme One, family: acme,
                 context_tokens: 8000, max_output_tokens: 1000}
            prices: [{model: acme/one, from: 2026-01-01, usd_per_mtok: {input: 1, output: 2}}]
            plans: [{id: free, requests_per_minute: 7}]
            """
        ),
    )

    row = mine.find_price("acme/one", NOW)
    assert mine.get_model("Acme One").source == "mine.yaml"
    assert row is not None
    assert row.usd_per_mtok.output == 2
    assert (row.source, row.checked) == ("mine.yaml", date(2026, 1, 1))
    assert mine.plans["free"].requests_per_minute == 7
    assert mine.plans["free"].requests_per_day == 1_000


def test_a_model_that_the_overlay_prices_has_only_the_overlays_prices(overlay: Overlay) -> None:
    mine = load_catalog(
        None,
        overlay(
            "prices: [{model: openai/gpt-6-luna, from: 2020-01-01, "
            "usd_per_mtok: {input: 0.09, output: 0.45}, checked: 2026-11-22}]"
        ),
    )

    row = mine.find_price("openai/gpt-6-luna", NOW)
    assert row is not None
    assert row.usd_per_mtok.input == Decimal("0.09")
    assert len(mine.prices["openai/gpt-6-luna"]) == 1


def test_an_overlay_may_bring_a_profile(overlay: Overlay) -> None:
    mine = load_catalog(
        None, overlay("profiles: {mine: {sampling: false}}\nmodels: [{id: openai/gpt-4o, profile: mine}]")
    )

    assert not mine.get_model("gpt-4o").constraints.sampling


def test_an_overlay_whose_rows_do_not_fit_ours_is_named_with_its_path(overlay: Overlay) -> None:
    path = overlay("prices: [{model: no/such, from: 2026-01-01, usd_per_mtok: {input: 1, output: 1}}]")

    with pytest.raises(ConfigurationInvalid) as refused:
        load_catalog(None, path)

    assert str(refused.value) == f"{path}, merged into prices.yaml: unknown model 'no/such'"


def test_an_overlay_that_is_called_as_a_file_of_ours_is_named_with_its_path_too(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("prices: [{model: no/such, from: 2026-01-01, usd_per_mtok: {input: 1, output: 1}}]")

    with pytest.raises(ConfigurationInvalid) as refused:
        load_catalog(None, path)

    assert str(refused.value) == f"{path}, merged into prices.yaml: unknown model 'no/such'"


def test_a_file_of_ours_that_is_gone_is_not_blamed_on_the_overlay(tmp_path: Path, overlay: Overlay) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        load_catalog(tmp_path, overlay("models: []"))

    assert str(refused.value).startswith(f"{tmp_path / 'providers.yaml'}: can't be read")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "models: [{id: openai/gpt-6-luna, context_tokens: many}]",
            r"mine\.yaml: models\[openai/gpt-6-luna\]",
        ),
        ("models: [{id: acme/one}]", r"mine\.yaml: models\[acme/one\]\.provider: is missing$"),
        (
            "plans: [{id: pro, request_per_minute: 1}]",
            r"pro\]\.request_per_minute: there is no such field; did you mean 'requests_per_minute'\?",
        ),
        (
            "prices: [{model: gpt-4o, form: 2026-01-01}]",
            r"gpt-4o\]\.form: .*; did you mean 'from'\? \(got '2026-01-01'\)",
        ),
        ("modells: []", r"unknown section 'modells'; choose from baselines, calendars"),
        ("ladder: {}", "unknown section 'ladder'"),
        ("models: {}", "models must have the form"),
        ("models: [x]", "models must be a list of rows"),
    ],
)
def test_a_fault_in_the_overlay_names_the_overlay(overlay: Overlay, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=complaint):
        load_catalog(None, overlay(text))
