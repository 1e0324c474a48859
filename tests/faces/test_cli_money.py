"""`models`, `cost` and `usage`: what there is, what it costs, what was spent."""

from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from inline_snapshot import snapshot
from tests.faces.shell import Shell
from tests.scripted import FLASH, LUNA, SOL, START, Script, failure

from dynaroute_mcp.errors import ProviderUnavailable
from dynaroute_mcp.store.sqlite import open_store
from dynaroute_mcp.types import Cost, Usage

USED = Usage(uncached_input_tokens=1000, output_tokens=500)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, Script(usage=USED))


def test_a_quote_stands_beside_gpt41(shell: Shell) -> None:
    result = shell("cost", "Gemini 2.5 Flash", "1000", "500")

    assert [line for line in result.stdout.splitlines() if not line.startswith("price")] == snapshot(
        [
            "model    Gemini 2.5 Flash (gemini/gemini-2.5-flash)",
            "tokens   1,000 in, 500 out",
            "input    $0.0003",
            "output   $0.00125",
            "cost     $0.00155",
            "GPT-4.1  $0.006",
            "saved    $0.00445 (74.17 %)",
        ]
    )


def test_a_quote_may_be_a_loss(shell: Shell) -> None:
    assert shell.json("cost", "Claude 4.5 Sonnet", "1000", "500")["savings"] == -0.0045


def test_an_unknown_model_is_never_free(shell: Shell) -> None:
    result = shell("cost", "gemeni 2.5 flash", "1", "1")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean gemini/gemini-2.5-flash" in result.stderr


def test_models_show_price_window_levels_and_abilities(shell: Shell) -> None:
    rows = shell("models", "--provider", "google").stdout.splitlines()
    (flash,) = (row for row in rows if row.startswith(f"{FLASH} "))

    assert flash.split() == [FLASH, "0.30", "2.50", "1.05M", flash.split()[4], "tvpjr", "ready"]
    assert rows[-1] == "can: t tools, v vision, p pdf, j json_schema, r reasoning"


def test_models_that_cannot_be_called_say_why(shell: Shell) -> None:
    assert "no key" in shell("models", "--provider", "xai").stdout
    assert shell.json("models", "--provider", "xai", "--available")["count"] == 0
    assert "retired" in shell("models", "--all").stdout
    assert "retired" not in shell("models").stdout


def test_what_others_need_is_told_only_where_others_need_something(shell: Shell) -> None:
    advice = "`dynaroute doctor` says what the others need"

    assert advice in shell("models", "--provider", "xai").stdout
    assert advice not in shell("models", "--provider", "openai").stdout
    assert advice not in shell("models", "--provider", "openai", "--all").stdout


def test_a_provider_goes_by_the_name_in_its_models_ids_too(shell: Shell) -> None:
    assert shell("models", "--provider", "gemini").stdout == shell("models", "--provider", "google").stdout


def test_an_unknown_provider_is_an_error_that_offers_the_nearest(shell: Shell) -> None:
    result = shell("models", "--provider", "antropic")

    assert result.exit_code == 2
    assert "unknown provider 'antropic'; did you mean anthropic, " in result.stderr
    assert shell("models", "--provider", "antropic", "--json").exit_code == 2


def test_where_no_model_is_left_the_reason_is_told(tmp_path: Path, shell: Shell) -> None:
    home = tmp_path / "keyless"
    home.mkdir()
    keyless = Shell(home, None)

    assert "take one of them away" in shell("models", "--provider", "xai", "--available").stdout
    assert "`dynaroute doctor`" in keyless("models", "--available").stdout


def test_models_are_found_by_a_part_of_their_name(shell: Shell) -> None:
    rows = shell.json("models", "HAIKU")["models"]

    assert rows
    assert all("haiku" in row["litellm_id"] for row in rows)
    assert "no model passes" in shell("models", "no-such-model").stdout


@pytest.mark.parametrize("search", ["Claude 4.5 Sonnet", "sonnet claude 4.5", "claude sonnet 4.5"])
def test_a_search_takes_the_words_of_a_name_in_any_order(shell: Shell, search: str) -> None:
    assert [row["name"] for row in shell.json("models", search)["models"]] == ["Claude Sonnet 4.5"]


