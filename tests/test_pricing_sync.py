"""A new price file from a check: changed prices become new rows, old ones stay, the rest is dated."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from dynaroute_mcp.catalog import Catalog, Model, Price, RateTable, Tier, UsdPerMtok, load_catalog
from dynaroute_mcp.pricing import Processing, price
from dynaroute_mcp.pricing.check import check
from dynaroute_mcp.pricing.sync import changes, head_of, rendered, updated
from dynaroute_mcp.types import Usage

FOLDER = Path(__file__).parents[1] / "catalog"
CATALOG = load_catalog(FOLDER)
TODAY = date(2026, 11, 22)
COMMAND, DEEPSEEK = "cohere/command-a-03-2025", "deepseek/deepseek-flash"
NEW = RateTable(
    usd_per_mtok=UsdPerMtok(input=Decimal(3), output=Decimal("11.50")),
    tiers=(Tier(above_tokens=100_000, usd_per_mtok=UsdPerMtok(input=Decimal(6), output=Decimal(23))),),
)


@dataclass(frozen=True)
class NewList:
    """A list with new prices for some models."""

    models: frozenset[str]
    name: str = "new list 2"

    def total_usd(self, model: Model, at: datetime, usage: Usage, processing: Processing) -> Decimal | None:
        cost = price(CATALOG, model.id, at, usage, processing=processing)
        return None if cost is None else cost.total_usd * (2 if model.id in self.models else 1)

    def tables(self, model: Model, on: date) -> tuple[RateTable, RateTable | None] | None:
        return (NEW, None) if model.id in self.models and model.id != "openai/gpt-6-luna" else None


def few(*names: str) -> Catalog:
    rows = [CATALOG.get_model(name) for name in names]
    return replace(
        CATALOG, by_id={row.id: row for row in rows}, prices={row.id: CATALOG.prices[row.id] for row in rows}
    )


def synced(catalog: Catalog, source: NewList) -> tuple[tuple[Price, ...], tuple[str, ...]]:
    made, left = changes(catalog, [source], check(catalog, [source], TODAY), TODAY)
    return updated(catalog, made, left, TODAY), left


def test_the_shipped_file_is_what_would_be_written_again() -> None:
    text = (FOLDER / "prices.yaml").read_text(encoding="utf-8")
    rows = [row for group in CATALOG.prices.values() for row in group]

    assert rendered(head_of(text), rows) == text


def test_a_changed_price_becomes_a_new_row_and_the_old_one_stays() -> None:
    rows, left = synced(few("command-a"), NewList(frozenset({COMMAND})))

    assert left == ()
    assert [row.valid_from for row in rows] == [CATALOG.prices[COMMAND][0].valid_from, TODAY]
    assert rows[1].usd_per_mtok == NEW.usd_per_mtok
    assert (rows[1].source, rows[1].checked) == ("new list 2", TODAY)


def test_rows_that_agree_are_dated_and_retired_ones_are_not() -> None:
    rows, _ = synced(few("command-a", "claude-opus-4"), NewList(frozenset()))

    assert [row.checked for row in rows] == [TODAY, date(2026, 11, 21)]


def test_prices_by_the_hour_and_unknown_tables_are_left_to_people() -> None:
    rows, left = synced(
        few("deepseek-flash", "gpt-6-luna"), NewList(frozenset({DEEPSEEK, "openai/gpt-6-luna"}))
    )

    assert left == (DEEPSEEK, "openai/gpt-6-luna")
    assert {row.checked for row in rows} == {date(2026, 11, 21)}


def test_what_is_written_loads_again(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    made, left = changes(
        CATALOG,
        [NewList(frozenset({COMMAND}))],
        check(CATALOG, [NewList(frozenset({COMMAND}))], TODAY),
        TODAY,
    )
    rows = updated(CATALOG, made, left, TODAY)
    head = head_of((FOLDER / "prices.yaml").read_text(encoding="utf-8"))
    (tmp_path / "prices.yaml").write_text(rendered(head, rows), encoding="utf-8")
    again = load_catalog(tmp_path)

    assert [row for group in again.prices.values() for row in group] == list(rows)
    assert made[0].before == CATALOG.prices[COMMAND][0]


@pytest.mark.parametrize("source", ['a "quoted" list', "back\\slash"])
def test_a_source_with_quotes_survives(tmp_path: Path, source: str) -> None:
    row = CATALOG.prices[COMMAND][0].model_copy(update={"source": source})
    for file in FOLDER.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    head = head_of((FOLDER / "prices.yaml").read_text(encoding="utf-8"))
    (tmp_path / "prices.yaml").write_text(rendered(head, [row]), encoding="utf-8")

    assert load_catalog(tmp_path).prices[COMMAND][0].source == source
