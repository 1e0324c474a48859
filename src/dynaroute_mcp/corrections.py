"""What people say about a label that was wrong. Kept for a later fit by hand; nothing learns from it by itself.

A correction holds a digest of the prompt, what was predicted and what is right; the prompt only where its
owner says so. No prompt is in the books, so whoever corrects gives it once more.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dynaroute_mcp.errors import InvalidRequest, NotFound
from dynaroute_mcp.store.base import CallRow, FeedbackRow, Store
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Caller

__all__ = ["MAX_TEXT_CHARS", "Correction", "FeedbackRow", "correct", "fingerprint"]

MAX_TEXT_CHARS: Final = 100_000
"""A longer prompt is not kept: nobody fits on it."""


def fingerprint(prompt: str) -> bytes:
    """SHA-256 of a prompt, equal for prompts that differ in case and spacing only."""
    folded = " ".join(prompt.lower().split())
    return hashlib.sha256(folded.encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What somebody says about a recorded request."""

    request_id: str
    """As every answer shows it."""
    prompt: str
    category: Category | None = None
    """The right one; `None` where the predicted one was right."""
    level: Level | None = None
    keep_text: bool = False
    """Whether the prompt may be stored too."""


async def correct(store: Store, given: Correction, *, by: Caller | None, at: datetime) -> FeedbackRow:
    """Store a correction, in place of an earlier one of the same request.

    Args:
        store: holds the request.
        given: the correction.
        by: whose request it must be, and a simulated one if they come with a test key; `None` for the operator.
        at: now.

    Raises:
        InvalidRequest: nothing is corrected, or the prompt is empty or too long to be kept.
        NotFound: there is no such request of this owner.
    """
    if given.category is None and given.level is None:
        raise InvalidRequest("say the right category, the right level, or both", param="category")
    if not given.prompt.strip():
        raise InvalidRequest("give the prompt that was labelled", param="prompt")
    if given.keep_text and len(given.prompt) > MAX_TEXT_CHARS:
        raise InvalidRequest(
            f"a prompt of more than {MAX_TEXT_CHARS:,} characters is not kept", param="prompt"
        )
    call = await store.find_call(given.request_id)
    if call is None or (by is not None and not _may_see(by, call)):
        raise NotFound(f"no request {given.request_id!r} is recorded; an answer shows its id at the end")
    row = FeedbackRow(
        request_id=given.request_id,
        prompt_sha256=fingerprint(given.prompt),
        predicted_category=call.intent.category,
        predicted_level=call.intent.level,
        right_category=given.category or call.intent.category,
        right_level=given.level or call.intent.level,
        at=at,
        text=given.prompt.encode("utf-8", "replace").decode() if given.keep_text else None,
    )
    await store.add_feedback(row)
    return row


def _may_see(caller: Caller, call: CallRow) -> bool:
    return caller.owner == call.intent.caller.owner and (call.intent.sandbox or not caller.sandbox)
