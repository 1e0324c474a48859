"""The second tier is asked where the first is unsure, beside the loop, and can only ever be an improvement."""

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.faces.shell import Shell
from tests.scripted import ASK, Fixed, scripted_core, settings

from dynaroute_mcp.classifier import SecondOpinion, unigram
from dynaroute_mcp.classifier.ends import HEAD, TAIL
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.classifier.second import PACKAGE, SecondTier, Tongue, examine, find_second_tier, read_head
from dynaroute_mcp.classifier.wordpiece import is_foreign, pieces
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Caller, Classification

WORDS = ("[PAD]", "[UNK]", "<s>", "</s>", "tide", "##s", "the", "a", "?", "\u6f6e", "##\u0302", "e")
VOCABULARY = {word: number for number, word in enumerate(WORDS)}
PIECES = (
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "\u2581",
    "\u2581na",
    "h",
    "a",
    "\u2581nah",
    "\u6f6e",
    "\u6c34\u6f6e",
    "\u6c34",
)
SCORES = (0.0, 0.0, 0.0, 0.0, -3.0, -4.0, -6.0, -5.0, -11.0, -9.0, -12.0, -9.0)
OTHERS = {piece: (number, score) for number, (piece, score) in enumerate(zip(PIECES, SCORES, strict=True))}
PHYSICS = tuple(Category).index(Category.PHYSICS)
BLEND: Mapping[str, object] = {
    "category": [0.5, 1.0],
    "level": [0.5, 1.0],
    "level_shift": [0.0, 0.0, 0.0, 0.0, 0.0],
}
HEAD_VALUES: Mapping[str, object] = {"threshold": 0.9, "english": BLEND, "others": BLEND}


@dataclass
class Sure:
    """An encoder that takes everything for physics of the fourth level."""

    seen: list[list[int]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def logits(self, ids: Sequence[int]) -> list[float]:
        self.seen.append(list(ids))
        self.threads.add(threading.current_thread().name)
        return [12.0 * (lane == PHYSICS) for lane in range(31)] + [0.0, 0.0, 0.0, 9.0, 0.0]


@dataclass
class Extra:
    """The package of weights, in memory."""

    judge: Sure = field(default_factory=Sure)
    values: Mapping[str, object] = field(default_factory=lambda: HEAD_VALUES)
    fault: Exception | None = None
    loaded: list[Tongue] = field(default_factory=list)

    def head(self) -> Mapping[str, object]:
        return self.values

    def encoder(self, tongue: Tongue) -> Sure:
        self.loaded.append(tongue)
        if self.fault:
            raise self.fault
        return self.judge

    def words(self) -> Mapping[str, int]:
        return VOCABULARY

    def pieces(self) -> Mapping[str, unigram.Piece]:
        return OTHERS


def tier(extra: Extra | None = None) -> SecondTier:
    return SecondTier(extra or Extra(), load_classifier())


def test_what_both_think_is_one_answer_that_says_who_decided() -> None:
    found = tier().refine("the tides", load_classifier().classify("the tides"))

    assert (found.category, found.level, found.tier) == (Category.PHYSICS, Level.L4, "L2")
    assert list(found.categories.values()) == sorted(found.categories.values(), reverse=True)
    assert sum(found.categories.values()) == pytest.approx(1)
    assert list(found.levels) == list(Level)
    assert found.difficulty is not None


def test_only_doubt_about_the_category_or_the_level_asks_it() -> None:
    sure = Fixed().label
    which = replace(sure, categories={Category.PHYSICS: 0.8, Category.LAW: 0.2})
    how_hard = replace(sure, levels={Level.L1: 0.2, Level.L2: 0.8})

    assert not tier().wanted(sure)
    assert tier().wanted(which)
    assert tier().wanted(how_hard)


def test_weights_are_loaded_by_the_first_prompt_that_needs_them_and_once() -> None:
    extra = Extra()
    judge = tier(extra)
    assert not extra.loaded

    for text in ("a", "b"):
        judge.refine(text, judge.classify(text))

    assert extra.loaded == ["english"]


def test_each_language_has_its_reader() -> None:
    extra = Extra()
    judge = tier(extra)

    for text in ("\u6c34\u6f6e", "tide", "\u6f6e"):
        judge.refine(text, judge.classify(text))

    assert extra.loaded == ["others", "english"]
    assert [[PIECES[each] for each in ids] for ids in extra.judge.seen[::2]] == [
        ["<s>", "\u2581", "\u6c34\u6f6e", "</s>"],
        ["<s>", "\u2581", "\u6f6e", "</s>"],
    ]
    assert [WORDS[each] for each in extra.judge.seen[1]] == ["<s>", "tide", "</s>"]


def test_weights_that_fail_are_a_warning_and_the_first_tier_stands(caplog: pytest.LogCaptureFixture) -> None:
    judge = tier(Extra(fault=ValueError("the weights are damaged")))
    label = judge.classify("hm")

    assert judge.refine("hm", label) is label
    assert not judge.wanted(label)
    assert "reinstall" in caplog.text


@pytest.mark.parametrize(
    "changed",
    [
        {"threshold": "x"},
        {"threshold": [0.1, 0.2]},
        {"others": None},
        {"others": {**BLEND, "category": [1.0]}},
        {"english": {**BLEND, "level_shift": [0.0]}},
        {"english": {**BLEND, "level": [float("nan"), 1.0]}},
    ],
)
def test_a_damaged_head_is_refused(changed: Mapping[str, object]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"\w"):
        read_head({**HEAD_VALUES, **changed})


def installed(monkeypatch: pytest.MonkeyPatch, extra: Extra) -> None:
    package = ModuleType(PACKAGE)
    vars(package).update(head=extra.head, encoder=extra.encoder, words=extra.words, pieces=extra.pieces)
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    monkeypatch.setattr("dynaroute_mcp.classifier.second.find_spec", lambda _name: object())


def test_without_the_extra_there_is_no_second_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynaroute_mcp.classifier.second.find_spec", lambda _name: None)

    assert find_second_tier(load_classifier()) is None
    assert examine(load_classifier()) == "absent"


def test_with_the_extra_it_is_found_and_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Extra())

    assert isinstance(find_second_tier(load_classifier()), SecondOpinion)
    assert examine(load_classifier()) == "ready"


