"""The second tier's shipped weights are those of the manifest, and judge as well as when they were made."""

import hashlib
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.classifier.second import PACKAGE, SecondTier, examine, find_second_tier
from dynaroute_mcp.classifier.wordpiece import is_foreign
from dynaroute_mcp.types import Classification

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "accurate/src"
FILES = SOURCE / PACKAGE
MANIFEST = json.loads((ROOT / "training/manifest.json").read_text("utf-8"))


def test_the_files_are_those_of_the_manifest() -> None:
    head = json.loads((FILES / "head.json").read_text("utf-8"))

    assert head == MANIFEST["accurate"]
    for name, digest in head["files"].items():
        assert hashlib.sha256((FILES / name).read_bytes()).hexdigest() == digest


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondTier]:
    """The second tier as the repository holds it; needs onnxruntime, which the extra brings."""
    pytest.importorskip("onnxruntime", reason="the extra `accurate` is not installed")
    monkeypatch.syspath_prepend(str(SOURCE))
    found = find_second_tier(load_classifier())
    assert found is not None
    yield found
    sys.modules.pop(PACKAGE, None)


def judged(judge: SecondTier, text: str) -> Classification:
    label = judge.classify(text)
    return judge.refine(text, label) if judge.wanted(label) else label


def held_out() -> list[dict[str, object]]:
    paths = sorted((ROOT / "training/corpus").glob("*.jsonl"))
    rows = [json.loads(line) for path in paths for line in path.read_text("utf-8").split("\n") if line]
    return [row for row in rows if int(_digest(str(row["prompt"])), 16) % 40 == 0]


def _digest(prompt: str) -> str:
    return hashlib.sha256(" ".join(prompt.lower().split()).encode("utf-8", "replace")).hexdigest()[:16]


def test_our_held_out_prompts_are_judged_as_well_as_when_the_weights_were_made(judge: SecondTier) -> None:
    rows = held_out()

    answers = [judged(judge, str(row["prompt"])) for row in rows]

    right = sum(answer.category.value == row["category"] for answer, row in zip(answers, rows, strict=True))
    told = MANIFEST["figures"]["own, both tiers"]["category"]
    assert 100 * right / len(rows) == pytest.approx(told, abs=2)
    assert {answer.tier for answer in answers} == {"L1", "L2"}


@pytest.mark.parametrize("text", ["", "\x00", "\ud800 lone", "\U0001f600", "x" * 10_000_000, "潮" * 5_000])
def test_any_text_is_judged(judge: SecondTier, text: str) -> None:
    found = judge.refine(text, judge.classify(text))

    assert found.tier == "L2"
    assert sum(found.categories.values()) == pytest.approx(1)
    assert found == judge.refine(text, judge.classify(text))


@pytest.mark.usefixtures("judge")
def test_doctor_can_try_it_out() -> None:
    assert examine(load_classifier()) == "ready"


def test_damaged_weights_are_told_and_left_out(
    judge: SecondTier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("head.json", "english.txt"):
        (tmp_path / name).write_bytes((FILES / name).read_bytes())
    (tmp_path / "english.onnx").write_bytes((FILES / "english.onnx").read_bytes()[:-1])
    monkeypatch.setattr(import_module(PACKAGE), "_FOLDER", tmp_path)
    label = judge.classify("hm")

    assert judge.refine("hm", label) is label
    assert "reinstall" in caplog.text


def test_other_languages_are_told_from_english() -> None:
    words = (FILES / "english.txt").read_text("utf-8").split("\n")
    known = {word: number for number, word in enumerate(words) if word}
    found: dict[str, list[bool]] = {}
    for path in sorted((ROOT / "training/corpus").glob("*.jsonl")):
        for line in filter(None, path.read_text("utf-8").split("\n")):
            row = json.loads(line)
            found.setdefault(row["lang"], []).append(is_foreign(row["prompt"], known))

    shares = {lang: sum(told) / len(told) for lang, told in found.items()}
    assert shares.pop("en") < 0.025
    assert len(shares) == 14
    assert min(shares.values()) > 0.93
