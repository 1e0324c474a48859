"""The model that ships, as it is fitted: rows of small numbers, added up by group, and a small hidden layer."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import nn

from dynaroute_mcp.classifier.features import GROUPS, SLOTS, features

OUTPUTS: Final = 36
"""31 categories, then five levels."""
MAX_ROWS: Final = 65_535


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each row of logits."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@dataclass(slots=True)
class Matrix:
    """The features of many prompts: for prompt i, `rows[start[i]:start[i + 1]]` with their weights."""

    rows: np.ndarray
    weights: np.ndarray
    start: np.ndarray


def slots(prompts: list[str]) -> list[tuple[np.ndarray, ...]]:
    """Slots by group of every prompt."""
    return [tuple(np.array(group, np.int32) for group in features(prompt).groups) for prompt in prompts]


def lone(word: str) -> tuple[np.ndarray, ...]:
    """Slots of a word on its own, without what tells that it stands alone."""
    _, words, grams, body = features(word).groups
    return (np.array([], np.int32), *(np.array(group, np.int32) for group in (words, grams, body)))


def choose(seen: list[tuple[np.ndarray, ...]], budget: int, least: int) -> np.ndarray:
    """Row number of each slot, 0 for none: the `budget` slots that the most prompts have, if at least `least`."""
    count = np.zeros(SLOTS, np.int64)
    for groups in seen:
        for group in groups:
            count[group] += 1
    order = np.argsort(-count, kind="stable")[:budget]
    order = np.sort(order[count[order] >= least])
    index = np.zeros(SLOTS, np.uint16)
    index[order] = np.arange(1, len(order) + 1)
    return index


def matrix(seen: list[tuple[np.ndarray, ...]], index: np.ndarray) -> Matrix:
    """Rows and weights as the shipped model reads them: marks count 1 each, the others 1 / sqrt(their number)."""
    rows, weights, start = [], [], [0]
    for groups in seen:
        total = 0
        for number, group in enumerate(groups):
            known = index[group]
            known = known[known > 0]
            rows.append(known)
            scale = 1.0 if number == 0 else len(known) ** -0.5 if len(known) else 0.0
            weights.append(np.full(len(known), scale, np.float32))
            total += len(known)
        start.append(start[-1] + total)
    assert len(GROUPS) == 4
    return Matrix(np.concatenate(rows).astype(np.int32), np.concatenate(weights), np.array(start))


class Student(nn.Module):
    """Sums of rows give the logits; further lanes go through a rectified hidden layer and add to them."""

    def __init__(self, rows: int, hidden: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(rows + 1, OUTPUTS + hidden, mode="sum")
        nn.init.zeros_(self.table.weight)
        if hidden:
            nn.init.normal_(self.table.weight[:, OUTPUTS:], std=0.05)
        self.bias = nn.Parameter(torch.zeros(OUTPUTS + hidden))
        self.mix = nn.Linear(hidden, OUTPUTS, bias=False) if hidden else None

    def forward(self, rows: torch.Tensor, starts: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        sums = self.table(rows, starts, per_sample_weights=weights) + self.bias
        out = sums[:, :OUTPUTS]
        return out + self.mix(torch.relu(sums[:, OUTPUTS:])) if self.mix is not None else out


def gather(
    data: Matrix, part: np.ndarray, keep: float, rng: np.random.Generator | None
) -> tuple[torch.Tensor, ...]:
    """One batch; with `keep` < 1 each feature is left out at random."""
    rows = [data.rows[data.start[i] : data.start[i + 1]] for i in part]
    weights = [data.weights[data.start[i] : data.start[i + 1]] for i in part]
    starts = np.cumsum([0, *map(len, rows)])[:-1]
    flat, scale = np.concatenate(rows), np.concatenate(weights)
    if rng is not None:
        scale = scale * (rng.random(len(scale), np.float32) < keep) / np.float32(keep)
    return torch.from_numpy(flat).long(), torch.from_numpy(starts), torch.from_numpy(scale)


def logits(model: Student, data: Matrix) -> np.ndarray:
    """Outputs of every prompt, (prompts, 36)."""
    count = len(data.start) - 1
    model.eval()
    with torch.inference_mode():
        return np.concatenate(
            [
                model(*gather(data, np.arange(at, min(at + 1024, count)), 1.0, None)).numpy()
                for at in range(0, count, 1024)
            ]
        )


@dataclass(slots=True)
class Lesson:
    """What the student is to learn from each prompt."""

    data: Matrix
    soft: np.ndarray
    """The teacher's probabilities, (prompts, 36)."""
    hard: np.ndarray
    """Targets from people, (prompts, 36); rows of zeros where there is none."""
    shift: np.ndarray
    """Added to the logits before they are held against `hard`."""
    weight: np.ndarray
    """Weights of soft and hard loss, (prompts, 2)."""


def merge(students: list[Student]) -> Student:
    """One student whose outputs are the mean of those of all: tables averaged, hidden layers side by side."""
    hidden = [one.mix.in_features if one.mix is not None else 0 for one in students]
    whole = Student(students[0].table.num_embeddings - 1, sum(hidden))
    with torch.no_grad():
        for tensor in ("table.weight", "bias"):
            parts = [one.get_parameter(tensor) for one in students]
            mean = torch.stack([part[..., :OUTPUTS] for part in parts]).mean(0)
            joined = torch.cat([mean, *(part[..., OUTPUTS:] for part in parts)], -1)
            whole.get_parameter(tensor).copy_(joined)
        if whole.mix is not None:
            mixes = [one.mix.weight for one in students if one.mix is not None]
            whole.mix.weight.copy_(torch.cat(mixes, 1) / len(students))
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that may be chosen about a fit."""

    hidden: int = 12
    epochs: int = 14
    batch: int = 256
    rate: float = 0.012
    keep: float = 0.7
    decay: float = 2e-6


def fit(lesson: Lesson, recipe: Recipe, rows: int, seed: int) -> Student:
    """Fit a student with Adam, the rate falling to nothing along a cosine."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Student(rows, recipe.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    soft, hard, shift, weight = (
        torch.from_numpy(a.astype(np.float32))
        for a in (lesson.soft, lesson.hard, lesson.shift, lesson.weight)
    )
    count = len(lesson.soft)
    steps = recipe.epochs * (count // recipe.batch)
    step = 0
    model.train()
    for _ in range(recipe.epochs):
        order = rng.permutation(count)
        for at in range(0, count - recipe.batch + 1, recipe.batch):
            part = order[at : at + recipe.batch]
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            out = model(*gather(lesson.data, part, recipe.keep, rng))
            shifted = out + shift[part]
            loss = torch.zeros(())
            for first, last in ((0, 31), (31, 36)):
                s = -(soft[part, first:last] * torch.log_softmax(out[:, first:last], 1)).sum(1)
                h = -(hard[part, first:last] * torch.log_softmax(shifted[:, first:last], 1)).sum(1)
                loss = loss + (s * weight[part, 0] + h * weight[part, 1]).mean()
            loss = loss + recipe.decay * model.table.weight.pow(2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return model
