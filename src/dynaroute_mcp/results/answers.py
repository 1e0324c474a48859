"""A classification, a decision and an answer as JSON."""

from collections.abc import Sequence
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Self

from dynaroute_mcp.results.base import Result, pct, probability, short, usd

if TYPE_CHECKING:
    from dynaroute_mcp.books import Decision
    from dynaroute_mcp.types import Answer, Attempt, Candidate, Choice, Classification, Cost, Saving, Usage

SHOWN_LOSERS = 60
"""Most models that a decision explains away."""

_ALTERNATIVES = 3


class Alternative(Result):
    """A category that the prompt might be instead."""

    category: str
    score: float


class Classified(Result):
    """What a prompt is."""

    category: str
    level: int
    complexity: str
    level_description: str
    cost_tier: str
    confidence: float
    classifier: str
    alternatives: tuple[Alternative, ...]
    signals: tuple[str, ...]
    difficulty: float | None
    """Chance that a small model falls short where a frontier model would not."""

    @classmethod
    def of(cls, label: "Classification") -> Self:
        """Show a label with what else it might be."""
        category, level = label.category, label.level
        others = nlargest(_ALTERNATIVES + 1, label.categories.items(), key=itemgetter(1))
        return cls(
            category=category,
            level=int(level),
            complexity=f"L{level:d}",
            level_description=level.title,
            cost_tier=level.cost_tier,
            confidence=probability(label.confidence),
            classifier=label.tier,
            alternatives=tuple(
                Alternative(category=other, score=probability(score))
                for other, score in others
                if other != category and score > 0
            )[:_ALTERNATIVES],
            signals=label.signals,
            difficulty=None if label.difficulty is None else probability(label.difficulty),
        )


class Try(Result):
    """One try at one model."""

    model: str
    provider: str
    outcome: str
    status: int | None
    latency_ms: int
    message: str = ""

    @classmethod
    def of(cls, attempt: "Attempt") -> Self:
        """Show an attempt."""
        return cls(
            model=short(attempt.model_id),
            provider=attempt.provider,
            outcome=attempt.outcome,
            status=attempt.status,
            latency_ms=attempt.latency_ms,
            **({"message": attempt.message} if attempt.message else {}),
        )


class RoutingInfo(Result):
    """Why this model."""

    confidence: float
    classifier: str
    level_overridden: bool
    category_overridden: bool
    strategy: str
    demanded_level: int
    """The level after hedging against a doubtful classification."""
    meets_demand: bool
    reason: str
    candidates: tuple[str, ...]
    fallback_chain: tuple[str, ...]
    attempts: tuple[Try, ...]

    @classmethod
    def of(cls, label: "Classification", choice: "Choice", attempts: "Sequence[Attempt]") -> Self:
        """Explain a choice."""
        chain = [short(candidate.model_id) for candidate in choice.chain]
        return cls(
            confidence=probability(label.confidence),
            classifier=label.tier,
            level_overridden=label.level_overridden,
            category_overridden=label.category_overridden,
            strategy=choice.strategy,
            demanded_level=int(choice.demanded_level),
            meets_demand=choice.meets_demand,
            reason=choice.reason,
            candidates=chain,
            fallback_chain=chain[1:],
            attempts=[Try.of(attempt) for attempt in attempts],
        )


class TokenUse(Result):
    """Tokens of one call."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    estimated: bool
    """The provider reported no usable figures."""

    @classmethod
    def of(cls, usage: "Usage") -> Self:
        """Show usage in the field's words."""
        return cls(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            total_tokens=usage.total_tokens,
            cached_tokens=usage.cache_read_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            estimated=usage.source != "provider",
        )


