"""Reads the training text: our own corpus from the repository, public prompts from a folder given by hand."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from dynaroute_mcp.taxonomy import Category

CORPUS: Final = Path(__file__).parent / "corpus"
LABELS: Final = Path(__file__).parent / "labels.tsv"
"""Labels that we gave to public prompts: hash of the prompt, category, level. No prompt stands there."""
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


DOMAINS: Final = {
    **{
        name: name.title()
        for name in ("chemistry", "engineering", "physics", "business", "biology", "economics")
    },
    "psychology": "Psychology",
    "computer science": "Computer Science",
    "crux": "Code Explanation",
    "math": "Mathematics",
    "math-l5": "Mathematics",
}
"""Category of the exam items of a domain."""


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
    graded: bool = True
    """Whether `level` follows today's wording of the levels; where not, it teaches nothing about levels."""
    accepted: tuple[str, ...] = ()
    """Names of all categories that some annotator gave."""
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
        accepted=tuple(accepted) if isinstance(accepted := raw.get("accepted"), list) else (),
        lang=str(raw.get("lang", "")),
        style=str(raw.get("style", "")),
    )


def written() -> list[Row]:
    """Every prompt written for this project, in the order of the files' names."""
    return [_row(raw) for path in sorted(CORPUS.glob("*.jsonl")) for raw in _lines(path)]


def is_held_out(row: Row) -> bool:
    """Whether a prompt of ours is kept from every fit, so that a test can measure on it: one in forty."""
    return int(digest(row.prompt), 16) % 40 == 0


def corpus() -> list[Row]:
    """Our prompts that are fitted on."""
    return [row for row in written() if not is_held_out(row)]


def held_out() -> list[Row]:
    """Our prompts that are not."""
    return [row for row in written() if is_held_out(row)]


def labelled(path: Path) -> list[Row]:
    """The labelled rows of one file."""
    return [_row(raw) for raw in _lines(path)]


def public(folder: Path) -> list[Row]:
    """Labelled public prompts, without those that the measuring set `gold_dev.jsonl` holds."""
    held = {digest(row.prompt) for row in labelled(folder / "gold_dev.jsonl")}
    older = [replace(row, graded=False) for row in labelled(folder / "public_single.jsonl")]
    rows = labelled(folder / "public_labelled.jsonl") + ours(folder) + older
    unique = {digest(row.prompt): row for row in reversed(rows)}
    return [row for key, row in unique.items() if key not in held]


def ours(folder: Path) -> list[Row]:
    """Prompts of the unlabelled pool that we labelled ourselves, all from the sources in `FITTED`."""
    labels = dict(line.split("\t", 1) for line in LABELS.read_text("utf-8").splitlines())
    rows = []
    for raw in _lines(folder / "unlabelled_pool.jsonl.gz"):
        label = labels.get(digest(str(raw["prompt"])))
        if label:
            category, level = label.split("\t")
            rows.append(_row({**raw, "category": category, "level": level}))
    return rows


def exams(folder: Path, each: int = 130) -> list[Row]:
    """Exam items whose subject is their domain, at most `each` of a domain, with the first four options.

    MMLU-Pro without what comes from MMLU, CRUX (both Apache-2.0) and MATH level 5 (MIT).
    """
    taken: Counter[str] = Counter()
    rows = []
    for raw in _lines(folder / "outcomes.jsonl.gz"):
        domain = str(raw["domain"])
        if taken[domain] < each:
            taken[domain] += 1
            prompt = str(raw["prompt"]).split("\nE. ")[0]
            label = {"prompt": prompt, "category": DOMAINS[domain], "level": 2, "source": "exams"}
            rows.append(replace(_row(label), graded=False))
    return rows


def pool(folder: Path) -> list[str]:
    """Unlabelled public prompts, each once, none of them in the measuring set."""
    held = {digest(row.prompt) for row in labelled(folder / "gold_dev.jsonl")}
    unique = {
        digest(str(raw["prompt"])): str(raw["prompt"]) for raw in _lines(folder / "unlabelled_pool.jsonl.gz")
    }
    return [prompt for key, prompt in unique.items() if key not in held]
