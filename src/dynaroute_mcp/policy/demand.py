"""What a classified prompt demands: a level, a quality, and so many tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import inf
from operator import mul
from typing import Final, get_args

from dynaroute_mcp.catalog import Catalog, Ladder, Model, Skill
from dynaroute_mcp.policy.situation import Expectation, Needs, Situation
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import Effort

Weights = tuple[float, ...]
"""One number for each skill, in the order of `Skill`."""

Ratings = Mapping[str, Weights]
"""By model id."""

_SKILLS: Final[tuple[Skill, ...]] = get_args(Skill)
_CATALOGS: Final = 8
"""Catalogs whose ratings are remembered: with and without local models, before and after a reload."""
_ROUNDING: Final = 1e-9
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model in the running, with what no prompt changes about it."""

    model: Model
    model_id: str
    provider: str
    ratings: Weights | None
    """`None` when nobody rated it."""
    unrated: float
    """Its fitness then."""
    thinking: float
    """How much it will think, as a share of its thinking at the default effort."""
    calmer: tuple[tuple[float, Effort], ...]
    """Efforts at which it thinks less, where the caller asked for none, the most thoughtful first; each with its share."""
    prompt_room: float
    """Tokens that a prompt may have."""
    room: float
    """Tokens that prompt and expected answer may have, with room for the estimate's error."""
    context_tokens: int
    """Tokens that prompt and answer may have at most."""
    most_output: int
    """Tokens that an answer may have."""


def entrant(catalog: Catalog, asked: Needs, model: Model) -> Entrant:
    """Look up what holds for every request that asks for the same."""
    ladder = catalog.ladder
    thinking = _effort(ladder, asked, model)
    return Entrant(
        model=model,
        model_id=model.id,
        provider=model.provider,
        ratings=ratings(catalog).get(model.id),
        unrated=ladder.unrated_local if model.free else 0.0,
        thinking=thinking,
        calmer=_calmer(catalog, model) if thinking and asked.effort is None else (),
        prompt_room=ladder.window_share * model.max_input_tokens if model.max_input_tokens else inf,
        room=ladder.window_share * model.context_tokens,
        context_tokens=model.context_tokens,
        most_output=model.max_output_tokens,
    )


def demanded_level(levels: Mapping[Level, float], quantile: float) -> Level:
    """The lowest level that the prompt does not pass with this probability."""
    for level, share in zip(Level, accumulate(levels.get(level, 0.0) for level in Level), strict=True):
        if share >= quantile - _ROUNDING:
            return level
    return Level.L5


def demanded_quality(ladder: Ladder, level: Level, strategy: Strategy, difficulty: float | None) -> float:
    """Quality in [0, 1] that a level asks for; `cheapest` asks for that of the level below."""
    rungs = [ladder.below_first, *(ladder.demand[each] for each in Level)]
    rung = int(level) - (strategy is Strategy.CHEAPEST)
    return rungs[rung] + _within_step(ladder, level, rungs, rung, difficulty)


def _within_step(
    ladder: Ladder, level: Level, rungs: list[float], rung: int, difficulty: float | None
) -> float:
    """Up to half a step towards the next rung for a prompt harder than is usual at its level, or down if easier."""
    usual = ladder.neutral_difficulty.get(level)
    if difficulty is None or usual is None or difficulty == usual:
        return 0.0
    if difficulty > usual:
        step = rungs[min(rung + 1, len(rungs) - 1)] - rungs[rung]
        return _HALF * step * min(1.0, (difficulty - usual) / (ladder.hardest_difficulty - usual))
    step = rungs[rung] - rungs[max(rung - 1, 0)]
    return _HALF * step * (difficulty - usual) / usual


def shortfall(ladder: Ladder, fitness: float, difficulty: float) -> float:
    """Chance in [0, 1] that a model of this quality falls short where a frontier model would not.

    The scale is anchored at both ends: a small model, which level 1 is trusted to, has the prompt's
    difficulty, a frontier model, which level 4 is trusted to, has none; between them it falls evenly.
    """
    small, frontier = ladder.demand[Level.L1], ladder.demand[Level.L4]
    if fitness <= small or fitness >= frontier:
        return difficulty * (fitness < frontier)
    return difficulty * (frontier - fitness) / (frontier - small)


