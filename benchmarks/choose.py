"""How long it takes to choose among every model of the catalog, once a prompt is classified.

python benchmarks/choose.py
python benchmarks/choose.py --choices 5000 --providers openai anthropic google
"""

import argparse
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime

from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.policy import Situation, choose
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.taxonomy import Strategy
from dynaroute_mcp.types import ChatRequest, Message, Text

PROMPT = "Write a Python function that merges two sorted lists, and explain its complexity"
WARM_UP = 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--choices", type=int, default=1_000)
    parser.add_argument("--providers", nargs="*", help="whose keys are at hand; else every provider's")
    options = parser.parse_args()

    catalog = load_catalog()
    situation = Situation(
        catalog=catalog,
        classification=load_classifier().classify(PROMPT),
        request=ChatRequest(messages=(Message(role="user", parts=(Text(text=PROMPT),)),)),
        input_tokens=20,
        strategy=Strategy.BALANCED,
        usable=frozenset(options.providers or catalog.providers),
        at=datetime.now(UTC),
        settings=Settings(),
    )
    for strategy in Strategy:
        where, spent_ms = replace(situation, strategy=strategy), []
        for _ in range(options.choices + WARM_UP):
            started = time.perf_counter()
            choice = choose(where)
            spent_ms.append((time.perf_counter() - started) * 1_000)
        spent_ms = sorted(spent_ms[WARM_UP:])
        models = 1 + sum(not loser.model_id.endswith("/*") for loser in choice.losers)
        p95 = spent_ms[int(0.95 * len(spent_ms))]
        print(
            f"{strategy:<9} {models:>4} models  p50 {statistics.median(spent_ms):.2f} ms  p95 {p95:.2f} ms"
            f"  least {spent_ms[0]:.2f} ms  -> {choice.winner.model_id}"
        )


if __name__ == "__main__":
    main()
