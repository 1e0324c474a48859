"""Fits the difficulty signal: `python -m training.difficulty OUTCOMES.jsonl.gz`. About half a minute.

Reads `prompt`, `source`, `domain`, `weak` and `strong` (mean success of the weaker and the stronger models) of each
line and writes the weights and `training/difficulty.json`, which says what they were made from.

Both success rates are explained by one demand of the prompt, as in a test with items of different difficulty:
success = guess + (1 - guess) * logistic(ability - demand), with two abilities a source. So a source where the weak
models fail at everything still teaches what is demanding, and an easy one does; their raw gains would disagree.
"""

import argparse
import gzip
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy.optimize import minimize

from dynaroute_mcp.classifier.difficulty import EVIDENCE, evidence
from dynaroute_mcp.classifier.features import features
from dynaroute_mcp.classifier.model import load_classifier

WEIGHTS: Final = Path(__file__).parents[1] / "src/dynaroute_mcp/classifier/difficulty.json"
MANIFEST: Final = Path(__file__).parent / "difficulty.json"

JUDGED: Final = {
    "length": 0.8,
    "length of reasoning": 0.8,
    "quantities": 1.4,
    "relations": 1.0,
    "calculation": 0.4,
    "numeric answers": 0.8,
    "formulas": 0.6,
    "premises": 0.5,
    "conditions": 0.4,
    "parts": 0.4,
    "statements": 0.6,
    "code": 0.2,
    "state": 0.6,
    "proof": 1.2,
    "reasoning": 1.4,
    "science": 1.0,
    "coding": 0.8,
    "profession": 0.4,
    "light": -0.8,
    "explanation": -0.5,
    "level": 1.5,
    "script": 0.4,
}
"""What we hold before any outcome, in logits from none to all of it; its sign is kept whatever the data say."""
HELD: Final = frozenset({"relations", "conditions", "parts", "code", "proof", "light", "script"})
"""Not fitted: exams hold too few everyday requests, and no other language, to tell."""
WIDTH: Final = 0.5
"""Standard deviation of our judgement, in logits."""
LARGEST: Final = 2.5
EVIDENCE_ROWS: Final = 150.0
"""How many independent prompts the outcomes count as: thousands of items, but of three narrow kinds."""
GUESSED: Final = {"mmlu-pro (items not from MMLU)": 0.1}
"""Success by chance where answers are offered, here one of ten."""


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
    """Weights in the order of `EVIDENCE`, and what turns a demand into a chance."""

    weights: np.ndarray
    bias: float
    ceiling: float

    def signal(self, rows: Outcomes) -> np.ndarray:
        return self.ceiling * logistic(self.bias + rows.found @ self.weights)


def logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def read(path: Path) -> Outcomes:
    """Read the outcomes and look for the evidence with the code that ships."""
    classifier = load_classifier()
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
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


def fit(rows: Outcomes) -> Fitted:
    """Weights most likely under our judgement and the outcomes; then the one curve from demand to gain."""
    weights = _demand(rows)
    sources, of = np.unique(rows.source, return_inverse=True)
    ceiling = max(float(rows.gain[of == number].mean()) for number in range(len(sources)))
    share = _shares(of)
    demand = rows.found @ weights

    def loss(bias: np.ndarray) -> float:
        return float(share @ (ceiling * logistic(bias[0] + demand) - rows.gain) ** 2)

    bias = float(minimize(loss, [-2.0]).x[0])
    return Fitted(weights, bias, ceiling)


def _shares(of: np.ndarray) -> np.ndarray:
    """Weight of each row: a source counts by the root of its size; they sum to 1."""
    share = np.bincount(of)[of] ** -0.5
    return share / share.sum()


def _demand(rows: Outcomes) -> np.ndarray:
    """The weights of the demand, by maximum posterior likelihood."""
    judged = np.array([JUDGED[name] for name in EVIDENCE])
    sources, of = np.unique(rows.source, return_inverse=True)
    count, kinds = len(judged), len(sources)
    share = EVIDENCE_ROWS * _shares(of)
    guessed = np.array([GUESSED.get(source, 0.0) for source in sources])[of]

    def loss(params: np.ndarray) -> tuple[float, np.ndarray]:
        demand, slope = rows.found @ params[:count], np.zeros_like(params)
        away = (params[:count] - judged) / WIDTH
        value = 0.5 * float(away @ away) + 0.02 * float(params[count:] @ params[count:])
        slope[:count] = away / WIDTH
        slope[count:] = 0.04 * params[count:]
        for success, start in ((rows.weak, count), (rows.strong, count + kinds)):
            able = logistic(params[start : start + kinds][of] - demand)
            right = np.clip(guessed + (1 - guessed) * able, 1e-4, 1 - 1e-4)
            value -= float(share @ (success * np.log(right) + (1 - success) * np.log(1 - right)))
            pull = share * ((1 - success) / (1 - right) - success / right) * (1 - guessed) * able * (1 - able)
            slope[:count] -= rows.found.T @ pull
            slope[start : start + kinds] += np.bincount(of, pull, minlength=kinds)
        return value, slope

    start = np.concatenate([judged, np.zeros(kinds), np.ones(kinds)])
    bounds = [_bound(name) for name in EVIDENCE] + [(-8.0, 8.0)] * (2 * kinds)
    return minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x[:count]


def _bound(name: str) -> tuple[float, float]:
    judged = JUDGED[name]
    if name in HELD:
        return judged, judged
    return (0.0, LARGEST) if judged > 0 else (-LARGEST, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outcomes", type=Path)
    options = parser.parse_args()
    rows = read(options.outcomes)
    found = fit(rows)
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
        "outcomes": hashlib.sha256(options.outcomes.read_bytes()).hexdigest(),
        "classifier": hashlib.sha256((WEIGHTS.parent / "weights.bin").read_bytes()).hexdigest(),
        "prompts": len(rows.weak),
        "judged": JUDGED,
        "held": sorted(HELD),
    }
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
