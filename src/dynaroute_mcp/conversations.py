"""Which model each running conversation is on, so that its prompt cache is not thrown away.

Kept in memory, bounded and forgotten after an hour without a turn: it is a hint, never a promise. A
conversation is known by the caller's session id, else by a hash of what it began with; texts are not kept.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from dynaroute_mcp.policy import Pin
from dynaroute_mcp.types import Caller, ChatRequest, Usage

_KEPT: Final = 10_000
_IDLE: Final = timedelta(hours=1)
_SHORT: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    pin: Pin
    at: datetime
    lasts: timedelta | None
    """How long its cache is warm, for a turn that marks its prompt too; `None` where none was marked."""


class Conversations:
    """The conversations of one process."""

    def __init__(self) -> None:
        self._turns: OrderedDict[bytes, _Turn] = OrderedDict()

    def pin(self, request: ChatRequest, caller: Caller, now: datetime) -> Pin | None:
        """Tell which model a request's conversation is on; `None` for a first turn or a forgotten one.

        A cache that is there because of marks is read only where there are some again, and in time.
        """
        if not request.routing.session_id and not _continues(request):
            return None
        turn = self._turns.get(_key(request, caller))
        if turn is None or now - turn.at > _IDLE:
            return None
        cold = turn.lasts is not None and (now - turn.at > turn.lasts or not request.cache_ttls)
        return replace(turn.pin, warm_tokens=0) if cold else turn.pin

    def answered(
        self,
        request: ChatRequest,
        caller: Caller,
        model_id: str,
        usage: Usage,
        now: datetime,
        *,
        unasked: bool,
    ) -> None:
        """Note which model gave the newest turn, and how much of it the next turn will find in the cache.

        Args:
            request: the turn.
            caller: whose conversation it is.
            model_id: what answered.
            usage: of the answer.
            now: the time.
            unasked: the provider caches all of a prompt by itself; else only what it counted as cached is there.
        """
        key = _key(request, caller)
        cached = usage.cache_read_tokens + usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        warm = usage.input_tokens + usage.output_tokens - usage.reasoning_tokens if unasked else cached
        marks = frozenset() if unasked else request.cache_ttls
        lasts = (_SHORT if "5m" in marks else _IDLE) if marks else None
        self._turns[key] = _Turn(pin=Pin(model_id=model_id, warm_tokens=warm), at=now, lasts=lasts)
        self._turns.move_to_end(key)
        while len(self._turns) > _KEPT:
            self._turns.popitem(last=False)

    def keep(self, models: Container[str]) -> None:
        """Forget the conversations that are on any other model than these, by id."""
        self._turns = OrderedDict(
            (key, turn) for key, turn in self._turns.items() if turn.pin.model_id in models
        )


def _continues(request: ChatRequest) -> bool:
    return any(message.role == "assistant" for message in request.messages)


def _key(request: ChatRequest, caller: Caller) -> bytes:
    began = request.routing.session_id
    if not began:
        system = [message.text for message in request.messages if message.role == "system"]
        first = next((message.text for message in request.messages if message.role == "user"), "")
        began = "\x00".join([*system, first])
    return hashlib.sha256(f"{caller.owner}\x00{began}".encode("utf-8", "replace")).digest()
