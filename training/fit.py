"""Fits the local classifier and writes its weights, those of the second tier, the manifest and the model card.

`python -m training.fit` fits on the repository's own corpus and only prints figures. With `--public DIR` it fits on
everything that the model card names, prints what each part of it adds and writes the files of both tiers. What the teacher
learnt is an input: its opinions lie here, its weights in `accurate/`. With `--work DIR`, where `training.teacher` left new
ones, these are made into `accurate/`'s first. About ten minutes on two cores.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from benchmarks.classify import Guess, Label, figures, guess
from scipy.optimize import minimize

from dynaroute_mcp.classifier.model import LocalClassifier
from dynaroute_mcp.classifier.second import SecondTier
from dynaroute_mcp.classifier.weights import Weights, dump
from training import card, data, student
from training.export import quantize
from training.priors import importance, offsets
from training.student import softmax
from training.targets import targets

ROOT: Final = Path(__file__).parent.parent
WEIGHTS: Final = ROOT / "src/dynaroute_mcp/classifier/weights.bin"
MANIFEST: Final = Path(__file__).parent / "manifest.json"
OPINIONS: Final = Path(__file__).parent / "teacher.npz"
SEEDS: Final = (0, 1, 2)
RECIPE: Final = student.Recipe(hidden=4, epochs=4, keep=0.6)
Parts = dict[str, card.Part]


@dataclass(frozen=True, slots=True)
class Folded:
    """Rows that were kept from a fit, and its weights."""

    kept: list[data.Row]
    weights: Weights


@dataclass(frozen=True, slots=True)
class Opinions:
    """What the teacher thinks: a row of probabilities for the hash of each prompt."""

    place: dict[str, int]
    probabilities: np.ndarray
    words: list[str]

    def of(self, prompts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the prompts, and 1 where the teacher saw the prompt, else 0."""
        places = [self.place.get(data.digest(prompt), -1) for prompt in prompts]
        return self.probabilities[places], np.array([place >= 0 for place in places], float)


def opinions() -> Opinions:
    """Read the teacher's file."""
    packed = np.load(OPINIONS)
    logits = packed["logits"].astype(np.float32) / 8
    both = np.concatenate([softmax(logits[:, :31]), softmax(logits[:, 31:])], 1)
    return Opinions(
        {key.decode(): at for at, key in enumerate(packed["digests"])}, both, packed["words"].tolist()
    )


def lesson(
    rows: list[data.Row], pool: list[str], taught: Opinions | None
) -> tuple[student.Lesson, np.ndarray]:
    """What the student learns, and the row of each slot that it may use."""
    labelled = {data.digest(row.prompt) for row in rows}
    pool = [prompt for prompt in pool if data.digest(prompt) not in labelled]
    prompts = [row.prompt for row in rows] + pool
    words = taught.words if taught else []
    seen = student.slots(prompts) + [student.lone(word) for word in words]
    index = student.choose(seen, student.MAX_ROWS, 3)
    count = len(seen)
    soft, known = taught.of(prompts + words) if taught else (np.zeros((count, 36)), np.zeros(count))
    hard, shift, weight = np.zeros((count, 36)), np.zeros((count, 36)), np.zeros((count, 2))
    hard[: len(rows)] = targets(rows)
    shift[: len(rows)] = np.concatenate(offsets(rows), 1)
    shares = {"corpus": (1.0, 0.5), "exams": (0.5, 0.25)}
    weight[: len(rows)] = [shares.get(row.source, (1.5, 1.0)) for row in rows]
    if taught:  # it has learnt from the same labels, and is less noisy than they are
        weight[: len(rows), 1] *= 0.4
    weight[len(rows) :, 0] = 1.0
    weight[len(prompts) :, 0] = 0.25
    weight[:, 0] *= known
    soft = soft.copy()
    soft[len(prompts) :, 31:] = 0.0
    return student.Lesson(student.matrix(seen, index), soft, hard, shift, weight), index


def train(work: student.Lesson, index: np.ndarray) -> student.Student:
    """The mean of several students, which is again one student."""
    rows = int(index.max())
    return student.merge([student.fit(work, RECIPE, rows, seed) for seed in SEEDS])


def calibrate(logits: np.ndarray, rows: list[data.Row]) -> tuple[tuple[float, float], list[float]]:
    """Temperatures of both heads and a shift of the levels, by likelihood on rows that were not fitted on."""
    right = np.array([row.category for row in rows])
    graded = np.array([row.graded for row in rows])
    level = np.array([row.level for row in rows])[graded]
    weight = importance(level)

    def loss(params: np.ndarray) -> float:
        temperatures, shift = np.exp(params[:2]), np.array([*params[2:], 0.0])
        c = softmax(logits[:, :31] / temperatures[0])[np.arange(len(rows)), right]
        grades = softmax((logits[graded, 31:] + shift) / temperatures[1])[np.arange(len(level)), level]
        return -float(np.log(c).mean() + (weight * np.log(grades)).mean()) + 0.1 * float((shift**2).sum())

    found = minimize(loss, np.zeros(6), method="Nelder-Mead", options={"maxiter": 4000}).x
    first, second = np.exp(found[:2])
    return (float(first), float(second)), [*map(float, found[2:]), 0.0]


def measure(weights: Weights, rows: list[data.Row]) -> tuple[list[Guess], list[Label]]:
    """Answers of the shipped code, and the labels."""
    classifier = LocalClassifier(weights)
    labels = [Label(data.CATEGORIES[row.category].value, row.level + 1, row.accepted) for row in rows]
    return [guess(classifier.classify(row.prompt)) for row in rows], labels


