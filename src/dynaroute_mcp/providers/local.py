"""The models of servers on this machine: found, tested once each, and trusted with what the test showed.

What a test showed is kept in a small file beside the database, so that no model is asked twice by the
processes that share it. A model that was not tested yet is trusted with what the settings say, level 1 unless
they say more.
"""

import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import anyio.to_thread
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from dynaroute_mcp.catalog import Model, Rating
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.discovery import Discovered
from dynaroute_mcp.providers.self_test import SelfTest
from dynaroute_mcp.taxonomy import Level

logger = logging.getLogger(__name__)

CLAIM_S: Final = 300.0
"""After so long a test that has shown nothing is taken to have died with its process."""
_ASK_AGAIN: Final = timedelta(days=1)
"""A model that did not answer its test is tested again after this."""
_MAX_FILE_BYTES: Final = 4 * 1024 * 1024
_MAX_NOTES: Final = 500
"""Newest notes that are kept."""


class Note(BaseModel):
    """What is known of one model at one server; without a result somebody is testing it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: AwareDatetime
    done: bool = False
    highest_level: Level | None = None
    took_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    output_tokens: Annotated[int, Field(ge=0)] = 0
    error: str | None = None

    @property
    def result(self) -> SelfTest:
        """What the test showed."""
        return SelfTest(
            highest_level=self.highest_level,
            took_s=self.took_s,
            output_tokens=self.output_tokens,
            error=self.error,
        )


class Notes:
    """The file. A file that can't be read or written costs a test, never an answer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Note]:
        """Read all notes; what is no note is left out."""
        try:
            if self.path.stat().st_size > _MAX_FILE_BYTES:
                return {}
            document = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        rows = document.get("models") if isinstance(document, dict) else None
        return {key: note for key, row in _items(rows) if (note := _note(row)) is not None}

    def write(self, key: str, note: Note) -> None:
        """Add or replace one note; the file appears whole, and only its owner reads it."""
        notes = {**self.read(), key: note}
        newest = sorted(notes.items(), key=lambda pair: pair[1].at)[-_MAX_NOTES:]
        rows = {name: each.model_dump(mode="json", exclude_none=True) for name, each in newest}
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"version": 1, "models": rows}, file, indent=1)
            partial.replace(self.path)
        except OSError as error:
            logger.warning("a self-test can't be remembered", extra={"reason": type(error).__name__})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model of a server on this machine, and what is known of it."""

    endpoint: Endpoint
    model: Model
    key: str
    """What the file calls it: the server, the name, and what its content is told by."""
    note: Note | None = None
    """`None` until it was tested."""


class LocalModels:
    """What was found on this machine. One per process."""

    def __init__(
        self,
        *,
        look: Callable[[], Awaitable[Sequence[Discovered]]],
        ask: Callable[[Endpoint, Model], Awaitable[SelfTest]],
        notes: Notes,
        demand: Mapping[Level, float],
        untested: int,
        clock: Callable[[], datetime],
    ) -> None:
        """Take what is needed.

        Args:
            look: finds servers.
            ask: tests one model.
            notes: remembers.
            demand: quality that each level demands.
            untested: highest level that an untested model is trusted with; 0 for none.
            clock: aware UTC now.
        """
        self._look = look
        self._ask = ask
        self._notes = notes
        self._demand = demand
        self._untested = untested
        self._clock = clock
        self._found: dict[str, LocalModel] = {}

    @property
    def found(self) -> Sequence[LocalModel]:
        """Every model, in the order in which it was found."""
        return tuple(self._found.values())

    async def find(self) -> tuple[Discovered, ...]:
        """Look for servers; their models are rated by what earlier tests showed."""
        servers = await self._look()
        if not servers:
            return ()
        notes = await anyio.to_thread.run_sync(self._notes.read)
        for server in servers:
            endpoint = Endpoint(provider=server.provider, base_url=server.provider.base_url)
            for model in server.models:
                key = " ".join((endpoint.base_url, model.wire_id, server.fingerprints.get(model.id, "")))
                known = notes.get(key)
                note = known if known is not None and known.done else None
                self._found[model.id] = LocalModel(
                    endpoint=endpoint, model=self._rated(model, note), key=key, note=note
                )
        return tuple(
            replace(server, models=tuple(self._found[model.id].model for model in server.models))
            for server in servers
        )

    async def test(self, *, again: bool = False, most: int | None = None) -> AsyncIterator[LocalModel]:
        """Test models one after the other and give each one out with what it showed.

        Args:
            again: also those that were tested before.
            most: so many at most; `None` tests all.
        """
        left = len(self._found) if most is None else most
        for local in self.found:
            if left <= 0:
                return
            if not again and not await self._is_due(local):
                continue
            left -= 1
            yield await self._tested(local)

    async def _is_due(self, local: LocalModel) -> bool:
        """Tell whether nobody has tested a model, nor is about to."""
        note = (await anyio.to_thread.run_sync(self._notes.read)).get(local.key)
        if note is None:
            return True
        since = self._clock() - note.at
        if not note.done:
            return since.total_seconds() > CLAIM_S
        if local.note is None:  # another process has tested it meanwhile
            self._learn(local, note)
        return note.error is not None and since > _ASK_AGAIN

    async def _tested(self, local: LocalModel) -> LocalModel:
        await anyio.to_thread.run_sync(self._notes.write, local.key, Note(at=self._clock()))
        shown = await self._ask(local.endpoint, local.model)
        note = Note(
            at=self._clock(),
            done=True,
            highest_level=shown.highest_level,
            took_s=shown.took_s,
            output_tokens=shown.output_tokens,
            error=shown.error,
        )
        await anyio.to_thread.run_sync(self._notes.write, local.key, note)
        return self._learn(local, note)

    def _learn(self, local: LocalModel, note: Note) -> LocalModel:
        known = replace(local, model=self._rated(local.model, note), note=note)
        self._found[local.model.id] = known
        return known

    def _rated(self, model: Model, note: Note | None) -> Model:
        """Trust a model with the level that its test showed, or with what the settings say before any test."""
        level: int = self._untested if note is None else (note.highest_level or 0)
        if note is None:
            told = f"not tested yet: trusted with level {level} at most"
            on = self._clock().date()
        elif note.error is not None:
            told, on = "did not answer its self-test: asked for last", note.at.date()
        else:
            told, on = f"self-test of {note.at.date()}: level {level}", note.at.date()
        value = self._demand[Level(level)] if level else 0.0
        rating = Rating(value=value, source=told, as_of=on)
        return model.model_copy(update={"quality": {"text": rating}, "note": told})


def _items(rows: object) -> list[tuple[str, object]]:
    return [(key, row) for key, row in rows.items()] if isinstance(rows, dict) else []


def _note(row: object) -> Note | None:
    try:
        return Note.model_validate(row)
    except ValidationError:
        return None
