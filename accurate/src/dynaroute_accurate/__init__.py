"""The weights of DynaRoute's second classifier, and the few lines that run them.

Ten layers of all-mpnet-base-v2 (Apache-2.0), fine-tuned, in eight-bit integers. `dynaroute-mcp` finds this package by
itself; there is nothing else to call. Importing it loads no weights and no library that runs them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Encoder", "head", "load"]

_FOLDER = Path(__file__).parent
_FILES = ("model.onnx", "vocabulary.txt")


def head() -> Mapping[str, object]:
    """The few numbers beside the weights: thresholds, temperatures, hashes of the files."""
    found: Mapping[str, object] = json.loads((_FOLDER / "head.json").read_text("utf-8"))
    return found


class Encoder:
    """The transformer on one thread of one core. Safe to call from several threads at once."""

    def __init__(self, model: Path) -> None:
        runtime: Any = import_module("onnxruntime")  # Any: it has no types
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._array = import_module("numpy").array
        self._run = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"]).run

    def logits(self, ids: Sequence[int]) -> list[float]:
        """Judge one text, given as numbers of its pieces: 31 categories, then five levels."""
        found: list[float] = self._run(None, {"ids": self._array([ids], "int64")})[0][0].tolist()
        return found


def load() -> tuple[Encoder, dict[str, int]]:
    """Check the files and load them.

    Raises:
        ValueError: a file is not the one that `head.json` names.
        OSError: a file is missing.
    """
    hashes = {name: _hash(_FOLDER / name) for name in _FILES}
    if hashes != head()["files"]:
        raise ValueError("the weights are damaged; reinstall dynaroute-accurate")
    words = (_FOLDER / "vocabulary.txt").read_text("utf-8").split("\n")
    return Encoder(_FOLDER / "model.onnx"), {word: number for number, word in enumerate(words) if word}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