class CallCost(Result):
    """Dollars of one call beside GPT-4.1; all `null` for a model without a known price."""

    input_cost: float | None
    output_cost: float | None
    total_cost: float | None
    gpt41_total_cost: float | None
    savings: float | None
    savings_percentage: float | None

    @classmethod
    def of(cls, cost: "Cost | None", gpt41: "Saving | None") -> Self:
        """Show a cost and its signed saving."""
        return cls(
            input_cost=usd(cost.input_usd) if cost else None,
            output_cost=usd(cost.output_usd) if cost else None,
            total_cost=usd(cost.total_usd) if cost else None,
            gpt41_total_cost=usd(gpt41.baseline_usd) if gpt41 else None,
            savings=usd(gpt41.saved_usd) if gpt41 else None,
            savings_percentage=pct(gpt41.saved_pct) if gpt41 else None,
        )


class Estimate(Result):
    """What a call may cost, before it is made."""

    prompt_tokens: int
    completion_tokens: int
    min_cost: float | None
    expected_cost: float | None
    max_cost: float | None


class Neighbour(Result):
    """The next model in price or in quality."""

    model: str
    provider: str
    quality: float
    expected_cost: float | None

    @classmethod
    def of(cls, candidate: "Candidate") -> Self:
        """Show a candidate."""
        return cls(
            model=short(candidate.model_id),
            provider=candidate.provider,
            quality=probability(candidate.quality),
            expected_cost=usd(candidate.expected_usd),
        )


class Rejected(Result):
    """A model that was not chosen."""

    model: str
    reason: str


class RoutedPrompt(Result):
    """An answer with where it came from and what it cost, or (dry run) the decision without a call."""

    response: str = ""
    model: str
    litellm_id: str
    provider: str
    category: str
    level: int
    routing: RoutingInfo
    usage: TokenUse | None = None
    cost: CallCost | None = None
    finish_reason: str = ""
    latency_ms: int = 0
    request_id: str
    sandbox: bool
    """Simulated: no model was asked, and nothing was spent."""
    truncated: bool = False
    """The deadline passed; `response` is what had arrived by then."""
    recorded: bool = True
    dropped_params: tuple[str, ...] = ()
    notes: tuple[str, ...]
    dry_run: bool = False
    estimate: Estimate | None = None
    cheaper: Neighbour | None = None
    better: Neighbour | None = None
    losers: tuple[Rejected, ...] = ()

    @classmethod
    def of(cls, answer: "Answer") -> Self:
        """Show an answer."""
        return cls(
            response=answer.completion.message.text,
            model=short(answer.model_id),
            litellm_id=answer.model_id,
            provider=answer.provider,
            category=answer.classification.category,
            level=int(answer.classification.level),
            routing=RoutingInfo.of(answer.classification, answer.choice, answer.attempts),
            usage=TokenUse.of(answer.completion.usage),
            cost=CallCost.of(answer.cost, answer.gpt41),
            finish_reason=answer.completion.finish_reason,
            latency_ms=answer.latency_ms,
            request_id=answer.request_id,
            sandbox=answer.sandbox,
            truncated=answer.truncated,
            recorded=answer.recorded,
            dropped_params=list(answer.completion.dropped),
            notes=list(answer.notes),
        )

    @classmethod
    def of_decision(cls, decision: "Decision") -> Self:
        """Show a decision that was not carried out."""
        choice, label = decision.choice, decision.classification
        winner = choice.winner
        return cls(
            dry_run=True,
            model=short(winner.model_id),
            litellm_id=winner.model_id,
            provider="sandbox" if decision.simulated else winner.provider,
            category=label.category,
            level=int(label.level),
            routing=RoutingInfo.of(label, choice, ()),
            request_id=decision.request_id,
            sandbox=decision.simulated,
            notes=[*choice.notes, *choice.turning_points],
            estimate=Estimate(
                prompt_tokens=choice.input_tokens,
                completion_tokens=choice.expected_output_tokens,
                min_cost=usd(choice.min_usd),
                expected_cost=usd(winner.expected_usd),
                max_cost=usd(winner.max_usd),
            ),
            losers=[
                Rejected(model=short(loser.model_id), reason=loser.reason)
                for loser in choice.losers[:SHOWN_LOSERS]
            ],
            **({"cheaper": Neighbour.of(choice.cheaper)} if choice.cheaper else {}),
            **({"better": Neighbour.of(choice.better)} if choice.better else {}),
        )
