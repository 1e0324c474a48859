"""The command line as a whole: help, errors, exit codes, what reaches a terminal."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from tests.faces.shell import Shell

from dynaroute_mcp import cli as package
from dynaroute_mcp.cli import options, text
from dynaroute_mcp.cli.app import COMMANDS, cli, write_any_text
from dynaroute_mcp.cli.failure import EXIT_CODES, find_ours, report
from dynaroute_mcp.cli.session import emit
from dynaroute_mcp.errors import DynarouteError, ProviderUnavailable, StoreCorrupt

FULL = Path("/dev/full")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def every(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from every(child, (*path, name))
    else:
        yield path, command


def every_error(kind: type[DynarouteError] = DynarouteError) -> Iterator[type[DynarouteError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every_error(child)


def test_every_error_has_an_exit_code_and_nothing_else_has() -> None:
    assert set(EXIT_CODES) == {kind.code for kind in every_error()}


def test_a_wrong_option_is_json_too_where_json_is_asked_for(shell: Shell) -> None:
    told = [
        json.loads(shell(*args).stderr)["error"]
        for args in (("route", "hi", "--level", "9", "--json"), ("models", "--json", "--nonsense"))
    ]
    plain = shell("route", "--level", "9", "--", "--json").stderr

    assert [(error["code"], error["exit_code"]) for error in told] == [("invalid_request", 2)] * 2
    assert "9 is not in the range" in told[0]["message"]
    assert plain.startswith("Usage:")


def test_a_disk_that_is_full_is_told_in_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dynaroute_mcp.cli.pricelist.table", full)
    result = shell("models")

    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the output can't be written (No space left on device)\n",
    )


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("asked", ["--help", "--version", "keys --help", "config claude-code --json"])
def test_an_output_that_takes_nothing_ends_with_one_line_and_its_code(asked: str) -> None:
    program = "from dynaroute_mcp.cli.app import main; main()"
    with FULL.open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program, *asked.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )

    assert (ended.returncode, ended.stderr) == (
        1,
        "Error: the output can't be written (No space left on device)\n",
    )


def test_a_terminal_of_another_encoding_gets_question_marks_not_a_traceback() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="latin-1")
    write_any_text(stream, None)
    stream.write("grüße 中文")
    stream.flush()

    assert written.getvalue() == "grüße ??".encode("latin-1")


def test_json_keeps_every_character_in_an_encoding_that_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    emit({"response": "中文"})
    sys.stdout.flush()

    assert json.loads(written.getvalue().decode("latin-1")) == {"response": "中文"}


@pytest.mark.parametrize("args", [("route",), ("route", "-"), ("keys", "verify"), ("keys", "verify", "-")])
def test_a_closed_stdin_is_nothing_to_read_from(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    def absent(argument: str | None) -> str:
        monkeypatch.setattr(sys, "stdin", None)  # as Python leaves it where descriptor 0 is closed
        return read(argument)

    read = options.read_key if args[0] == "keys" else options.read_prompt
    where = "dynaroute_mcp.cli.people.read_key" if args[0] == "keys" else "dynaroute_mcp.cli.ask.read_prompt"
    monkeypatch.setattr(where, absent)
    result = shell(*args)

    assert result.exit_code == 2
    assert "`-` to read it from stdin" in result.stderr


def test_help_says_of_each_command_what_the_command_says_of_itself(shell: Shell) -> None:
    listed = shell("--help").stdout

    for name, entry in COMMANDS.items():
        command = getattr(import_module(f"dynaroute_mcp.cli.{entry.module}"), name)
        assert entry.help in " ".join(listed.split())
        assert (command.help or "").startswith(entry.help)


def test_no_list_of_commands_cuts_a_sentence_off(shell: Shell) -> None:
    shell.columns = 80
    groups = {path[:-1] for path, _ in every(cli) if len(path) > 1}

    assert {("keys",), ("tokens",), ("db",)} <= groups
    for path in (*groups, ("usage",)):
        assert "..." not in shell(*path, "--help").stdout.partition("Commands:")[2], path


def test_every_command_explains_itself_and_can_speak_json() -> None:
    streams = {("serve",), ("mcp",), ("db", "export"), ("feedback", "export")}

    for path, command in every(cli):
        assert command.help, path
        has_json = any(parameter.name == "as_json" for parameter in command.params)
        assert has_json or path in streams, path


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from dynaroute_mcp.cli.app import cli; cli(['--help'], standalone_mode=False);"
        "print([name for name in ('mcp', 'pydantic', 'rich', 'aiohttp', 'yaml', 'starlette') if name in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=5
    )

    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("typed", "offer"),
    [
        ("rout", "did you mean 'route'?"),
        ("usgae", "did you mean 'usage'?"),
        ("xyzzy", "`dynaroute --help` lists them"),
    ],
)
def test_an_unknown_command_is_an_error_that_offers_the_nearest(shell: Shell, typed: str, offer: str) -> None:
    result = shell(typed)

    assert (result.exit_code, result.stdout) == (2, "")
    assert offer in result.stderr


def test_an_error_is_one_line_without_a_traceback(shell: Shell) -> None:
    result = shell("route", " ")

    assert result.exit_code == 2
    assert result.stderr == snapshot(
        "Error: the prompt is empty; say what you want answered [invalid_request]\n"
    )


def test_an_error_for_scripts_is_json_on_stderr(shell: Shell) -> None:
    result = shell("route", " ", "--json")

    assert result.stdout == ""
    assert json.loads(result.stderr)["error"] == snapshot(
        {
            "code": "invalid_request",
            "message": "the prompt is empty; say what you want answered",
            "request_id": None,
            "exit_code": 2,
        }
    )


def test_a_recorded_failure_says_how_to_look_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = ProviderUnavailable("it is down", provider="openai", model_id="openai/gpt-6-luna")
    error.request_id = "req_1"

    assert report(error, as_json=False) == 8
    assert "`dynaroute explain req_1`" in capsys.readouterr().err


def test_an_error_is_found_in_what_a_task_group_made_of_it() -> None:
    error = StoreCorrupt("broken")

    assert find_ours(ExceptionGroup("two", [ValueError(), ExceptionGroup("one", [error])])) is error
    assert find_ours(ExceptionGroup("none", [ValueError()])) is None


def test_a_crash_of_ours_is_not_dressed_up(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynaroute_mcp.cli.clients._server", lambda _environ: 1 / 0)

    assert isinstance(shell("config").exception, ZeroDivisionError)


def test_ctrl_c_ends_with_130_and_no_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_environ: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dynaroute_mcp.cli.clients._server", interrupted)
    result = shell("config")

    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_configuration_file_can_be_named(shell: Shell, tmp_path: Path) -> None:
    result = shell("--config", str(tmp_path / "none.yaml"), "usage")

    assert result.exit_code == 9
    where = tmp_path / "none.yaml"
    told = (
        f"Error: {where}: can't be read (No such file or directory); check the path [configuration_invalid]\n"
    )
    assert result.stderr == told


def test_a_prompt_must_come_from_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal())

    with pytest.raises(click.UsageError, match="give a prompt"):
        options.read_prompt(None)


def test_a_key_is_asked_for_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def prompt(_text: str, *, hide_input: bool, err: bool) -> str:
        asked.append(hide_input and err)
        return " dr_key "

    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr(click, "prompt", prompt)

    assert options.read_key(None) == "dr_key"
    assert asked == [True]


class _Terminal:
    def isatty(self) -> bool:
        return True


def test_categories_complete_in_the_shell() -> None:
    offered = options.complete_category(click.Context(cli), click.Option(["--category"]), "code ")

    assert offered == ["Code Generation", "Code Explanation"]


@pytest.mark.e2e
def test_a_reader_that_has_seen_enough_is_left_in_peace(tmp_path: Path) -> None:
    environ = os.environ | {"HOME": str(tmp_path), "DYNAROUTE_DATABASE": str(tmp_path / "x.db")}
    command = [
        sys.executable,
        "-c",
        "from dynaroute_mcp.cli import main; main()",
        "models",
        "--all",
        "--json",
    ]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()

        assert process.stderr.read() == b""


def test_the_entry_point_is_the_command() -> None:
    assert package.main.__module__ == "dynaroute_mcp.cli.app"
    assert signal.SIGINT + 128 == 130


# ---------------------------------------------------------------- text


@given(st.text())
def test_no_text_steers_a_terminal(written: str) -> None:
    shown = text.clean(written)

    assert text.clean(shown) == shown
    assert all(
        sign in "\n\t" or sign.isprintable() or sign.isspace() or ord(sign) > 0x2069 or ord(sign) > 0x9F
        for sign in shown
    )
    assert not {"\x1b", "\x9b", "\r", "\x07", "\u202e", "\u2066"} & set(shown)


@given(st.text())
def test_json_is_the_same_value_and_safe_to_look_at(written: str) -> None:
    document = text.escape(json.dumps({"text": written}, ensure_ascii=False))

    assert json.loads(document) == {"text": written}
    assert text.clean(document) == document


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        ("0", "$0"),
        ("0.00155", "$0.00155"),
        ("0.0105", "$0.0105"),
        ("0.5", "$0.50"),
        ("-0.0045", "-$0.0045"),
        ("0.00000063", "$0.00000063"),
        ("12.3456", "$12.35"),
        ("-1234.5", "-$1,234.50"),
    ],
)
def test_dollars_are_written_so_that_none_is_lost(amount: str | None, shown: str) -> None:
    assert text.usd(None if amount is None else Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(None, "?"), ("0.3", "0.30"), ("10", "10.00"), ("0.075", "0.075"), ("0.0375", "0.0375")],
)
def test_a_rate_has_the_decimals_that_it_needs(amount: str | None, shown: str) -> None:
    assert text.rate(None if amount is None else Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(None, "?"), (512, "512"), (128_000, "128k"), (1_048_576, "1.05M")]
)
def test_a_window_is_written_short(count: int | None, shown: str) -> None:
    assert text.tokens(count) == shown


def test_a_time_that_has_not_come_is_never() -> None:
    assert text.when(None) == "never"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_takes_every_style_away_bold_and_dim_too(tmp_path: Path, no_color: str) -> None:
    runner = CliRunner(env={"NO_COLOR": no_color, "FORCE_COLOR": "1", "TIKTOKEN_CACHE_DIR": str(tmp_path)})

    table = runner.invoke(cli, ["tokens", "status"], color=True)
    failure = runner.invoke(cli, ["--config", str(tmp_path / "none.yaml"), "models"], color=True)

    assert (table.exit_code, failure.exit_code) == (0, 9)
    assert ("\x1b" in table.output, "\x1b" in failure.output) == (not no_color, not no_color)
