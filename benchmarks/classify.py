"""The local classifier's quality and speed, tier by tier, beside what costs nothing and beside a peer.

`python benchmarks/classify.py LABELLED.jsonl [--json]` reads `prompt`, `category` and `level` of each line
and, where given, `accepted`: every category that an annotator would take. A peer appears when it is
installed (`pip install byok-router==0.2.1`), its eight task types mapped to the categories nearest to them. The second
tier appears when its extra is installed (`pip install ./accurate`); `asked` is the share of prompts that it saw, and its
times are those of prompts that it sees, the first tier's included. `ece_chance` is the calibration error that as many
prompts would show if every confidence were exactly true.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.classifier.second import SecondTier, find_second_tier
from dynaroute_mcp.taxonomy import Category
from dynaroute_mcp.types import Classification

_BINS = 10


@dataclass(frozen=True, slots=True)
class Label:
    """What people say about a prompt."""

    category: str
    level: int
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guess:
    """What a classifier says: categories, most likely first, the level, and the first one's probability."""

    ranked: tuple[str, ...]
    level: int
    confidence: float | None = None


def guess(answer: Classification) -> Guess:
    return Guess(
        tuple(category.value for category in answer.categories), int(answer.level), answer.confidence
    )


def macro_f1(guesses: Sequence[Guess], labels: Sequence[Label]) -> float:
    """Mean F1 over the categories that occur among the labels."""
    right = Counter(
        label.category
        for found, label in zip(guesses, labels, strict=True)
        if found.ranked[0] == label.category
    )
    said, true = Counter(found.ranked[0] for found in guesses), Counter(label.category for label in labels)
    return statistics.fmean(2 * right[name] / (said[name] + true[name]) for name in true)


def calibration_error(guesses: Sequence[Guess], labels: Sequence[Label]) -> float | None:
    """Expected calibration error over ten bins of equal width."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for found, label in zip(guesses, labels, strict=True):
        if found.confidence is None:
            return None
        place = min(_BINS - 1, int(found.confidence * _BINS))
        bins.setdefault(place, []).append((found.confidence, found.ranked[0] == label.category))
    gaps = (abs(sum(confidence - right for confidence, right in group)) for group in bins.values())
    return sum(gaps) / len(guesses)


def chance_calibration_error(guesses: Sequence[Guess]) -> float | None:
    """The calibration error that luck alone gives: the mean of 500 draws in which every confidence is exactly true.

    Few prompts in ten bins always show some; an `ece` near this figure says that nothing was found.
    """
    dice = random.Random(0)
    if any(found.confidence is None for found in guesses):
        return None
    right, wrong = Label("right", 1), Label("wrong", 1)
    drawn = [Guess(("right",), 1, found.confidence) for found in guesses]
    runs = [
        calibration_error(
            drawn, [right if dice.random() < (each.confidence or 0.0) else wrong for each in drawn]
        )
        for _ in range(500)
    ]
    return statistics.fmean(error for error in runs if error is not None)


def figures(guesses: Sequence[Guess], labels: Sequence[Label]) -> dict[str, float | int | None]:
    """Every figure of quality, shares in percent."""
    pairs = list(zip(guesses, labels, strict=True))

    def share(test: Callable[[Guess, Label], bool]) -> float:
        return round(100 * statistics.fmean(test(found, label) for found, label in pairs), 1)

    error = calibration_error(guesses, labels)
    return {
        "prompts": len(pairs),
        "category": share(lambda found, label: found.ranked[0] == label.category),
        "accepted": share(lambda found, label: found.ranked[0] in (label.accepted or (label.category,))),
        "top2": share(lambda found, label: label.category in found.ranked[:2]),
        "macro_f1": round(macro_f1(guesses, labels), 3),
        "level": share(lambda found, label: found.level == label.level),
        "within_one": share(lambda found, label: abs(found.level - label.level) <= 1),
        "ece": None if error is None else round(error, 3),
    }


def read(path: Path) -> tuple[list[str], list[Label]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    labels = [Label(row["category"], row["level"], tuple(row.get("accepted", ()))) for row in rows]
    return [row["prompt"] for row in rows], labels


def chance(prompts: Sequence[str]) -> list[Guess]:
    dice, names = random.Random(0), [category.value for category in Category]
    return [Guess(tuple(dice.sample(names, 2)), dice.randint(1, 5)) for _ in prompts]


def majority(labels: Sequence[Label]) -> list[Guess]:
    """Always the two commonest categories and the commonest level of the very file: better than it could know."""
    names = tuple(name for name, _ in Counter(label.category for label in labels).most_common(2))
    level = Counter(label.level for label in labels).most_common(1)[0][0]
    return [Guess(names, level)] * len(labels)


_PEER: Mapping[str, tuple[str, str]] = {
    "coding": ("Code Generation", "Debugging Assistance"),
    "translation": ("Language Translation", "General Knowledge"),
    "simple_qa": ("General Knowledge", "Facts"),
    "complex_reasoning": ("Logic", "Business"),
    "creative_writing": ("Creative Writing", "Business"),
    "math": ("Mathematics", "Physics"),
    "summarization": ("Summarization", "Text Formatting & Editing"),
    "chinese_language": ("General Knowledge", "Creative Writing"),
}


def peer(prompts: Sequence[str]) -> list[Guess] | None:
    """What byok-router's local tier says; its low, medium and high are taken as levels 1, 2 and 3."""
    try:
        from tokenrouter.classifier import classify_sync
    except ImportError:
        return None
    levels = {"low": 1, "medium": 2, "high": 3}
    found = [classify_sync([{"role": "user", "content": prompt}]) for prompt in prompts]
    return [Guess(_PEER[answer.task_type], levels[answer.complexity]) for answer in found]


