"""The estimator is total, bounded and close; the exact count never touches the network."""

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiktoken import Encoding

from dynaroute_mcp import tokens
from dynaroute_mcp.ranks import RANKS, find_ranks, ranks_path
from dynaroute_mcp.tokens import estimate_marked, estimate_request, estimate_tokens, exact_tokens
from dynaroute_mcp.types import (
    ChatRequest,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

# Counted once with tiktoken 0.14, o200k_base.
COUNTED = (
    ("The ferry to the island leaves twice a day, except on Sundays, when it does not leave at all.", 22),
    ("def total(items):\n    return sum(item.price * item.count for item in items)\n", 17),
    ("请把下面这段话翻译成英文,并解释其中两个成语的意思。", 20),
    ("Привет! Подскажи, пожалуйста, как приготовить борщ без мяса?", 17),
)


def request(*parts: Part, tools: tuple[Tool, ...] = (), form: ResponseFormat | None = None) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", parts=parts),), tools=tools, response_format=form)


@pytest.mark.parametrize(("text", "count"), COUNTED)
def test_an_estimate_lies_within_a_quarter_of_the_count(text: str, count: int) -> None:
    assert abs(estimate_tokens(text) - count) <= 0.25 * count


def test_nothing_costs_nothing_and_a_blank_costs_one() -> None:
    assert (estimate_tokens(""), estimate_tokens(" ")) == (0, 1)


@given(st.text())
def test_any_string_has_an_estimate(text: str) -> None:
    assert estimate_tokens(text) >= bool(text)


def test_lone_surrogates_are_counted() -> None:
    assert estimate_tokens("\ud800\udfff") >= 1


def test_ten_megabytes_are_scaled_from_samples() -> None:
    line = "A sentence of eight words and one stop.\n"

    whole = estimate_tokens(line * 250_000)

    assert whole == pytest.approx(250_000 * estimate_tokens(line * 1000) / 1000, rel=0.02)


def test_a_picture_costs_a_flat_amount_whatever_its_bytes() -> None:
    small, large = (
        Image(data="A" * 40, media_type="image/png"),
        Image(data="A" * 40_000, media_type="image/png"),
    )

    assert estimate_request(request(small)) == estimate_request(request(large))
    assert estimate_request(request(Image(url="https://x.test/a.png", detail="low"))) < estimate_request(
        request(small)
    )


def test_a_text_file_is_counted_by_its_size_and_another_file_flat() -> None:
    text = Document(media_type="text/plain", data="A" * 1600)
    pdf = Document(media_type="application/pdf", data="A" * 1600)

    base = estimate_request(request())

    assert estimate_request(request(text)) - base == 300
    assert estimate_request(request(pdf)) - base == 3_000


def test_everything_that_is_sent_is_counted() -> None:
    word = "counterexample " * 20
    base = estimate_request(request())

    parts: tuple[Part, ...] = (
        Text(text=word),
        Reasoning(text=word),
        ToolCall(id="1", name="find", arguments=word),
        ToolResult(call_id="1", parts=(Text(text=word),)),
    )

    assert all(estimate_request(request(part)) >= base + 20 for part in parts)
    assert estimate_request(request(tools=(Tool(name="find", description=word),))) >= base + 20
    form = ResponseFormat(kind="schema", schema={"description": word})
    assert estimate_request(request(form=form)) >= base + 20


@pytest.mark.parametrize(
    ("marked", "behind"),
    [
        ("none", "all"),
        ("look", "list Be-kind. Say I-say more"),
        ("list", "Be-kind. Say I-say more"),
        ("Be-kind.", "Say I-say more"),
        ("Say", "I-say more"),
        ("I-say", "more"),
        ("more", ""),
    ],
)
def test_what_is_marked_ends_behind_the_last_mark(marked: str, behind: str) -> None:
    def text(word: str) -> Text:
        return Text(text=word, cache_ttl="5m" if word == marked else None)

    tools = tuple(Tool(name=name, cache_ttl="5m" if name == marked else None) for name in ("look", "list"))
    said: tuple[tuple[Role, str], ...] = (
        ("user", "Say"),
        ("assistant", "I-say"),
        ("system", "Be-kind."),
        ("user", "more"),
    )
    messages = tuple(Message(role=role, parts=(Reasoning(), text(word))) for role, word in said)
    asked = ChatRequest(messages=messages, tools=tools)
    rest = replace(
        asked,
        messages=tuple(message for message in messages if message.text in behind.split()),
        tools=tuple(tool for tool in tools if tool.name in behind.split()),
    )
    total, nothing = estimate_request(asked), estimate_request(ChatRequest(messages=()))

    expected = 0 if behind == "all" else total - (estimate_request(rest) - nothing)
    assert estimate_marked(asked, total) == expected
    assert estimate_marked(asked, 0) == 0


def test_without_ranks_on_disk_there_is_no_exact_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))

    assert exact_tokens("hello") is None
    assert exact_tokens("hello", "no_such_encoding") is None


def test_damaged_ranks_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    ranks_path("o200k_base").write_bytes(b"broken")

    assert find_ranks("o200k_base") is None
    assert exact_tokens("hello") is None


def test_a_text_beyond_the_limit_is_not_counted_exactly() -> None:
    assert exact_tokens("a" * (tokens.EXACT_MAX_CHARS + 1)) is None


def test_ranks_on_disk_count_exactly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Ranks of single bytes only: every byte is a token, whatever the pattern splits.
    ranks = "".join(f"{encoded} {rank}\n" for rank, encoded in enumerate(_single_bytes())).encode()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    expected = RANKS["cl100k_base"]._replace(sha256=hashlib.sha256(ranks).hexdigest())
    monkeypatch.setitem(RANKS, "cl100k_base", expected)
    monkeypatch.setattr(tokens, "_encoding", _byte_encoding)
    ranks_path("cl100k_base").write_bytes(ranks)

    assert exact_tokens("hello", "cl100k_base") == 5


def _single_bytes() -> list[str]:
    return [base64.b64encode(bytes([number])).decode() for number in range(256)]


def _byte_encoding(name: str) -> Encoding:
    ranks = {bytes([number]): number for number in range(256)}
    return Encoding(name, pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={})
