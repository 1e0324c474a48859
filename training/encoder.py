"""A transformer encoder with two heads, as the teacher and the second tier are: tokens, fitting, reading out."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

CATEGORIES: Final = 31
OUTPUTS: Final = 36
"""31 categories, then five levels."""
PADDING: Final = 1
"""Number of the bases' empty piece."""
BATCH: Final = 32
_FADE: Final = 0.9
"""Learning rate of a layer as a share of that of the layer above it."""
_WARM_STEPS: Final = 60
_HEADS: Final = ((0, CATEGORIES), (CATEGORIES, OUTPUTS))


class Encoder(nn.Module):
    """Token vectors, averaged, through two linear heads."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.body.embeddings.word_embeddings.requires_grad_(requires_grad=False)
        self.drop = nn.Dropout(0.1)
        self.heads = nn.Linear(self.body.config.hidden_size, OUTPUTS)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        share = mask[..., None].to(hidden.dtype)
        pooled = (hidden * share).sum(1) / share.sum(1)
        return self.heads(self.drop(pooled))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be learnt from each prompt; the arrays have a row for each."""

    tokens: list[list[int]]
    targets: np.ndarray
    """(prompts, 36): probabilities of categories and of levels, from labels."""
    shift: np.ndarray
    """(prompts, 36): added to the logits before they are held against the targets."""
    weight: np.ndarray
    """(prompts, 2): what the categories and the levels of each count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Learning rates, and the pass at which they begin to fall in a straight line to nothing."""

    rate: float
    head_rate: float
    passes: int
    falls_from: float = 0.0
    seed: int = 0


@dataclass(slots=True)
class Progress:
    """Where a fit stands; kept in a file between passes, so that no single job need be long."""

    model: Encoder
    optimizer: torch.optim.Optimizer
    passes: int = 0

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "passes": self.passes}, path)

    def load(self, path: Path) -> None:
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.passes = state["passes"]


def begin(body: nn.Module, recipe: Recipe, weights: dict[str, torch.Tensor] | None = None) -> Progress:
    """A model with the base's weights, or others, and its optimizer, the lower layers slower than the upper ones."""
    torch.manual_seed(recipe.seed)
    model = Encoder(body)
    if weights is not None:
        model.load_state_dict(weights)
    layers = list(model.body.encoder.layer)
    groups = [(model.heads.parameters(), recipe.head_rate)]
    groups += [
        (layer.parameters(), recipe.rate * _FADE**depth) for depth, layer in enumerate(reversed(layers))
    ]
    inside = {id(p) for layer in layers for p in layer.parameters()}
    rest = [p for p in model.body.parameters() if p.requires_grad and id(p) not in inside]
    groups.append((iter(rest), recipe.rate * _FADE ** len(layers)))
    listed = [{"params": list(params), "lr": rate, "initial_lr": rate} for params, rate in groups]
    return Progress(model, torch.optim.AdamW(listed, weight_decay=0.01, fused=True))


def weights_of(model: Encoder) -> dict[str, torch.Tensor]:
    """A copy of a model's numbers by name."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def average(model: Encoder, other: dict[str, torch.Tensor]) -> None:
    """Move a model's numbers half the way to those of `weights_of`."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(other[name], 0.5)


def batches(rows: list[list[int]], rng: np.random.Generator | None) -> list[np.ndarray]:
    """Positions in batches of like length, in random order; in order of length without `rng`."""
    noise = rng.uniform(0, 12, len(rows)) if rng else np.zeros(len(rows))
    order = np.argsort([len(ids) for ids in rows] + noise, kind="stable")
    parts = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    if rng:
        rng.shuffle(parts)  # type: ignore[arg-type]
    return parts


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of one batch."""
    width = max(map(len, rows))
    ids = torch.tensor([ids + [PADDING] * (width - len(ids)) for ids in rows])
    return ids, (torch.arange(width)[None] < torch.tensor([len(r) for r in rows])[:, None]).long()


def predict(model: Encoder, rows: list[list[int]]) -> np.ndarray:
    """Logits (prompts, 36), in the order of `rows`."""
    model.eval()
    logits = np.zeros((len(rows), OUTPUTS), np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for part in batches(rows, None):
            logits[part] = model(*pad([rows[i] for i in part])).float().numpy()
    return logits


def one_pass(progress: Progress, lesson: Lesson, recipe: Recipe) -> None:
    """Go once over the lesson, in half precision where the processor has it."""
    model, optimizer, number = progress.model, progress.optimizer, progress.passes
    torch.manual_seed(recipe.seed + number)
    parts = batches(lesson.tokens, np.random.default_rng(recipe.seed + number))
    started = time.monotonic()
    model.train()
    for step, part in enumerate(parts):
        share = _rate(recipe, number + step / len(parts)) * min(1.0, (number * 1000 + step + 1) / _WARM_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
        loss = _loss(model, lesson, part)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            took = time.monotonic() - started
            print(f"pass {number} step {step}/{len(parts)} loss {loss.item():.3f} {took:.0f} s", flush=True)
    progress.passes += 1


def _rate(recipe: Recipe, done: float) -> float:
    return min(1.0, max(0.0, (recipe.passes - done) / (recipe.passes - recipe.falls_from)))


def _loss(model: Encoder, lesson: Lesson, part: np.ndarray) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        out = model(*pad([lesson.tokens[i] for i in part]))
    targets, shift, weight = (
        torch.from_numpy(rows[part].astype(np.float32))
        for rows in (lesson.targets, lesson.shift, lesson.weight)
    )
    shifted, loss = out.float() + shift, torch.zeros(())
    for place, (first, last) in enumerate(_HEADS):
        surprise = _surprise(targets[:, first:last], shifted[:, first:last])
        loss = loss + (surprise * weight[:, place]).mean()
    return loss


def _surprise(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return -(targets * torch.log_softmax(logits, 1)).sum(1)