def both_tiers(judge: SecondTier, prompts: Sequence[str]) -> tuple[list[Guess], float]:
    """What both tiers say as the router asks them, and the percentage of prompts that the second one saw."""
    labels = [judge.classify(prompt) for prompt in prompts]
    asked = [judge.wanted(label) for label in labels]
    found = [
        guess(judge.refine(prompt, label) if doubtful else label)
        for prompt, label, doubtful in zip(prompts, labels, asked, strict=True)
    ]
    return found, round(100 * statistics.fmean(asked), 1)


def speed(prompts: Sequence[str], work: Callable[[str], object]) -> dict[str, float]:
    """Milliseconds for different texts: 200 of about 20, 100 of 100 and 100 of 2,000 tokens, and the prompts themselves.

    One warm-up before each.
    """
    words = " ".join(prompts).split()
    dice, result = random.Random(0), {}
    texts: dict[str, list[str]] = {}
    for tokens, count in ((20, 200), (100, 100), (2000, 100)):
        size = round(tokens / 1.35)
        starts = [dice.randrange(max(1, len(words) - size)) for _ in range(count)]
        texts[str(tokens)] = [" ".join(words[start : start + size]) for start in starts]
    for name, asked in {**texts, "file": list(prompts)}.items():
        times = []
        work("warm up")
        for text in asked:
            started = time.perf_counter()
            work(text)
            times.append(1000 * (time.perf_counter() - started))
        times.sort()
        result[f"p50_ms_{name}"] = round(statistics.median(times), 3)
        result[f"p95_ms_{name}"] = round(times[round(0.95 * (len(times) - 1))], 3)
    return result


def loading() -> float:
    """Median milliseconds, in five fresh processes, from importing the classifier to its first answer."""
    code = (
        "import dynaroute_mcp.types, time; started = time.perf_counter();"
        "from dynaroute_mcp.classifier.model import load_classifier;"
        "load_classifier().classify('hello'); print(1000 * (time.perf_counter() - started))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
        for _ in range(5)
    ]
    return round(statistics.median(float(run.stdout) for run in runs), 1)


def context(guesses: Sequence[Guess], asked: float | None) -> dict[str, float | None]:
    """What helps to read the figures: the calibration error of luck alone, and the share that the second tier saw."""
    luck = chance_calibration_error(guesses)
    return {"ece_chance": None if luck is None else round(luck, 3), "asked": asked}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    prompts, labels = read(options.file)
    classifier = load_classifier()
    judge = find_second_tier(classifier)
    systems = {"tier 1": [guess(classifier.classify(prompt)) for prompt in prompts]}
    timing = {"tier 1": {**speed(prompts, classifier.classify), "load_ms": loading()}}
    asked: dict[str, float] = {}
    if judge:
        systems["tiers 1+2"], asked["tiers 1+2"] = both_tiers(judge, prompts)
        timing["tiers 1+2"] = speed(prompts, lambda text: judge.refine(text, judge.classify(text)))
    if (found := peer(prompts)) is not None:
        systems["byok-router"] = found
    systems |= {"majority": majority(labels), "chance": chance(prompts)}
    quality = {
        name: {**figures(found, labels), **context(found, asked.get(name))} for name, found in systems.items()
    }
    if options.json:
        print(json.dumps({"quality": quality, "speed": timing}, indent=1))
        return
    for rows in (quality, timing):
        names = list(rows["tier 1"])
        print(f"{'':12}" + "".join(f"{name:>12}" for name in names))
        for system, row in rows.items():
            cells = ("-" if row.get(name) is None else row[name] for name in names)
            print(f"{system:12}" + "".join(f"{cell!s:>12}" for cell in cells))
        print()


if __name__ == "__main__":
    main()