@pytest.mark.parametrize("extra", [Extra(values={}), Extra(fault=OSError("gone"))])
def test_a_damaged_extra_is_told_and_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, extra: Extra
) -> None:
    installed(monkeypatch, extra)

    assert examine(load_classifier()) == "broken"
    assert "reinstall" in caplog.text


@pytest.mark.parametrize(
    ("lines", "said", "code"),
    [
        ("", "tier 1 local, tier 2 local, tier 3 off", 0),
        ("classifier: {accurate: false}", "tier 2 turned off", 0),
        ("classifier: {refine_model: openai/gpt-6-luna}", "tier 3 openai/gpt-6-luna", 0),
        ("classifier: {refine_model: no/such}", "tier 3 names no model: 'no/such'", 0),
    ],
)
def test_doctor_tells_which_tiers_are_active(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: str, said: str, code: int
) -> None:
    installed(monkeypatch, Extra())
    shell = Shell(tmp_path, columns=200)
    with (tmp_path / "config.yaml").open("a", encoding="utf-8") as file:
        file.write(lines + "\n")

    result = shell("doctor")

    assert said in result.stdout
    assert result.exit_code == code


# ---------------------------------------------------------------- in the router


class Asked(Fixed):
    """A classifier with a second opinion that takes its time, beside the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.refined = 0
        self.going = threading.Event()

    def wanted(self, _label: Classification) -> bool:
        return True

    def refine(self, _text: str, label: Classification) -> Classification:
        assert threading.current_thread() is not threading.main_thread()
        self.going.wait(5)
        self.refined += 1
        return Classification(categories=label.categories, levels=label.levels, tier="L2")


async def test_the_loop_goes_on_while_it_thinks_and_a_long_queue_is_cut(tmp_path: Path) -> None:
    judge = Asked()
    tiers: list[str] = []
    async with scripted_core(settings(tmp_path), classifier=judge) as core:

        async def ask() -> None:
            tiers.append((await core.router.classify("hm")).tier)

        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert judge.refined == 0
            judge.going.set()

    assert (tiers.count("L1"), tiers.count("L2")) == (8, 32)


async def test_an_answer_says_that_the_second_tier_decided(tmp_path: Path) -> None:
    judge = Asked()
    judge.going.set()
    async with scripted_core(settings(tmp_path), classifier=judge) as core:
        answer = await core.router.complete(ASK, Caller(owner="local"))
        overridden = await core.router.classify("hm", level=Level.L1, category=Category.LAW)

    assert answer.classification.tier == "L2"
    assert overridden.tier == "L1"
    assert judge.refined == 1


# ---------------------------------------------------------------- pieces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The tides?", ("the", "tide", "##s", "?")),
        ("THE\u6f6etide", ("the", "\u6f6e", "tide")),
        ("\u00ea tidex", ("e", "[UNK]")),
        ("x" * 200, ("[UNK]",)),
        ("", ()),
    ],
)
def test_words_are_cut_into_the_longest_known_pieces(text: str, words: tuple[str, ...]) -> None:
    ids = pieces(text, VOCABULARY)

    assert [WORDS[each] for each in ids] == ["<s>", *words, "</s>"]


def test_of_a_long_text_both_ends_are_read() -> None:
    middling, long = "the " * 200 + "tide", "the " * 1_000_000 + "a"

    for text, last in ((middling, "tide"), (long, "a")):
        ids = pieces(text, VOCABULARY)
        assert len(ids) == HEAD + TAIL + 2
        assert WORDS[ids[-2]] == last


@given(st.text(alphabet=st.characters()))
@example("\ud800 lone \udfff surrogates")
@example("\x00" * 3)
def test_any_string_has_pieces(text: str) -> None:
    ids = pieces(text, VOCABULARY)

    assert ids[0] == VOCABULARY["<s>"]
    assert ids[-1] == VOCABULARY["</s>"]
    assert len(ids) <= HEAD + TAIL + 2


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("nah", ("\u2581na", "h")),  # likelier than the one piece, by what their scores add up to
        ("\u6c34\u6f6e", ("\u2581", "\u6c34\u6f6e")),
        ("na\uff41", ("\u2581na", "a")),  # the wide form of a letter is the letter
        ("q na", ("\u2581", "<unk>", "\u2581na")),
        ("", ()),
    ],
)
def test_a_word_of_another_language_gets_its_likeliest_cut(text: str, cut: tuple[str, ...]) -> None:
    ids = unigram.pieces(text, OTHERS)

    assert [PIECES[each] for each in ids] == ["<s>", *cut, "</s>"]


@given(st.text(alphabet=st.characters()))
@example("\ud800 lone \udfff surrogates")
@example("x" * 5000)
def test_any_string_has_pieces_of_other_languages(text: str) -> None:
    ids = unigram.pieces(text, OTHERS)

    assert (ids[0], ids[-1]) == (0, 2)
    assert len(ids) <= HEAD + TAIL + 2


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("the tide, the tide", False),
        ("the tide, the tide, a caf\u00e9", False),  # a loan word does not make a text French
        ("hm", False),  # too little to tell
        ("\u6f6e\u6c34", True),
        ("the \u043f\u0440\u0438\u043b\u0438\u0432 tide", True),
        ("perch\u00e9 il mare si muove", True),
        ("la tide de la tide", True),
        ("the tide of la la tide is the a", False),
        ("", False),
        ("42 + 17 = ?", False),
    ],
)
def test_what_is_not_english_is_told_by_letters_and_words(text: str, *, foreign: bool) -> None:
    assert is_foreign(text, VOCABULARY | dict.fromkeys(("caf\u00e9", "la", "de", "of", "is"), 99)) is foreign


def test_a_warning_names_no_prompt(caplog: pytest.LogCaptureFixture) -> None:
    judge = tier(Extra(fault=ValueError("damaged")))
    with caplog.at_level(logging.DEBUG):
        judge.refine("my secret tide", judge.classify("my secret tide"))

    assert "secret" not in caplog.text