def test_a_table_that_is_too_wide_for_the_terminal_is_told_row_by_row_and_loses_no_figure(
    shell: Shell,
) -> None:
    shell("route", "hi")
    shell.columns = 60
    seen = shell("usage", terminal=True).stdout
    calls = seen.partition("when (UTC)")[2].splitlines()

    assert [line.split()[0] for line in calls[1:]] == ["request", "model", "level", "cost"]
    assert shell("usage", "--period", "month").stdout.split()[-1] == calls[-1].split()[-1]


def test_a_model_that_takes_two_lines_breaks_behind_its_provider_and_others_take_one(shell: Shell) -> None:
    shell("route", "--model", "anthropic/claude-haiku-5-5", "hi")
    shell("route", "--model", "gpt-4.1", "hi")
    shell.columns = 80
    calls = shell("usage", terminal=True).stdout.partition("when (UTC)")[2].splitlines()[1:]

    assert [line.split()[3:4] or line.split() for line in calls] == [
        ["openai/gpt-4.1"],
        ["anthropic/"],
        ["claude-haiku-5-5"],
    ]


def test_how_a_call_ended_is_told_where_one_failed(tmp_path: Path) -> None:
    shell = Shell(tmp_path, Script(always=failure(ProviderUnavailable)))
    shell("route", "--model", LUNA, "hi")
    told = shell("usage").stdout.splitlines()

    assert told[-2].endswith("status")
    assert told[-1].endswith("error")


def test_models_can_be_filtered(shell: Shell) -> None:
    rows = shell.json("models", "--capability", "vision", "--level", "5", "--available")["models"]

    assert rows
    assert all("vision" in row["capabilities"] and 5 in row["levels"] and row["available"] for row in rows)


def test_a_price_list_fits_eighty_columns_on_a_terminal_and_is_never_cut_in_a_pipe(shell: Shell) -> None:
    shell.columns = 80
    seen = shell("models", "--all", terminal=True).stdout.splitlines()
    piped = shell("models", "--all").stdout.splitlines()

    assert max(len(line.rstrip()) for line in seen) <= 80
    assert sum("/" in line for line in piped) >= shell.json("models", "--all")["count"]


def test_usage_sums_up_and_lists_the_last_calls(shell: Shell) -> None:
    ids = [shell.json("route", "Hello", "--model", model)["request_id"] for model in (FLASH, SOL)]
    shown = shell("usage").stdout
    told = shell.json("usage")

    assert "requests  2" in shown
    assert all(request_id in shown for request_id in ids)
    assert told["total_requests"] == 2
    assert told["total_cost"] == pytest.approx(sum(row["total_cost"] for row in told["recent"]))
    assert [row["request_id"] for row in told["recent"]] == ids[::-1]


def test_usage_by_category_counts_the_same_calls(shell: Shell) -> None:
    shell("route", "Hello", "--model", LUNA)

    assert "Code Generation         1" in shell("usage", "--by", "category", "--recent", "0").stdout


def test_usage_by_day_counts_the_days_of_the_period(shell: Shell) -> None:
    shell("route", "Hello", "--model", FLASH)
    shell.time.passed_s = 86_400
    shell("route", "Hello", "--model", FLASH)

    assert [row["day"] for row in shell.json("usage")["by_day"]] == ["2026-11-22", "2026-11-23"]
    assert [row["day"] for row in shell.json("usage", "--period", "today")["by_day"]] == ["2026-11-23"]
    assert len(shell.json("usage", "--period", "all")["by_day"]) == 2
    assert "2026-11-22         1   1,500  $0.00155  $0.00445" in shell("usage", "--by", "day").stdout


def test_the_days_of_a_week_add_up_to_the_week(shell: Shell) -> None:
    shell("route", "Hello", "--model", FLASH)
    shell.time.passed_s = 7 * 86_400 + 1
    shell("route", "Hello", "--model", FLASH)
    week = shell.json("usage", "--period", "week")

    assert week["total_requests"] == 1
    assert [(row["day"], row["requests"]) for row in week["by_day"]] == [("2026-11-29", 1)]


def test_nothing_used_is_shown_as_nothing(shell: Shell) -> None:
    assert shell("usage").stdout == snapshot(
        """\
period    month
requests  0
tokens    0 in, 0 out
cost      $0
GPT-4.1   $0
saved     $0 (0.00 %)
"""
    )


