"""The weights of DynaRoute's second classifier, and the few lines that run them.

Two fine-tuned transformers in eight-bit integers: ten layers of all-mpnet-base-v2 (Apache-2.0) for English,
multilingual-e5-small (MIT) for other languages. `dynaroute-mcp` finds this package by itself; there is nothing else to
call. Importing it loads no weights and no library that runs them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

__all__ = ["Encoder", "Tongue", "encoder", "head", "pieces", "words"]

Tongue = Literal["english", "others"]

_FOLDER = Path(__file__).parent


def head() -> Mapping[str, object]:
    """The few numbers beside the weights: thresholds, temperatures, hashes of the files."""
    found: Mapping[str, object] = json.loads((_FOLDER / "head.json").read_text("utf-8"))
    return found


class Encoder:
    """A transformer on one thread of one core. Safe to call from several threads at once."""

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


def encoder(tongue: Tongue) -> Encoder:
    """Check the weights and load them.

    Raises:
        ValueError: the file is not the one that `head.json` names.
        OSError: it is missing.
    """
    return Encoder(_checked(f"{tongue}.onnx"))


def words() -> dict[str, int]:
    """Numbers of the English encoder's pieces; raises as `encoder` does."""
    return {piece: number for number, piece in enumerate(_lines("english.txt")) if piece}


def pieces() -> dict[str, tuple[int, float]]:
    """Numbers of the other encoder's pieces, and logarithms of their probabilities; raises as `encoder` does."""
    parted = (line.rpartition("\t") for line in _lines("others.txt"))
    return {piece: (number, float(score)) for number, (piece, _, score) in enumerate(parted) if score}


def _lines(name: str) -> list[str]:
    return _checked(name).read_text("utf-8").split("\n")


def _checked(name: str) -> Path:
    path, files = _FOLDER / name, head()["files"]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not isinstance(files, Mapping) or files.get(name) != found:
        raise ValueError(f"{name} is damaged; reinstall dynaroute-accurate")
    return path
