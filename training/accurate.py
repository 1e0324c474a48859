"""Turns the fine-tuned encoder into the files of the second tier, and finds how both tiers' opinions become one."""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
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
from dynaroute_mcp.classifier.wordpiece import HEAD, TAIL, pieces
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
_MULTIPLIED: Final = ("seek", "mix", "wide", "narrow")
_MOVED: Final = 0.8
"""How much of the inputs' unevenness moves to the weights: of 0.5 to 0.9 the best on prompts that were not fitted on."""
_EVERY: Final = 40
"""Of the corpus, one prompt in this many shows what inputs are usual."""
_FIRST_PLACE: Final = 2
"""Number of the first piece's place in the base; those before it are for padding."""


class Divided(nn.Module):
    """A linear layer behind a division of its inputs that its weights make good."""

    def __init__(self, linear: nn.Linear, by: torch.Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.share = nn.Parameter(1 / by)
        with torch.no_grad():
            linear.weight.mul_(by)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.linear(values * self.share)


class Layer(nn.Module):
    """One layer for one text without padding, its four multiplications apart."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        inner = layer.attention.attn
        self.heads = inner.num_attention_heads
        self.seek = _joined(inner.q, inner.k, inner.v)
        self.mix, self.wide, self.narrow = inner.o, layer.intermediate.dense, layer.output.dense
        self.first, self.last = layer.attention.LayerNorm, layer.output.LayerNorm

    def forward(self, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        width = hidden.shape[2]
        parts = self.seek(hidden).reshape(-1, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.transpose(1, 2) / (width // self.heads) ** 0.5 + bias, -1)
        mixed = (weights @ value).transpose(0, 1).reshape(1, -1, width)
        hidden = self.first(self.mix(mixed) + hidden)
        return self.last(self.narrow(fn.gelu(self.wide(hidden))) + hidden)


class Single(nn.Module):
    """The same encoder for one text without padding: no mask, nothing but what the weights need."""

    def __init__(self, model: Encoder) -> None:
        super().__init__()
        body = deepcopy(model.body)
        self.embeddings, self.heads = body.embeddings, model.heads
        self.layers = nn.ModuleList(map(Layer, body.encoder.layer))
        place = torch.arange(HEAD + TAIL + 2)
        apart = body.encoder.relative_position_bucket(place[None] - place[:, None])
        self.bias = nn.Parameter(body.encoder.relative_attention_bias(apart).permute(2, 0, 1).detach())

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        count = ids.shape[1]
        places = self.embeddings.position_embeddings.weight[_FIRST_PLACE : _FIRST_PLACE + count]
        hidden = self.embeddings.LayerNorm(self.embeddings.word_embeddings(ids) + places)
        bias = self.bias[:, :count, :count]
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return self.heads(hidden.mean(1))

    def smooth(self, texts: list[list[int]]) -> None:
        """Move the few large inputs of each multiplication into its weights, so that eight bits suffice for both.

        As SmoothQuant does (Xiao et al., 2023), by the largest size of each input over the texts. Without it one
        answer in eight changes with the eight bits, with it one in thirty.
        """
        places = [(layer, name) for layer in self.layers for name in _MULTIPLIED]
        largest = [torch.full((getattr(layer, name).in_features,), _LEAST) for layer, name in places]
        watches = [
            getattr(layer, name).register_forward_pre_hook(_watching(most))
            for (layer, name), most in zip(places, largest, strict=True)
        ]
        with torch.no_grad():
            for ids in texts:
                self(torch.tensor([ids]))
        for watch in watches:
            watch.remove()
        for (layer, name), inputs in zip(places, largest, strict=True):
            linear = getattr(layer, name)
            weights = linear.weight.detach().abs().amax(0).clamp(min=_LEAST)
            setattr(layer, name, Divided(linear, inputs**_MOVED / weights ** (1 - _MOVED)))


def _joined(*parts: nn.Linear) -> nn.Linear:
    """Linear layers of the same inputs as one, their outputs side by side."""
    whole = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts))
    with torch.no_grad():
        whole.weight.copy_(torch.cat([part.weight for part in parts]))
        whole.bias.copy_(torch.cat([part.bias for part in parts]))
    return whole


def _watching(most: torch.Tensor) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
    """A hook that keeps the largest size of each input."""

    def look(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        torch.maximum(most, inputs[0].abs().flatten(0, -2).amax(0), out=most)

    return look


def export(model: Encoder, texts: list[list[int]], target: Path) -> None:
    """Write the model with eight-bit weights, each channel with a scale of its own; `texts` say what inputs are usual."""
    single = Single(model).eval()
    single.smooth(texts)
    with tempfile.TemporaryDirectory() as room:
        whole = Path(room) / "whole.onnx"
        torch.onnx.export(
            single,
            (torch.tensor([[0, 7596, 2092, 2]]),),
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


def make(model: Encoder, base: Path) -> None:
    """Write weights and vocabulary; the head, still without the blend."""
    texts = teacher.encode([row.prompt for row in data.corpus()[::_EVERY]], teacher.vocabulary(base))
    export(model, texts, FOLDER / "model.onnx")
    words = (base / "vocab.txt").read_text("utf-8")
    (FOLDER / "vocabulary.txt").write_text(words, "utf-8")
    write({})
