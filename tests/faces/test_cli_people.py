"""`keys` and `plan`: made once, checked anywhere, stopped at once."""

from pathlib import Path

import pytest
from tests.faces.shell import Shell

from dynaroute_mcp.accounts.secret import new_secret

KEY_LENGTH = len("dr_") + 43


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def make(shell: Shell, *args: str) -> str:
    return str(shell("keys", "create", *args).stdout.splitlines()[0])


def test_a_key_is_made_checked_stopped_and_then_refused(shell: Shell) -> None:
    key = make(shell, "alice@example.com")

    assert len(key) == KEY_LENGTH
    assert shell("keys", "verify", "-", stdin=key).exit_code == 0
    assert "is revoked since 2026-11-22 00:00:00Z" in shell("keys", "revoke", "-", stdin=key).stdout
    assert "was revoked already" in shell("keys", "revoke", "-", stdin=key).stdout
    assert shell("keys", "verify", "-", stdin=key).exit_code == 3


def test_a_key_is_shown_whole_only_when_it_is_made(shell: Shell) -> None:
    key = make(shell, "alice")
    listed = shell("keys", "list", "alice").stdout

    assert key not in listed
    assert f"{key[:8]}...{key[-4:]}" in listed


def test_a_key_as_json_is_the_result_of_the_tool(shell: Shell) -> None:
    made = shell.json("keys", "create", "alice", "--plan", "pro", "--strategy", "best")

    assert made["tier"] == "pro"
    assert shell.json("keys", "verify", "-", stdin=made["api_key"])["subscription_tier"] == "pro"
    assert shell.json("keys", "list", "alice")["keys"][0]["key_id"] == made["key_id"]
    assert shell.json("keys", "revoke", "-", stdin=made["api_key"])["status"] == "revoked"


def test_a_key_on_the_command_line_works_but_is_warned_about(shell: Shell) -> None:
    result = shell("keys", "verify", make(shell, "alice"))

    assert result.exit_code == 0
    assert "`ps`" in result.stderr


def test_a_providers_key_on_the_command_line_is_warned_about_and_an_id_is_not(shell: Shell) -> None:
    shell.environ["DYNAROUTE_ENCRYPTION_KEY"] = "m" * 43
    key_id = shell.json("keys", "create", "alice")["key_id"]

    assert "`ps`" in shell("keys", "add-provider", key_id, "openai", "sk-proj-0123456789abcdef").stderr
    assert "`ps`" not in shell("keys", "revoke", key_id).stderr


def test_a_lost_key_is_stopped_by_its_id(shell: Shell) -> None:
    made = shell.json("keys", "create", "alice")

    assert shell("keys", "revoke", made["key_id"]).exit_code == 0
    assert shell("keys", "verify", "-", stdin=made["api_key"]).exit_code == 3


def test_a_key_that_there_is_not_has_one_exit_code_by_its_id_and_by_its_secret(shell: Shell) -> None:
    for given in ("key_0", "dr_mistyped", new_secret(lambda _bound: 5)):
        assert shell("keys", "revoke", "-", stdin=given).exit_code == 4


def test_a_mistyped_key_is_told_from_a_revoked_one(shell: Shell) -> None:
    key = make(shell, "alice")
    shell("keys", "revoke", "-", stdin=key)

    assert "mistyped" in shell("keys", "verify", "-", stdin=key[:-1] + "x").stdout
    assert "revoked" in shell("keys", "verify", "-", stdin=key).stdout


def test_a_key_ends_when_it_was_told_to(shell: Shell) -> None:
    key = make(shell, "alice", "--expires-days", "1")
    shell.time.passed_s = 2 * 86_400

    result = shell("keys", "verify", "-", stdin=key)
    assert result.exit_code == 3
    assert "state    expired" in result.stdout


def test_a_sandbox_key_reaches_no_provider(shell: Shell) -> None:
    key = make(shell, "alice", "--sandbox")
    shell.environ["DYNAROUTE_API_KEY"] = key

    assert key.startswith("dr_test_")
    assert shell.json("route", "Hello")["sandbox"]
    assert "free, sandbox" in shell("keys", "list", "alice").stdout


def test_an_owner_without_keys_is_told_how_to_make_one(shell: Shell) -> None:
    assert "`dynaroute keys create bob`" in shell("keys", "list", "bob").stdout


def test_an_owner_that_would_steer_the_terminal_is_refused(shell: Shell) -> None:
    result = shell("keys", "create", "eve\x1b[2J")

    assert result.exit_code == 2
    assert "\x1b" not in result.output


def test_a_plan_is_given_to_an_owner_and_every_key_of_theirs(shell: Shell) -> None:
    key = make(shell, "alice")
    shell("plan", "set", "alice", "pro")

    assert "requests a minute   0 of 1,000" in shell("plan", "show", "alice").stdout
    assert shell.json("keys", "verify", "-", stdin=key)["subscription_tier"] == "pro"
    assert "of any number" in shell("plan", "set", "alice", "enterprise").stdout
    assert shell.json("plan", "set", "alice", "free")["subscription_tier"] == "free"


def test_the_plan_shown_is_that_of_the_environment_unless_an_owner_is_named(shell: Shell) -> None:
    assert "no plan limits this owner" in shell("plan", "show").stdout
    assert "plan                Free" in shell("plan", "show", "alice").stdout

    shell.environ["DYNAROUTE_API_KEY"] = make(shell, "bob", "--plan", "pro")
    assert shell.json("plan", "show")["user_id"] == "bob"


def test_an_unknown_plan_lists_those_that_there_are(shell: Shell) -> None:
    result = shell("plan", "set", "alice", "gold")

    assert result.exit_code == 2
    assert "did you mean free, pro, enterprise?" in result.stderr


def test_a_key_may_have_limits_of_its_own_that_hold_at_once(shell: Shell) -> None:
    made = shell.json("keys", "create", "alice", "--usd-per-month", "0.001", "--tokens-per-month", "100000")
    shell.environ["DYNAROUTE_API_KEY"] = made["api_key"]
    shell.folder.joinpath("config.yaml").write_text(
        "discover_local: false\nbudget_action: refuse\n", encoding="utf-8"
    )
    refused = shell("route", "Hello", "--max-tokens", "100000")

    assert refused.exit_code == 5
    assert "this key may use 100,000 tokens a month" in refused.stderr
    assert made["key_id"] in refused.stderr
    assert shell.json("usage")["total_requests"] == 0
