"""Answers kept for callers who ask for it, each for itself: in memory, bounded, never across keys.

A hit costs nothing and is in no sum of the books; it says so (`X-GR-Cache: HIT`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Self

from pydantic import BaseModel

from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.types import UNEXPLAINED, Answer, Caller, Cost, Message, Saving

MAX_TTL_S: Final = 3_600
_MAX_ANSWERS: Final = 1_000
_MAX_CHARS: Final = 200_000
"""Longer answers are not kept, so that memory stays bounded; all that they hold counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    answer: Answer
    until: float


class Cache:
    """The answers of one process."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._settings: object = None

    def of(self, settings: object) -> Self:
        """The cache, emptied where settings were read anew: they may exclude what had answered."""
        if self._settings is not settings:
            self._kept.clear()
            self._settings = settings
        return self

    def find(self, key: bytes) -> Answer | None:
        """Return an answer that is still fresh."""
        kept = self._kept.get(key)
        return kept.answer if kept is not None and self._monotonic() < kept.until else None

    def keep(self, key: bytes, answer: Answer, ttl_s: int) -> None:
        """Keep a whole answer that ended well, as it costs from now on: nothing."""
        if answer.truncated or _chars(answer.completion.message) > _MAX_CHARS:
            return
        self._kept.pop(key, None)
        self._kept[key] = _Kept(answer=_free(answer), until=self._monotonic() + ttl_s)
        if len(self._kept) > _MAX_ANSWERS:
            self._kept.popitem(last=False)


def ttl_of(header: str | None) -> int:
    """Read `X-GR-Cache-TTL`: seconds, at most an hour; 0 keeps nothing.

    Raises:
        Refusal: 400; it is no whole number of seconds.
    """
    if header is None:
        return 0
    text = header.strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 -- more is no number of seconds
        raise Refusal(
            400,
            f"X-GR-Cache-TTL must be whole seconds, 0 to {MAX_TTL_S}",
            reason="invalid_request",
            param="X-GR-Cache-TTL",
        )
    return min(int(text), MAX_TTL_S)


def key_of(caller: Caller, body: BaseModel, strategy: str | None) -> bytes:
    """Make the key of an answer: who asks, and everything in request and key that can change the answer."""
    asked = body.model_dump_json(exclude={"stream", "stream_options"})
    favours = f"{strategy}\x00{caller.strategy}\x00{caller.models}\x00{caller.preferences}"
    whose = f"{caller.owner}\x00{caller.key_id}\x00{caller.sandbox}\x00{favours}\x00"
    return hashlib.sha256((whose + asked).encode("utf-8", "replace")).digest()


def _chars(message: Message) -> int:
    """How long all of an answer is: calls, reasoning, and probabilities, which take many times the text's room."""
    return len(repr(message.parts))


def _free(answer: Answer) -> Answer:
    return replace(
        answer,
        cost=Cost(input_usd=Decimal(0), output_usd=Decimal(0), basis="response cache"),
        choice=replace(answer.choice, explanation=UNEXPLAINED),  # which holds on to the request
        gpt41=_all_saved(answer.gpt41),
        baseline=_all_saved(answer.baseline),
        versus_highest_pct=None if answer.versus_highest_pct is None else Decimal(100),
        notes=(*answer.notes, "From the response cache: nothing was spent."),
    )


def _all_saved(found: Saving | None) -> Saving | None:
    if found is None:
        return None
    whole = Decimal(100) if found.baseline_usd else Decimal(0)
    return replace(found, saved_usd=found.baseline_usd, saved_pct=whole)
