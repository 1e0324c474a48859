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

Written by `python -m training.fit --public DIR`; do not edit. The weights' hashes, the hashes of what they
were made from and these figures are in `manifest.json`.

**Job.** From the text of the last human ask to probabilities over 31 categories and five levels. Tier 1 is asked
always, tier 2 where tier 1 is unsure (`docs/classifier.md`).

**Tier 1.** Pure Python: rows of small integers are added up for words, pairs of words, pieces of words, cues and the
shape of the text (`classifier/features.py`); a small hidden layer adds to the sums; two softmaxes with fitted
temperatures follow. Three students with different seeds are averaged into one.

**Tier 2, and tier 1's teacher.** Two encoders, fine-tuned by `training/teacher.py` with one head for categories and one
for levels; of a long prompt 80 pieces of words at the head and 46 at the tail are read. English is read by the first ten
layers of all-mpnet-base-v2 (Apache-2.0): three passes, the last two averaged, then a fourth at a lower rate, averaged
with what it began from. Any other language is read by multilingual-e5-small (MIT), which came in four-bit numbers, with a
quarter of its pieces: three passes over what is not English and over half of what is, the last two averaged. Which of
them reads a prompt is told by its letters and words (`classifier/wordpiece.py`). Both ship in `accurate/` with weights of
eight bits, whose inputs were made even first. `teacher.npz` holds what they think of every prompt and word: hashes and
bytes.

## Data

| what | used for | licence |
| --- | --- | --- |
| `corpus/`: prompts written for this project | labels | this project's |
| arena-hard v0.1 and v2.0, self-instruct, vicuna-bench, MultilingualSIFT, ja-vicuna | labels | Apache-2.0 |
| MetaTool, GPTeacher role-play, BIG-Bench Hard | labels | MIT |
| CLINC150 | labels | CC BY 3.0 |
| NQ-open, Stack Overflow titles | labels | CC BY-SA |
| MMLU-Pro without MMLU's items, CRUX (Apache-2.0), MATH level 5 (MIT) | subject as category | as named |
| BELLE (ODC-By); auto-j, FLASK, AlignBench (none stated); CodeAlpaca, InstructionWild (non-commercial) | unlabelled text, on which a large model and our teacher gave opinions; temperatures, the levels' shift and the blend of both tiers are fitted on labels of some | as named |

No public prompt is in this repository. `labels.tsv` holds judgements on prompts of sources whose licence lets labels
be fitted on, `opinions.tsv` judgements on unlabelled prompts of the others, `readings.tsv` what one or two later
readers said of the same prompts and of our own without knowing the first label (a fit learns the mean of all
readers); all three hold hashes and no text. **Most of these files, and most of the corpus, was written by a large
language model that read the taxonomy**, not by people: `opinions.tsv` is distillation of that model, and the figures
below say what a fit is worth without it. On 120 prompts of `public_labelled` its readers agreed with the annotator in
81 to 92 % of the levels and 86 to 93 % of the categories; first and later readings of a prompt agree in 84 % of the
levels of public ones and 88 % of our own.
The measuring set was printed beside the fold in about forty-five experiments. Features, recipes and mixtures were chosen on the
fold; that tier 2 is asked where the level is in doubt was first seen on the measuring set and then confirmed on the fold.
Never fitted on: the measuring set, our own held-out prompts, MMLU, GSM8K, MT-Bench, RouterArena.
"""

_LIMITS: Final = """## Limits

* Categories overlap: of two defensible readings one counts as right here, `accepted` counts both.
* Levels 4 and 5 are rare in public prompts; their figures rest on a handful.
* English words come first; Chinese, Japanese and Korean are read by characters and pairs of them, other
  scripts by words and pieces. Tier 2 reads them with an encoder of its own, which learnt from fewer of them.
* Long texts are read at head, middle and tail only, by tier 2 at head and tail.
* The two tiers are blended and calibrated on public prompts of a few sources, English for the most part.
* The text of a prompt is evidence and never a command: "this is level 1" moves the level only as far as
  those words did in training.
