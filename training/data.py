"""Reads the training text: our own corpus from the repository, public prompts from a folder given by hand."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from dynaroute_mcp.classifier import wordpiece
from dynaroute_mcp.corrections import fingerprint
from dynaroute_mcp.taxonomy import Category

CORPUS: Final = Path(__file__).parent / "corpus"
ENGLISH: Final = CORPUS.parents[1] / "accurate/src/dynaroute_accurate/english.txt"
LABELS: Final = Path(__file__).parent / "labels.tsv"
"""Labels that we gave to public prompts of the sources in `FITTED`: digest of the prompt, category, second choice or
`-`, level. No prompt stands there."""
OPINIONS: Final = Path(__file__).parent / "opinions.tsv"
"""What a large model thinks of unlabelled prompts of other sources, in the same form."""
READINGS: Final = Path(__file__).parent / "readings.tsv"
"""What later readers, who did not know the first label, said of prompts of the corpus and of the two files above, in
the same form, a line a reading; the category is `-` where only the level was asked for."""
JUDGEMENTS: Final = (LABELS, OPINIONS, READINGS)
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
class Reading:
    """What a later reader said of a prompt."""

    category: int | None
    """Position in `CATEGORIES`; none where only the level was asked for."""
    second: int | None
    level: int
    """0 to 4."""


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
    later: tuple[Reading, ...] = ()


def digest(prompt: str) -> str:
    """Name of a prompt that does not tell it: equal for prompts that differ in case and spacing only."""
    return fingerprint(prompt).hex()[:16]


@cache
def vocabulary(path: Path = ENGLISH) -> dict[str, int]:
    """Pieces of words of the English encoder, by number: of the shipped file, or of the base's own, which is the same."""
    lines = path.read_text("utf-8").split("\n")
    return {piece: number for number, piece in enumerate(lines) if piece}


def is_foreign(prompt: str) -> bool:
    """Whether the second tier's encoder for other languages than English reads a prompt."""
    return wordpiece.is_foreign(prompt, vocabulary())


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
    return reread([row for row in written() if not is_held_out(row)])


def reread(rows: list[Row]) -> list[Row]:
    """The same rows with what later readers said of them."""
    found: dict[str, list[Reading]] = {}
    for line in READINGS.read_text("utf-8").splitlines():
        key, category, second, level = line.split("\t")
        reading = Reading(category=INDEX.get(category), second=INDEX.get(second), level=int(level) - 1)
        found.setdefault(key, []).append(reading)
    return [replace(row, later=tuple(found.get(digest(row.prompt), ()))) for row in rows]


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
    rows = labelled(folder / "public_labelled.jsonl") + judged(folder, LABELS) + older
    unique = {digest(row.prompt): row for row in reversed(rows)}
    return [row for key, row in unique.items() if key not in held]


def judged(folder: Path, path: Path) -> list[Row]:
    """Prompts of the unlabelled pool with what a file of ours (`LABELS`, `OPINIONS`) says of them."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    labels = dict(line.split("\t", 1) for line in lines)
    rows = {}
    for raw in _lines(folder / "unlabelled_pool.jsonl.gz"):
        key = digest(str(raw["prompt"]))
        if key in labels:
            category, second, level = labels[key].split("\t")
            label = {"category": category, "second": second.strip("-"), "level": level}
            rows[key] = _row({**raw, **label})
    return reread(list(rows.values()))


def fitted(folder: Path, *, opinions: bool = True) -> list[Row]:
    """Every row that is fitted on: our text, labels of sources that allow it, exam items, a large model's opinions."""
    public_rows = [row for row in public(folder) if row.source in FITTED]
    return corpus() + public_rows + exams(folder) + (judged(folder, OPINIONS) if opinions else [])


def corrections(path: Path, folder: Path) -> list[Row]:
    """Corrections that a user exported, where the prompt was kept or lies in the folder."""
    known = {digest(prompt): prompt for prompt in (*pool(folder), *(row.prompt for row in public(folder)))}
    rows = []
    for raw in _lines(path):
        prompt = raw.get("text") or known.get(str(raw["digest"]))
        if prompt:
            rows.append(_row({**raw, "prompt": prompt, "source": "feedback"}))
    return rows


def sources(folder: Path) -> dict[str, str]:
    """Source of each prompt of the unlabelled pool, by digest."""
    rows = _lines(folder / "unlabelled_pool.jsonl.gz")
    return {digest(str(raw["prompt"])): str(raw["source"]) for raw in rows}


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
