"""Whether our prices are still those of other lists: every active model, now and on the day of each announced row.

Pure: a reference is handed in, and what differs comes back as values. A difference that an override explains
is shown and forgiven until the override's day.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final, Protocol

from dynaroute_mcp.catalog import Catalog, Model, Override, Price, RateTable
from dynaroute_mcp.pricing.cost import Processing, price
from dynaroute_mcp.types import Usage

STALE_AFTER_DAYS: Final = 45
"""A catalog whose newest check is older deserves a warning."""

_TOKENS: Final = 1_000
_TOLERANCE_USD: Final = Decimal("1e-9")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Reference(Protocol):
    """Another list of prices."""

    @property
    def name(self) -> str:
        """With its version."""
        ...

    def total_usd(self, model: Model, at: datetime, usage: Usage, processing: Processing) -> Decimal | None:
        """Price a call; `None` when the list does not know the model or this way of processing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One price that differs."""

    model_id: str
    on: date
    what: str
    """Such as `output` or `cache read above 272,000 tokens, batch`."""
    ours_usd_per_mtok: Decimal | None
    theirs_usd_per_mtok: Decimal
    source: str
    """Where ours is from."""
    reference: str
    excuse: str | None
    """Reason of the override that forgives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a comparison found."""

    compared: int
    """Prices that both lists have."""
    missing: tuple[str, ...]
    """Active models that no reference knows."""
    drifts: tuple[Drift, ...]
    expired: tuple[Override, ...]
    """Overrides past their day."""
    checked_on: date | None
    stale: bool
    """The newest check is older than `STALE_AFTER_DAYS`."""

    @property
    def exit_code(self) -> int:
        """1 when a price differs without an excuse, else 0."""
        return int(any(drift.excuse is None for drift in self.drifts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """One price to compare."""

    what: str
    at: datetime
    usage: Usage
    tokens: int
    """How many of the usage's tokens the price is asked of."""
    processing: Processing = "standard"


def check(
    catalog: Catalog, references: Sequence[Reference], on: date, overrides: Iterable[Override] = ()
) -> Check:
    """Compare every model that is not retired with the first reference that knows it."""
    live = tuple(row for row in overrides if row.expires > on)
    compared, missing, drifts = 0, [], []
    for model in catalog.models:
        if model.retired(on) or model.id not in catalog.prices:
            continue
        found = [
            (probe, reference, theirs)
            for probe in _probes(catalog, model, on)
            for reference, theirs in _first_answer(references, model, probe)
        ]
        compared += len(found)
        if not found:
            missing.append(model.id)
        for probe, reference, theirs in found:
            drift = _drift(catalog, model, probe, reference, theirs)
            if drift is not None:
                drifts.append(_excused(drift, live))
    checked_on = catalog.checked_on
    return Check(
        compared=compared,
        missing=tuple(missing),
        drifts=tuple(drifts),
        expired=tuple(row for row in overrides if row.expires <= on),
        checked_on=checked_on,
        stale=checked_on is None or (on - checked_on).days > STALE_AFTER_DAYS,
    )


def _first_answer(
    references: Sequence[Reference], model: Model, probe: _Probe
) -> Iterable[tuple[Reference, Decimal]]:
    for reference in references:
        theirs = reference.total_usd(model, probe.at, probe.usage, probe.processing)
        if theirs is not None:
            return ((reference, theirs),)
    return ()


def _drift(
    catalog: Catalog, model: Model, probe: _Probe, reference: Reference, theirs: Decimal
) -> Drift | None:
    cost = price(catalog, model.id, probe.at, probe.usage, processing=probe.processing)
    if cost is not None and abs(cost.total_usd - theirs) <= _TOLERANCE_USD:
        return None
    row = catalog.find_price(model.id, probe.at)
    per_mtok = Decimal(1_000_000) / probe.tokens
    return Drift(
        model_id=model.id,
        on=probe.at.date(),
        what=probe.what,
        ours_usd_per_mtok=cost.total_usd * per_mtok if cost else None,
        theirs_usd_per_mtok=theirs * per_mtok,
        source=row.source if row else "no row",
        reference=reference.name,
        excuse=None,
    )


def _excused(drift: Drift, overrides: Sequence[Override]) -> Drift:
    reasons = (
        row.reason for row in overrides if row.model == drift.model_id and row.what in {None, drift.what}
    )
    return replace(drift, excuse=next(reasons, None))


def _probes(catalog: Catalog, model: Model, on: date) -> Iterator[_Probe]:
    """Every bucket, tier and processing of the row in force today and of each announced one."""
    rows = catalog.prices[model.id]
    days = [on, *(row.valid_from for row in rows if row.valid_from > on)]
    for day in days:
        for at in _instants(catalog, model.id, day):
            row = catalog.find_price(model.id, at)
            if row is not None:
                yield from _bucket_probes(row, at)


def _instants(catalog: Catalog, model_id: str, day: date) -> Iterator[datetime]:
    """Noon of a day, and the first peak hour from then on where there are any."""
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    yield noon
    row = catalog.find_price(model_id, noon)
    calendar = catalog.calendars[row.calendar] if row and row.calendar else None
    if calendar is None:
        return
    peak_day = day + timedelta(days=1)
    while _DAYS[peak_day.weekday()] not in calendar.days or peak_day in calendar.except_dates:
        peak_day += timedelta(days=1)
    yield datetime.combine(peak_day, calendar.hours_utc[0][0], tzinfo=UTC)


def _bucket_probes(row: Price, at: datetime) -> Iterator[_Probe]:
    tables: tuple[tuple[Processing, str, RateTable | None], ...] = (
        ("standard", "", row),
        ("batch", ", batch", row.batch),
    )
    for processing, suffix, table in tables:
        for what, usage in _usages(table) if table else ():
            yield _Probe(
                what=what + suffix,
                at=at,
                usage=usage,
                tokens=usage.input_tokens or _TOKENS,
                processing=processing,
            )


def _usages(table: RateTable) -> Iterator[tuple[str, Usage]]:
    yield "input", Usage(uncached_input_tokens=_TOKENS)
    yield "output", Usage(output_tokens=_TOKENS)
    yield "cache read", Usage(cache_read_tokens=_TOKENS)
    yield "cache write 5m", Usage(cache_write_5m_tokens=_TOKENS)
    yield "cache write 1h", Usage(cache_write_1h_tokens=_TOKENS)
    for tier in table.tiers:
        above, size = f" above {tier.above_tokens:,} tokens", tier.above_tokens + 1
        yield f"input and output{above}", Usage(uncached_input_tokens=size, output_tokens=size)
        yield f"cache read{above}", Usage(cache_read_tokens=size)
