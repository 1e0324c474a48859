"""The check of prices against other lists: what differs is found on its day, and an excuse ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from dynaroute_mcp.catalog import Catalog, Model, Override, load_catalog, load_overrides
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.pricing import Processing, price
from dynaroute_mcp.pricing.check import check
from dynaroute_mcp.types import Usage

FOLDER = Path(__file__).parents[1] / "catalog"
CATALOG = load_catalog(FOLDER)
TODAY = date(2026, 11, 22)


def narrowed(*names: str) -> Catalog:
    rows = [CATALOG.get_model(name) for name in names]
    return replace(CATALOG, by_id={row.id: row for row in rows})


@dataclass(frozen=True)
class Mirror:
    """A list that agrees with ours, but for the factors that a test puts on some models from a day on."""

    factors: Mapping[str, Decimal] = field(default_factory=dict)
    since: date = date.min
    unknown: frozenset[str] = frozenset()
    name: str = "mirror 1"

    def total_usd(self, model: Model, at: datetime, usage: Usage, processing: Processing) -> Decimal | None:
        cost = price(CATALOG, model.id, at, usage, processing=processing)
        if cost is None or model.id in self.unknown:
            return None
        return cost.total_usd * (self.factors.get(model.id, Decimal(1)) if at.date() >= self.since else 1)


def test_lists_that_agree_leave_nothing_to_say() -> None:
    found = check(CATALOG, [Mirror()], TODAY)

    assert (found.drifts, found.missing, found.exit_code, found.stale) == ((), (), 0, False)
    assert found.compared > 900


def test_a_price_that_differs_is_told_with_both_figures_and_sources() -> None:
    mirror = Mirror(factors={"cohere/command-a-03-2025": Decimal("1.1")})
    found = check(narrowed("command-a"), [mirror], TODAY)
    output = next(drift for drift in found.drifts if drift.what == "output")

    assert found.exit_code == 1
    assert (output.ours_usd_per_mtok, output.theirs_usd_per_mtok) == (Decimal(10), Decimal(11))
    assert output.source.startswith("genai-prices")
    assert output.reference == "mirror 1"


def test_an_announced_price_is_compared_on_its_day() -> None:
    mirror = Mirror(factors={"gemini/gemini-4-argon": Decimal(2)}, since=date(2026, 12, 1))
    found = check(narrowed("gemini-4-argon"), [mirror], TODAY)

    assert {drift.on for drift in found.drifts} == {date(2026, 12, 1)}


def test_a_peak_hour_is_compared_on_a_working_day() -> None:
    mirror = Mirror(factors={"deepseek/deepseek-flash": Decimal(2)}, since=date(2026, 11, 23))
    found = check(narrowed("deepseek-flash"), [mirror], date(2026, 11, 20))

    assert {drift.on for drift in found.drifts} == {date(2026, 11, 23)}


def test_the_next_list_is_asked_when_the_first_does_not_know() -> None:
    ignorant = Mirror(unknown=frozenset({"openai/gpt-6-luna"}), name="ignorant")
    found = check(narrowed("gpt-6-luna"), [ignorant, Mirror()], TODAY)

    assert found.compared > 0
    assert check(narrowed("gpt-6-luna"), [ignorant], TODAY).missing == ("openai/gpt-6-luna",)


def test_a_price_that_only_the_other_list_knows_is_a_difference() -> None:
    model = CATALOG.get_model("gpt-6-luna")
    rows = CATALOG.prices[model.id]
    cut = replace(
        narrowed("gpt-6-luna"),
        prices={model.id: tuple(row.model_copy(update={"batch": None}) for row in rows)},
    )

    assert check(cut, [Mirror()], TODAY).exit_code == 0
    unpriced = replace(cut, prices={})
    assert check(unpriced, [Mirror()], TODAY).compared == 0


def test_retired_models_are_not_compared() -> None:
    assert check(narrowed("claude-opus-4"), [Mirror()], TODAY).compared == 0


def test_an_override_forgives_until_its_day_and_says_when_it_is_over() -> None:
    mirror = Mirror(factors={"cohere/command-a-03-2025": Decimal("1.1")})
    excuse = Override(model="cohere/command-a-03-2025", reason="our contract", expires=date(2026, 12, 1))
    catalog = narrowed("command-a")

    before = check(catalog, [mirror], TODAY, [excuse])
    after = check(catalog, [mirror], date(2026, 12, 1), [excuse])
    partly = check(catalog, [mirror], TODAY, [excuse.model_copy(update={"what": "output"})])
    assert (before.exit_code, before.drifts[0].excuse, before.expired) == (0, "our contract", ())
    assert (after.exit_code, after.expired) == (1, (excuse,))
    assert {drift.what for drift in partly.drifts if drift.excuse} == {"output"}
    assert partly.exit_code == 1


def test_old_checks_are_stale() -> None:
    assert not check(narrowed("command-a"), [Mirror()], date(2027, 1, 5)).stale
    assert check(narrowed("command-a"), [Mirror()], date(2027, 1, 6)).stale
    assert check(replace(CATALOG, by_id={}, prices={}), [Mirror()], TODAY).stale


def test_the_shipped_overrides_load_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    assert all(row.expires > date(2026, 11, 22) for row in load_overrides())

    (tmp_path / "overrides.yaml").write_text(
        "overrides: [{model: openai/gpt-4.1, reason: x}]", encoding="utf-8"
    )
    with pytest.raises(ConfigurationInvalid, match=r"overrides\.yaml: overrides\[openai/gpt-4\.1\]\.expires"):
        load_overrides(tmp_path)