def test_simulated_calls_are_kept_apart_and_said_to_be_there(tmp_path: Path) -> None:
    keyless = Shell(tmp_path, None)
    keyless("route", "Hello")
    shell = Shell(tmp_path, time=keyless.time)
    shell("route", "Hello")

    assert "requests  1" in shell("usage").stdout
    assert "1 simulated call kept apart" in shell("usage").stdout
    assert "month, simulated calls only" in shell("usage", "--sandbox").stdout


def test_one_owner_does_not_see_another_unless_asked_to(shell: Shell) -> None:
    shell.environ["DYNAROUTE_API_KEY"] = shell("keys", "create", "alice").stdout.splitlines()[0]
    shell("route", "Hello")
    del shell.environ["DYNAROUTE_API_KEY"]

    assert shell.json("usage")["total_requests"] == 0
    assert shell.json("usage", "--owner", "alice")["total_requests"] == 1
    assert shell.json("usage", "--everyone")["total_requests"] == 1


def record_as(shell: Shell, request_id: str, cost: Cost | None) -> None:
    """Put something else into the books than what the call cost."""

    async def write() -> None:
        async with open_store(shell.folder / "dynaroute.db") as store:
            assert await store.reprice({request_id: cost}, START) == 1

    anyio.run(write)


def test_calls_are_priced_anew_and_keep_what_they_had_cost(shell: Shell) -> None:
    first, second = (shell.json("route", "Hello", "--model", FLASH)["request_id"] for _ in range(2))
    record_as(shell, first, Cost(input_usd=Decimal("0.5"), output_usd=Decimal(0), basis="wrong"))
    record_as(shell, second, None)
    before = shell.json("usage")["total_cost"]
    planned, kept = shell("usage", "reprice", "--dry-run").stdout, shell.json("usage")["total_cost"]
    written = shell.json("usage", "reprice")
    explained = shell("explain", first).stdout

    assert (before, kept) == (0.5, 0.5)
    assert planned.splitlines() == [
        "model                    calls  recorded  by today's catalog  unpriced",
        "gemini/gemini-2.5-flash      2     $0.50             $0.0031         1",
        "2 calls would cost something else",
    ]
    assert written == {
        "written": True,
        "models": [
            {
                "litellm_id": FLASH,
                "calls": 2,
                "recorded_cost": 0.5,
                "total_cost": 0.0031,
                "unpriced_before": 1,
            }
        ],
    }
    assert shell.json("usage")["total_cost"] == pytest.approx(0.0031)
    assert "$0.50 by wrong, until 2026-11-22 00:00:00Z" in explained
    assert "without a price, until" in shell("explain", second).stdout
    assert [row["price_basis"] for row in shell.json("explain", first)["repriced"]][-1] == "wrong"
    assert shell("usage", "reprice").stdout == "nothing differs\n"


def test_what_nobody_answered_or_has_no_price_any_more_is_left_alone(shell: Shell) -> None:
    assert shell.script is not None
    shell.script.always = failure(ProviderUnavailable)
    assert shell("route", "Hello").exit_code == 8
    assert shell.json("usage", "reprice") == {"written": True, "models": []}


def test_every_figure_for_programs_is_a_number_of_at_most_six_decimals(tmp_path: Path) -> None:
    shell = Shell(tmp_path, Script(usage=Usage(uncached_input_tokens=3, output_tokens=1)))
    told = shell.json("route", "Hello")

    explained = shell.json("explain", told["request_id"])
    figures = [*money(explained), *money(shell.json("usage"))]

    assert {name for name, _ in money(explained["decision"])} == {"min_usd", "expected_usd", "max_usd"}
    assert {type(amount) for _, amount in figures} <= {float, type(None)}
    assert all(amount == round(amount, 6) for _, amount in figures if amount is not None)
    assert explained["total_cost"] == told["cost"]["total_cost"]


def money(value: object) -> list[tuple[str, float | None]]:
    """Everything that is an amount of dollars by its name, at any depth."""
    if isinstance(value, list):
        return [found for item in value for found in money(item)]
    if not isinstance(value, dict):
        return []
    own = [(name, item) for name, item in value.items() if name.endswith(("_usd", "_cost", "_savings"))]
    return [*own, *(found for item in value.values() for found in money(item))]


def test_one_owner_and_everyone_exclude_each_other(shell: Shell) -> None:
    result = shell("usage", "--owner", "alice", "--everyone")

    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
