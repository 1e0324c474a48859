"""The storage interface: what every database behind the router must do.

`tests/store/conformance.py` states the behaviour; SQLite passes it, and so must whatever comes next. Rows are
written exactly as given: identifiers and times are made by the core. Money is integer nano-dollars at rest.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from dynaroute_mcp.errors import StoreCorrupt
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import (
    NO_PREFERENCES,
    CallStatus,
    Cost,
    Intent,
    Outcome,
    Preferences,
    SealedKey,
)

Metric = Literal["requests", "tokens", "nano_usd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One API key. The key itself is nowhere; only its SHA-256 is."""

    key_id: str
    digest: bytes
    """SHA-256 of the whole key."""
    first8: str
    last4: str
    owner: str
    plan: str
    created_at: datetime
    strategy: str | None = None
    sandbox: bool = False
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    total_requests: int = 0
    usd_per_month: Decimal | None = None
    """What this key may spend, beside its owner's plan; `None` sets no limit."""
    tokens_per_month: int | None = None
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    models: tuple[str, ...] = ()
    """The only models and providers that it may use; empty allows all."""
    preferences: Preferences = NO_PREFERENCES
    provider_keys: tuple[SealedKey, ...] = ()
    superseded_until: datetime | None = None
    """Set where the row was found by a key that another one took the place of: until when it is accepted still."""
    grace_ended: bool = False
    """It was seen to be over, or ended at once: it stays so, also where the clock is set back."""

    @property
    def masked(self) -> str:
        """First eight and last four characters: how a key is shown."""
        return f"{self.first8}...{self.last4}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An amount to take from one counter before a call."""

    scope: str
    """Whose counter, such as `owner:alice`, `key:key_1`, `project:web`, `day`."""
    metric: Metric
    window: str
    """Which period, such as `minute:2026-11-22T01:14Z`, `day:2026-11-22`, `month:2026-11`."""
    amount: int
    """What to reserve: 1 request, the estimated tokens, the maximum cost."""
    ceiling: int | None
    """`used + reserved + amount` may not pass it; `None` only counts."""
    name: str
    """The limit's name in an error, such as `requests_per_minute`."""
    resets_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterRow:
    """The state of one counter."""

    scope: str
    metric: Metric
    window: str
    used: int
    reserved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """What a call had cost in the books before it was priced anew."""

    at: datetime
    """When it was priced anew."""
    cost: Cost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """One recorded call: its intent, and its outcome once there is one."""

    intent: Intent
    outcome: Outcome | None
    status: CallStatus
    repriced: tuple[Repricing, ...] = ()
    """Earlier costs, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long real answers of one category and level were, on average."""

    category: Category
    level: Level
    calls: int
    visible_tokens: int
    """Output without reasoning."""
    thinking_calls: int
    """Those of them whose model reasoned."""
    reasoning_tokens: int
    """Of these; 0 when there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """Which calls to count; every `None` means all."""

    owner: str | None = None
    key_id: str | None = None
    since: datetime | None = None
    """Started at this time or later."""
    until: datetime | None = None
    """Started before this time."""
    sandbox: bool = False
    """Sandbox calls are never mixed with real ones: it is the one or the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over finished calls."""

    group: str
    """The model, category or day summed over; empty for the sum of all."""
    requests: int
    successful: int
    unpriced: int
    """Calls without a known price; their cost is in no sum."""
    estimated: int
    """Calls whose tokens are estimates."""
    in_flight: int
    input_tokens: int
    """Those of failed tries that their provider bills included, as in the cost."""
    output_tokens: int
    cache_read_tokens: int
    cost_usd: Decimal
    gpt41_usd: Decimal
    """GPT-4.1 equivalent of the priced calls only, so that the two sums compare."""
    baseline_usd: Decimal
    latency_ms_mean: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long calls that ended well took, in milliseconds, by nearest rank; `None` where nothing was measured."""

    calls: int
    """How many calls the figures rest on."""
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    first_token_p50_ms: int | None
    """Of streams only, as the next."""
    first_token_p95_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRow:
    """A person's correction of one classification."""

    request_id: str | None
    """The request that was corrected; `None` in rows of versions that did not keep it."""
    prompt_sha256: bytes
    predicted_category: Category
    predicted_level: Level
    right_category: Category
    right_level: Level
    at: datetime
    text: str | None = None
    """The prompt, only when its owner agreed to its being kept."""


