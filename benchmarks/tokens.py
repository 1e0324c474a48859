"""The token estimate beside tiktoken: error by kind of text, and speed.

`python benchmarks/tokens.py FILE.jsonl ... [--json]` reads the field `prompt` of each line. Without ranks on
disk (`dynaroute tokens install`) there is nothing to compare with, and it says so.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dynaroute_mcp.ranks import find_ranks, ranks_path
from dynaroute_mcp.tokens import estimate_tokens, exact_tokens

ENCODING = "o200k_base"


def kind(text: str) -> str:
    """Chinese, other non-ASCII or ASCII, by share of characters."""
    if sum("\u4e00" <= char <= "\u9fff" for char in text) > 0.3 * len(text):
        return "Chinese"
    return "ASCII" if sum(char > "\x7f" for char in text) < 0.02 * len(text) else "other"


def errors(texts: Sequence[str], estimate: Callable[[str], float]) -> dict[str, float]:
    """Mean absolute error and bias, both in percent of the exact count; texts under 20 tokens are left out."""
    exact = [(text, exact_tokens(text, ENCODING) or 0) for text in texts]
    shares = [(estimate(text) - count) / count for text, count in exact if count >= 20]
    if not shares:
        return {"texts": 0}
    return {
        "texts": len(shares),
        "error_pct": round(100 * statistics.fmean(map(abs, shares)), 1),
        "bias_pct": round(100 * statistics.fmean(shares), 1),
    }


def median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(30):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if find_ranks(ENCODING) is None:
        sys.exit(
            f"no ranks of {ENCODING} at {ranks_path(ENCODING)}; `dynaroute tokens install` puts them there"
        )
    lines = [line for path in options.files for line in path.read_text("utf-8").split("\n") if line]
    texts = [json.loads(line)["prompt"] for line in lines]
    long = "\n\n".join(texts)[:8000]
    result = {
        name: {
            group: errors([text for text in texts if kind(text) == group], estimate)
            for group in ("ASCII", "Chinese", "other")
        }
        for name, estimate in (("estimate", estimate_tokens), ("chars / 4", lambda text: len(text) / 4))
    }
    result["speed of 8,000 characters"] = {
        "estimate_ms": median_ms(lambda: estimate_tokens(long)),
        "tiktoken_ms": median_ms(lambda: exact_tokens(long, ENCODING)),
    }
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for name, groups in result.items():
        for group, figures in groups.items():
            print(f"{name:26} {group:12} {figures}")


if __name__ == "__main__":
    main()
