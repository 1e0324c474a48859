"""The shipped catalog: it loads, every name resolves, and its facts hold together."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from dynaroute_mcp.catalog import Catalog, Model, Provider, load_catalog
from dynaroute_mcp.catalog.files import json_schemas
from dynaroute_mcp.catalog.names import normalise
from dynaroute_mcp.errors import ConfigurationInvalid, UnknownName
from dynaroute_mcp.taxonomy import Category, Level

FOLDER = Path(__file__).parents[1] / "catalog"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LOCAL = Provider(
    id="ollama",
    name="Ollama",
    dialect="openai",
    base_url="http://127.0.0.1:11434/v1",
    keyless=True,
    source="t",
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def local_model(model_id: str = "ollama/llama3.2", provider: str = "ollama") -> Model:
    return Model(
        id=model_id,
        provider=provider,
        wire_id=model_id.split("/")[1],
        name=model_id,
        family="local",
        context_tokens=8_192,
        max_output_tokens=4_096,
        free=True,
        source="found on this machine",
    )


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("GPT-4.1", "openai/gpt-4.1"),
        ("gpt 4.1", "openai/gpt-4.1"),
        ("openai/gpt-4.1", "openai/gpt-4.1"),
        ("gpt-4.1-2025-04-14", "openai/gpt-4.1"),
        ("Claude 4.5 Sonnet", "anthropic/claude-sonnet-4-5"),
        ("Claude Sonnet 4.5", "anthropic/claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4-5@20250929", "anthropic/claude-sonnet-4-5"),
        ("CLAUDE-SONNET-4-5", "anthropic/claude-sonnet-4-5"),
        ("Gemini 2.5 Flash", "gemini/gemini-2.5-flash"),
        ("google/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("gemini/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("x-ai/grok-4.5", "xai/grok-4.5"),
        ("gpt-oss-20b", "groq/openai/gpt-oss-20b"),
        ("claude-opus-4", "anthropic/claude-opus-4-20250514"),
        ("deepseek-chat", "deepseek/deepseek-chat"),
        ("Command A+", "cohere/command-a-plus-05-2026"),
        ("Command A", "cohere/command-a-03-2025"),
    ],
)
def test_every_spelling_of_a_name_finds_its_model(catalog: Catalog, name: str, model_id: str) -> None:
    assert catalog.get_model(name).id == model_id


def test_every_name_of_every_model_leads_back_to_it(catalog: Catalog) -> None:
    for model in catalog.models:
        for name in (model.id, model.wire_id, model.name, *model.aliases):
            assert catalog.get_model(name) is model


@pytest.mark.parametrize(
    ("spelt", "model_id"),
    [
        ("openai:gpt-5", "openai/gpt-5"),
        ("anthropic:claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5"),
        ("models/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("z-ai/glm-4.6", "zai/glm-4.6"),
    ],
)
def test_a_name_as_other_tools_spell_it_is_known(catalog: Catalog, spelt: str, model_id: str) -> None:
    assert catalog.get_model(spelt).id == model_id


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("claude-sonnet", "anthropic/claude-sonnet-5"),
        ("gpt-6", "openai/gpt-6-sol"),
        ("gemini", "gemini/gemini-2.5-pro"),
        ("chatgpt-4o-latest", "openai/gpt-4o"),
        ("Claud 4.5 Sonet", "anthropic/claude-sonnet-4-5"),
    ],
)
def test_what_is_offered_shares_words_with_what_was_typed_and_is_not_retired(
    catalog: Catalog, typed: str, offered: str
) -> None:
    with pytest.raises(UnknownName) as caught:
        catalog.get_model(typed)

    assert caught.value.suggestions[0] == offered
    assert all(catalog.by_id[name].status != "retired" for name in caught.value.suggestions)


def test_an_unknown_name_offers_the_nearest_three(catalog: Catalog) -> None:
    with pytest.raises(UnknownName) as caught:
        catalog.get_model("gemini 2.5 flesh")

    assert caught.value.suggestions[0] == "gemini/gemini-2.5-flash"
    assert len(caught.value.suggestions) == 3
    assert catalog.find_model("gemini 2.5 flesh") is None


def test_a_name_as_long_as_a_book_is_only_unknown(catalog: Catalog) -> None:
    assert catalog.find_model("a" * 1_000_000) is None


def test_providers_and_plans_are_found_by_what_people_call_them(catalog: Catalog) -> None:
    google = catalog.find_provider("Gemini")

    assert google is not None
    assert google.id == "google"
    assert catalog.find_provider("nobody") is None
    assert catalog.get_plan("FREE").requests_per_minute == 100
    with pytest.raises(UnknownName):
        catalog.get_plan("gold")


def test_the_catalog_is_broad_and_current(catalog: Catalog) -> None:
    routable = [model for model in catalog.models if not model.retired(NOW.date())]

    assert len(routable) >= 100
    assert len({model.provider for model in routable}) >= 12


def test_a_model_is_retired_from_its_day_on(catalog: Catalog) -> None:
    model = catalog.get_model("Claude Sonnet 4.5")

    assert not model.retired(date(2026, 11, 29))
    assert model.retired(date(2026, 11, 30))
    assert catalog.get_model("claude-opus-4-1").retired(date(2020, 1, 1))


def test_everything_routable_has_a_price_and_every_fact_a_source(catalog: Catalog) -> None:
    unpriced = [
        model.id
        for model in catalog.models
        if not model.retired(NOW.date()) and catalog.find_price(model.id, NOW) is None
    ]

    assert unpriced == []
    assert all(row.source and row.checked for rows in catalog.prices.values() for row in rows)
    assert all(model.source for model in catalog.models)


def test_announced_prices_come_into_force_on_their_day(catalog: Catalog) -> None:
    def input_rate(name: str, day: str) -> Decimal:
        at = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        row = catalog.find_price(catalog.get_model(name).id, at)
        assert row is not None
        return row.usd_per_mtok.input

    assert input_rate("gemini-4-argon", "2026-11-30") == 2
    assert input_rate("gemini-4-argon", "2026-12-01") == 4
    assert input_rate("gemini-3.8-flash", "2026-12-31") == Decimal("0.75")
    assert input_rate("gemini-3.8-flash", "2027-01-01") == Decimal("1.5")


def test_a_model_has_no_price_before_its_first_row(catalog: Catalog) -> None:
    assert catalog.find_price("gemini/gemini-4-argon", datetime(2024, 1, 1, tzinfo=UTC)) is None
    assert catalog.find_price("nobody/nothing", NOW) is None


def test_ratings_are_relative_to_the_anchor_and_estimates_say_so(catalog: Catalog) -> None:
    anchor = catalog.get_model("gpt-4.1")
    haiku = catalog.get_model("claude-haiku-5-5").quality["text"]

    assert {rating.value for rating in anchor.quality.values()} == {0.5}
    assert catalog.get_model("gemini-4-argon").quality["text"].value > 0.6
    assert haiku.estimated
    assert "predecessor" in haiku.source
    assert not catalog.get_model("gpt-6-luna").quality["text"].estimated


def test_profiles_give_a_family_its_constraints_and_a_model_its_own(catalog: Catalog) -> None:
    opus, luna = catalog.get_model("claude-opus-5-5").constraints, catalog.get_model("gpt-6-luna").constraints

    assert (opus.sampling, opus.prefill, opus.forced_tool_choice, opus.thinking) == (
        False,
        False,
        False,
        "adaptive",
    )
    assert opus.min_cacheable_tokens == 512
    assert luna.max_tokens_field == "max_completion_tokens"
    assert luna.tools_need_effort_none
    assert "none" in luna.efforts
    assert catalog.get_model("gpt-6.1-sol").constraints.tools_need_responses


def test_baselines_are_frozen_and_found_under_the_models_name(catalog: Catalog) -> None:
    row = catalog.find_baseline("openai/gpt-4.1")

    assert row is not None
    rates = row.usd_per_mtok
    assert (rates.input, rates.output, rates.cache_read) == (Decimal(2), Decimal(8), Decimal("0.5"))
    assert catalog.find_baseline("GPT-4.1") is row
    assert catalog.find_baseline("gpt-6-luna") is None


def test_weights_of_every_category_sum_to_one_and_the_ladder_rises(catalog: Catalog) -> None:
    assert all(sum(catalog.weights[category].values()) == pytest.approx(1) for category in Category)
    demands = [catalog.ladder.demand[level] for level in Level]
    assert demands == sorted(demands)
    assert catalog.ladder.expected_output_tokens(Category.FACTS, Level.L1) < (
        catalog.ladder.expected_output_tokens(Category.SYSTEM_DESIGN, Level.L4)
    )


def test_the_newest_check_of_a_price_is_known(catalog: Catalog) -> None:
    assert catalog.checked_on == date(2026, 11, 21)


def test_models_found_on_the_machine_join_the_catalog(catalog: Catalog) -> None:
    joined = catalog.with_models([LOCAL], [local_model()])

    assert joined.get_model("llama3.2").provider == "ollama"
    assert joined.find_provider("Ollama") == LOCAL
    assert len(joined.models) == len(catalog.models) + 1
    assert catalog.find_model("llama3.2") is None


def test_a_found_model_needs_a_known_provider(catalog: Catalog) -> None:
    with pytest.raises(ConfigurationInvalid, match="unknown provider 'lmstudio'"):
        catalog.with_models([], [local_model(provider="lmstudio")])


def test_a_found_model_does_not_take_over_a_name_of_ours(catalog: Catalog) -> None:
    twins = [local_model("ollama/llama3:8b"), local_model("ollama/llama3-8b"), local_model("ollama/gpt-4.1")]
    joined = catalog.with_models([LOCAL], twins)

    assert joined.get_model("gpt-4.1").id == "openai/gpt-4.1"
    assert joined.get_model("ollama/gpt-4.1").id == "ollama/gpt-4.1"
    assert joined.get_model("llama3 8b").id == "ollama/llama3:8b"


def test_a_model_that_its_provider_no_longer_lists_is_not_routed(catalog: Catalog) -> None:
    listed = ["models/gemini-3.8-flash", "gemini-2.5-flash-2026-10-01", "embedding-1"]
    checked = catalog.without_unlisted("google", listed)
    today = NOW.date()

    google = {
        model.wire_id for model in checked.models if model.provider == "google" and not model.retired(today)
    }
    assert google == {"gemini-3.8-flash", "gemini-2.5-flash"}
    assert not checked.get_model("gpt-6-luna").retired(today)
    assert checked.get_model("gemini-2.5-pro").standing(today) == "no longer listed by its provider"
    assert checked.get_model("gemini-2.5-flash").standing(today) == "active"


def test_a_list_that_names_no_known_model_is_not_believed(catalog: Catalog) -> None:
    assert catalog.without_unlisted("google", ["embedding-1"]) is catalog
    assert catalog.without_unlisted("google", []) is catalog


def test_separators_case_and_plus_do_not_tell_names_apart() -> None:
    assert normalise("  Claude_Sonnet 4.5 ") == "claude-sonnet-4-5"
    assert normalise("Command A+") == "command-a-plus"


def test_the_editors_schemas_are_those_of_the_code() -> None:
    for name, schema in json_schemas().items():
        assert json.loads((FOLDER / "schema" / name).read_text(encoding="utf-8")) == schema, (
            f"{name} is out of date: write json_schemas() again"
        )
