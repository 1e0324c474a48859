"""Several real processes on one file: opened at once, killed at random."""

import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.store.processes import CHARGED, NO_CEILING, RESERVED

from dynaroute_mcp.store import upkeep
from dynaroute_mcp.store.driver import connect

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def start(
    folder: Path, name: str, calls: int, *, tasks: int = 16, ceiling: int = NO_CEILING
) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.store.processes", "dynaroute.db", f"{name}.journal", name]
    command += [str(calls), str(tasks), str(ceiling)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE)


def journaled(folder: Path, word: str) -> set[str]:
    lines = [line for file in folder.glob("*.journal") for line in file.read_text().splitlines()]
    return {line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")}


def stored(database: Path) -> dict[str, str]:
    with closing(connect(database)) as connection:
        rows = connection.execute("SELECT request_id, status FROM calls").fetchall()
    assert len(rows) == len(dict(rows))
    return dict(rows)


def counter(database: Path, metric: str) -> tuple[int, int]:
    with closing(connect(database)) as connection:
        used, reserved = connection.execute(
            "SELECT sum(used), sum(reserved) FROM counters WHERE metric = ?", (metric,)
        ).fetchone()
    return used, reserved


def test_eight_processes_that_open_an_absent_file_together_all_succeed(tmp_path: Path) -> None:
    processes = [start(tmp_path, f"p{number}", 3) for number in range(8)]
    errors = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 8, errors
    assert len(stored(tmp_path / "dynaroute.db")) == 24
    assert counter(tmp_path / "dynaroute.db", "requests") == (24, 0)


def test_four_processes_with_sixteen_tasks_each_pass_exactly_the_ceiling(tmp_path: Path) -> None:
    processes = [start(tmp_path, f"p{number}", 40, ceiling=100) for number in range(4)]
    errors = [process.communicate()[1] for process in processes]

    assert [process.returncode for process in processes] == [0] * 4, errors
    assert len(journaled(tmp_path, "tried")) == 160
    assert len(journaled(tmp_path, "settled")) == 100
    assert counter(tmp_path / "dynaroute.db", "requests") == (100, 0)
    assert counter(tmp_path / "dynaroute.db", "nano_usd") == (100 * CHARGED, 0)


def test_no_acknowledged_call_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    dice = random.Random(7)
    processes = [start(tmp_path, f"p{number}", 100_000) for number in range(3)]
    for round_ in range(4):
        wait_for_lines(tmp_path, 150 * (round_ + 1))
        victim = dice.randrange(len(processes))
        end(processes[victim])
        processes[victim] = start(tmp_path, f"q{round_}", 100_000)
    for process in processes:
        end(process)

    database = tmp_path / "dynaroute.db"
    calls = stored(database)
    settled = sum(1 for status in calls.values() if status == "ok")
    assert journaled(tmp_path, "begun") <= calls.keys() <= journaled(tmp_path, "tried")
    assert journaled(tmp_path, "settled") <= {name for name, status in calls.items() if status == "ok"}
    assert counter(database, "requests") == (settled, len(calls) - settled)
    assert counter(database, "nano_usd") == (CHARGED * settled, RESERVED * (len(calls) - settled))
    assert upkeep.check(database).problems == ()


def wait_for_lines(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(journaled(folder, "settled")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()