def skill_weights(catalog: Catalog, categories: Mapping[Category, float]) -> Weights:
    """How much each skill counts, over all categories that the prompt may belong to; they sum to 1."""
    rows, weights = _skills(catalog), [0.0] * len(_SKILLS)
    for category, share in categories.items():
        for skill, weight in rows[category]:
            weights[skill] += share * weight
    whole = sum(weights)
    return tuple([weight / whole for weight in weights])


@lru_cache(maxsize=_CATALOGS)
def _skills(catalog: Catalog) -> Mapping[Category, tuple[tuple[int, float], ...]]:
    """What each category asks for: places in the order of the skills, and how much each counts."""
    return {
        category: tuple((_SKILLS.index(skill), weight) for skill, weight in row.items())
        for category, row in catalog.weights.items()
    }


def quality(catalog: Catalog, model: Model, weights: Weights) -> float:
    """Fitness of a model in [0, 1]; one that nobody rated is trusted with nothing, a local one with level 1."""
    rated = ratings(catalog).get(model.id)
    if rated is None:
        return catalog.ladder.unrated_local if model.free else 0.0
    fitness: float = sum(map(mul, rated, weights))
    return fitness


@lru_cache(maxsize=_CATALOGS)
def ratings(catalog: Catalog) -> Ratings:
    """Each rated model's ratings in the order of the skills; one that no board rates is taken at the overall one."""
    return {
        row.id: tuple(row.quality.get(skill, overall).value for skill in _SKILLS)
        for row in catalog.models
        if (overall := row.quality.get("text")) is not None
    }


def forget() -> None:
    """Let go of all catalogs."""
    _skills.cache_clear()
    ratings.cache_clear()


def levels_served(catalog: Catalog, model: Model) -> tuple[Level, ...]:
    """Levels whose demand a model meets on average over the categories."""
    even = {category: 1 / len(Category) for category in Category}
    reached = quality(catalog, model, skill_weights(catalog, even)) + _ROUNDING
    return tuple(level for level in Level if catalog.ladder.demand[level] <= reached)


def expectation(situation: Situation) -> Expectation:
    """Expected length of the answer: from the user's own calls once there are enough, else the prior.

    Reasoning is learnt apart, from calls of models that thought: a model that does not think says nothing of
    it.
    """
    label, ladder = situation.classification, situation.catalog.ladder
    visible = ladder.expected_output_tokens(label.category, label.level)
    reasoning = ladder.reasoning_tokens[label.level]
    learnt = situation.learnt.get((label.category, label.level))
    if learnt is None or learnt.calls < ladder.learnt_after:
        return Expectation(visible_tokens=visible, reasoning_tokens=reasoning, calls=0, thinking_calls=0)
    enough = learnt.thinking_calls >= ladder.learnt_after
    return replace(
        learnt,
        visible_tokens=max(1, learnt.visible_tokens),
        reasoning_tokens=learnt.reasoning_tokens if enough else reasoning,
    )


def _effort(ladder: Ladder, asked: Needs, model: Model) -> float:
    """How much a model will think, as a share of its thinking at the default effort."""
    constraints = model.constraints
    if constraints.tools_need_effort_none and "tools" in asked.capabilities:
        return 0.0
    if asked.effort is not None and asked.effort in constraints.efforts:
        return ladder.effort_factor[asked.effort]
    return float(constraints.thinking_by_default or constraints.thinking_always_on)


def _calmer(catalog: Catalog, model: Model) -> tuple[tuple[float, Effort], ...]:
    """Efforts below the default that can be sent; a budget of thinking has a floor, so only none at all is less."""
    limits, dialect = model.constraints, catalog.providers[model.provider].dialect
    if limits.thinking == "none" or (limits.thinking != "effort" and dialect == "openai"):
        return ()
    factors = catalog.ladder.effort_factor
    known = [each for each in limits.efforts if limits.thinking != "budget" or each == "none"]
    return tuple(sorted(((factors[each], each) for each in known if factors[each] < 1), reverse=True))
