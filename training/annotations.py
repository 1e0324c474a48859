"""Takes annotators' sheets over: `python -m training.annotations SHEETS --public DIR`.

`SHEETS` holds `codes.json` (category: two letters), `sheets/N.keys.json` (digests of the prompts of sheet N, by
number) and `labels-N.txt` (lines `number CODE SECOND-or-'-' LEVEL`). Judgements on sources whose labels may be fitted
go to `labels.tsv`, those on the others to `opinions.tsv`: they are a large model's opinions on unlabelled text, and
are kept apart so that a fit can do without them. Both files: digest, category, second choice or `-`, level.
"""

import argparse
import json
from pathlib import Path

from training import data


def read_sheets(folder: Path) -> dict[str, str]:
    """Digest of each prompt and its line for the files; what several annotators judged keeps the first's word."""
    names = {code: name for name, code in json.loads((folder / "codes.json").read_text("utf-8")).items()}
    names["-"] = "-"
    found: dict[str, str] = {}
    for path in sorted(folder.glob("labels-*.txt")):
        number = path.stem.removeprefix("labels-")
        keys = json.loads((folder / "sheets" / f"{number}.keys.json").read_text("utf-8"))
        for line in filter(str.strip, path.read_text("utf-8").splitlines()):
            place, first, second, level = line.split()
            assert level in {"1", "2", "3", "4", "5"}, line
            other = "-" if second == first else names[second]
            found.setdefault(keys[int(place)], f"{names[first]}\t{other}\t{level}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sheets", type=Path)
    parser.add_argument("--public", type=Path, required=True)
    options = parser.parse_args()
    sources = data.sources(options.public)
    held = {data.digest(row.prompt) for row in data.labelled(options.public / "gold_dev.jsonl")}
    found = {key: line for key, line in read_sheets(options.sheets).items() if key not in held}
    for path, fitted in ((data.LABELS, True), (data.OPINIONS, False)):
        old = (
            dict(line.split("\t", 1) for line in path.read_text("utf-8").splitlines())
            if path.exists()
            else {}
        )
        new = {key: line for key, line in found.items() if (sources[key] in data.FITTED) == fitted}
        merged = new | old
        path.write_text("".join(f"{key}\t{merged[key]}\n" for key in sorted(merged)), "utf-8")
        print(f"{path.name}: {len(old)} lines before, {len(merged)} now")


if __name__ == "__main__":
    main()
