"""What every dialect offers, and what it is given for one call."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from dynaroute_mcp.catalog import Model, Provider
from dynaroute_mcp.types import ChatRequest, Completion, StreamEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a provider is reached, and with which key."""

    provider: Provider
    base_url: str
    """Without a trailing slash; from configuration only, never from a request."""
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How long each phase of a call may take, in seconds."""

    connect_s: float = 10.0
    first_token_s: float = 60.0
    """From the request sent to the first content of a stream."""
    idle_s: float = 60.0
    """Between two pieces of a stream."""
    total_s: float = 720.0
    """A whole non-streaming answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One try at one model."""

    endpoint: Endpoint
    model: Model
    request: ChatRequest
    max_output_tokens: int
    """The bound that was reserved; sent to the provider when the caller set one or the dialect needs one."""
    input_tokens: int
    """Estimate, the last resort when the provider reports no usage."""
    clocks: Clocks = Clocks()


class Dialect(Protocol):
    """One wire dialect: a request out, a reply in, usage in disjoint buckets, failures as our errors."""

    async def complete(self, call: Call) -> Completion:
        """Ask for a whole answer.

        Raises:
            ProviderError: one of its subclasses, by status and type of the failure.
        """
        ...

    def stream(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Ask for a stream; entering the context has received status 200 and the response headers.

        The iterator ends with exactly one `Finished`. Leaving the context early closes the connection.

        Raises:
            ProviderError: on entering or while iterating; `StreamBroken` is never raised here, because only
                the caller of the stream knows whether content was passed on.
        """
        ...
