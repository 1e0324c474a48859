"""What every dialect offers, what it is given for one call, and how a dialect is split in two.

A `Dialect` is what the layer above calls. Every HTTP dialect is one `Translation` (pure: a request out, a
reply in) driven by the one `HttpDialect`, which owns clocks, streams and usage.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from dynaroute_mcp.catalog import Model, Provider
from dynaroute_mcp.providers.usage import Reported, believe
from dynaroute_mcp.types import ChatRequest, Completion, FinishReason, Part, StreamEvent, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a provider is reached, and with which key."""

    provider: Provider
    base_url: str
    """Without a trailing slash; from configuration only, never from a request."""
    api_key: str | None = field(default=None, repr=False)

    def path(self, version: str, rest: str) -> str:
        """Return a path below `base_url` that holds the API's version once.

        The variables that other tools share name some providers' hosts without it (`ANTHROPIC_BASE_URL`).
        """
        return rest if _VERSION.search(self.base_url) else f"/{version}{rest}"


_VERSION = re.compile(r"/v\d\w*/?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How long each phase of a call may take, in seconds."""

    connect_s: float = 10.0
    first_token_s: float = 60.0
    """From the start of the call to the first content of a stream."""
    idle_s: float = 60.0
    """Between two events of a stream; comments and half-sent events do not count as a sign of life."""
    total_s: float = 720.0
    """A whole non-streaming answer."""


@dataclass(slots=True)
class Meter:
    """What a provider has said so far of the tokens of a call: it counts even where the answer breaks off."""

    reported: Reported | None = None

    def taken(self, input_tokens: int) -> Usage | None:
        """What a try took that came to nothing; `None` where its provider did not tell.

        Args:
            input_tokens: an estimate, for want of the provider's own figure.
        """
        if self.reported is None:
            return None
        return believe(self.reported, input_estimate=input_tokens, output_estimate=lambda: 0)

    def used(self, input_tokens: int, output_tokens: int) -> Usage:
        """What a stream took that broke off: what the provider has told, and at least the output that arrived.

        Args:
            input_tokens: an estimate, for want of the provider's own figure.
            output_tokens: an estimate of what arrived.
        """
        told = believe(self.reported, input_estimate=input_tokens, output_estimate=lambda: output_tokens)
        return replace(told, output_tokens=max(told.output_tokens, output_tokens), source="estimated")


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
    meter: Meter = field(default_factory=Meter, compare=False)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request in a provider's own words."""

    path: str
    """Below the endpoint's base URL, with a leading slash."""
    headers: Mapping[str, str] = field(repr=False)
    """The dialect's own headers, the key among them."""
    body: Mapping[str, object]
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer ended, and what the provider says that it took."""

    finish_reason: FinishReason
    reported: Reported | None
    """`None` when the provider reported no usage at all."""
    wire_model: str
    response_id: str | None = None


class StreamReader(Protocol):
    """Turns the JSON documents of one stream into our events."""

    @property
    def ended(self) -> bool:
        """Whether the provider has said that nothing more will come."""
        ...

    @property
    def finished(self) -> bool:
        """Whether a finish reason has come; usage may still follow."""
        ...

    def feed(self, document: object) -> Iterable[StreamEvent]:
        """Translate one document.

        Raises:
            ProviderError: the document holds an error, or can't be understood.
        """
        ...

    def ending(self) -> Ending:
        """Tell how the stream ended; called once, after the last document.

        Raises:
            ProviderGarbled: no finish reason had come.
        """
        ...


class Translation(Protocol):
    """The two-way dictionary of one dialect. It does no I/O."""

    def write(self, call: Call, *, stream: bool) -> Outgoing:
        """Put a call into the dialect.

        Raises:
            ProviderRefusedRequest: the dialect or the model can't take a part of the request.
        """
        ...

    def read(self, call: Call, reply: object) -> tuple[tuple[Part, ...], Ending]:
        """Read a whole reply.

        Raises:
            ProviderError: the reply holds an error, or can't be understood.
        """
        ...

    def reader(self, call: Call) -> StreamReader:
        """Begin to read a stream."""
        ...
