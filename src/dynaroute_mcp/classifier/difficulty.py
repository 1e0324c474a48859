"""How likely a small model's answer falls short where a frontier model's would not. Pure and total.

It reads what the classifier has found already: tokens, cues and probabilities. The weights are fitted by
`python -m training.difficulty`; docs/difficulty.md says which of them rest on data and which on judgement.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

from dynaroute_mcp.classifier.cues import CUES
from dynaroute_mcp.classifier.features import Features
from dynaroute_mcp.taxonomy import Category, Level

EVIDENCE: Final = (
    "length",
    "quantities",
    "relations",
    "numeric answers",
    "formulas",
    "premises",
    "conditions",
    "parts",
    "statements",
    "code",
    "state",
    "proof",
    "reasoning",
    "science",
    "coding",
    "profession",
    "light",
    "recall",
    "explanation",
    "level",
    "script",
)
"""What is looked at, in the order of the weights; `evidence` says what each is."""

_GROUPS: Final = (
    (Category.MATHEMATICS, Category.LOGIC, Category.ALGORITHM),
    (Category.PHYSICS, Category.CHEMISTRY, Category.ENGINEERING),
    (
        Category.CODE_GENERATION,
        Category.CODE_EXPLANATION,
        Category.DEBUGGING_ASSISTANCE,
        Category.SYNTAX_CHECK,
        Category.DATA_ANALYSIS,
        Category.SYSTEM_DESIGN,
    ),
    (Category.LAW, Category.HEALTH, Category.COMPUTER_SCIENCE),
    (
        Category.CREATIVE_WRITING,
        Category.MISCELLANEOUS,
        Category.ASTROLOGY,
        Category.LANGUAGE_TRANSLATION,
        Category.SUMMARIZATION,
    ),
    (
        Category.HISTORY,
        Category.GEOGRAPHY,
        Category.FACTS,
        Category.GENERAL_KNOWLEDGE,
        Category.PHILOSOPHY,
        Category.SOCIOLOGY,
        Category.PSYCHOLOGY,
        Category.BUSINESS,
    ),
    (Category.TEXT_FORMATTING_EDITING,),
)
"""Reasoning, science, coding, professions; light requests, subjects of recall, and work on a text that is given."""
_GROUP_OF: Final = {category: number for number, group in enumerate(_GROUPS) for category in group}


_WORDS: Final = {
    "relations": (
        "each every per twice half double triple times remaining left rest total altogether more less fewer than "
        "after before then ratio average percent fraction until difference sum product third quarter fifth tenth "
        "already both another same many much faster slower older younger taller"
    ),
    "numbers": (
        "two three four five six seven eight nine ten eleven twelve dozen twenty thirty forty fifty hundred "
        "thousand million half twice"
    ),
    "premises": (
        "if suppose assume assuming let given imagine when whenever because since unless such implies therefore "
        "hence whether either"
    ),
    "conditions": (
        "must should only except not without least most exactly always never cannot neither nor ensure format "
        "json csv table return output limit avoid"
    ),
    "parts": "also finally additionally then first second next lastly both separately",
    "state": "for while if elif else return append range len def function var let int",
    "statements": "statement statements true false except incorrect",
}
"""Words that are counted together, by what they tell."""
_KINDS: Final = {
    word: tuple(kind for kind, words in _WORDS.items() if word in words.split())
    for words in _WORDS.values()
    for word in words.split()
}
_CODE: Final = CUES.index("contains code")
_CLAIMS: Final = (
    "statement",
    "claim",
    "premise",
    "argument",
    "proposition",
    "situation",
    "scenario",
    "case",
    "sentence",
)
_PROOF: Final = CUES.index("asks for a proof or a derivation")
_EXPLANATION: Final = CUES.index("asks for an explanation")

_READ_CHARS: Final = 2400
_FEW: Final = 3
_OPTIONS: Final = re.compile(r"\s\(?A[.):] ?[^\n]{1,300}\s\(?B[.):]")
_QUANTITY: Final = re.compile(r"\d+(?:[.,]\d+)*")
_OPERATOR: Final = re.compile(
    r"[=^<>~&\\+*/\u00d7\u00f7\u2211\u222b\u221a\u2264\u2265\u2200\u2203\u00ac\u2227\u2228\u2192\u2283]"
)
_BULLET: Final = re.compile(r"(?m)^ {0,4}(?:[-*\u2022]|\d{1,2}[.)])\s")


@dataclass(frozen=True, slots=True)
class Scale:
    """A fitted signal."""

    weights: tuple[float, ...]
    """For each of `EVIDENCE`, how far it moves a prompt, in logits."""
    bias: float
    ceiling: float
    """What the signal tends to where a small model never succeeds: even the stronger one does not always."""


def difficulty(
    text: str, seen: Features, categories: Mapping[Category, float], levels: Mapping[Level, float]
) -> float:
    """Chance in [0, 1] that a small model falls short where a frontier model would not."""
    scale = load_scale()
    found = evidence(text, seen, categories, levels)
    return scale.ceiling / (1 + math.exp(-scale.bias - sum(map(float.__mul__, scale.weights, found))))


def evidence(
    text: str, seen: Features, categories: Mapping[Category, float], levels: Mapping[Level, float]
) -> tuple[float, ...]:
    """What speaks for or against a prompt's being hard, each in [0, 1], in the order of `EVIDENCE`."""
    asked, answers = _parted(text[:_READ_CHARS])
    split = round(len(seen.tokens) * len(asked) / max(1, len(asked) + len(answers)))
    said, offered = seen.tokens[:split], seen.tokens[split:]
    counts = _counted(said)
    reasoning, science, coding, profession, light, recall, edited = _shares(categories)
    own = 1 - min(1.0, light + edited) / 2
    length = _many((len(asked) if answers else len(text)) / 40, 100)
    quantities = _many(len(_QUANTITY.findall(asked)) + counts["numbers"], 12)
    numeric = len(_QUANTITY.findall(answers)) > _FEW
    code = float(_CODE in seen.cues)
    explained = float(_EXPLANATION in seen.cues) / (2 if answers else 1)
    judged = not numeric and (_combined(offered) or _numbered(said))
    statements = own * (1 - code) * (1.0 if judged else _many(counts["statements"], 4))
    level = min(1.0, max(0.0, (sum(level * share for level, share in levels.items()) - 1) / 4))
    return (
        own * length,
        own * quantities,
        own * max(reasoning, quantities) * _many(counts["relations"] + asked.count("%"), 10),
        float(numeric),
        own * _many(len(_OPERATOR.findall(asked)) + len(_OPERATOR.findall(answers)) / 4, 30),
        own * _many(counts["premises"], 6),
        own * _many(counts["conditions"], 8),
        own * _many(counts["parts"] + len(_BULLET.findall(asked)) + max(0, asked.count("?") - 1), 8),
        statements,
        code,
        code * _many(counts["state"], 12),
        float(_PROOF in seen.cues),
        reasoning,
        science,
        coding,
        profession,
        light,
        recall * (1 - quantities) * (1 - statements),
        explained * (1 - quantities) * (1 - max(reasoning, coding)),
        level,
        0.0 if asked.isascii() else _foreign(said),
    )


