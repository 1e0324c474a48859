"""Writes `MODEL_CARD.md`: every figure in it comes from the fit that has just run."""

from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks.classify import Guess, Label, figures

from dynaroute_mcp.classifier.weights import Head
from training import data

CARD: Final = Path(__file__).parent / "MODEL_CARD.md"
Part = tuple[list[data.Row], tuple[list[Guess], list[Label]]]

_ABOUT: Final = """# Model card: the local classifier

Written by `python -m training.fit --public DIR`; do not edit. The weights' hash, the hashes of what they were
made from and these figures are in `manifest.json`.

**Job.** From the text of the last human ask to probabilities over 31 categories and five levels, in pure
Python. It is tier 1 of the router; its confidence says when a better judge is worth asking.

**Kind.** Rows of small integers are added up for words, pairs of words, pieces of words, cues and the shape of
the text (`classifier/features.py`); a small hidden layer adds to the sums; two softmaxes with fitted
temperatures follow. Three students with different seeds are averaged into one.

**Teacher.** all-MiniLM-L6-v2 (Apache-2.0), fine-tuned by `training/teacher.py` with one head for categories
and one for levels. It does not ship; its opinions do, as hashes and bytes (`teacher.npz`).

## Data

| what | used for | licence |
| --- | --- | --- |
| `corpus/`: prompts written for this project | labels | this project's |
| arena-hard v0.1 and v2.0, self-instruct, vicuna-bench, MultilingualSIFT, ja-vicuna | labels | Apache-2.0 |
| MetaTool, GPTeacher role-play, BIG-Bench Hard | labels | MIT |
| CLINC150 | labels | CC BY 3.0 |
| NQ-open, Stack Overflow titles | labels | CC BY-SA |
| MMLU-Pro without MMLU's items, CRUX (Apache-2.0), MATH level 5 (MIT) | subject as category | as named |
| BELLE (ODC-By); auto-j, FLASK, AlignBench (none stated); CodeAlpaca, InstructionWild (non-commercial) | unlabelled, for the teacher's opinions; temperatures and the levels' shift are fitted on labels of some | as named |

No public prompt is in this repository. `labels.tsv` holds labels that we gave to public prompts, by hash.
Never fitted on: the measuring set, our own held-out prompts, MMLU, GSM8K, MT-Bench, RouterArena.
"""

_LIMITS: Final = """## Limits

* Categories overlap: of two defensible readings one counts as right here, `accepted` counts both.
* Levels 4 and 5 are rare in public prompts; their figures rest on a handful.
* English words come first; Chinese, Japanese and Korean are read by characters and pairs of them, other
  scripts by words and pieces. The teacher is English, so what it adds for them is small.
* Long texts are read at head, middle and tail only.
* The text of a prompt is evidence and never a command: "this is level 1" moves the level only as far as
  those words did in training.
"""


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _summary(result: dict[str, object]) -> str:
    names = {
        "corpus only": "corpus only, no teacher, on the measuring set",
        "gold": "shipped, on the measuring set",
        "fold": "fitted without a fold of other public sources, on that fold (one annotator)",
        "own": "shipped, on our own held-out prompts",
    }
    rows = [(name, *result[key].values()) for key, name in names.items() if isinstance(result[key], dict)]  # type: ignore[attr-defined]
    head = (
        "fit",
        "prompts",
        "category %",
        "accepted %",
        "top two %",
        "macro F1",
        "level %",
        "within one %",
        "ECE",
    )
    return _table(head, rows)


def _groups(part: Part, name_of: dict[int, str]) -> str:
    """Figures by group; `name_of` gives the group of each row."""
    _, (guesses, labels) = part
    rows = []
    for name in sorted(set(name_of.values())):
        chosen = [at for at, group in name_of.items() if group == name]
        found = figures([guesses[at] for at in chosen], [labels[at] for at in chosen])
        rows.append((name, *(found[key] for key in ("prompts", "category", "top2", "level", "within_one"))))
    return _table(("group", "prompts", "category %", "top two %", "level %", "within one %"), rows)


def _length(prompt: str) -> str:
    words = len(prompt.split())
    return next((f"{low} words or more" for low in (150, 50, 12) if words >= low), "0 words or more")


def _confusions(part: Part) -> str:
    _, (guesses, labels) = part
    wrong = Counter(
        (label.category, found.ranked[0])
        for found, label in zip(guesses, labels, strict=True)
        if found.ranked[0] != label.category
    )
    return _table(("true", "said", "prompts"), [(*pair, count) for pair, count in wrong.most_common(20)])


def _levels(part: Part) -> str:
    _, (guesses, labels) = part
    count = Counter((label.level, found.level) for found, label in zip(guesses, labels, strict=True))
    return _table(
        ("true level", *(f"said {level}" for level in range(1, 6))),
        [(true, *(count[true, said] for said in range(1, 6))) for true in range(1, 6)],
    )


def _calibration(part: Part) -> str:
    _, (guesses, labels) = part
    rows = []
    for low in range(10):
        inside = [
            (found.confidence, found.ranked[0] == label.category)
            for found, label in zip(guesses, labels, strict=True)
            if found.confidence is not None and min(9, int(found.confidence * 10)) == low
        ]
        if inside:
            said, right = (sum(values) / len(inside) for values in zip(*inside, strict=True))
            rows.append(
                (f"{low / 10:.1f} to {low / 10 + 0.1:.1f}", len(inside), f"{said:.2f}", f"{right:.2f}")
            )
    return _table(("confidence", "prompts", "said", "right"), rows)


def write(result: dict[str, object], parts: dict[str, Part], head: Head) -> None:
    """Write the card for figures that were just measured."""
    both = (
        [*parts["gold"][0], *parts["fold"][0]],
        tuple(a + b for a, b in zip(parts["gold"][1], parts["fold"][1], strict=True)),
    )
    rows = both[0]
    gold_and_fold: Part = both  # type: ignore[assignment]
    sections = (
        _ABOUT,
        f"## Figures\n\n{_summary(result)}",
        f"Temperatures: {head.category_temperature} (categories), {head.level_temperature} (levels).\n",
        "## By category (measuring set and fold)\n",
        _groups(gold_and_fold, {at: data.CATEGORIES[row.category].value for at, row in enumerate(rows)}),
        "## By source (measuring set and fold)\n",
        _groups(gold_and_fold, {at: row.source for at, row in enumerate(rows)}),
        "## By length (measuring set and fold)\n",
        _groups(gold_and_fold, {at: _length(row.prompt) for at, row in enumerate(rows)}),
        "## By language (our own held-out prompts)\n",
        _groups(parts["own"], {at: row.lang for at, row in enumerate(parts["own"][0])}),
        f"## Commonest confusions (measuring set and fold)\n\n{_confusions(gold_and_fold)}",
        f"## Levels (measuring set)\n\n{_levels(parts['gold'])}",
        f"## Calibration (measuring set and fold)\n\n{_calibration(gold_and_fold)}",
        _LIMITS,
    )
    CARD.write_text("\n".join(sections), "utf-8")
