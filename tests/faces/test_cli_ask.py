"""`route`, `classify` and `explain`: what a person sees, and what a script reads."""

from pathlib import Path

import pytest
from tests.faces.shell import Shell
from tests.scripted import FLASH, LUNA, SOL, Script, failure

from dynaroute_mcp.errors import ProviderKeyRejected, ProviderUnavailable, StreamBroken
from dynaroute_mcp.types import Finished, TextDelta, Usage

USED = Usage(uncached_input_tokens=1000, output_tokens=500)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, Script(usage=USED))


def test_an_answer_comes_first_and_then_what_it_was_and_cost(shell: Shell) -> None:
    result = shell("route", "Hello", "--model", "Gemini 2.5 Flash")

    assert result.exit_code == 0
    answer, _, receipt = result.stdout.partition("\n\n")
    lines = dict(line.split(maxsplit=1) for line in receipt.splitlines() if "  " in line)
    assert answer == f"from {FLASH}"
    assert lines["model"] == FLASH
    assert lines["category"] == "Code Generation (confidence 1.00)"
    assert lines["level"] == "1 of 5: Foundational recall & direct task"
    assert lines["tokens"] == "1,000 in, 500 out"
    assert lines["cost"] == "$0.00155"
    assert lines["GPT-4.1"] == "$0.006"
    assert lines["saved"] == "$0.00445 (74.17 %)"
    assert lines["request"].startswith("req_")


def test_a_dearer_answer_is_shown_as_a_loss(shell: Shell) -> None:
    result = shell("route", "Hello", "--model", "Claude 4.5 Sonnet")

    assert "saved     -$0.0045 (-75.00 %): dearer than GPT-4.1" in result.stdout


def test_an_answer_that_was_cut_is_told_as_such(shell: Shell) -> None:
    shell.script = Script(events=(TextDelta(text="Pa"), Finished(finish_reason="length", usage=USED)))

    assert "ended     cut at the limit of output tokens" in shell("route", "Hello", "--stream").stdout


def test_quiet_prints_the_answer_only(shell: Shell) -> None:
    assert shell("route", "-q", "Hello", "--model", LUNA).stdout == f"from {LUNA}\n"


def test_json_is_the_result_of_the_tool(shell: Shell) -> None:
    answer = shell.json("route", "Hello", "--model", FLASH)

    assert answer["response"] == f"from {FLASH}"
    assert answer["cost"]["total_cost"] == 0.00155
    assert answer["routing"]["attempts"][0]["outcome"] == "ok"


@pytest.mark.parametrize("args", [("route", "-"), ("route",)])
def test_a_prompt_can_come_from_stdin(shell: Shell, args: tuple[str, ...]) -> None:
    assert shell(*args, "-q", stdin="Hello").exit_code == 0

    assert shell.script is not None
    assert shell.script.calls[0].request.messages[-1].text == "Hello"


@pytest.mark.parametrize("command", ["route", "classify"])
def test_words_without_quotes_are_told_to_take_them(shell: Shell, command: str) -> None:
    result = shell(command, "hello", "world")

    assert result.exit_code == 2
    assert "a prompt of several words takes quotes around it" in result.stderr


def test_bytes_that_are_no_text_do_not_stop_a_prompt(shell: Shell) -> None:
    assert shell("route", "-", "-q", stdin=b"caf\xe9").exit_code == 0

    assert shell.script is not None
    assert shell.script.calls[0].request.messages[-1].text == "caf\ufffd"


def test_options_reach_the_provider_and_the_choice(shell: Shell) -> None:
    told = (
        "--system",
        "Be brief",
        "--level",
        "5",
        "--category",
        "law",
        "--strategy",
        "best",
        "--max-tokens",
        "77",
    )
    answer = shell.json("route", "Is this legal?", *told)

    assert (answer["category"], answer["level"], answer["routing"]["strategy"]) == ("Law", 5, "best")
    assert shell.script is not None
    request = shell.script.calls[0].request
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.parameters.max_tokens == 77


def test_a_dry_run_calls_nobody_and_shows_what_stands_around_the_choice(shell: Shell) -> None:
    shown = "".join(
        shell("route", "--dry-run", "Hello", "--strategy", name).stdout for name in ("best", "cheapest")
    )

    assert shell.script is not None
    assert shell.script.calls == []
    heads = {line.split()[0] for line in shown.splitlines() if line}
    assert {"model", "reason", "cost", "cheaper", "better", "next", "not", "and"} <= heads


def test_a_dry_run_as_json_tells_the_price_range(shell: Shell) -> None:
    decision = shell.json("route", "--dry-run", "Hello")

    estimate = decision["estimate"]
    assert decision["dry_run"]
    assert estimate["min_cost"] <= estimate["expected_cost"] <= estimate["max_cost"]


def test_a_stream_is_printed_while_it_comes(shell: Shell) -> None:
    shell.script = Script(
        events=(TextDelta(text="One, "), TextDelta(text="two"), Finished(finish_reason="stop", usage=USED))
    )
    result = shell("route", "--stream", "Count")

    assert result.stdout.startswith("One, two\n")
    assert "1,000 in, 500 out" in result.stdout


