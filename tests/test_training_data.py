"""What a fit reads: judgements by digest, corrections that users exported, and prompts that are kept from it."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from training import annotations, data
from training.targets import targets

PROMPT, OTHER = "Why is the sky blue?", "Write a poem"


def lines(path: Path, rows: Sequence[dict[str, object]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Public prompts: one measured with, two in the pool."""
    gold = {"prompt": "gold", "category": "Facts", "level": 1, "source": "vicuna_bench"}
    lines(tmp_path / "gold_dev.jsonl", [gold])
    for name in ("public_labelled", "public_single"):
        lines(tmp_path / f"{name}.jsonl", [{**gold, "prompt": name}, gold])
    pool = [(PROMPT, "metatool"), (OTHER, "autoj"), ("gold", "autoj")]
    rows: list[dict[str, object]] = [{"prompt": prompt, "source": source} for prompt, source in pool]
    lines(tmp_path / "unlabelled_pool.jsonl.gz", rows)
    return tmp_path


def sheets(folder: Path) -> Path:
    """Two readers of the same two prompts; the second gave levels only."""
    (folder / "sheets").mkdir()
    (folder / "codes.json").write_text('{"Physics": "PY", "Creative Writing": "CW"}', "utf-8")
    keys = json.dumps([data.digest(PROMPT), data.digest(OTHER)])
    for name, text in (("0", "0 PY - 2\n\n1 CW PY 3\n"), ("1", "0 1\n1 4\n")):
        (folder / "sheets" / f"{name}.keys.json").write_text(keys, "utf-8")
        (folder / f"labels-{name}.txt").write_text(text, "utf-8")
    return folder


def test_first_judgements_go_to_the_file_of_their_licence_and_what_stands_stays(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, opinions = tmp_path / "labels.tsv", tmp_path / "opinions.tsv"
    labels.write_text(f"{data.digest(PROMPT)}\tFacts\t-\t1\n", "utf-8")
    monkeypatch.setattr(data, "LABELS", labels)
    monkeypatch.setattr(data, "OPINIONS", opinions)

    annotations.add(sheets(folder), folder)

    assert labels.read_text("utf-8") == f"{data.digest(PROMPT)}\tFacts\t-\t1\n"
    assert opinions.read_text("utf-8") == f"{data.digest(OTHER)}\tCreative Writing\tPhysics\t3\n"


def test_later_readings_stand_beside_the_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = tmp_path / "readings.tsv"
    monkeypatch.setattr(data, "READINGS", readings)
    readings.write_text("".join(f"{key}\t{line}\n" for key, line in annotations.read_sheets(sheets(folder))))
    row = data.Row(prompt=PROMPT, category=0, level=2)

    (found,) = data.reread([row])

    physics = data.INDEX["Physics"]
    assert [(each.category, each.level) for each in found.later] == [(physics, 1), (None, 0)]
    (target,) = targets([found])
    assert target.sum() == pytest.approx(2)
    assert target[0] == pytest.approx(target[physics]) == pytest.approx(0.475 + 0.05 / 31)
    assert target[31:34] == pytest.approx([1 / 3] * 3, abs=0.03)
    assert target[34:] == pytest.approx([0.02, 0])


def test_judgements_find_their_prompts_in_the_pool(folder: Path, tmp_path: Path) -> None:
    judged = tmp_path / "labels.tsv"
    judged.write_text(
        f"{data.digest(PROMPT)}\tPhysics\tFacts\t2\n{data.digest('gone')}\tLaw\t-\t1\n", "utf-8"
    )

    (row,) = data.judged(folder, judged)

    assert (row.prompt, row.level, row.source) == (PROMPT, 1, "metatool")
    assert data.CATEGORIES[row.category] == "Physics"
    assert row.second is not None
    assert data.CATEGORIES[row.second] == "Facts"


def test_prompts_that_are_measured_with_are_never_fitted_on(folder: Path) -> None:
    assert [row.prompt for row in data.public(folder)] == ["public_single", "public_labelled"]
    assert data.pool(folder) == [PROMPT, OTHER]


def test_corrections_are_used_where_the_prompt_is_known(folder: Path, tmp_path: Path) -> None:
    exported = tmp_path / "corrections.jsonl"
    row: dict[str, object] = {"category": "Physics", "level": 2}
    kept, known, lost = "a kept one", data.digest(PROMPT), data.digest("gone")
    lines(
        exported,
        [
            {**row, "digest": data.digest(kept), "text": kept},
            {**row, "digest": known, "text": None},
            {**row, "digest": lost, "text": None},
        ],
    )

    found = data.corrections(exported, folder)

    assert [each.prompt for each in found] == [kept, PROMPT]
    assert {each.source for each in found} == {"feedback"}


def test_one_of_our_prompts_in_forty_is_held_out() -> None:
    ours, held = data.corpus(), data.held_out()

    assert len(held) / (len(held) + len(ours)) == pytest.approx(1 / 40, abs=0.005)
    assert not {data.digest(row.prompt) for row in ours} & {data.digest(row.prompt) for row in held}
    assert {row.category for row in ours} == set(range(31))
