"""What a process's calls used and cost, whichever face asked for them and however they ended: what `/metrics` counts.

The books are on disk and shared; this is in memory and this process's own. Pure.
"""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from dynaroute_mcp.types import Attempt, Cost, Usage, in_all


class Tally:
    """Sums since the process began."""

    def __init__(self) -> None:
        self.tokens: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By model and kind, `input` or `output`; simulated ones too."""
        self.cost_usd: defaultdict[str, Decimal] = defaultdict(Decimal)
        """By model, of calls whose price is known."""
        self.saved_usd = Decimal(0)
        """Against GPT-4.1; it falls with each call that is dearer, or of which nothing came."""
        self.attempts: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By model and outcome."""

    def count(  # the facts of one call, each from another hand
        self,
        model_id: str,
        usage: Usage,
        attempts: Sequence[Attempt],
        cost: Cost | None,
        gpt41_usd: Decimal,
        *,
        simulated: bool,
    ) -> None:
        """Count a call that has ended; what failed tries took goes with its cost to the model that answered."""
        whole = in_all(usage, attempts)
        self.tokens[model_id, "input"] += whole.input_tokens
        self.tokens[model_id, "output"] += whole.output_tokens
        for attempt in attempts:
            self.attempts[attempt.model_id, attempt.outcome] += 1
        if cost is not None and not simulated:
            self.cost_usd[model_id] += cost.total_usd
            self.saved_usd += gpt41_usd - cost.total_usd
