"""From what a check found to a new `prices.yaml`: a changed price becomes a new row from its day on.

Old rows stay, because past calls were billed by them. Rows that agreed get the day of the check. Prices that
depend on the hour are left to people: the lists do not tell a working day from a holiday.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Protocol

from dynaroute_mcp.catalog import Catalog, Model, Price, RateTable, UsdPerMtok
from dynaroute_mcp.pricing.check import Check


class RateSource(Protocol):
    """A list of prices that gives whole tables of rates."""

    @property
    def name(self) -> str:
        """With its version."""
        ...

    def tables(self, model: Model, on: date) -> tuple[RateTable, RateTable | None] | None:
        """Standard and batch rates on a day; `None` when the list does not know the model."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row to add, and the one that it follows."""

    before: Price | None
    after: Price


def changes(
    catalog: Catalog, sources: Sequence[RateSource], found: Check, on: date
) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Work out the rows that would settle every unexcused difference.

    Returns:
        The changes, and the models that a person must look at.
    """
    wanted = sorted({(drift.model_id, drift.on) for drift in found.drifts if drift.excuse is None})
    made, left = [], set()
    for model_id, day in wanted:
        model = catalog.by_id[model_id]
        before = next((row for row in reversed(catalog.prices[model_id]) if row.valid_from <= day), None)
        table = next((t for source in sources if (t := _row(source, model, day, on)) is not None), None)
        if table is None or (before is not None and before.calendar is not None):
            left.add(model_id)
        else:
            made.append(Change(before=before, after=table))
    return tuple(made), tuple(sorted(left))


def _row(source: RateSource, model: Model, day: date, on: date) -> Price | None:
    tables = source.tables(model, day)
    if tables is None:
        return None
    standard, batch = tables
    return Price(
        model=model.id,
        valid_from=day,
        usd_per_mtok=standard.usd_per_mtok,
        tiers=standard.tiers,
        batch=batch,
        source=source.name,
        checked=on,
    )


def updated(
    catalog: Catalog, made: Iterable[Change], unsettled: Iterable[str], on: date
) -> tuple[Price, ...]:
    """Every row of the new file: ours, dated as checked unless their model is unsettled, and the changes."""
    added = {(change.after.model, change.after.valid_from): change.after for change in made}
    aside = set(unsettled)
    rows: list[Price] = []
    for model_id, ours in catalog.prices.items():
        kept = {(row.model, row.valid_from): row for row in ours}
        if model_id not in aside and not catalog.by_id[model_id].retired(on):
            kept = {key: row.model_copy(update={"checked": on}) for key, row in kept.items()}
        kept |= {key: row for key, row in added.items() if key[0] == model_id}
        rows += sorted(kept.values(), key=lambda row: row.valid_from)
    return tuple(rows)


def rendered(head: str, rows: Iterable[Price]) -> str:
    """The text of `prices.yaml`: `head` (comments and calendars, as they are) and the rows."""
    lines = [head.rstrip(), "", "prices:"]
    for maker, group in groupby(rows, key=lambda row: row.model.split("/")[0]):
        lines += ["", f"  # {maker}"]
        for row in group:
            lines += _row_lines(row)
    return "\n".join(lines) + "\n"


def head_of(text: str) -> str:
    """What stands before the rows in the text of `prices.yaml`."""
    return text.partition("\nprices:\n")[0]


def _row_lines(row: Price) -> Iterator[str]:
    yield f"  - model: {row.model}"
    yield f"    from: {row.valid_from}"
    yield from _table_lines(row, "    ")
    if row.calendar:
        yield f"    calendar: {row.calendar}"
    if row.batch:
        yield "    batch:"
        yield from _table_lines(row.batch, "      ")
    yield f"    source: {_quoted(row.source)}"
    yield f"    checked: {row.checked}"


def _table_lines(table: RateTable, indent: str) -> Iterator[str]:
    yield f"{indent}usd_per_mtok: {_rates(table.usd_per_mtok)}"
    if table.tiers:
        yield f"{indent}tiers:"
        for tier in table.tiers:
            rates = _rates(tier.usd_per_mtok)
            yield f"{indent}  - {{above_tokens: {tier.above_tokens}, usd_per_mtok: {rates}}}"


def _rates(rates: UsdPerMtok) -> str:
    given: dict[str, Decimal] = rates.model_dump(exclude_none=True)
    return "{" + ", ".join(f"{name}: {usd.normalize():f}" for name, usd in given.items()) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