class Store(Protocol):
    """Every method is safe to call from several tasks and several processes at once.

    Raises, any of them:
        StoreUnavailable: the database can't be reached, is read-only, locked for too long or the disk is full.
        StoreCorrupt: the file is damaged.
    """

    async def add_key(self, row: KeyRow) -> None:
        """Store a new key."""
        ...

    async def find_key(self, digest: bytes) -> KeyRow | None:
        """Look a key up by its SHA-256; revoked and expired keys are found too.

        By the digest of a key that another one took the place of, its row is found with `superseded_until`
        set.
        """
        ...

    async def revoke_key(self, digest: bytes, at: datetime) -> KeyRow | None:
        """Mark a key as revoked unless it is already; return it as it was before, or `None` if unknown.

        Its providers' keys are forgotten. The digest may be a former one.
        """
        ...

    async def edit_key(self, key_id: str, edit: Callable[[KeyRow], KeyRow]) -> KeyRow | None:
        """Put what `edit` makes of a key in its place, in one transaction; `None` if there is no such key.

        `edit` is pure and may raise; then nothing is changed. What it raises is raised here.
        """
        ...

    async def rotate_key(
        self, key_id: str, old: bytes, new: tuple[bytes, str, str], at: datetime, until: datetime
    ) -> KeyRow | None:
        """Give a key another secret, and go on to accept the old one until a time.

        Args:
            key_id: which key.
            old: digest that it must have now, so that of two rotations at once only one succeeds.
            new: digest, first eight and last four characters of the new secret.
            at: now; what was accepted beside the old secret ends.
            until: when the old one ends; `at` ends it at once.

        Returns:
            The key as it is now; `None` if it is unknown, revoked, or has another digest.
        """
        ...

    async def end_grace(self, digest: bytes) -> None:
        """Accept a former digest no more, for good: a clock may be set back."""
        ...

    async def list_keys(self, owner: str | None) -> Sequence[KeyRow]:
        """List an owner's keys, oldest first; all keys for `None`. Those that can't be read are left out."""
        ...

    async def unreadable_keys(self, owner: str | None) -> Mapping[str, StoreCorrupt]:
        """Tell by id which of these keys can't be read, and why; `find_key` raises the same."""
        ...

    async def find_plan(self, owner: str) -> str | None:
        """Tell which plan an owner was given, or `None`."""
        ...

    async def set_plan(self, owner: str, plan: str, at: datetime) -> None:
        """Give an owner a plan, and every key of theirs with it."""
        ...

    async def begin(self, intent: Intent, holds: Sequence[Hold]) -> None:
        """Check all ceilings, take all amounts and write the intent, in one transaction that is durable on return.

        A request id that is there already changes nothing: a repeated begin takes nothing twice. Two holds on
        one counter take the larger amount from it, once.

        Raises:
            LimitExceeded: a ceiling would be passed; nothing was taken and nothing written.
        """
        ...

    async def settle(self, outcome: Outcome, charged_nano_usd: int | None) -> Sequence[CounterRow]:
        """Complete an intent and replace its reservations by what was really used, once, durably.

        A second settling of the same request changes nothing; one that comes after `mark_lost` puts the truth
        in place of the maximum. `charged_nano_usd` is the recorded cost; `None` leaves the reserved maximum
        charged, because an unknown cost is not nothing.

        Returns:
            The counters that it changed, as they stand now.

        Raises:
            NotFound: there is no such intent.
        """
        ...

    async def counters(self, scopes: Sequence[str]) -> Sequence[CounterRow]:
        """Read all counters of these scopes."""
        ...

    async def find_call(self, request_id: str) -> CallRow | None:
        """Read one call."""
        ...

    def calls(self, which: CallFilter, *, limit: int | None = None) -> AsyncIterator[CallRow]:
        """Read calls, newest first."""
        ...

    async def totals(
        self, which: CallFilter, *, by: Literal["all", "model", "category", "day"]
    ) -> Sequence[Totals]:
        """Sum calls, the largest cost first; one row with zeros for `all` when there are none.

        Days are UTC. A `lost` call counts as finished and unpriced. Days that retention has
        folded into daily sums count whole, if any part of them is asked for.
        """
        ...

    async def waits(self, which: CallFilter, *, newest: int) -> Waits:
        """Tell how long the newest calls that ended well took; of days that retention has folded nothing is known."""
        ...

    async def lengths(self, newest: int) -> Sequence[Lengths]:
        """Tell how long answers were: of real calls that ended well and whose provider counted the tokens.

        Args:
            newest: how many of the newest calls of any kind are looked at.
        """
        ...

    async def overcounts(self, newest: int, *, margin: float, least: int) -> Mapping[str, float]:
        """Tell by model the highest share of prompt tokens counted over those thought possible, where above 1.

        Args:
            newest: how many of the newest calls of any kind are looked at; simulated ones teach nothing.
            margin: what an estimate is multiplied with.
            least: prompts below are judged as if they had so many tokens.
        """
        ...

    async def reprice(self, costs: Mapping[str, Cost | None], at: datetime) -> int:
        """Put other costs in the place of recorded ones, keep what was there, and count the calls that changed.

        Counters stay as they are: what was allowed then was allowed by what was known then. A request that is
        not there, has not ended, or costs what it cost by the same row changes nothing.
        """
        ...

    async def mark_lost(self, before: datetime) -> int:
        """Turn intents whose deadline is before this time into `lost`, their maximum still charged."""
        ...

    async def add_feedback(self, row: FeedbackRow) -> None:
        """Store a correction; it takes the place of an earlier one of the same request."""
        ...

    async def list_feedback(self, *, limit: int | None = None) -> Sequence[FeedbackRow]:
        """List corrections, newest first."""
        ...
