"""`keys show`, `edit`, `rotate` and the providers' keys that a key brings along, as a person types them."""

import json
import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest
from tests.faces.shell import Shell

from dynaroute_mcp.store.driver import connect

MASTER = "a-master-key-of-more-than-32-characters"
SECRET = "sk-ant-api03-alices-very-own-key-9f0e"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, environ={"DYNAROUTE_ENCRYPTION_KEY": MASTER})


def made(shell: Shell, *args: str) -> str:
    return str(shell.json("keys", "create", "alice", *args)["key_id"])


def test_a_key_is_made_with_terms_and_shown_with_them(shell: Shell) -> None:
    key_id = made(
        shell,
        *("--requests-per-minute", "5", "--requests-per-day", "1000", "--usd-per-month", "2.5"),
        *("--model", "gpt-4.1", "--model", "anthropic", "--exclude", "deepseek", "--prefer", "anthropic"),
        *("--rule", "law=gpt-4.1", "--rule", "*=claude-haiku-5-5", "--expires-days", "10"),
    )
    shown, listed = shell("keys", "show", key_id).stdout, shell("keys", "list", "alice").stdout

    for words in ("1,000", "2.5", "gpt-4.1, anthropic", "deepseek", "Law -> gpt-4.1, * -> claude-haiku-5-5"):
        assert words in shown
    assert "2026-12-02" in shown
    assert "limits; only gpt-4.1, anthropic; expires 2026-12-02; excludes deepseek" in " ".join(
        listed.split()
    )


def test_an_edit_leaves_what_it_does_not_name_and_clears_what_it_is_told_to(shell: Shell) -> None:
    key_id = made(shell, "--requests-per-day", "10", "--exclude", "deepseek", "--strategy", "best")

    after = shell.json(
        "keys", "edit", key_id, "--requests-per-minute", "3", "--clear", "exclude", "--prefer", "openai"
    )

    assert (after["limits"]["requests_per_minute"], after["limits"]["requests_per_day"]) == (3, 10)
    assert (after["preferences"]["exclude"], after["preferences"]["prefer"]) == ([], ["openai"])
    assert after["preferences"]["strategy"] == "best"


def test_an_edit_without_options_shows_the_key_and_says_that_nothing_was_changed(shell: Shell) -> None:
    key_id = made(shell, "--requests-per-day", "10")

    idle, real = shell("keys", "edit", key_id), shell("keys", "edit", key_id, "--requests-per-day", "10")

    assert idle.stdout == real.stdout == shell("keys", "show", key_id).stdout
    assert (idle.exit_code, "Nothing was changed" in idle.stderr, real.stderr) == (0, True, "")
    assert shell.json("keys", "edit", key_id) == shell.json("keys", "show", key_id)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--rule", "Lore=gpt-4.1"), 2, "the categories are: Law,"),
        (("--rule", "gpt-4.1"), 2, "CATEGORY=MODEL"),
        (("--exclude", "gpt-4.11"), 2, "did you mean"),
        (("--requests-per-day", "0"), 2, "x>=1"),
        (("--clear", "owner"), 2, "is not one of"),
    ],
)
def test_a_wrong_edit_says_what_is_wrong(shell: Shell, args: tuple[str, ...], code: int, words: str) -> None:
    result = shell("keys", "edit", made(shell), *args)

    assert result.exit_code == code
    assert words in result.stderr


def test_an_unknown_key_is_told(shell: Shell) -> None:
    for command in (("show",), ("edit",), ("rotate",), ("providers",)):
        assert shell("keys", *command, "key_000000000000").exit_code == 4


def test_a_rotation_shows_the_new_secret_once_and_says_how_long_the_old_one_lives(shell: Shell) -> None:
    new = shell.json("keys", "create", "alice")
    rotated = shell("keys", "rotate", new["key_id"], "--grace-s", "3600")
    secret = rotated.stdout.splitlines()[0]

    assert "accepted until 2026-11-22 01:00:00Z" in rotated.stderr
    for key in (secret, new["api_key"]):
        assert shell("keys", "verify", "-", stdin=key).exit_code == 0
    assert "newer key" in shell("keys", "verify", "-", stdin=new["api_key"]).stdout
    last = shell("keys", "rotate", new["key_id"])
    assert "The old key stopped" in last.stderr
    assert shell("keys", "verify", "-", stdin=secret).exit_code == 3
    assert shell.json("keys", "rotate", new["key_id"])["old_key_accepted_until"] is None


