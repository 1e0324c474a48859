"""Reads the training text: our own corpus from the repository, public prompts from a folder given by hand."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dynaroute_mcp.taxonomy import Category

CORPUS: Final = Path(__file__).parent / "corpus"
CATEGORIES: Final = tuple(Category)
INDEX: Final = {category.value: number for number, category in enumerate(CATEGORIES)}

FITTED: Final = frozenset(
    {
        *("arena-hard-v0.1", "arena-hard-v2.0", "selfinstruct_user", "selfinstruct_seed"),  # Apache-2.0
        *("vicuna_bench", "multisift", "ja_vicuna"),  # Apache-2.0
        *("metatool", "gpteacher_role", "bbh"),  # MIT
        "clinc",  # CC BY 3.0
        *("nq_open", "so_titles"),  # CC BY-SA
    }
)
"""Public sources whose licence lets their labels be fitted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled prompt."""

    prompt: str
    category: int
    """Position in `CATEGORIES`."""
    level: int
    """0 to 4."""
    second: int | None = None
    """Another category that a careful person may choose."""
    source: str = "corpus"
    lang: str = "en"
    style: str = ""


def digest(prompt: str) -> str:
    """Name of a prompt that does not tell it: equal for prompts that differ in case and spacing only."""
    folded = " ".join(prompt.lower().split())
    return hashlib.sha256(folded.encode("utf-8", "replace")).hexdigest()[:16]


def _lines(path: Path) -> Iterator[dict[str, object]]:
    packed = path.read_bytes()
    text = gzip.decompress(packed) if path.suffix == ".gz" else packed
    yield from map(json.loads, text.splitlines())


def _row(raw: dict[str, object]) -> Row:
    second = raw.get("second")
    return Row(
        prompt=str(raw["prompt"]),
        category=INDEX[str(raw["category"])],
        level=int(str(raw["level"])) - 1,
        second=INDEX[str(second)] if second else None,
        source=str(raw.get("source", "corpus")),
        lang=str(raw.get("lang", "")),
        style=str(raw.get("style", "")),
    )


def corpus() -> list[Row]:
    """Every prompt written for this project, in the order of the files' names."""
    return [_row(raw) for path in sorted(CORPUS.glob("*.jsonl")) for raw in _lines(path)]


def labelled(path: Path) -> list[Row]:
    """The labelled rows of one file."""
    return [_row(raw) for raw in _lines(path)]


def public(folder: Path) -> list[Row]:
    """Labelled public prompts, without those that the measuring set `gold_dev.jsonl` holds."""
    held = {digest(row.prompt) for row in labelled(folder / "gold_dev.jsonl")}
    rows = labelled(folder / "public_labelled.jsonl") + labelled(folder / "public_single.jsonl")
    unique = {digest(row.prompt): row for row in reversed(rows)}
    return [row for key, row in unique.items() if key not in held]


def pool(folder: Path) -> list[str]:
    """Unlabelled public prompts, each once, none of them in the measuring set."""
    held = {digest(row.prompt) for row in labelled(folder / "gold_dev.jsonl")}
    unique = {
        digest(str(raw["prompt"])): str(raw["prompt"]) for raw in _lines(folder / "unlabelled_pool.jsonl.gz")
    }
    return [prompt for key, prompt in unique.items() if key not in held]
