"""How well the difficulty signal finds the prompts that deserve a strong model, on sources it was not fitted on.

`python benchmarks/difficulty.py --outcomes FILE [--draws 1000]` reads `prompt`, `source`, `domain`, `weak` and
`strong` (success of a weaker and of a stronger side, in [0, 1]) of each line of a JSON lines file, plain or gzip.
Needs numpy and scipy (training/requirements.txt). APGR: send the share x of prompts that a signal ranks highest to
the strong side, take the share of the weak-to-strong gap that this closes, average over x; 0.5 is chance. `saved`:
share of prompts that can stay with the weak side while quality is 95 % of the strong side's. Brackets hold the
2.5th and the 97.5th percentile over bootstrap draws of prompts. `left out` is fitted without that source or
domain, `shipped` is the package's own; on a file that it was fitted on, only `left out` is a fair figure. The last
part ranks prompts of our own (`training/probes.jsonl`) by the gain that we judge: a yardstick of judgement, not of data;
`judged` ranks them by that gain itself, the most that any signal can reach there.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from training.difficulty import Fitted, Outcomes, fit, probes, read

from dynaroute_mcp.classifier.difficulty import load_scale

KEPT: Final = 0.95
SOLVED: Final = 0.6
_BINS: Final = 10
_SMALL: Final = 30
Curve = Callable[[np.ndarray, Outcomes], float]


def apgr(signal: np.ndarray, rows: Outcomes) -> float:
    """Mean share of the gap that is closed, over all shares of calls to the strong side."""
    gains = rows.gain[np.argsort(-signal, kind="stable")]
    closed = np.concatenate([[0.0], np.cumsum(gains)])
    return float((closed[1:] + closed[:-1]).mean() / 2 / closed[-1]) if closed[-1] > 0 else float("nan")


def saved(signal: np.ndarray, rows: Outcomes) -> float:
    """Largest share of calls that can stay with the weak side at `KEPT` of the strong side's quality."""
    gains = rows.gain[np.argsort(-signal, kind="stable")]
    quality = rows.weak.sum() + np.concatenate([[0.0], np.cumsum(gains)])
    enough = np.flatnonzero(quality >= KEPT * rows.strong.sum())
    return 1 - float(enough[0]) / len(gains) if len(enough) else 0.0


def within(signal: np.ndarray, rows: Outcomes) -> float:
    """APGR within each subject, averaged over the subjects: how subjects differ adds nothing."""
    each = [
        apgr(signal[here], rows.where(here))
        for name in np.unique(rows.domain)
        for here in [rows.domain == name]
    ]
    return float(np.nanmean(each))


def interval(curve: Curve, signal: np.ndarray, rows: Outcomes, draws: int) -> str:
    """A figure and its 95 % interval."""
    dice, count = np.random.default_rng(0), len(signal)
    drawn = []
    for _ in range(draws):
        chosen = dice.integers(0, count, count)
        drawn.append(curve(signal[chosen], rows.where(chosen)))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return f"{curve(signal, rows):.3f} [{low:.3f}, {high:.3f}]"


def shipped() -> Fitted:
    scale = load_scale()
    return Fitted(np.array(scale.weights), scale.bias, scale.ceiling)


def left_out(rows: Outcomes, by: np.ndarray) -> np.ndarray:
    """The signal of each prompt from a fit without its group; groups that are alone get the shipped signal."""
    groups = np.unique(by)
    if len(groups) == 1:
        return shipped().signal(rows)
    signal = np.zeros(len(by))
    for group in groups:
        here = by == group
        signal[here] = fit(rows.where(~here)).signal(rows.where(here))
    return signal


def compare(
    title: str,
    signals: Mapping[str, np.ndarray],
    rows: Outcomes,
    draws: int,
    curves: Mapping[str, Curve],
) -> None:
    """Print the figures of every signal on some prompts."""
    sides = f", weak {rows.weak.mean():.3f}, strong {rows.strong.mean():.3f}" if rows.weak.any() else ""
    print(f"\n{title}: {len(rows.weak)} prompts{sides}")
    for name, signal in signals.items():
        figures = [f"{label} {interval(curve, signal, rows, draws)}" for label, curve in curves.items()]
        print(f"  {name:16} " + "  ".join(figures))


def calibration(signal: np.ndarray, rows: Outcomes) -> None:
    """Print what was said beside what came true, in ten groups of equal size."""
    print("\ncalibration, source left out\n  said   gained  weak   strong prompts")
    order = np.array_split(np.argsort(signal, kind="stable"), _BINS)
    for part in order:
        figures = (
            signal[part].mean(),
            rows.gain[part].mean(),
            rows.weak[part].mean(),
            rows.strong[part].mean(),
        )
        print("  " + "  ".join(f"{figure:.3f}" for figure in figures) + f"  {len(part):5}")
    gap = sum(len(part) * abs(signal[part].mean() - rows.gain[part].mean()) for part in order) / len(signal)
    print(f"  mean gap {gap:.3f}")


def subjects(signals: Mapping[str, np.ndarray], rows: Outcomes, draws: int) -> None:
    """Print how well the signals rank within subjects, each subject left out of the fit."""
    easier = rows.strong >= SOLVED
    for title, mask in (("all prompts", rows.strong >= 0), (f"strong >= {SOLVED}", easier)):
        part = {name: each[mask] for name, each in signals.items()}
        compare(f"subject left out, {title}", part, rows.where(mask), draws, {"mean APGR within": within})
    print("\nsubject left out, APGR within each subject (all prompts | those with strong >= 0.6)")
    print(f"  {'':18}" + "".join(f"{name:>19}" for name in signals))
    for domain in np.unique(rows.domain):
        here = rows.domain == domain
        cells = [
            " | ".join(f"{apgr(each[mask], rows.where(mask)):.3f}" for mask in (here, here & easier))
            for each in signals.values()
        ]
        print(f"  {domain!s:18}" + "".join(f"{cell:>19}" for cell in cells))


def yardstick(draws: int) -> None:
    """Print how well the shipped signal orders our own prompts by the gain that we judge."""
    rows = probes()
    signals = {**common(rows), "judged": rows.gain}
    for kind in np.unique(rows.source):
        here = rows.source == kind
        part = {name: each[here] for name, each in signals.items()}
        compare(f"own prompts, {kind}", part, rows.where(here), draws, {"APGR": apgr})


def common(rows: Outcomes) -> dict[str, np.ndarray]:
    """The shipped signal and what costs nothing."""
    return {
        "shipped": shipped().signal(rows),
        "prompt length": rows.length,
        "expected level": rows.level,
        "random": np.random.default_rng(1).random(len(rows.length)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--outcomes", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=1000)
    options = parser.parse_args()
    rows = read(options.outcomes)
    held = left_out(rows, rows.source)
    signals = {"left out": held, **common(rows)}
    parts = {str(source): rows.source == source for source in np.unique(rows.source)}
    parts |= {
        f"{source}, strong >= {SOLVED}": mask & (rows.strong >= SOLVED) for source, mask in parts.items()
    }
    for title, mask in parts.items():
        if mask.sum() >= _SMALL:
            here = {name: each[mask] for name, each in signals.items()}
            compare(title, here, rows.where(mask), options.draws, {"APGR": apgr, "saved": saved})
    calibration(held, rows)
    subjects({**signals, "left out": left_out(rows, rows.domain)}, rows, options.draws)
    yardstick(options.draws)


if __name__ == "__main__":
    main()
