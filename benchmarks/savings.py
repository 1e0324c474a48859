"""What routing would save against GPT-4.1, per strategy and per set of providers, on labelled or plain prompts.

    python benchmarks/savings.py                               # the project's own prompts, 10,000 drawn
    python benchmarks/savings.py --prompts FILE.jsonl --draw 0 # another file, each prompt once
    python benchmarks/savings.py --json

Nobody is called: output lengths are the stated priors of `catalog/ladder.yaml`, and every model, GPT-4.1 too, is
priced on the tokens that it is expected to write. Reasoning models write more, so the saving here is not the one on
equal tokens that answers report; it is the one that a bill would show.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from dynaroute_mcp.catalog import Catalog, load_catalog
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.policy import Situation, choose
from dynaroute_mcp.pricing import saving
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.tokens import estimate_request
from dynaroute_mcp.types import ChatRequest, Classification, Message, Text, Usage

OWN_PROMPTS = Path(__file__).parents[1] / "training" / "corpus"
LEVEL_MIX = {1: 0.30, 2: 0.54, 3: 0.14, 4: 0.015, 5: 0.005}
"""Levels of real traffic: public prompts labelled by hand for this project, rounded."""
SEED = 20261122


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One set-up over all prompts."""

    providers: str
    strategy: str
    usd: Decimal
    gpt41_usd: Decimal
    unanswered: int
    models: Counter[str]

    @property
    def saved_pct(self) -> float:
        return float((self.gpt41_usd - self.usd) * 100 / self.gpt41_usd) if self.gpt41_usd else 0.0


def read(paths: Iterable[Path]) -> list[tuple[str, int | None]]:
    prompts = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            prompts.append((row["prompt"], row.get("level")))
    return prompts


def draw(prompts: Sequence[tuple[str, int | None]], count: int) -> list[str]:
    """Draw prompts with the level mix of real traffic; files without levels are drawn evenly."""
    dice = random.Random(SEED)
    if any(level is None for _, level in prompts):
        return dice.choices([text for text, _ in prompts], k=count)
    by_level = {level: [text for text, own in prompts if own == level] for level in LEVEL_MIX}
    levels = dice.choices(list(LEVEL_MIX), weights=list(LEVEL_MIX.values()), k=count)
    return [dice.choice(by_level[level]) for level in levels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    request: ChatRequest
    label: Classification
    tokens: int


def prepare(texts: Iterable[str]) -> list[Prompt]:
    classifier = load_classifier()
    prompts = []
    for text in texts:
        request = ChatRequest(messages=(Message(role="user", parts=(Text(text=text),)),))
        prompts.append(
            Prompt(request=request, label=classifier.classify(text), tokens=estimate_request(request))
        )
    return prompts


def simulate(
    prompts: Sequence[Prompt], catalog: Catalog, usable: frozenset[str], strategy: Strategy, at: datetime
) -> Line:
    usd = gpt41_usd = Decimal(0)
    unanswered = 0
    models: Counter[str] = Counter()
    for prompt in prompts:
        situation = Situation(
            catalog=catalog,
            classification=prompt.label,
            request=prompt.request,
            input_tokens=prompt.tokens,
            strategy=strategy,
            usable=usable,
            at=at,
            settings=Settings(),
        )
        choice = choose(situation)
        cost = choice.winner.expected_usd
        expected = catalog.ladder.expected_output_tokens(prompt.label.category, prompt.label.level)
        usage = Usage(uncached_input_tokens=prompt.tokens, output_tokens=expected)
        baseline = saving(catalog, "gpt-4.1", usage, Decimal(0), at)
        if cost is None or baseline is None:
            unanswered += 1
            continue
        usd += cost
        gpt41_usd += baseline.baseline_usd
        models[choice.winner.model_id] += 1
    return Line(
        providers=", ".join(sorted(usable)) if len(usable) <= 3 else "all",
        strategy=strategy,
        usd=usd,
        gpt41_usd=gpt41_usd,
        unanswered=unanswered,
        models=models,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=Path, nargs="+", default=sorted(OWN_PROMPTS.glob("*.jsonl")))
    parser.add_argument("--draw", type=int, default=10_000, help="prompts to draw; 0 takes each one once")
    parser.add_argument("--at", type=datetime.fromisoformat, default=datetime(2026, 11, 23, 15, tzinfo=UTC))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    texts = read(options.prompts)
    drawn = draw(texts, options.draw) if options.draw else [text for text, _ in texts]
    prompts, catalog = prepare(drawn), load_catalog()
    every = frozenset(catalog.providers) - {"sandbox"}
    lines = [simulate(prompts, catalog, every, strategy, options.at) for strategy in Strategy]
    alive = {model.provider for model in catalog.models if not model.retired(options.at.date())}
    lines += [
        simulate(prompts, catalog, frozenset({provider}), Strategy.BALANCED, options.at)
        for provider in sorted(every & alive)
    ]
    show(lines, prompts, options)


def show(lines: Sequence[Line], prompts: Sequence[Prompt], options: argparse.Namespace) -> None:
    levels = Counter(int(prompt.label.level) for prompt in prompts)
    facts = {
        "prompts": len(prompts),
        "predicted_levels": {str(level): levels[level] for level in sorted(levels)},
        "priced_at": options.at.isoformat(),
        "output_tokens": "priors of catalog/ladder.yaml, by predicted category and level",
        "baseline": "GPT-4.1 at 2.00 / 8.00 USD per million tokens, frozen, on the visible answer's prior",
    }
    if options.json:
        rows = [
            {
                "providers": line.providers,
                "strategy": line.strategy,
                "usd": float(round(line.usd, 6)),
                "gpt41_usd": float(round(line.gpt41_usd, 6)),
                "saved_pct": round(line.saved_pct, 2),
                "unanswered": line.unanswered,
                "models": dict(line.models.most_common(5)),
            }
            for line in lines
        ]
        print(json.dumps({"assumptions": facts, "rows": rows}, indent=2))
        return
    for name, fact in facts.items():
        print(f"{name}: {fact}")
    print(f"\n{'providers':<12} {'strategy':<9} {'cost':>10} {'GPT-4.1':>10} {'saved':>9}  most chosen")
    for line in lines:
        top = ", ".join(
            f"{name.split('/')[-1]} {count / len(prompts):.0%}" for name, count in line.models.most_common(3)
        )
        print(
            f"{line.providers:<12} {line.strategy:<9} {line.usd:>9.4f}$ {line.gpt41_usd:>9.4f}$"
            f" {line.saved_pct:>8.1f}%  {top}"
            + (f"  ({line.unanswered} without a price)" if line.unanswered else "")
        )


if __name__ == "__main__":
    main()
