"""The choice as laws that hold in any world: filters, order, dominated models, chains and exclusions."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy_examples import (
    EVERYTHING,
    NOW,
    PROVIDERS,
    asking,
    labelled,
    model,
    price_row,
    situation,
    world,
)

from dynaroute_mcp.catalog import Catalog, Constraints, Model, Price, UsdPerMtok
from dynaroute_mcp.errors import ContextTooLong, NoCandidate
from dynaroute_mcp.health import Condition
from dynaroute_mcp.policy import Pin, Situation, choose, needs, retold
from dynaroute_mcp.settings import Rule, Settings
from dynaroute_mcp.taxonomy import Category, Level, Strategy
from dynaroute_mcp.types import Choice, Image, Parameters, ResponseFormat, Routing, Text, Tool

CENTS = st.integers(min_value=1, max_value=2_000).map(lambda cents: str(Decimal(cents) / 100))

FEW = settings(max_examples=25, deadline=None)
"""Each example is a whole world; more of them would take longer than a test may."""
RARELY = st.integers(0, 9).map(lambda number: number == 9)


CONDITIONS = st.builds(
    Condition,
    error_rate=st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.95]),
    lost_s=st.integers(0, 60).map(float),
    calls=st.just(40),
    failures=st.integers(0, 40),
    first_token_s=st.none() | st.integers(0, 100).map(lambda tenths: tenths / 10),
    token_s=st.none() | st.integers(0, 100).map(lambda thousandths: thousandths / 1000),
)


@st.composite
def models(draw: st.DrawFn, number: int) -> Model:
    provider = draw(st.sampled_from(sorted(PROVIDERS)))
    limits = Constraints(
        thinking_by_default=draw(st.booleans()),
        tools_need_effort_none=draw(st.booleans()),
    )
    return model(
        f"{provider}/m{number}",
        draw(st.none() | st.integers(0, 100).map(lambda points: points / 100)),
        context=draw(st.sampled_from([8_192, 32_000, 128_000])),
        capabilities=EVERYTHING - draw(st.sets(st.sampled_from(sorted(EVERYTHING)), max_size=1)),
        constraints=limits,
        retires_at=date(2026, 1, 1) if draw(RARELY) else date(2027, 1, 1),
    )


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    rows = [draw(models(number)) for number in range(draw(st.integers(2, 7)))]
    priced = [row for row in rows if draw(st.integers(0, 9))]
    return world(
        rows, [price_row(row.id, draw(CENTS), draw(CENTS), draw(st.none() | CENTS)) for row in priced]
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    catalog = draw(catalogs())
    ids = sorted(catalog.by_id)
    some_names = (
        st.sets(st.sampled_from([*ids, *PROVIDERS]), max_size=2) if draw(RARELY) else st.just(set[str]())
    )
    weights = draw(st.lists(st.integers(1, 9), min_size=5, max_size=5))
    request = replace(
        asking(
            *draw(st.sampled_from([(), (Image(url="https://example.test"), Text(text="what is it?"))])),
            parameters=Parameters(max_tokens=draw(st.none() | st.integers(1, 5_000))),
            routing=Routing(
                exclude=frozenset(draw(some_names)),
                max_cost_usd=draw(st.none() | CENTS.map(lambda cents: Decimal(cents) / 10)),
            ),
            named=draw(st.sampled_from(ids)) if draw(RARELY) else None,
        ),
        tools=draw(st.sampled_from([(), (Tool(name="f"),)])),
        response_format=draw(st.none() | st.just(ResponseFormat(kind="schema"))),
    )
    where = situation(
        catalog,
        label=labelled(
            draw(st.sampled_from(Category)),
            levels={level: weight / sum(weights) for level, weight in zip(Level, weights, strict=True)},
        ),
        request=request,
        strategy=draw(st.sampled_from(Strategy)),
        input_tokens=draw(st.sampled_from([1, 500, 6_000, 40_000])),
        settings=Settings(
            exclude=tuple(draw(some_names)),
            prefer=tuple(draw(some_names)),
            rules=tuple(Rule(category="*", model=name) for name in draw(some_names)),
        ),
    )
    return replace(
        where,
        usable=frozenset(draw(st.sets(st.sampled_from(sorted(PROVIDERS)), min_size=2))),
        cooling=dict.fromkeys(draw(some_names), 5.0),
        conditions=draw(st.dictionaries(st.sampled_from([*ids, *PROVIDERS]), CONDITIONS, max_size=4)),
        pin=draw(
            st.none() | st.builds(Pin, model_id=st.sampled_from(ids), warm_tokens=st.integers(0, 50_000))
        ),
        priced_only=draw(RARELY),
    )


def chosen(where: Situation) -> Choice | None:
    try:
        return choose(where)
    except (NoCandidate, ContextTooLong):
        return None


def excluded(where: Situation) -> set[str]:
    return {*where.request.routing.exclude, *where.settings.exclude}


@FEW
@given(situations())
def test_every_model_of_a_chain_passes_every_hard_filter(where: Situation) -> None:
    choice = chosen(where)
    if choice is None:
        return

    out, ceiling = excluded(where), where.ceiling_usd
    for candidate in choice.chain:
        row = where.catalog.by_id[candidate.model_id]
        assert not {row.id, row.provider} & out
        assert row.provider in where.usable
        assert not row.retired(NOW.date())
        assert needs(where.request).capabilities <= row.capabilities
        assert where.input_tokens + candidate.expected_output_tokens <= row.context_tokens
        assert candidate.max_output_tokens <= (where.request.parameters.max_tokens or 16_384)
        assert ceiling is None or (candidate.max_usd is not None and candidate.max_usd <= ceiling)
        assert not where.priced_only or candidate.expected_usd is not None
        assert (
            candidate.max_usd is None
            or candidate.expected_usd is None
            or (candidate.expected_usd <= candidate.max_usd)
        )


@FEW
@given(situations())
def test_a_chain_has_no_repeats_and_no_loser_is_the_winner(where: Situation) -> None:
    choice = chosen(where)
    if choice is None:
        return

    ids = [candidate.model_id for candidate in choice.chain]
    losers = [loser.model_id for loser in choice.losers]
    assert len(set(ids)) == len(ids) <= where.catalog.ladder.fallbacks + 1
    assert choice.winner.model_id not in losers
    assert len(set(losers)) == len(losers)
    assert set(ids[1:]) <= set(losers)


@FEW
@given(situations(), st.data())
def test_the_order_of_the_catalog_does_not_matter(where: Situation, data: st.DataObject) -> None:
    rows = data.draw(st.permutations(list(where.catalog.by_id.values())))
    turned = replace(where.catalog, by_id={row.id: row for row in rows})

    plain, other = chosen(where), chosen(replace(where, catalog=turned))

    assert plain == other
    if plain is not None and other is not None:
        assert (plain.losers, plain.turning_points) == (other.losers, other.turning_points)


@FEW
@given(situations())
def test_what_is_written_down_tells_the_losers_in_the_same_words(where: Situation) -> None:
    choice = chosen(where)
    if choice is None:
        return
    winner = choice.winner
    row = {
        "candidates": [{"quality": winner.quality, "expected_usd": _text(winner.expected_usd)}],
        "demanded_quality": choice.demanded_quality,
        "strategy": choice.strategy,
        "why": choice.explanation.facts,
    }
    told = retold(json.loads(json.dumps(row)))

    kept = [{"model": each.model_id, "reason": each.reason} for each in choice.losers[:20]]
    assert told["losers"] == kept
    assert told["more_losers"] == len(choice.losers) - len(kept)
    assert told["turning_points"] == list(choice.turning_points)
    for near, name in ((choice.cheaper, "cheaper"), (choice.better, "better")):
        assert (near and near.model_id) == (told[name] and told[name]["model"])
    assert retold(told) == told


def _text(usd: Decimal | None) -> str | None:
    return None if usd is None else str(usd)


@FEW
@given(situations(), st.integers(1, 30), st.integers(2, 5))
def test_a_dominated_model_changes_nothing(where: Situation, worse: int, dearer: int) -> None:
    before = chosen(where)
    if before is None or where.request.model:
        return
    original = where.catalog.by_id[before.chain[-1].model_id]
    double = _dominated(original, worse / 100)
    catalog = where.catalog.with_models([], [double])
    rows = catalog.prices.get(original.id, ())
    prices = {**catalog.prices, double.id: tuple(_dearer(row, double.id, dearer) for row in rows)}
    as_ill = {double.id: where.cooling[original.id]} if original.id in where.cooling else {}
    own = where.conditions.get(original.id)
    as_unwell = {double.id: own} if own is not None else {}
    after = chosen(
        replace(
            where,
            catalog=replace(catalog, prices=prices),
            cooling={**where.cooling, **as_ill},
            conditions={**where.conditions, **as_unwell},
        )
    )
    assert after is not None

    assert (after.winner, after.meets_demand, after.demanded_quality) == (
        before.winner,
        before.meets_demand,
        before.demanded_quality,
    )
    assert (after.cheaper, after.better, after.notes) == (before.cheaper, before.better, before.notes)


def _dominated(original: Model, worse: float) -> Model:
    quality = {
        skill: rating.model_copy(update={"value": max(0.0, rating.value - worse)})
        for skill, rating in original.quality.items()
    }
    new_id = f"{original.provider}/zz"
    return original.model_copy(update={"id": new_id, "wire_id": "zz", "name": new_id, "quality": quality})


def _dearer(row: Price, model_id: str, times: int) -> Price:
    rates = row.usd_per_mtok
    scaled = UsdPerMtok(
        input=rates.input * times,
        output=rates.output * times,
        cache_read=rates.cache_read * times if rates.cache_read is not None else None,
    )
    return row.model_copy(update={"model": model_id, "usd_per_mtok": scaled})


@FEW
@given(situations(), st.data())
def test_an_exclusion_always_wins(where: Situation, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(where.catalog.by_id)))
    insisting = replace(
        where,
        request=replace(where.request, model=data.draw(st.none() | st.just(name))),
        settings=Settings(rules=(Rule(category="*", model=name),), prefer=(name,), exclude=(name,)),
        pin=Pin(model_id=name, warm_tokens=10_000),
    )
    choice = chosen(insisting)

    assert choice is None or name not in [candidate.model_id for candidate in choice.chain]


@FEW
@given(situations())
def test_a_balanced_choice_is_the_cheapest_that_meets_the_demand(where: Situation) -> None:
    free = replace(where, pin=None, strategy=Strategy.BALANCED, settings=Settings(), conditions={})
    choice = chosen(free)
    if choice is None or not choice.meets_demand or choice.winner.expected_usd is None:
        return

    for rival in choice.chain:
        if rival.quality >= choice.demanded_quality and rival.expected_usd is not None:
            assert choice.winner.expected_usd <= rival.expected_usd
