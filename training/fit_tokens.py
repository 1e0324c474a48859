"""Fits the costs in `dynaroute_mcp/tokens.py` by non-negative least absolute deviations.

`TIKTOKEN_CACHE_DIR=... python -m training.fit_tokens [--public DIR]` prints the costs in the order of the
patterns there; they are then written in by hand. Text: our corpus, Python's standard library as code, a few
lines of emoji, and, with `--public`, every second prompt of the unlabelled pool.
"""

import argparse
import sysconfig
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from dynaroute_mcp.tokens import _COSTS, exact_tokens
from training import data

EMOJI = ("😀 nice 👍🏽", "ok 🎉🎉🎉", "🚀 launch day 🚀", "❤️ thanks 🙏", "👩‍💻 works 🇫🇷", "🤖🔥💯") * 6


def code() -> list[str]:
    """Pieces of 2,000 characters from the standard library."""
    pieces = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        source = path.read_text("utf-8", errors="ignore")
        pieces += [source[start : start + 2000] for start in range(0, min(len(source), 40_000), 4000)]
    return pieces


def fit(groups: dict[str, list[str]]) -> np.ndarray:
    """One cost a pattern; every group counts as if it had at most 400 texts, to the square root."""
    texts = [text for group in groups.values() for text in group]
    counts = np.array([[len(pattern.findall(text)) for pattern, _ in _COSTS] for text in texts], float)
    exact = np.array([exact_tokens(text) or 0 for text in texts], float)
    share = np.repeat(
        [min(1.0, (400 / len(g)) ** 0.5) for g in groups.values()], [len(g) for g in groups.values()]
    )
    weight = share / np.maximum(exact, 8)
    costs, _ = nnls(counts * weight[:, None], exact * weight)
    for _ in range(15):
        robust = weight / np.sqrt(np.maximum(np.abs(counts @ costs - exact) * weight, 1e-3))
        costs, _ = nnls(counts * robust[:, None], exact * robust)
    return costs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path)
    options = parser.parse_args()
    groups: dict[str, list[str]] = {"code": code(), "emoji": list(EMOJI)}
    for row in data.corpus():
        groups.setdefault(row.lang, []).append(row.prompt)
    if options.public:
        groups["pool"] = data.pool(options.public)[::2]
    for (pattern, old), new in zip(_COSTS, fit(groups), strict=True):
        print(f"{new:6.3f} (now {old:6.3f})  {pattern.pattern}")


if __name__ == "__main__":
    main()
