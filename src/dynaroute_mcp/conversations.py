"""Which model each running conversation is on, so that its prompt cache is not thrown away.

Kept in memory, bounded and forgotten after an hour without a turn: it is a hint, never a promise. A
conversation is known by the caller's session id, else by a hash of what it began with; texts are not kept.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dynaroute_mcp.policy import Pin
from dynaroute_mcp.types import Caller, ChatRequest, Usage

_KEPT: Final = 10_000
_IDLE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    pin: Pin
    at: datetime


class Conversations:
    """The conversations of one process."""

    def __init__(self) -> None:
        self._turns: OrderedDict[bytes, _Turn] = OrderedDict()

    def pin(self, request: ChatRequest, caller: Caller, now: datetime) -> Pin | None:
        """Tell which model a request's conversation is on; `None` for a first turn or a forgotten one."""
        if not request.routing.session_id and not _continues(request):
            return None
        turn = self._turns.get(_key(request, caller))
        return turn.pin if turn is not None and now - turn.at <= _IDLE else None

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
        self._turns[key] = _Turn(pin=Pin(model_id=model_id, warm_tokens=warm), at=now)
        self._turns.move_to_end(key)
        while len(self._turns) > _KEPT:
            self._turns.popitem(last=False)


def _continues(request: ChatRequest) -> bool:
    return any(message.role == "assistant" for message in request.messages)


def _key(request: ChatRequest, caller: Caller) -> bytes:
    began = request.routing.session_id
    if not began:
        system = [message.text for message in request.messages if message.role == "system"]
        first = next((message.text for message in request.messages if message.role == "user"), "")
        began = "\x00".join([*system, first])
    return hashlib.sha256(f"{caller.owner}\x00{began}".encode("utf-8", "replace")).digest()
