"""One prompt that shows how fast a local model is and up to which level it can be trusted.

Three small tasks of rising difficulty, asked at once and answered by line; a model is trusted up to the last
level that it reaches without a miss. It is a smoke test, not a benchmark: it never grants more than level 3.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from dynaroute_mcp.catalog import Model
from dynaroute_mcp.errors import ProviderError
from dynaroute_mcp.providers.base import Call, Clocks, Dialect, Endpoint
from dynaroute_mcp.taxonomy import Level
from dynaroute_mcp.types import ChatRequest, Message, Parameters, Text

_PROMPT = (
    "Answer each line with its number and the bare answer, nothing else.\n"
    "1. What is the capital of France?\n"
    "2. A pen costs 3 dollars and a book costs 4 times as much. What do two books and one pen cost together,"
    " in dollars?\n"
    "3. Ann is older than Ben. Cid is younger than Ben. Dan is older than Ann. Who is the second oldest?"
)
_EXPECTED = ("paris", "27", "ann")
_MAX_OUTPUT_TOKENS = 1_024
TIMEOUT_S = 60.0
"""For a whole answer; a model may have to be loaded first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What one prompt showed."""

    highest_level: Level | None
    """`None` when not even the first task was solved."""
    took_s: float | None = None
    """The whole time, loading the model included; `None` when it did not answer."""
    output_tokens: int = 0
    error: str | None = None
    """Why there was no answer, in our words."""

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens by the whole time; `None` when nothing was measured."""
        return self.output_tokens / self.took_s if self.took_s and self.output_tokens else None


async def self_test(
    dialect: Dialect,
    endpoint: Endpoint,
    model: Model,
    *,
    monotonic: Callable[[], float],
    timeout_s: float | None = None,
) -> SelfTest:
    """Ask one prompt and judge its answer. Never raises a `ProviderError`.

    Args:
        dialect: Speaks the endpoint's dialect.
        endpoint: Where the model is served.
        model: Whom to ask.
        monotonic: Seconds that never go back.
        timeout_s: Time for the whole answer; `None` is `TIMEOUT_S`.
    """
    bound = min(_MAX_OUTPUT_TOKENS, model.max_output_tokens)
    call = Call(
        endpoint=endpoint,
        model=model,
        request=ChatRequest(
            messages=(Message(role="user", parts=(Text(text=_PROMPT),)),),
            parameters=Parameters(temperature=0.0, max_tokens=bound),
        ),
        max_output_tokens=bound,
        input_tokens=len(_PROMPT) // 4,
        clocks=Clocks(total_s=timeout_s or TIMEOUT_S),
    )
    started = monotonic()
    try:
        completion = await dialect.complete(call)
    except ProviderError as error:
        return SelfTest(highest_level=None, error=str(error))
    return SelfTest(
        highest_level=highest_level(completion.message.text),
        took_s=monotonic() - started,
        output_tokens=completion.usage.output_tokens,
    )


def highest_level(answer: str) -> Level | None:
    """Judge an answer to the prompt: the last level before the first miss."""
    lines = dict(re.findall(r"^\W*([123])\W+(.{0,200})$", answer, flags=re.MULTILINE))
    reached = 0
    for number, expected in enumerate(_EXPECTED, start=1):
        if not re.search(rf"\b{expected}\b", lines.get(str(number), "").casefold()):
            break
        reached = number
    return Level(reached) if reached else None
