"""A wrong label can be corrected from the shell and over HTTP; a prompt is kept only where its owner says so."""

import json
from pathlib import Path

import pytest
from tests.faces.gateway_door import ADMIN, door
from tests.faces.shell import Shell

from dynaroute_mcp.corrections import MAX_TEXT_CHARS, fingerprint


def asked(shell: Shell, prompt: str = "Tell me about tides") -> str:
    result = shell("route", prompt, "--json")
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["request_id"])


def test_a_correction_keeps_the_digest_and_both_labels_but_not_the_prompt(tmp_path: Path) -> None:
    shell = Shell(tmp_path)

    added = shell("feedback", asked(shell), "Tell me about  TIDES", "--category", "physics", "--json")

    row = json.loads(added.stdout)
    assert row["digest"] == fingerprint("tell me about tides").hex()[:16]
    assert (row["predicted_category"], row["category"]) == ("Code Generation", "Physics")
    assert (row["predicted_level"], row["level"], row["text"]) == (1, 1, None)
    assert "tides" not in (tmp_path / "dynaroute.db").read_bytes().decode("latin-1").lower()


def test_a_prompt_from_stdin_is_kept_when_its_owner_says_so(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    request = asked(shell)

    told = shell("feedback", "add", request, "-", "--level", "3", "--keep-text", stdin="Tell me about tides")
    listed = shell("feedback", "list", "--json")

    assert "Code Generation, level 1 should be Code Generation, level 3" in told.stdout
    assert json.loads(listed.stdout)["feedback"][0]["text"] == "Tell me about tides"


def test_an_empty_list_of_corrections_says_how_one_is_made(tmp_path: Path) -> None:
    told = Shell(tmp_path)("feedback", "list").stdout

    assert told == "nothing was corrected yet; `dynaroute feedback REQUEST_ID PROMPT` does it\n"


def test_what_was_corrected_is_listed_and_exported_oldest_first(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    for category in ("Physics", "Geography"):
        assert shell("feedback", asked(shell), "Tell me", "--category", category).exit_code == 0

    table, exported = shell("feedback", "list"), shell("feedback", "export")

    assert table.stdout.index("Geography") < table.stdout.index("Physics")
    rows = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [row["category"] for row in rows] == ["Physics", "Geography"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("req_000000000000000000000000", "Hello", "--level", "2"), "no request 'req_0"),
        (("req_000000000000000000000000", "Hello"), "the right category, the right level"),
        (("req_000000000000000000000000", " ", "--level", "2"), "give the prompt"),
        (("req_000000000000000000000000", "Hello", "--category", "Chess"), "Chess"),
        (("nothing",), "'nothing' is no request id: that begins with req_"),
        (("lst", "Hello"), "nor is it one of add, list, export"),
        ((), "Correct a label"),
    ],
)
def test_a_correction_that_makes_no_sense_is_refused_in_words(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = Shell(tmp_path)("feedback", *arguments)

    assert result.exit_code != 0
    assert said in result.output


def test_a_prompt_too_long_to_fit_on_is_not_kept(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    options = ("--level", "2", "--keep-text")

    result = shell("feedback", asked(shell), "-", *options, stdin="x" * (MAX_TEXT_CHARS + 1))

    assert result.exit_code != 0
    assert "is not kept" in result.output


async def test_an_owner_corrects_own_requests_only_and_the_operator_everybodys(tmp_path: Path) -> None:
    async with door(tmp_path) as at:
        request = (await at.chat()).headers["X-DynaRoute-Request-ID"]
        body = {"request_id": request, "prompt": "Hello", "category": "Miscellaneous", "keep_text": True}
        stranger = at.speaker(await at.key_for("bob"))

        mine = await at.client.post("/v1/feedback", json=body)
        theirs = await stranger.post("/v1/feedback", json=body)
        operators = await at.speaker(ADMIN).post("/v1/feedback", json=body | {"category": None, "level": 2})

        assert mine.status_code == 201
        assert mine.json()["category"] == "Miscellaneous"
        assert mine.json()["text"] == "Hello"
        assert theirs.status_code == 404
        assert operators.json()["level"] == 2
        assert [row.right_level for row in await at.core.store.list_feedback()] == [2]
