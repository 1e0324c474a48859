"""How much more than what is reserved each model's provider counts, learnt call by call.

An estimate of a prompt's tokens is never exact, and a provider may add to it, or lie. What a call turned out
to take, against the most that was thought possible, becomes the factor by which the next one's reserve is
raised. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from dynaroute_mcp.types import Usage

SMALL_PROMPT_TOKENS: Final = 256
"""Prompts below are judged as if they had so many: what a provider adds to each is no share of it."""
MOST: Final = 8.0
"""No factor is higher: one absurd count must not shut a model out for good."""
_FADES: Final = 0.01
"""Share of the excess that each later call takes off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overcount:
    """By what the reserve for a model is raised; both factors are in [1, `MOST`]."""

    input: float = 1.0
    output: float = 1.0

    def input_bound(self, tokens: int) -> int:
        """Most tokens that may be counted for a prompt that was thought to have at most so many."""
        return ceil(max(tokens, SMALL_PROMPT_TOKENS) * self.input) if self.input > 1 else tokens

    def output_bound(self, tokens: int) -> int:
        """Most tokens that may be counted for an answer that is allowed to have so many."""
        return ceil(tokens * self.output)


HONEST: Final = Overcount()


class Overcounts:
    """What one process has learnt, from its own calls and from what the books tell of others'."""

    def __init__(self) -> None:
        self._seen: dict[str, Overcount] = {}
        self._recalled: Mapping[str, float] = {}
        self._known: Mapping[str, Overcount] = {}

    def known(self) -> Mapping[str, Overcount]:
        """By model id; who counts no more than was thought possible is not in it."""
        return self._known

    def seen(self, model_id: str, usage: Usage, *, input_bound: int, output_bound: int) -> None:
        """Learn from a call that is over.

        Args:
            model_id: who answered.
            usage: as the provider reports it; estimates teach nothing.
            input_bound: tokens that the prompt was thought to have at most, before any factor.
            output_bound: tokens that the answer was allowed to have.
        """
        if usage.source == "estimated":
            return
        before = self._seen.get(model_id, HONEST)
        now = Overcount(
            input=_learnt(before.input, usage.input_tokens, max(input_bound, SMALL_PROMPT_TOKENS)),
            output=_learnt(before.output, usage.output_tokens, output_bound),
        )
        if now != before:
            self._seen[model_id] = now
            self._merge()

    def recall(self, shares: Mapping[str, float]) -> None:
        """Take over what the books tell: the highest share of prompt tokens over bound of the newest calls, by model."""
        if shares != self._recalled:
            self._recalled = dict(shares)
            self._merge()

    def _merge(self) -> None:
        known = {}
        for model_id in {*self._seen, *self._recalled}:
            seen, recalled = self._seen.get(model_id, HONEST), min(MOST, self._recalled.get(model_id, 1.0))
            known[model_id] = Overcount(input=max(seen.input, recalled), output=seen.output)
        self._known = {model_id: each for model_id, each in known.items() if each != HONEST}


def _learnt(before: float, tokens: int, bound: int) -> float:
    """At once up, slowly down; the last thousandth is forgotten."""
    share = min(MOST, tokens / max(1, bound))
    fading = before - (before - 1) * _FADES
    return max(share, fading if fading >= 1.001 else 1.0, 1.0)  # noqa: PLR2004 -- see the docstring
