"""The JSON contract: rounding, unknowns, what is left out, and strings that every wire carries."""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from tests.scripted import ASK, Script, Time, failure, scripted_core, settings

from dynaroute_mcp.accounts import LOCAL, KeyStatus, Terms
from dynaroute_mcp.errors import ProviderUnavailable
from dynaroute_mcp.mcp_server import wording
from dynaroute_mcp.results import (
    Classified,
    CostQuote,
    CostSavings,
    KeyList,
    ModelList,
    RoutedPrompt,
    UsageSummary,
    VerifiedKey,
    encodable,
    iso,
    short,
)
from dynaroute_mcp.results.answers import SHOWN_LOSERS
from dynaroute_mcp.results.base import dollars, pct, share_pct, usd
from dynaroute_mcp.results.keys import SHOWN_KEYS
from dynaroute_mcp.taxonomy import Category, Level
from dynaroute_mcp.types import Classification, Loser, Unexplained, Usage

texts = st.text(st.characters(exclude_categories=()), max_size=50)
json_like = st.recursive(
    texts | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
amounts = st.decimals(-1_000_000, 1_000_000, places=12)


# ---------------------------------------------------------------- figures


@given(amounts)
def test_dollars_leave_with_six_decimals(amount: Decimal) -> None:
    assert abs(Decimal(str(dollars(amount))) - amount) <= Decimal("0.0000005")
    assert dollars(amount) == round(dollars(amount), 6)


def test_an_unknown_price_stays_unknown() -> None:
    assert usd(None) is None
    assert usd(Decimal(0)) == 0.0


def test_halves_go_to_the_even_neighbour() -> None:
    assert (dollars(Decimal("0.0000005")), dollars(Decimal("0.0000015"))) == (0.0, 0.000002)
    assert (pct(Decimal("74.165")), pct(Decimal("-74.175"))) == (74.16, -74.18)


def test_a_share_of_nothing_is_nothing() -> None:
    assert share_pct(Decimal(0), Decimal(0)) == 0.0
    assert share_pct(Decimal("-0.0045"), Decimal("0.006")) == -75.0


def test_times_leave_in_utc_with_a_z() -> None:
    there = datetime(2026, 11, 22, 1, 30, 59, 999_999, tzinfo=timezone(timedelta(hours=2)))

    assert iso(there) == "2026-11-21T23:30:59Z"


@pytest.mark.parametrize(
    ("model_id", "name"),
    [("openai/gpt-4.1", "gpt-4.1"), ("groq/openai/gpt-oss-120b", "openai/gpt-oss-120b"), ("bare", "bare")],
)
def test_a_models_name_is_its_id_without_the_provider(model_id: str, name: str) -> None:
    assert short(model_id) == name


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0.00155, "$0.00155"),
        (0.0, "$0.00"),
        (12.5, "$12.50"),
        (1e-06, "$0.000001"),
        (-0.25, "-$0.25"),
        (None, "an unknown price"),
    ],
)
def test_money_is_said_as_people_write_it(amount: float | None, words: str) -> None:
    assert wording.money(amount) == words


# ---------------------------------------------------------------- strings


@given(json_like)
def test_whatever_leaves_can_be_encoded(value: object) -> None:
    cleaned = encodable(value)

    json.dumps(cleaned, ensure_ascii=False).encode()
    assert encodable(cleaned) == cleaned


@given(st.text())
def test_text_that_can_be_encoded_is_left_alone(value: str) -> None:
    assert encodable(value) == value


def test_halves_of_a_pair_find_each_other_and_a_lone_one_is_replaced() -> None:
    assert encodable("\ud83d\ude00 \ud83d") == "😀 \ufffd"


# ---------------------------------------------------------------- labels and answers


def label() -> Classification:
    categories = {Category.LAW: 0.61239, Category.HISTORY: 0.3, Category.FACTS: 0.08, Category.LOGIC: 0.00761}
    return Classification(
        categories={**dict.fromkeys(Category, 0.0), **categories},
        levels={Level.L1: 0.1, Level.L2: 0.2, Level.L3: 0.4, Level.L4: 0.2, Level.L5: 0.1},
        signals=("names a statute",),
    )


def test_a_label_shows_the_three_runners_up() -> None:
    result = Classified.of(replace(label(), difficulty=0.12345))

    assert result.payload() == snapshot(
        {
            "category": "Law",
            "level": 3,
            "complexity": "L3",
            "level_description": "Complex synthesis & system design",
            "cost_tier": "Medium",
            "confidence": 0.6124,
            "classifier": "L1",
            "alternatives": [
                {"category": "History", "score": 0.3},
                {"category": "Facts", "score": 0.08},
                {"category": "Logic", "score": 0.0076},
            ],
            "signals": ["names a statute"],
            "difficulty": 0.1235,
        }
    )
    assert wording.classified(result) == snapshot(
        "Law, level 3 of 5 (Complex synthesis & system design; cost tier Medium), confidence 0.61. Else: History 0.30, Facts 0.08, Logic 0.01. Signals: names a statute. Difficulty 0.12."
    )


async def test_an_answer_without_a_price_shows_null_and_says_so(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path), Script()) as core:
        answer = await core.router.complete(ASK, LOCAL)
    bare = replace(
        answer, cost=None, gpt41=None, recorded=False, truncated=True, sandbox=True, notes=("Mind this.",)
    )
    estimated = replace(
        bare,
        completion=replace(
            bare.completion, dropped=("seed",), usage=Usage(output_tokens=5, source="estimated")
        ),
    )

    result = RoutedPrompt.of(estimated)

    assert set(result.payload()["cost"].values()) == {None}
    assert result.payload()["usage"]["estimated"] is True
    told = wording.routed(result)
    for words in (
        "an unknown price",
        "about 0 + 5 tokens",
        "simulated by the sandbox",
        "cut at the deadline",
        "not recorded",
        "seed",
        "Mind this.",
    ):
        assert words in told