"""


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


_MEASURED: Final = {
    "gold": "tier 1, on the measuring set",
    "gold, both tiers": "tiers 1 and 2, on the measuring set",
    "fold": "tier 1 fitted without a fold of other public sources, on that fold (one annotator)",
    "fold, both tiers": "tiers 1 and 2, on that fold, which their blend is fitted on",
    "own": "tier 1, on our own held-out prompts",
    "own, both tiers": "tiers 1 and 2, on our own held-out prompts",
}
_STEPS: Final = (
    "corpus only",
    "and labels",
    "quarter of what was judged",
    "half of what was judged",
    "and labels, opinions",
)
_HEADS: Final = {
    "prompts": "prompts",
    "category": "category %",
    "accepted": "accepted %",
    "top2": "top two %",
    "macro_f1": "macro F1",
    "level": "level %",
    "within_one": "within one %",
    "ece": "ECE",
}


def _summary(result: dict[str, object]) -> str:
    rows = [
        (name, *(found[key] for key in _HEADS))
        for key, name in _MEASURED.items()
        if isinstance(found := result.get(key), dict)
    ]
    return _table(("shipped weights", *_HEADS.values()), rows)


def _steps(result: dict[str, object]) -> str:
    """One student of one seed on labels alone, without a teacher and without calibration, on the measuring set."""
    keys = ("rows", "category", "top2", "macro_f1", "level")
    rows = [
        (name, *(found[key] for key in keys))
        for name in _STEPS
        if isinstance(found := result.get(name), dict)
    ]
    return _table(("tier 1 without a teacher, on", "rows", *(_HEADS[key] for key in keys[1:])), rows)


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


def _tongue(prompt: str) -> str:
    return "other languages" if data.is_foreign(prompt) else "English"


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


def _both(parts: dict[str, Part], suffix: str) -> Part:
    """Measuring set and fold in one."""
    (rows, (guesses, labels)), (more, (others, rest)) = parts[f"gold{suffix}"], parts[f"fold{suffix}"]
    return [*rows, *more], ([*guesses, *others], [*labels, *rest])


def _sections(parts: dict[str, Part], suffix: str) -> list[str]:
    """Everything about one system: by category, by source, by length, by language, confusions, levels, calibration."""
    both, own = _both(parts, suffix), parts[f"own{suffix}"]
    rows = both[0]
    return [
        f"### By category\n\n{_groups(both, {at: data.CATEGORIES[row.category].value for at, row in enumerate(rows)})}",
        f"### By source\n\n{_groups(both, {at: row.source for at, row in enumerate(rows)})}",
        f"### By language, English or not\n\n{_groups(both, {at: _tongue(row.prompt) for at, row in enumerate(rows)})}",
        f"### By length\n\n{_groups(both, {at: _length(row.prompt) for at, row in enumerate(rows)})}",
        f"### By language, our own held-out prompts\n\n{_groups(own, {at: row.lang for at, row in enumerate(own[0])})}",
        f"### Commonest confusions\n\n{_confusions(both)}",
        f"### Levels, measuring set\n\n{_levels(parts[f'gold{suffix}'])}",
        f"### Calibration\n\n{_calibration(both)}",
    ]


def _weights(blend: object) -> str:
    return f"{blend['category']}, {blend['level']}" if isinstance(blend, dict) else ""


def write(result: dict[str, object], parts: dict[str, Part], head: Head, second: dict[str, object]) -> None:
    """Write the card for figures that were just measured; `second` is the second tier's head."""
    sections = [
        _ABOUT,
        f"## Figures\n\n{_summary(result)}",
        f"{_steps(result)}",
        f"Temperatures of tier 1: {head.category_temperature} (categories), {head.level_temperature} (levels).\n",
        f"Tier 2 is asked below a confidence of {second['threshold']}. Weights of both opinions, for categories and "
        f"levels: {_weights(second['english'])} (English), {_weights(second['others'])} (other languages).\n",
        "## Tier 1, measuring set and fold\n",
        *_sections(parts, ""),
        "## Tiers 1 and 2, measuring set and fold\n",
        *_sections(parts, ", both tiers"),
    ]
    CARD.write_text("\n".join([*sections, _LIMITS]), "utf-8")
