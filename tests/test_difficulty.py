"""The difficulty signal: total, bounded, the same each time, never lowered by what makes a task harder, and used."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.policy_examples import SHIPPED, labelled, situation

from dynaroute_mcp.classifier.difficulty import EVIDENCE, difficulty, evidence, load_scale
from dynaroute_mcp.classifier.features import features
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.policy import choose
from dynaroute_mcp.policy.demand import shortfall
from dynaroute_mcp.policy.wording import small_model
from dynaroute_mcp.taxonomy import Category, Level

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "src/dynaroute_mcp/classifier/difficulty.json"
MANIFEST = json.loads((ROOT / "training/difficulty.json").read_text("utf-8"))
EVEN = {category: 1 / len(Category) for category in Category}
SECOND = {level: float(level is Level.L2) for level in Level}
LOWERING = {"light", "recall", "explanation"}
OWN_PROMPTS = [
    json.loads(line) for line in (ROOT / "training/probes.jsonl").read_text("utf-8").split("\n")[1:-1]
]
"""Prompts of our own with the gain that we judge: a yardstick that the weights were not fitted on."""


def of(text: str) -> float:
    found = load_classifier().classify(text).difficulty
    assert found is not None
    return found


def alike(text: str) -> float:
    """The signal where category and level stay what they are."""
    return difficulty(text, features(text), EVEN, SECOND)


def said_on_average(kind: str) -> dict[str, float]:
    """Mean difficulty of each group of our own prompts of a kind, the groups by name."""
    groups: dict[str, list[float]] = {}
    for row in OWN_PROMPTS:
        if row["source"] == kind:
            groups.setdefault(row["domain"], []).append(of(row["prompt"]))
    return {name: sum(said) / len(said) for name, said in sorted(groups.items())}


@given(st.text(alphabet=st.characters()))
@example("")
@example("\ud800 lone \udfff surrogates")
@example(" A. x B. y")
@example("x\nA. \nB. ")
@example("\u0661\u0662 \u00b2 \u2460")
def test_any_string_has_the_same_chance_each_time(text: str) -> None:
    label = load_classifier().classify(text)
    found = evidence(text, features(text), label.categories, label.levels)

    assert label.difficulty is not None
    assert 0 <= label.difficulty <= load_scale().ceiling <= 1
    assert label.difficulty == of(text)
    assert len(found) == len(EVIDENCE)
    assert all(0 <= value <= 1 for value in found)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.integers(0, 10**6))
def test_one_quantity_more_is_never_easier(numbers: Sequence[int], more: int) -> None:
    text = "Add up these weights in kilograms: " + " ".join(map(str, numbers))

    assert alike(f"{text} {more}") >= alike(text)


@pytest.mark.parametrize(
    "more",
    [
        "Each of them pays twice as much as before.",
        "Suppose that none of them knows the others.",
        "It must not use any other word, without exception.",
        "Finally, also list them. And in winter? Or in May?",
        "x^2 + y^2 = z^2",
        "Prove it.",
        "Three of the four are left.",
        "And so on and so forth, to whoever may want to hear of it in the evening.",
    ],
)
@pytest.mark.parametrize("text", ["Tell us about the market.", "A farmer sells 12 eggs at 3 dollars.", "Hi"])
def test_whatever_makes_a_task_more_demanding_never_makes_it_look_easier(text: str, more: str) -> None:
    assert alike(f"{text} {more}") >= alike(text)


@given(st.dictionaries(st.sampled_from(Level), st.floats(0.01, 1), min_size=1))
def test_a_higher_level_is_never_easier(shares: dict[Level, float]) -> None:
    whole = sum(shares.values())
    levels = {level: share / whole for level, share in shares.items()}
    lifted = {Level(min(5, level + 1)): 0.0 for level in levels}
    for level, share in levels.items():
        lifted[Level(min(5, level + 1))] += share
    text = "What now?"

    assert difficulty(text, features(text), EVEN, lifted) >= difficulty(text, features(text), EVEN, levels)


def test_the_signs_of_the_weights_are_those_that_were_judged() -> None:
    for name, weight in zip(EVIDENCE, load_scale().weights, strict=True):
        assert weight <= 0 if name in LOWERING else weight >= 0
        assert (MANIFEST["judged"][name] < 0) == (name in LOWERING)


@pytest.mark.parametrize(
    "text",
    [
        "hi, how are you?",
        "Thanks a lot!",
        "Tell me a joke about cats",
        "What is the capital of Peru?",
        "Write a short poem about autumn rain",
        "Translate 'good morning' into Spanish",
        "Pretend you are a pirate and greet me",
        "",
    ],
)
def test_small_talk_and_light_requests_are_for_a_small_model(text: str) -> None:
    assert of(text) < 0.08


@pytest.mark.parametrize(
    "text",
    [
        "Find all functions f: R -> R such that f(x + f(y)) = f(x) + y for all real x, y, and prove that there "
        "are no others.",
        "Determine the number of positive integers n <= 2024 such that n^2 + 3n + 5 is divisible by 121. Prove it.",
        "A 2 kg block slides down an incline of 30 degrees with friction 0.2 for 5 m, then compresses a spring of "
        "400 N/m. How far is the spring compressed at most?",
    ],
)
def test_an_olympiad_problem_and_a_calculation_of_many_steps_are_hard(text: str) -> None:
    assert of(text) > 0.33


def test_a_word_problem_of_more_steps_is_harder() -> None:
    short = "Anna has 3 apples and buys 2 more. How many apples does she have?"
    long = (
        "Anna sells 12 cakes an hour for 3 hours, then half as many in each of the next 5 hours. A cake costs $2.50 "
        "and 10% are returned after closing. How much does she earn in total?"
    )

    assert of(long) > of(short)


@pytest.mark.parametrize("kind", ["exam", "steps", "chat"])
def test_of_two_prompts_of_a_kind_the_one_judged_clearly_harder_mostly_looks_so(kind: str) -> None:
    said = [(row["gain"], of(row["prompt"])) for row in OWN_PROMPTS if row["source"] == kind]
    apart = [one[1] < two[1] for one in said for two in said if two[0] - one[0] >= 0.08]

    assert sum(apart) / len(apart) > 0.85


def test_requests_that_have_one_right_answer_look_harder_than_those_that_have_many() -> None:
    mean = said_on_average("chat")

    assert min(mean["math"], mean["coding"]) > mean["extraction"]
    assert min(mean["math"], mean["coding"], mean["reasoning"]) > mean["stem"] + 0.04
    assert min(mean["extraction"], mean["stem"]) > max(mean["humanities"], mean["writing"], mean["roleplay"])


def test_word_problems_look_harder_with_every_two_steps_more() -> None:
    mean = list(said_on_average("steps").values())
    pairs = [(one + two) / 2 for one, two in zip(mean[::2], mean[1::2], strict=True)]

    assert pairs == sorted(pairs)


def test_the_material_of_an_edit_counts_less_than_the_terms_of_a_problem() -> None:
    text = "Anna sells 12 cakes an hour for 3 hours, then half as many in each of the next 5 hours."
    edit = {category: float(category is Category.TEXT_FORMATTING_EDITING) for category in Category}
    none = dict.fromkeys(Category, 0.0)

    assert difficulty(text, features(text), edit, SECOND) < difficulty(text, features(text), none, SECOND)


def test_claims_that_are_numbered_call_for_a_judgement_each() -> None:
    claims = "Statement 1 | Glass is a liquid. Statement 2 | Ice floats."
    found = dict(zip(EVIDENCE, evidence(claims, features(claims), EVEN, SECOND), strict=True))
    steps = "Step 1 | Heat the glass. Step 2 | Let it cool."
    other = dict(zip(EVIDENCE, evidence(steps, features(steps), EVEN, SECOND), strict=True))

    assert found["statements"] > 0.7 > other["statements"] == 0


def test_the_same_question_does_not_get_harder_by_longer_answers_to_choose_from() -> None:
    stem = "Which of these is the powerhouse of the cell?\n"
    short = f"{stem}A. nucleus\nB. mitochondrion\nC. ribosome\nD. wall"
    long = (
        f"{stem}A. the nucleus of the cell with what it holds\nB. the mitochondrion with both of its layers\n"
        "C. the ribosome when it reads a strand\nD. the outer wall that plants have"
    )

    assert alike(long) == pytest.approx(alike(short), abs=0.02)


def test_answers_that_join_verdicts_call_for_more_than_one_judgement() -> None:
    text = "Is it so?\nA. yes, yes\nB. yes, no\nC. no, yes\nD. no, no"
    plain = "Is it so?\nA. red\nB. green\nC. blue\nD. grey"

    assert alike(text) > alike(plain)


def test_a_foreign_script_counts_as_harder_and_the_rest_stays_low() -> None:
    found = dict(zip(EVIDENCE, evidence("你好", features("你好"), EVEN, SECOND), strict=True))

    assert found["script"] == 1
    assert of("你好") < 0.15


def test_the_weights_are_those_that_the_manifest_names() -> None:
    content = json.loads(WEIGHTS.read_text("utf-8"))

    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == MANIFEST["weights"]
    assert hashlib.sha256((WEIGHTS.parent / "weights.bin").read_bytes()).hexdigest() == MANIFEST["classifier"]
    assert list(content["weights"]) == list(EVIDENCE) == list(MANIFEST["judged"])
    assert all(content["weights"][name] == MANIFEST["judged"][name] for name in MANIFEST["held"])


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_better_model_never_falls_short_more_often(first: float, second: float, chance: float) -> None:
    worse, better = sorted((first, second))

    assert (
        0 <= shortfall(SHIPPED.ladder, better, chance) <= shortfall(SHIPPED.ladder, worse, chance) <= chance
    )


def test_the_ends_of_the_scale_are_a_small_and_a_frontier_model() -> None:
    ladder = SHIPPED.ladder

    assert shortfall(ladder, ladder.demand[Level.L1], 0.4) == 0.4
    assert shortfall(ladder, ladder.demand[Level.L4], 0.4) == 0
    assert shortfall(ladder, 0.0, 0.4) == 0.4


def test_the_reason_says_how_likely_a_small_model_and_the_chosen_one_fall_short() -> None:
    choice = choose(situation(label=labelled(difficulty=0.4)))

    assert small_model(0.4, 0.125) == "risk of falling short: 0.40 for a small model, 0.12 for this one"
    assert "; risk of falling short: 0.40 for a small model, 0." in choice.reason


def test_a_hard_prompt_asks_for_more_and_an_easy_one_for_less_but_the_callers_level_rules() -> None:
    def demanded(chance: float | None, *, overridden: bool = False) -> float:
        label = replace(labelled(difficulty=chance), level_overridden=overridden)
        return choose(situation(label=label)).demanded_quality

    usual = SHIPPED.ladder.neutral_difficulty[Level.L2]

    assert demanded(0.02) < demanded(usual) == demanded(None) < demanded(0.4)
    assert demanded(0.4, overridden=True) == demanded(0.02, overridden=True) == demanded(None)
    label = replace(labelled(difficulty=0.4), level_overridden=True)
    assert "small model" not in choose(situation(label=label)).reason