async def test_every_attempt_is_shown_with_its_reason(tmp_path: Path) -> None:
    script = Script()
    async with scripted_core(settings(tmp_path), script) as core:
        decision = await core.router.choose(ASK, LOCAL)
        winner = decision.choice.winner.model_id
        script.failures[winner] = [failure(ProviderUnavailable, status=503)] * 2
        answer = await core.router.complete(ASK, LOCAL)

    attempts = RoutedPrompt.of(answer).payload()["routing"]["attempts"]

    assert [each["outcome"] for each in attempts] == ["provider_unavailable", "provider_unavailable", "ok"]
    assert (attempts[0]["status"], attempts[0]["message"]) == (503, "it failed")
    assert "message" not in attempts[-1]


async def test_a_decision_shows_its_neighbours_and_bounds_its_losers(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        decision = await core.router.choose(ASK, LOCAL)
    many = tuple(Loser(model_id=f"x/{number}", reason="no key") for number in range(500))
    other = decision.choice.chain[-1]
    told = Unexplained(losers=many, cheaper=other, better=other)
    rich = replace(decision, choice=replace(decision.choice, explanation=told))
    poor = replace(
        decision,
        choice=replace(decision.choice, explanation=Unexplained(), chain=decision.choice.chain[:1]),
    )

    shown, plain = RoutedPrompt.of_decision(rich), RoutedPrompt.of_decision(poor)

    assert len(shown.payload()["losers"]) == SHOWN_LOSERS
    assert shown.payload()["cheaper"]["model"] == short(other.model_id)
    assert not {"cheaper", "better", "response", "usage", "cost"} & plain.payload().keys()
    assert f"Better: {short(other.model_id)} at" in wording.routed(shown)
    assert "If it fails" not in wording.routed(plain)


# ---------------------------------------------------------------- keys


async def test_an_expired_key_says_since_when(tmp_path: Path) -> None:
    time = Time()
    async with scripted_core(settings(tmp_path), time=time) as core:
        expires_at = time.now() + timedelta(hours=1)
        new = await core.accounts.generate_key("alice", terms=Terms(expires_at=expires_at))
        working = VerifiedKey.of(await core.accounts.verify_key(new.secret))
        time.passed_s = 7_200
        expired = VerifiedKey.of(await core.accounts.verify_key(new.secret))

    assert working.expires_at == iso(expires_at)
    assert f"Expires {iso(expires_at)}" in wording.verified(working)
    assert expired.payload() == {"valid": False, "status": "expired", "expires_at": iso(expires_at)}
    assert wording.verified(expired).startswith("Not valid: expired")


async def test_a_long_list_shows_the_newest_and_counts_all(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        row = (await core.accounts.generate_key("alice", sandbox=True)).row
    keys = [KeyStatus(state="active", row=replace(row, key_id=f"key_{n}")) for n in range(SHOWN_KEYS + 5)]

    result = KeyList.of("alice", keys)

    assert (result.count, result.truncated, len(result.keys)) == (SHOWN_KEYS + 5, True, SHOWN_KEYS)
    assert result.keys[-1].key_id == f"key_{SHOWN_KEYS + 4}"
    assert f"alice has {SHOWN_KEYS + 5} keys (the newest {SHOWN_KEYS} shown)" in wording.listed(result)
    assert wording.listed(KeyList.of("bob", [])) == "bob has no keys."


def test_keys_that_cannot_be_read_are_counted_beside_the_others() -> None:
    result = KeyList.of("bob", [KeyStatus(state="unreadable")] * 2)

    assert (result.count, result.payload()["unreadable"]) == (0, 2)
    assert "unreadable" not in KeyList.of("bob", []).payload()
    assert wording.listed(result).endswith("2 more can't be read and work nowhere; DynaRoute's log says why.")


async def test_a_test_key_is_told_to_be_one(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        secret = (await core.accounts.generate_key("alice", sandbox=True)).secret
        result = VerifiedKey.of(await core.accounts.verify_key(secret))

    assert result.sandbox
    assert "test key (sandbox only)" in wording.verified(result)


# ---------------------------------------------------------------- prices and books


async def test_a_quote_without_a_price_is_null_and_never_zero(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        quote = replace(core.reports.quote("gpt-4.1", 1, 1), cost=None, gpt41=None)
        (listing, *_) = await core.reports.models()

    result, savings = CostQuote.of(quote, "asked"), CostSavings.of(quote, "asked", None)
    unpriced = ModelList.of([replace(listing, rates=None)], limit=5, full=True)

    assert (result.input_cost, result.total_cost, result.savings, result.gpt41_equivalent_cost) == (None,) * 4
    assert "an unknown price" in wording.quoted(result)
    assert (savings.actual_cost, savings.savings_percentage) == (None, None)
    row = unpriced.payload()["models"][0]
    assert (row["input_cost_per_million"], row["cached_input_cost_per_million"]) == (None, None)
    assert "an unknown price in" in wording.models(unpriced)


async def test_a_summary_says_what_is_in_no_sum(tmp_path: Path) -> None:
    async with scripted_core(settings(tmp_path)) as core:
        summary = await core.reports.usage(LOCAL)
        subscription = await core.accounts.subscription(LOCAL)
    odd = replace(summary, total=replace(summary.total, requests=3, unpriced=2), sandbox=True)

    result = UsageSummary.of(odd, subscription, simulated=3)

    assert (result.simulated_requests, result.savings_percentage) == (0, 0.0)
    told = wording.summed(result)
    assert "2 requests have no known price or end and are in no sum." in told
    assert "simulated by the sandbox" in told
