"""Turns the fine-tuned encoders into the files of the second tier."""

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
from torch import nn
from torch.nn import functional as fn

from dynaroute_mcp.classifier import unigram, wordpiece
from dynaroute_mcp.classifier.ends import HEAD, TAIL
from dynaroute_mcp.classifier.second import PACKAGE, SecondTier, Tongue
from dynaroute_mcp.types import Classification
from training import data, polyglot, teacher
from training.encoder import Encoder

FOLDER: Final = Path(__file__).parents[1] / "accurate/src/dynaroute_accurate"
_LEAST: Final = 1e-9
_MULTIPLIED: Final = ("seek", "mix", "wide", "narrow")
_MOVED: Final = 0.8
"""How much of the inputs' unevenness moves to the weights: of 0.5 to 0.9 the best on prompts that were not fitted on."""
_EVERY: Final = 40
"""Of the corpus, one prompt in this many shows what inputs are usual."""
_NIBBLE: Final = 16
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
        self.heads, asked, mix, first = _attention(layer.attention)
        self.seek = _joined(*asked)
        self.mix, self.wide, self.narrow = mix, layer.intermediate.dense, layer.output.dense
        self.first, self.last = first, layer.output.LayerNorm

    def forward(self, hidden: torch.Tensor, bias: torch.Tensor | float) -> torch.Tensor:
        width = hidden.shape[2]
        parts = self.seek(hidden).reshape(-1, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.transpose(1, 2) / (width // self.heads) ** 0.5 + bias, -1)
        mixed = (weights @ value).transpose(0, 1).reshape(1, -1, width)
        hidden = self.first(self.mix(mixed) + hidden)
        return self.last(self.narrow(fn.gelu(self.wide(hidden))) + hidden)


def _attention(part: nn.Module) -> tuple[int, tuple[nn.Linear, ...], nn.Linear, nn.Module]:
    """Heads, the three multiplications of the input, that of the mixture, and what evens it out, of MPNet or BERT."""
    if hasattr(part, "attn"):
        inner = part.attn
        return inner.num_attention_heads, (inner.q, inner.k, inner.v), inner.o, part.LayerNorm
    inner = part.self
    asked = (inner.query, inner.key, inner.value)
    return inner.num_attention_heads, asked, part.output.dense, part.output.LayerNorm


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
        hidden, bias = self.start(ids)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return self.heads(hidden.mean(1))

    def start(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        """What the first layer gets, and what is added to each layer's scores of attention."""
        count = ids.shape[1]
        places = self.embeddings.position_embeddings.weight[_FIRST_PLACE : _FIRST_PLACE + count]
        hidden = self.embeddings.LayerNorm(self.embeddings.word_embeddings(ids) + places)
        return hidden, self.bias[:, :count, :count]

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


class Polyglot(Single):
    """The encoder for other languages: its table of pieces stays in blocks of 32 four-bit numbers, as it came."""

    def __init__(self, model: Encoder, table: tuple[torch.Tensor, torch.Tensor]) -> None:
        nn.Module.__init__(self)
        body = deepcopy(model.body)
        self.heads, self.layers = model.heads, nn.ModuleList(map(Layer, body.encoder.layer))
        known = body.embeddings
        places = known.position_embeddings.weight + known.token_type_embeddings.weight[0]
        self.places = nn.Parameter(places[: HEAD + TAIL + 2].detach())
        self.norm = known.LayerNorm
        self.pairs, self.scales = (nn.Parameter(part, requires_grad=False) for part in table)

    def start(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        pairs, scales = self.pairs[ids].to(torch.int32), self.scales[ids].to(torch.float32)
        values = torch.cat([pairs % _NIBBLE, pairs // _NIBBLE], -1).to(torch.float32) - _NIBBLE / 2
        words = (values * scales[..., None]).flatten(2)
        return self.norm(words + self.places[: ids.shape[1]]), 0.0


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


def export(single: Single, texts: list[list[int]], target: Path) -> None:
    """Write a model with eight-bit weights, each channel with a scale of its own; `texts` say what inputs are usual."""
    kinds = ["MatMul"] if isinstance(single, Polyglot) else None  # its table of pieces is small already
    single.eval()
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
        quantize_dynamic(
            whole, target, kinds, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
    slim = onnx.load(target)
    del slim.metadata_props[:]
    slim.producer_name, slim.producer_version, slim.doc_string = "dynaroute", "", ""
    target.write_bytes(slim.SerializeToString(deterministic=True))


def extra() -> ModuleType:
    """The package of the second tier, as it lies in the repository."""
    sys.path.insert(0, str(FOLDER.parent))
    return import_module(PACKAGE)


def logits_of(prompts: list[str], tongue: Tongue) -> np.ndarray:
    """What the shipped files of one encoder say, (prompts, 36)."""
    package = extra()
    judge, known = package.encoder(tongue), package.words() if tongue == "english" else package.pieces()
    cut = wordpiece.pieces if tongue == "english" else unigram.pieces
    return np.array([judge.logits(cut(prompt, known)) for prompt in prompts])


def judged(judge: SecondTier, prompt: str) -> Classification:
    """What both tiers say together, as the router asks them."""
    label = judge.classify(prompt)
    return judge.refine(prompt, label) if judge.wanted(label) else label


def write(head: dict[str, object]) -> dict[str, object]:
    """Write the head beside the weights, with the hashes of the files; the whole of it."""
    names = ("english.onnx", "english.txt", "others.onnx", "others.txt")
    files = {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in names}
    whole = {**head, "files": files}
    (FOLDER / "head.json").write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return whole


def make(work: Path, folder: Path) -> None:
    """Write weights and vocabularies; the head, still without the blends.

    Args:
        work: where `training.teacher` left its weights.
        folder: of the public prompts.
    """
    usual = [row.prompt for row in data.corpus()[::_EVERY]]
    reader = teacher.english(work)
    export(Single(teacher.shipped(reader, work)), reader.encode(usual), FOLDER / "english.onnx")
    words = (teacher.base(work) / "vocab.txt").read_text("utf-8")
    (FOLDER / "english.txt").write_text(words, "utf-8")
    held, kept = polyglot.read(), teacher.kept(work, folder)
    translator = teacher.others(work, folder)
    single = Polyglot(teacher.shipped(translator, work), polyglot.packed(held, kept))
    usual = [row.prompt for row in data.corpus() if row.lang != "en"][:: _EVERY // 8]
    export(single, translator.encode(usual), FOLDER / "others.onnx")
    lines = [f"{piece}\t{score}" for piece, (_, score) in polyglot.vocabulary(held, kept).items()]
    (FOLDER / "others.txt").write_text("\n".join(lines) + "\n", "utf-8")
    write({})
