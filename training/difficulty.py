"""Fits the difficulty signal: `python -m training.difficulty OUTCOMES.jsonl.gz`. About half a minute.

Reads `prompt`, `source`, `domain`, `weak` and `strong` (mean success of the weaker and the stronger models) of each
line and writes the weights and `training/difficulty.json`, which says what they were made from. With `--usual FILE`
(JSON lines with `prompt`) it then prints what is usual at each level, for `neutral_difficulty` in
`catalog/ladder.yaml`.

What is learnt is which prompts a weak model fails of those that a strong one solves: a frontier model solves most of
what it is asked, so a prompt counts by the success of the strong side. Each subject has an intercept of its own, so that
only differences within a subject teach; where the subjects themselves differ, in the models that were tried and in
how the answers were marked, teaches nothing.
"""

import argparse
import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

from dynaroute_mcp.classifier.difficulty import EVIDENCE, evidence, load_scale
from dynaroute_mcp.classifier.features import features
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.policy.demand import demanded_level

WEIGHTS: Final = Path(__file__).parents[1] / "src/dynaroute_mcp/classifier/difficulty.json"
MANIFEST: Final = Path(__file__).parent / "difficulty.json"
PROBES: Final = Path(__file__).parent / "probes.jsonl"

JUDGED: Final = {
    "length": 2.0,
    "quantities": 1.0,
    "relations": 0.8,
    "numeric answers": 0.6,
    "formulas": 0.5,
    "premises": 0.4,
    "conditions": 0.2,
    "parts": 0.2,
    "statements": 0.7,
    "code": 0.2,
    "state": 0.5,
    "proof": 0.8,
    "reasoning": 1.1,
    "science": 0.8,
    "coding": 1.0,
    "profession": 0.3,
    "light": -1.3,
    "recall": -0.5,
    "explanation": -0.6,
    "level": 0.6,
    "script": 0.3,
}
"""What we hold before any outcome, in logits from none to all of it; its sign is kept whatever the data say."""
HELD: Final = frozenset(
    {
        "relations",
        "conditions",
        "parts",
        "statements",
        "code",
        "proof",
        "coding",
        "light",
        "recall",
        "explanation",
        "script",
    }
)
"""Not fitted: these outcomes hold too few everyday requests, requests for code, claims to judge and soft subjects,
and no other language, to tell."""
WIDTH: Final = 0.4
"""Standard deviation of our judgement, in logits."""
LARGEST: Final = 2.5
EVIDENCE_ROWS: Final = 150.0
"""How many independent prompts the outcomes count as: thousands of items, but of three narrow kinds."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What is known of each prompt; all arrays have a row for each."""

    found: np.ndarray
    """Shape (prompts, evidence)."""
    weak: np.ndarray
    strong: np.ndarray
    source: np.ndarray
    domain: np.ndarray
    length: np.ndarray
    """Characters of the prompt."""
    level: np.ndarray
    """Expected level."""

    @property
    def gain(self) -> np.ndarray:
        return self.strong - self.weak

    def where(self, mask: np.ndarray) -> "Outcomes":
        """Only the prompts that the mask holds."""
        parts = {name: getattr(self, name)[mask] for name in self.__slots__}
        return replace(self, **parts)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Weights in the order of `EVIDENCE`, and what turns their sum into a chance."""

    weights: np.ndarray
    bias: float
    ceiling: float

    def signal(self, rows: Outcomes) -> np.ndarray:
        return self.ceiling * logistic(self.bias + rows.found @ self.weights)


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def read(path: Path) -> Outcomes:
    """Read the outcomes, plain or gzip, and look for the evidence with the code that ships."""
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
    return observe([json.loads(line) for line in lines])


def observe(rows: Sequence[Mapping[str, Any]]) -> Outcomes:
    """Look for the evidence in prompts whose outcomes are known."""
    classifier = load_classifier()
    labels = [classifier.classify(row["prompt"]) for row in rows]
    found = [
        evidence(row["prompt"], features(row["prompt"]), label.categories, label.levels)
        for row, label in zip(rows, labels, strict=True)
    ]
    return Outcomes(
        found=np.array(found),
        length=np.array([len(row["prompt"]) for row in rows], float),
        level=np.array([sum(level * share for level, share in label.levels.items()) for label in labels]),
        **{name: np.array([row[name] for row in rows]) for name in ("weak", "strong", "source", "domain")},
    )


def probes() -> Outcomes:
    """Prompts of our own with the gain that we judge; a yardstick that nothing is fitted on.

    Only the gain is judged, so the weak side counts as 0.
    """
    rows = [json.loads(line) for line in PROBES.read_bytes().splitlines()[1:]]
    return observe([{**row, "weak": 0.0, "strong": row["gain"]} for row in rows])


def fit(rows: Outcomes) -> Fitted:
    """Weights most likely under our judgement and the outcomes; then the one curve from them to the gain."""
    weights = _weights(rows)
    _, of = np.unique(rows.source, return_inverse=True)
    share, raised = _shares(of), rows.found @ weights
    ceiling = max(float(rows.gain[of == number].mean()) for number in np.unique(of))

    def loss(bias: np.ndarray) -> float:
        return float(share @ (ceiling * logistic(bias[0] + raised) - rows.gain) ** 2)

    bias = float(minimize(loss, [-2.0]).x[0])
    return Fitted(weights, bias, ceiling)


def _shares(of: np.ndarray) -> np.ndarray:
    """Weight of each row: a group counts by the root of its size; they sum to 1."""
    share = np.bincount(of)[of] ** -0.5
    return share / share.sum()


def _weights(rows: Outcomes) -> np.ndarray:
    """The weights that explain, within each subject, which prompts the weak side alone fails; maximum posterior."""
    judged = np.array([JUDGED[name] for name in EVIDENCE])
    subjects, of = np.unique(rows.domain, return_inverse=True)
    count, kinds = len(judged), len(subjects)
    share = _shares(of) * rows.strong
    share *= EVIDENCE_ROWS / share.sum()
    failed = 1 - np.minimum(1, rows.weak / np.maximum(rows.strong, 1e-9))

    def loss(params: np.ndarray) -> tuple[float, np.ndarray]:
        away = (params[:count] - judged) / WIDTH
        said = np.clip(logistic(rows.found @ params[:count] + params[count:][of]), 1e-9, 1 - 1e-9)
        value = 0.5 * float(away @ away) + 1e-3 * float(params[count:] @ params[count:])
        value -= float(share @ (failed * np.log(said) + (1 - failed) * np.log(1 - said)))
        pull = share * (said - failed)
        own = np.bincount(of, pull, minlength=kinds) + 2e-3 * params[count:]
        return value, np.concatenate([away / WIDTH + rows.found.T @ pull, own])

    start = np.concatenate([judged, np.zeros(kinds)])
    bounds = [_bound(name) for name in EVIDENCE] + [(-8.0, 8.0)] * kinds
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x[:count]


def _bound(name: str) -> tuple[float, float]:
    judged = JUDGED[name]
    if name in HELD:
        return judged, judged
    return (0.0, LARGEST) if judged > 0 else (-LARGEST, 0.0)


def usual(paths: Sequence[Path]) -> dict[int, tuple[float, int]]:
    """Median difficulty and number of prompts of each level; a prompt's level is the median of its own."""
    classifier = load_classifier()
    by_level: dict[int, list[float]] = defaultdict(list)
    for path in paths:
        for line in path.read_bytes().splitlines():
            label = classifier.classify(json.loads(line)["prompt"])
            by_level[int(demanded_level(label.levels, 0.5))].append(label.difficulty)
    return {level: (round(median(values), 3), len(values)) for level, values in sorted(by_level.items())}