def _shares(categories: Mapping[Category, float]) -> list[float]:
    """For each of `_GROUPS`, how sure it is that a prompt belongs to it: two in three count as nearly all."""
    sums = [0.0] * len(_GROUPS)
    for category, share in categories.items():
        group = _GROUP_OF.get(category)
        if group is not None:
            sums[group] += share
    return [1 - max(0.0, 1 - whole) ** 3 for whole in sums]


def _parted(text: str) -> tuple[str, str]:
    """What is asked, and the list of answers to choose from, which says little of how hard it is."""
    options = _OPTIONS.search(text)
    return (text[: options.start()], text[options.start() :]) if options else (text, "")


def _combined(tokens: Sequence[str]) -> bool:
    """Whether answers are the same few words put together in several ways, as verdicts on more than one statement."""
    words = Counter(token for token in tokens if len(token) > 1 and token.isalpha())
    if words.total() <= _FEW or len(words) > 2 * _FEW:
        return False
    return _FEW * sum(count for count in words.values() if count > 1) >= 2 * words.total()


def _numbered(tokens: Sequence[str]) -> bool:
    """Whether two claims or cases are told apart by number, each to be judged by itself."""
    if "1" not in tokens or "2" not in tokens:
        return False
    name = tokens[tokens.index("1") - 1]
    return name in _CLAIMS and name == tokens[tokens.index("2") - 1]


def _many(count: float, full: float) -> float:
    """A count on a scale that flattens: 0 for none, 1 from `full` on."""
    return min(1.0, math.log1p(count) / math.log1p(full))


def _foreign(tokens: Sequence[str]) -> float:
    """Share of the different tokens that are not ASCII."""
    different = set(tokens)
    return sum(not token.isascii() for token in different) / max(1, len(different))


def _counted(tokens: Sequence[str]) -> dict[str, int]:
    """How many words of each kind there are."""
    found = dict.fromkeys(_WORDS, 0)
    for token in tokens:
        for kind in _KINDS.get(token, ()):
            found[kind] += 1
    return found


@lru_cache(maxsize=1)
def load_scale() -> Scale:
    """The weights of this package, read once."""
    raw = json.loads((files(__package__) / "difficulty.json").read_text("utf-8"))
    return Scale(tuple(raw["weights"][name] for name in EVIDENCE), raw["bias"], raw["ceiling"])
