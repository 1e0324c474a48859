"""`tokens`: counts, and ranks that are installed whole or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.faces.shell import Shell

from dynaroute_mcp import tokens
from dynaroute_mcp.ranks import RANKS, find_ranks, ranks_path

CONTENT = b"AA== 0\n" * 1000


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(autouse=True)
def publisher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[bytes]]:
    """A stand-in for the public address; what it will answer next is the last in the list."""
    answers = [CONTENT]

    class Publisher(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "ranks"))
    for name, ranks in RANKS.items():
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setitem(RANKS, name, ranks._replace(url=url, sha256=hashlib.sha256(CONTENT).hexdigest()))
    yield answers
    server.shutdown()
    server.server_close()


def test_installed_ranks_are_found_and_fetched_only_once(shell: Shell, publisher: list[bytes]) -> None:
    first = shell.json("tokens", "install")
    publisher.append(b"another answer would be refused")

    assert shell.json("tokens", "install") == first
    assert Path(first["path"]) == find_ranks("o200k_base") == ranks_path("o200k_base")
    assert first["bytes"] == len(CONTENT)
    assert find_ranks("cl100k_base") is None
    assert [path.name for path in ranks_path("o200k_base").parent.iterdir()] == [Path(first["path"]).name]


def test_what_has_another_hash_is_not_installed(shell: Shell, publisher: list[bytes]) -> None:
    publisher.append(b"<html>please sign in</html>")

    result = shell("tokens", "install")

    assert result.exit_code == 9
    assert "these are not the ranks of o200k_base: 27 bytes" in result.stderr
    assert not ranks_path("o200k_base").parent.exists()


def test_ranks_carried_by_hand_are_checked_too(shell: Shell, tmp_path: Path, publisher: list[bytes]) -> None:
    publisher.append(b"unused")
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(CONTENT)
    bad.write_bytes(b"")

    assert shell("tokens", "install", "--file", str(bad)).exit_code == 9
    result = shell("tokens", "install", "--encoding", "cl100k_base", "--file", str(good))

    assert result.exit_code == 0
    assert "cl100k_base (GPT-4, GPT-3.5" in result.stdout


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no device that never ends")
def test_of_a_file_that_never_ends_no_more_is_read_than_ranks_can_have(shell: Shell) -> None:
    result = shell("tokens", "install", "--file", "/dev/zero")

    assert result.exit_code == 9
    assert "these are not the ranks of o200k_base: 16,777,217 bytes" in result.stderr


def test_a_file_that_may_not_be_read_is_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    carried = tmp_path / "carried"
    carried.touch()
    monkeypatch.setattr(Path, "open", refuse)

    result = shell("tokens", "install", "--file", str(carried))

    assert result.exit_code == 9
    assert f"{str(carried)!r} can't be read: Permission denied" in result.stderr


def test_without_a_network_the_error_says_how_else(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = RANKS["o200k_base"]._replace(url="http://127.0.0.1:9/o200k_base")
    monkeypatch.setitem(RANKS, "o200k_base", nowhere)

    result = shell("tokens", "install")

    assert result.exit_code == 9
    assert "Connection refused" in result.stderr
    assert "pass it with --file" in result.stderr


def test_a_folder_that_cannot_be_written_is_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "file"))

    result = shell("tokens", "install")

    assert result.exit_code == 9
    assert "can't be written" in result.stderr
    assert "TIKTOKEN_CACHE_DIR" in result.stderr


def test_count_says_how_to_get_an_exact_figure(shell: Shell) -> None:
    result = shell("tokens", "count", "-", stdin="What is the capital of France?")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == ["characters  30", "estimate    7", "exact       unknown"]
    assert "`dynaroute tokens install --encoding o200k_base`" in result.stdout


def test_count_gives_the_exact_figure_where_ranks_are(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_encoding", lambda _name: _Letters())
    shell("tokens", "install")

    assert shell.json("tokens", "count", "hello") == {
        "characters": 5,
        "estimate": 1,
        "exact": 5,
        "encoding": "o200k_base",
    }
    assert "exact       5 (o200k_base)" in shell("tokens", "count", "hello").stdout


def test_a_text_too_long_is_estimated_only(shell: Shell) -> None:
    result = shell("tokens", "count", "-", stdin="ab " * (tokens.EXACT_MAX_CHARS // 3 + 1))

    assert "is estimated only" in result.stdout


def test_status_names_what_can_be_counted(shell: Shell) -> None:
    shell("tokens", "install", "--encoding", "cl100k_base")

    found = shell.json("tokens", "status")

    assert found == {"o200k_base": None, "cl100k_base": str(ranks_path("cl100k_base"))}
    told = shell("tokens", "status").stdout
    assert "estimate only  not installed" in told
    assert "`dynaroute tokens install" in told


class _Letters:
    """An encoding that takes every letter for a token."""

    def encode_ordinary(self, text: str) -> list[int]:
        return list(map(ord, text))