def write(found: Fitted, outcomes: Path, prompts: int) -> str:
    """Write the weights and what they were made from; the weights' text."""
    content = {
        "weights": {
            name: round(float(value), 3) for name, value in zip(EVIDENCE, found.weights, strict=True)
        },
        "bias": round(found.bias, 3),
        "ceiling": round(found.ceiling, 3),
    }
    text = json.dumps(content, indent=1) + "\n"
    WEIGHTS.write_text(text, "utf-8")
    manifest = {
        "weights": hashlib.sha256(text.encode()).hexdigest(),
        "outcomes": hashlib.sha256(outcomes.read_bytes()).hexdigest(),
        "classifier": hashlib.sha256((WEIGHTS.parent / "weights.bin").read_bytes()).hexdigest(),
        "prompts": prompts,
        "judged": JUDGED,
        "held": sorted(HELD),
    }
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("--usual", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    if set(json.loads(WEIGHTS.read_text("utf-8"))["weights"]) != set(EVIDENCE):
        WEIGHTS.write_text(json.dumps({"weights": JUDGED, "bias": 0.0, "ceiling": 1.0}), "utf-8")
    rows = read(options.outcomes)
    print(write(fit(rows), options.outcomes, len(rows.weak)))
    if options.usual:
        load_scale.cache_clear()
        print("usual difficulty and prompts, by level:", usual(options.usual))


if __name__ == "__main__":
    main()