def alone(rows: list[data.Row], gold: list[data.Row]) -> dict[str, object]:
    """Figures of one fit on labels only: no teacher, no unlabelled prompt, no calibration."""
    work, index = lesson(rows, [], None)
    model = student.fit(work, RECIPE, int(index.max()), SEEDS[0])
    return dict(figures(*measure(quantize(model, index, (1.0, 1.0), [0.0] * 5), gold)))


def steps(folder: Path, gold: list[data.Row]) -> dict[str, object]:
    """What the corpus, labels and opinions add one after the other, and a quarter and a half of both last."""
    plain, whole = data.fitted(folder, opinions=False), data.fitted(folder)
    judged = {
        data.digest(r.prompt) for path in (data.LABELS, data.OPINIONS) for r in data.judged(folder, path)
    }

    def share(part: int) -> list[data.Row]:
        keys = {row.prompt: data.digest(row.prompt) for row in whole}
        return [
            row for row in whole if keys[row.prompt] not in judged or int(keys[row.prompt], 16) % 4 < part
        ]

    rows = {
        "corpus only": data.corpus(),
        "and labels": plain,
        "and labels, opinions": whole,
        "quarter of what was judged": share(1),
        "half of what was judged": share(2),
    }
    found: dict[str, object] = {}
    for name, chosen in rows.items():
        found[name] = {"rows": len(chosen), **alone(chosen, gold)}
        print(f"{name}:", found[name], flush=True)
    return found


def fold(folder: Path, taught: Opinions) -> tuple[tuple[float, float], list[float], list[data.Row], Weights]:
    """Fit without every second prompt of the sources that we do not fit labels of; calibrate on those."""
    public = data.public(folder)
    kept = [row for row in public if row.source not in data.FITTED][::2]
    hidden = {data.digest(row.prompt) for row in kept}
    pool = [prompt for prompt in data.pool(folder) if data.digest(prompt) not in hidden]
    work, index = lesson(data.fitted(folder), pool, taught)
    model = train(work, index)
    logits = student.logits(model, student.matrix(student.slots([row.prompt for row in kept]), index))
    temperatures, shift = calibrate(logits, kept)
    return temperatures, shift, kept, quantize(model, index, temperatures, shift)


def everything(
    folder: Path,
    taught: Opinions,
    calibration: tuple[tuple[float, float], list[float]],
    extra: list[data.Row],
) -> Weights:
    """The weights that ship; `extra` are corrections of a user's own."""
    others = [row.prompt for row in data.public(folder) if row.source not in data.FITTED]
    work, index = lesson([*data.fitted(folder), *extra], data.pool(folder) + others, taught)
    return quantize(train(work, index), index, *calibration)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def first_tier(folder: Path, gold: list[data.Row], extra: list[data.Row]) -> tuple[Weights, Parts, Folded]:
    """Fit, calibrate and measure the first tier."""
    taught = opinions()
    temperatures, shift, kept, folded = fold(folder, taught)
    weights = everything(folder, taught, (temperatures, shift), extra)
    parts = {
        "gold": (gold, measure(weights, gold)),
        "fold": (kept, measure(folded, kept)),
        "own": (data.held_out(), measure(weights, data.held_out())),
    }
    return weights, parts, Folded(kept, folded)


def second_tier(
    work: Path | None, folder: Path, folded: Folded, weights: Weights, parts: Parts
) -> dict[str, object]:
    """Find how to use the second tier, write it beside its weights, and add the figures of both tiers to the parts."""
    from training import accurate, blend

    if work:
        accurate.make(work, folder)
    unseen = [row for row in data.public(folder) if row.source not in data.FITTED]
    foreign = [row for row in (*unseen, *data.held_out()) if data.is_foreign(row.prompt)]
    head = accurate.write(blend.head(folded.kept, foreign, LocalClassifier(folded.weights)))
    for name, fitted in (("gold", weights), ("fold", folded.weights), ("own", weights)):
        rows, (_, expected) = parts[name]
        judge = SecondTier(accurate.extra(), LocalClassifier(fitted))
        parts[f"{name}, both tiers"] = (
            rows,
            ([guess(accurate.judged(judge, r.prompt)) for r in rows], expected),
        )
    return head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path, help="folder with the public prompts; writes the files")
    parser.add_argument("--work", type=Path, help="folder where `training.teacher` left its weights")
    parser.add_argument("--feedback", type=Path, help="corrections that `dynaroute feedback export` wrote")
    parser.add_argument(
        "--gold", type=Path, help="labelled file to measure on; default: gold_dev.jsonl there"
    )
    options = parser.parse_args()
    torch.set_num_threads(2)
    gold_path = options.gold or (options.public / "gold_dev.jsonl" if options.public else None)
    gold = data.labelled(gold_path) if gold_path else data.held_out()
    if options.public is None:
        print("corpus only:", alone(data.corpus(), gold), flush=True)
        return
    corrected = data.corrections(options.feedback, options.public) if options.feedback else []
    weights, parts, folded = first_tier(options.public, gold, corrected)
    content = dump(weights)
    WEIGHTS.write_bytes(content)
    head = second_tier(options.work, options.public, folded, weights, parts)
    result: dict[str, object] = {name: figures(*answers) for name, (_, answers) in parts.items()}
    for name, found in result.items():
        print(f"{name}:", found, flush=True)
    result |= steps(options.public, gold)
    inputs = {path.name: sha256(path.read_bytes()) for path in (OPINIONS, *data.JUDGEMENTS)}
    inputs["corpus"] = sha256(b"".join(path.read_bytes() for path in sorted(data.CORPUS.glob("*.jsonl"))))
    manifest = {"weights": sha256(content), "accurate": head, "inputs": inputs, "figures": result}
    MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    card.write(result, parts, weights.head, head)


if __name__ == "__main__":
    main()
