"""Local models: tested once each, remembered beside the database, trusted with what the test showed."""

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from tests.policy_examples import SHIPPED
from tests.scripted import START
from tests.test_availability import LLAMA, OLLAMA

from dynaroute_mcp.catalog import Model
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.discovery import Discovered
from dynaroute_mcp.providers.local import CLAIM_S, LocalModels, Note, Notes
from dynaroute_mcp.providers.self_test import SelfTest
from dynaroute_mcp.taxonomy import Level

DEMAND = SHIPPED.ladder.demand
QWEN = LLAMA.model_copy(update={"id": "ollama/qwen", "wire_id": "qwen", "name": "qwen"})
GOOD = SelfTest(highest_level=Level.L2, took_s=2.0, output_tokens=60)


@dataclass
class World:
    """A machine with one server, and tests that show what they are told."""

    folder: Path
    servers: tuple[Discovered, ...] = (
        Discovered(provider=OLLAMA, models=(LLAMA, QWEN), fingerprints={LLAMA.id: "sha256:1"}),
    )
    shown: dict[str, SelfTest] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    passed: timedelta = timedelta()

    async def look(self) -> Sequence[Discovered]:
        return self.servers

    async def ask(self, endpoint: Endpoint, model: Model) -> SelfTest:
        assert endpoint.base_url == OLLAMA.base_url
        self.asked.append(model.wire_id)
        return self.shown.get(model.id, GOOD)

    def process(self, untested: int = 1) -> LocalModels:
        """A process of its own on this machine."""
        return LocalModels(
            look=self.look,
            ask=self.ask,
            notes=Notes(self.folder / "below" / "local.json"),
            demand=DEMAND,
            untested=untested,
            clock=lambda: START + self.passed,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def examined(local: LocalModels, *, again: bool = False, most: int | None = None) -> list[str]:
    return [each.model.wire_id async for each in local.test(again=again, most=most)]


async def quality(local: LocalModels, model_id: str) -> float:
    (server,) = await local.find()
    return next(row.quality["text"].value for row in server.models if row.id == model_id)


async def test_before_its_test_a_model_is_trusted_with_level_1_and_says_so(world: World) -> None:
    (server,) = await world.process().find()

    assert server.models[0].quality["text"].value == DEMAND[Level.L1]
    assert server.models[0].note == "not tested yet: trusted with level 1 at most"


@pytest.mark.parametrize(("untested", "value"), [(0, 0.0), (3, DEMAND[Level.L3])])
async def test_the_settings_may_trust_an_untested_model_more_or_less(
    world: World, untested: int, value: float
) -> None:
    assert await quality(world.process(untested), LLAMA.id) == value


async def test_a_test_shows_level_and_speed_and_is_remembered_by_every_process(world: World) -> None:
    first = world.process()
    await first.find()
    assert await examined(first) == ["llama3", "qwen"]

    second = world.process()
    assert await quality(second, LLAMA.id) == DEMAND[Level.L2]
    assert await examined(second) == []
    assert world.asked == ["llama3", "qwen"]
    assert second.found[0].model.note == "self-test of 2026-11-22: level 2"
    assert second.found[0].note is not None
    assert second.found[0].note.result == GOOD


async def test_a_model_that_changed_under_its_name_is_tested_anew(world: World) -> None:
    first = world.process()
    await first.find()
    await examined(first)
    world.servers = (Discovered(provider=OLLAMA, models=(LLAMA,), fingerprints={LLAMA.id: "sha256:2"}),)
    second = world.process()

    assert await quality(second, LLAMA.id) == DEMAND[Level.L1]
    assert await examined(second) == ["llama3"]


async def test_a_model_that_solves_nothing_or_does_not_answer_is_asked_for_last(world: World) -> None:
    world.shown = {
        LLAMA.id: SelfTest(highest_level=None, took_s=1.0, output_tokens=5),
        QWEN.id: SelfTest(highest_level=None, error="it timed out"),
    }
    local = world.process()
    await local.find()
    await examined(local)

    assert [each.model.quality["text"].value for each in local.found] == [0.0, 0.0]
    assert local.found[1].model.note == "did not answer its self-test: asked for last"
    assert local.found[1].note is not None
    assert local.found[1].note.result.tokens_per_s is None

    world.passed = timedelta(hours=23)
    assert await examined(local) == []
    world.passed = timedelta(hours=25)
    assert await examined(local) == ["qwen"]


async def test_tests_can_be_made_again_and_a_few_at_a_time(world: World) -> None:
    local = world.process()
    await local.find()

    assert await examined(local, most=1) == ["llama3"]
    assert await examined(local, most=1) == ["qwen"]
    assert await examined(local, most=1) == []
    assert await examined(local, again=True) == ["llama3", "qwen"]


async def test_what_another_process_is_testing_or_has_tested_is_left_to_it(world: World) -> None:
    first, second = world.process(), world.process()
    await first.find()
    await second.find()
    running = first.test()
    await anext(running)
    Notes(world.folder / "below" / "local.json").write(second.found[1].key, Note(at=START))

    assert await examined(second) == []
    assert second.found[0].model.quality["text"].value == DEMAND[Level.L2]

    world.passed = timedelta(seconds=CLAIM_S + 1)
    assert await examined(second) == ["qwen"]
    assert isinstance(running, AsyncGenerator)
    await running.aclose()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "nonsense", '{"models": 3}', '{"models": {"a": 1, "b": {"at": "x"}}}', "[" * 100_000],
)
async def test_a_file_that_means_nothing_costs_a_test_and_no_answer(world: World, content: str) -> None:
    notes = world.folder / "below" / "local.json"
    notes.parent.mkdir()
    notes.write_text(content, encoding="utf-8")
    local = world.process()

    assert await quality(local, LLAMA.id) == DEMAND[Level.L1]
    assert await examined(local, most=1) == ["llama3"]
    assert len(json.loads(notes.read_text(encoding="utf-8"))["models"]) == 1


async def test_a_file_that_is_far_too_large_is_not_read(world: World) -> None:
    notes = world.folder / "local.json"
    with notes.open("wb") as file:
        file.truncate(5 * 1024 * 1024)

    assert Notes(notes).read() == {}


async def test_where_nothing_can_be_written_the_test_still_counts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    (world.folder / "below").write_text("a file in the way", encoding="utf-8")
    local = world.process()
    await local.find()

    assert await examined(local, most=1) == ["llama3"]
    assert local.found[0].model.quality["text"].value == DEMAND[Level.L2]
    assert "can't be remembered" in caplog.text


async def test_only_the_newest_notes_are_kept(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "local.json")
    old = {f"k{n}": Note(at=START + timedelta(seconds=n), done=True) for n in range(500)}
    rows = {key: note.model_dump(mode="json") for key, note in old.items()}
    notes.path.write_text(json.dumps({"models": rows}), encoding="utf-8")
    notes.write("new", Note(at=START + timedelta(days=1)))

    kept = notes.read()
    assert (len(kept), "new" in kept, "k0" in kept) == (500, True, False)
    assert notes.path.stat().st_mode & 0o077 == 0


async def test_without_a_server_nothing_is_read(world: World) -> None:
    world.servers = ()
    local = world.process()

    assert await local.find() == ()
    assert local.found == ()