def test_a_providers_key_is_kept_listed_and_forgotten_and_never_shown(shell: Shell) -> None:
    key_id = made(shell)
    added = shell("keys", "add-provider", key_id, "claude", "-", stdin=SECRET)
    listed, shown = shell("keys", "providers", key_id), shell("keys", "show", key_id)

    assert "sk-ant-a...9f0e" in added.stdout
    assert "kept" in listed.stdout
    assert "anthropic sk-ant-a...9f0e" in shown.stdout
    assert "own anthropic" in shell("keys", "list", "alice").stdout
    assert shell.json("keys", "providers", key_id)["count"] == 1
    assert SECRET not in added.output + listed.output + shown.output
    assert "no anthropic key of its own" in shell("keys", "remove-provider", key_id, "anthropic").stdout
    assert "brings no providers' keys" in shell("keys", "providers", key_id).stdout
    assert shell("keys", "remove-provider", key_id, "anthropic").exit_code == 4
    as_json = shell.json("keys", "add-provider", key_id, "openai", "-", stdin=SECRET)
    assert as_json["provider"] == "openai"
    assert shell.json("keys", "remove-provider", key_id, "openai")["deleted"] is True


def test_a_shell_that_takes_a_secret_from_stdout_takes_nothing_else(shell: Shell) -> None:
    key_id = made(shell)
    told = [
        shell("keys", "create", "bob"),
        shell("keys", "rotate", key_id),
        shell("keys", "master-key"),
    ]

    assert [len(each.stdout.split()) for each in told] == [1, 1, 1]
    assert all(each.stderr for each in told)


def test_a_limit_in_dollars_is_shown_as_dollars(shell: Shell) -> None:
    key_id = shell.json("keys", "create", "alice", "--usd-per-month", "5")["key_id"]

    assert "dollars a month  $5.00\n" in shell("keys", "show", key_id).stdout


def test_the_examples_in_the_help_of_a_key_work(shell: Shell) -> None:
    examples = re.findall(
        r"^  dynaroute (keys create .*)$", shell("keys", "create", "-h").stdout, re.MULTILINE
    )

    assert len(examples) == 3
    assert [shell(*shlex.split(example)).exit_code for example in examples] == [0, 0, 0]


def test_without_a_master_key_the_command_says_what_to_do(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    refused = shell("keys", "add-provider", made(shell), "openai", "-", stdin=SECRET)

    assert refused.exit_code == 9
    assert "dynaroute keys master-key" in refused.stderr


def test_a_master_key_is_made_changed_and_missed(shell: Shell) -> None:
    new = shell("keys", "master-key").stdout.splitlines()[0]
    other = shell.json("keys", "master-key")["master_key"]
    key_id = made(shell)
    shell("keys", "add-provider", key_id, "openai", "-", stdin=SECRET)
    shell.environ["DYNAROUTE_ENCRYPTION_KEY"] = f"{new},{MASTER}"

    assert new != other
    assert "1 encrypted anew, 0 were already" in shell("keys", "reencrypt").stdout
    assert shell.json("keys", "reencrypt") == {"encrypted_anew": 0, "current": 1, "unreadable": []}
    shell.environ["DYNAROUTE_ENCRYPTION_KEY"] = other
    missed = shell("keys", "reencrypt")
    assert missed.exit_code == 1
    assert f"{key_id}: no master key here decrypts its openai key" in missed.stdout
    assert "can't be decrypted" in shell("keys", "providers", key_id).stdout
    assert json.loads(shell("keys", "reencrypt", "--json").stdout)["unreadable"] == [
        {"id": key_id, "provider": "openai"}
    ]


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_the_keyring_may_keep_the_master_key(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    kept: list[str] = []
    monkeypatch.setattr("dynaroute_mcp.cli.key_care.write_keyring", kept.append)

    told = shell("keys", "master-key", "--keyring", *as_json).stdout

    assert len(kept) == 1
    assert kept[0] not in told
    assert "keyring" in told


@pytest.mark.parametrize("value", ["short", f"{MASTER},short", ","])
def test_a_master_key_that_is_too_short_is_refused_without_being_repeated(shell: Shell, value: str) -> None:
    shell.environ["DYNAROUTE_ENCRYPTION_KEY"] = value
    refused = shell("keys", "list", "alice")

    assert refused.exit_code == 9
    assert "encryption_key" in refused.stderr
    assert MASTER not in refused.stderr


def test_a_damaged_key_hides_no_other_and_is_told_by_its_id(shell: Shell) -> None:
    damaged, sound = made(shell, "--model", "gpt-4.1"), made(shell)
    with closing(connect(shell.folder / "dynaroute.db")) as connection:
        connection.execute("UPDATE keys SET models = '{' WHERE key_id = ?", (damaged,))
    listed, shown = shell("keys", "list", "alice"), shell("keys", "show", damaged)

    assert sound in listed.stdout
    assert "1 more key can't be read" in listed.stdout
    assert shell.json("keys", "list", "alice")["unreadable"] == 1
    assert shown.exit_code == 10
    assert damaged in shown.stderr
    assert "dynaroute keys create" in shown.stderr
    assert shell("keys", "reencrypt").exit_code == 10
