"""Turns the fine-tuned encoder into the files of the second tier, and finds how both tiers' opinions become one."""

import hashlib
import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from scipy.optimize import minimize
from torch import nn
from torch.nn import functional as fn

from dynaroute_mcp.classifier.second import PACKAGE, SecondTier
from dynaroute_mcp.classifier.wordpiece import pieces
from dynaroute_mcp.types import Classification
from training import data, teacher
from training.encoder import CATEGORIES, Encoder
from training.priors import importance
from training.student import softmax

FOLDER: Final = Path(__file__).parents[1] / "accurate/src/dynaroute_accurate"
THRESHOLDS: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1.01)
_WORTH: Final = 0.0005
"""Right labels a row by which a higher threshold may be ahead of the one that is chosen."""
_LEAST: Final = 1e-9


class Single(nn.Module):
    """The same encoder for one text without padding: no mask, nothing but what the weights need."""

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        body, heads = self.model.body, self.model.heads
        embeddings, count = body.embeddings, ids.shape[1]
        words = embeddings.word_embeddings(ids) + embeddings.token_type_embeddings.weight[0]
        hidden = embeddings.LayerNorm(words + embeddings.position_embeddings.weight[:count])
        for layer in body.encoder.layer:
            hidden = self._layer(layer, hidden)
        return heads(hidden.mean(1))

    def _layer(self, layer: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        inner, out = layer.attention.self, layer.attention.output
        size = hidden.shape[2] // inner.num_attention_heads

        def apart(values: torch.Tensor) -> torch.Tensor:
            return values.reshape(1, -1, inner.num_attention_heads, size).transpose(1, 2)

        query, key, value = apart(inner.query(hidden)), apart(inner.key(hidden)), apart(inner.value(hidden))
        weights = torch.softmax(query @ key.transpose(2, 3) / size**0.5, -1)
        mixed = (weights @ value).transpose(1, 2).reshape(1, -1, hidden.shape[2])
        hidden = out.LayerNorm(out.dense(mixed) + hidden)
        wide = fn.gelu(layer.intermediate.dense(hidden))
        return layer.output.LayerNorm(layer.output.dense(wide) + hidden)


def export(model: Encoder, target: Path) -> None:
    """Write the model with eight-bit weights, each channel with a scale of its own."""
    model.eval()
    with tempfile.TemporaryDirectory() as room:
        whole = Path(room) / "whole.onnx"
        torch.onnx.export(
            Single(model),
            (torch.tensor([[101, 7592, 2088, 102]]),),
            str(whole),
            input_names=["ids"],
            output_names=["logits"],
            dynamic_axes={"ids": {1: "pieces"}},
            opset_version=17,
            dynamo=False,
        )
        quantize_dynamic(whole, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
    slim = onnx.load(target)
    del slim.metadata_props[:]
    slim.producer_name, slim.producer_version, slim.doc_string = "dynaroute", "", ""
    target.write_bytes(slim.SerializeToString(deterministic=True))


def extra() -> ModuleType:
    """The package of the second tier, as it lies in the repository."""
    sys.path.insert(0, str(FOLDER.parent))
    return import_module(PACKAGE)


def logits_of(prompts: list[str]) -> np.ndarray:
    """What the shipped files say, (prompts, 36)."""
    encoder, known = extra().load()
    return np.array([encoder.logits(pieces(prompt, known)) for prompt in prompts])


def judged(judge: SecondTier, prompt: str) -> Classification:
    """What both tiers say together, as the router asks them."""
    label = judge.classify(prompt)
    return judge.refine(prompt, label) if judge.wanted(label) else label


def blend(first: np.ndarray, logits: np.ndarray, rows: list[data.Row]) -> dict[str, object]:
    """Weights of both opinions and the threshold, by likelihood on rows that neither was fitted on.

    Args:
        first: the first tier's probabilities, (rows, 36).
        logits: the second tier's, (rows, 36).
        rows: with their labels.
    """
    right = np.array([row.category for row in rows])
    graded = np.array([row.graded for row in rows])
    level = np.array([row.level for row in rows])[graded]
    weight = importance(level)
    said = np.log(np.maximum(first, _LEAST))

    def categories(p: np.ndarray) -> float:
        shares = softmax(p[0] * said[:, :CATEGORIES] + p[1] * logits[:, :CATEGORIES])
        return -float(np.log(shares[np.arange(len(rows)), right] + _LEAST).mean())

    def levels(p: np.ndarray) -> float:
        both = p[0] * said[graded, CATEGORIES:] + p[1] * logits[graded, CATEGORIES:]
        shift = np.array([*p[2:], 0.0])
        shares = softmax(both + shift)[np.arange(len(level)), level]
        return -float((weight * np.log(shares + _LEAST)).mean()) + 0.1 * float((shift**2).sum())

    options = {"maxiter": 6000, "maxfev": 6000}
    one = minimize(categories, [0.3, 0.7], method="Nelder-Mead", options=options).x
    two = minimize(levels, [0.3, 0.7, 0, 0, 0, 0], method="Nelder-Mead", options=options).x
    both = softmax(one[0] * said[:, :CATEGORIES] + one[1] * logits[:, :CATEGORIES])
    grades = two[0] * said[:, CATEGORIES:] + two[1] * logits[:, CATEGORIES:] + np.array([*two[2:], 0.0])
    hard = np.array([row.level for row in rows])
    gained = (both.argmax(1) == right) + graded * (grades.argmax(1) == hard)
    kept = (first[:, :CATEGORIES].argmax(1) == right) + graded * (first[:, CATEGORIES:].argmax(1) == hard)
    return {
        "threshold": threshold(sure(first), kept, gained),
        "category": [round(float(value), 4) for value in one],
        "level": [round(float(value), 4) for value in two[:2]],
        "level_shift": [*(round(float(value), 4) for value in two[2:]), 0.0],
    }


def sure(first: np.ndarray) -> np.ndarray:
    """How sure the first tier is of the less certain of its two labels, from its probabilities, (rows, 36)."""
    return np.minimum(first[:, :CATEGORIES].max(1), first[:, CATEGORIES:].max(1))


def threshold(sure: np.ndarray, kept: np.ndarray, gained: np.ndarray) -> float:
    """The lowest confidence from which asking the second tier adds next to nothing.

    Args:
        sure: the first tier's confidence in the less certain label of each row.
        kept: how many of a row's two labels the first tier has right.
        gained: how many both tiers have.
    """
    shares = {edge: float(np.where(sure < edge, gained, kept).mean()) for edge in THRESHOLDS}
    for edge, share in shares.items():
        print(
            f"threshold {edge}: asked {np.mean(sure < edge):.3f}, right labels a row {share:.4f}", flush=True
        )
    best = max(shares.values())
    return next(edge for edge, share in shares.items() if share >= best - _WORTH)


def write(head: dict[str, object]) -> dict[str, object]:
    """Write the head beside the weights, with the hashes of both files; the whole of it."""
    names = ("model.onnx", "vocabulary.txt")
    files = {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in names}
    whole = {**head, "files": files}
    (FOLDER / "head.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return whole


def make(model: Encoder) -> None:
    """Write weights and vocabulary; the head, still without the blend."""
    export(model, FOLDER / "model.onnx")
    words = (teacher.base() / "vocab.txt").read_text("utf-8")
    (FOLDER / "vocabulary.txt").write_text(words, "utf-8")
    write({})
