"""Several writers on one database, one of them killed with SIGKILL every so often: is every row accounted for?

Each writer journals what it tries and what the store acknowledged. At the end every acknowledged call must be
there, none twice and none that nobody tried, and the counters must be the sums of the calls to the nano-dollar.

    python benchmarks/store_drill.py [--operations 20000] [--processes 8] [--kill-every 1.0] [--seed 1]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.store.processes import CHARGED, NO_CEILING, RESERVED  # noqa: E402

from dynaroute_mcp.store import upkeep  # noqa: E402  # found through ROOT
from dynaroute_mcp.store.driver import connect  # noqa: E402

ENDLESS = 10**9


class Drill:
    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.dice = random.Random(options.seed)
        self.started = 0
        self.kills = 0
        self.failures: list[str] = []

    def start(self) -> "subprocess.Popen[str]":
        self.started += 1
        name = f"p{self.started}"
        command = [sys.executable, "-m", "tests.store.processes", "dynaroute.db", f"{name}.journal", name]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command += [str(ENDLESS), str(self.options.tasks), str(NO_CEILING)]
        return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True)

    def end(self, process: "subprocess.Popen[str]") -> None:
        process.kill()
        errors = process.communicate()[1]
        if process.returncode != -9:
            self.failures.append(errors[-400:])
        self.kills += 1

    def run(self) -> None:
        running = [self.start() for _ in range(self.options.processes)]
        while self.count("settled") < self.options.operations:
            time.sleep(self.options.kill_every)
            victim = self.dice.randrange(len(running))
            self.end(running[victim])
            running[victim] = self.start()
        for process in running:
            self.end(process)

    def count(self, word: str) -> int:
        return len(self.journaled(word))

    def journaled(self, word: str) -> set[str]:
        lines = (line for file in self.folder.glob("*.journal") for line in file.read_text().splitlines())
        return {line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")}

    def verdict(self) -> dict[str, object]:
        database = self.folder / "dynaroute.db"
        with closing(connect(database)) as connection:
            rows = connection.execute("SELECT request_id, status FROM calls").fetchall()
            used, reserved = connection.execute(
                "SELECT sum(used), sum(reserved) FROM counters WHERE metric = 'nano_usd'"
            ).fetchone()
        stored, tried = {name for name, _ in rows}, self.journaled("tried")
        begun, settled = self.journaled("begun"), self.journaled("settled")
        ok = {name for name, status in rows if status == "ok"}
        return {
            "tried": len(tried),
            "acknowledged": len(settled),
            "stored": len(rows),
            "kills": self.kills,
            "lost": len(begun - stored) + len(settled - ok),
            "twice": sum(count - 1 for count in Counter(name for name, _ in rows).values()),
            "invented": len(stored - tried),
            "nano_usd_off": used - CHARGED * len(ok),
            "reserved_off": reserved - RESERVED * (len(rows) - len(ok)),
            "problems": upkeep.check(database).problems,
            "writers_that_failed": self.failures,
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--operations", type=int, default=20_000, help="calls to record before the end")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--tasks", type=int, default=4, help="calls in flight in each process")
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        drill = Drill(Path(folder), options)
        began = time.monotonic()
        drill.run()
        found = {"wall_s": round(time.monotonic() - began, 1), **drill.verdict()}
    print(json.dumps(found, indent=1))
    must_be_nothing = (
        "lost",
        "twice",
        "invented",
        "nano_usd_off",
        "reserved_off",
        "problems",
        "writers_that_failed",
    )
    sys.exit(1 if any(found[name] for name in must_be_nothing) else 0)


if __name__ == "__main__":
    main()
