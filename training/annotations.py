"""Takes annotators' sheets over: `python -m training.annotations SHEETS --public DIR [--again]`.

`SHEETS` holds `codes.json` (category: two letters), `sheets/NAME.keys.json` (digests of the prompts of sheet NAME, by
number) and `labels-NAME.txt`: lines `number CODE SECOND-or-'-' LEVEL`, or `number LEVEL` where only levels were asked
for. First judgements on sources whose labels may be fitted go to `labels.tsv`, those on the others to `opinions.tsv`:
they are a large model's opinions on unlabelled text, and are kept apart so that a fit can do without them. With
`--again` all lines are later readings of prompts that have a label, and `readings.tsv` is written anew from them. All
three files: digest, category, second choice or `-`, level.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from training import data


def read_sheets(folder: Path) -> Iterator[tuple[str, str]]:
    """Digest of each prompt and its line for the files, in the order of the sheets' names."""
    names = {code: name for name, code in json.loads((folder / "codes.json").read_text("utf-8")).items()}
    names["-"] = "-"
    for path in sorted(folder.glob("labels-*.txt")):
        name = path.stem.removeprefix("labels-")
        keys = json.loads((folder / "sheets" / f"{name}.keys.json").read_text("utf-8"))
        for line in filter(str.strip, path.read_text("utf-8").splitlines()):
            place, *codes, level = line.split()
            assert level in {"1", "2", "3", "4", "5"}, line
            first, second = codes or ("-", "-")
            other = "-" if second == first else names[second]
            yield keys[int(place)], f"{names[first]}\t{other}\t{level}"


def add(folder: Path, public: Path) -> None:
    """Add first judgements to `labels.tsv` and `opinions.tsv`; of several on a prompt the earliest stands."""
    sources = data.sources(public)
    held = {data.digest(row.prompt) for row in data.labelled(public / "gold_dev.jsonl")}
    for path, fitted in ((data.LABELS, True), (data.OPINIONS, False)):
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        merged = dict(line.split("\t", 1) for line in lines)
        for key, line in read_sheets(folder):
            if key not in held and (sources[key] in data.FITTED) == fitted:
                merged.setdefault(key, line)
        path.write_text("".join(f"{key}\t{merged[key]}\n" for key in sorted(merged)), "utf-8")
        print(f"{path.name}: {len(lines)} lines before, {len(merged)} now")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("--public", type=Path, required=True)
    parser.add_argument("--again", action="store_true", help="the sheets hold later readings")
    options = parser.parse_args()
    if options.again:
        lines = sorted(f"{key}\t{line}\n" for key, line in read_sheets(options.sheets))
        data.READINGS.write_text("".join(lines), "utf-8")
        print(f"{data.READINGS.name}: {len(lines)} lines")
    else:
        add(options.sheets, options.public)


if __name__ == "__main__":
    main()