def test_a_stream_that_breaks_keeps_what_came_and_fails(shell: Shell) -> None:
    shell.script = Script(events=(TextDelta(text="One, "),), breaks=failure(StreamBroken))
    result = shell("route", "--stream", "Count")

    assert result.exit_code == 8
    assert result.stdout == "One, "
    assert "[stream_broken]" in result.stderr


def test_a_model_cannot_steer_the_terminal(shell: Shell) -> None:
    shell.script = Script(
        events=(
            TextDelta(text="\x1b]0;owned\x07\x1b[31mred\u202etxt\x9b"),
            Finished(finish_reason="stop", usage=USED),
        )
    )
    result = shell("route", "--stream", "-q", "Hello")

    assert result.stdout == "]0;owned[31mredtxt\n"


def test_what_failed_before_the_answer_is_told(shell: Shell) -> None:
    chosen = shell.json("route", "--dry-run", "Hello")["litellm_id"]
    shell.script = Script(usage=USED, failures={chosen: [failure(ProviderKeyRejected)]})
    result = shell("route", "Hello")

    assert result.exit_code == 0
    assert f"tried     {chosen}: it failed" in result.stdout


def test_a_request_that_nobody_answers_can_be_explained(shell: Shell) -> None:
    shell.script = Script(always=failure(ProviderUnavailable, status=503))
    result = shell("route", "Hello")

    assert result.exit_code == 8
    assert "[provider_unavailable]" in result.stderr
    request_id = shell.json("usage")["recent"][0]["request_id"]
    explained = shell("explain", request_id)
    assert "status    error (provider_unavailable)" in explained.stdout


def test_a_label_is_shown_with_what_else_it_might_be(shell: Shell) -> None:
    result = shell("classify", "Write a function")

    assert "category    Code Generation (confidence 1.00)" in result.stdout
    assert "signals     told so" in result.stdout
    assert "Code Generation   1.00  ████████████████████" in result.stdout
    assert shell.script is not None
    assert shell.script.calls == []


def test_a_label_as_json_is_the_result_of_the_tool(shell: Shell) -> None:
    label = shell.json("classify", "-", stdin="Write a function")

    assert (label["category"], label["level"], label["complexity"]) == ("Code Generation", 1, "L1")


def test_explain_shows_the_candidates_the_losers_and_no_prompt(shell: Shell) -> None:
    request_id = shell.json("route", "a secret prompt", "--level", "3")["request_id"]
    shown = shell("explain", request_id).stdout
    told = shell.json("explain", request_id)

    assert "expected  $" in shown
    assert "; better: " in shown
    assert f"price     {told['price_basis']}" in shown
    assert "it would be" in shown
    assert "more that stood further off" in shown
    assert told["decision"]["candidates"][0]["model"] == told["litellm_id"]

    assert "candidate" in shown
    assert "not chosen" in shown
    assert "secret" not in shown
    assert told["decision"]["candidates"]
    assert told["attempts"][0]["outcome"] == "ok"
    assert "secret" not in str(told)


def test_an_unknown_request_says_where_ids_are_listed(shell: Shell) -> None:
    result = shell("explain", "req_0")

    assert result.exit_code == 4
    assert "`dynaroute usage` lists the last ones" in result.stderr


def test_without_any_key_the_sandbox_answers_and_names_the_variables(tmp_path: Path) -> None:
    result = Shell(tmp_path, None)("route", "Write a Python quicksort")

    assert result.exit_code == 0
    assert result.stdout.startswith("[simulated answer]")
    assert "(simulated)" in result.stdout
    assert "OPENAI_API_KEY" in result.stdout


def test_preferences_of_the_configuration_hold_and_an_exclusion_always_wins(shell: Shell) -> None:
    config = shell.folder / "config.yaml"
    rules = "discover_local: false\nrules: [{category: Code Generation, model: gpt-6-sol}]\n"

    def chosen(text: str, *options: str) -> str:
        config.write_text(text, encoding="utf-8")
        return str(shell.json("route", "Hello", "--dry-run", *options)["litellm_id"])

    free = chosen("discover_local: false\n")
    assert free != SOL == chosen(rules)
    assert chosen(rules + "exclude: [gpt-6-sol]\n") == free
    assert chosen(rules, "--category", "History") == free
    assert (
        chosen(f"discover_local: false\nexclude: [{free.partition('/')[0]}]\n").partition("/")[0]
        != (free.partition("/")[0])
    )
    config.write_text(rules + "exclude: [openai]\n", encoding="utf-8")
    assert "excluded" in shell("route", "Hello", "--model", "gpt-6-sol").stderr


def test_a_key_may_have_a_strategy_of_its_own(shell: Shell) -> None:
    strategies = []
    for strategy in ("cheapest", "best"):
        made = shell("keys", "create", "alice", "--strategy", strategy).stdout.splitlines()[0]
        shell.environ["DYNAROUTE_API_KEY"] = made
        strategies.append(shell.json("route", "Hello", "--dry-run")["routing"]["strategy"])

    assert strategies == ["cheapest", "best"]
    assert (
        shell.json("route", "Hello", "--dry-run", "--strategy", "balanced")["routing"]["strategy"]
        == "balanced"
    )
