"""Logs: on stderr, with their facts, and without any key."""

import logging
import os
from collections.abc import Iterator

import pytest

from dynaroute_mcp.logs import configure_logging


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


SECRETS = [
    "sk-proj-abcdefghijkl",
    "gsk_abcdefghijklmnop",
    "AIzaSyA-very-secret-key",
    "dr_abcdefghijklmnopqrstuvwxyz",
    "Authorization: Bearer abcdefghijkl",
    "https://host/path?key=topsecretvalue",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_key_reaches_the_log_in_message_facts_or_traceback(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    configure_logging()

    try:
        raise RuntimeError(f"failed with {secret}")
    except RuntimeError:
        root_logger.exception("with %s", secret, extra={"fact": secret})

    out, err = capsys.readouterr()
    assert out == ""
    assert "fact=" in err
    assert "Traceback" in err
    assert secret.split()[-1].split("key=")[-1] not in err


def test_what_others_wrote_neither_steers_a_terminal_nor_passes_for_a_line_of_the_log(
    root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    forged = "x\n2026-11-22 ERROR forged\r\x1b[2J\u202e\u2028\x9b"

    try:
        raise RuntimeError(forged)
    except RuntimeError:
        root_logger.exception("with %s", forged, extra={"fact": forged})

    first, *rest = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert first.endswith("with x")
    assert all(line.startswith("  ") for line in rest)
    assert all(char.isprintable() for line in rest for char in line)
    assert "\\u001b[2J\\u202e\\u2028\\u009b" in rest[0]


def test_the_http_client_does_not_log_addresses(root_logger: logging.Logger) -> None:
    configure_logging(logging.DEBUG)

    assert root_logger.level == logging.DEBUG
    assert logging.getLogger("httpx2").level == logging.WARNING


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.skipif(os.name != "posix", reason="descriptors are numbered so on POSIX")
def test_a_closed_descriptor_is_filled_so_that_nothing_else_gets_its_number(
    root_logger: logging.Logger, number: int
) -> None:
    kept = os.dup(number)
    os.close(number)
    try:
        configure_logging()
        there = os.path.sameopenfile(number, (null := os.open(os.devnull, os.O_RDWR)))
        os.close(null)
    finally:
        os.dup2(kept, number)
        os.close(kept)

    assert there
