"""The cases of `fault_matrix.yaml`, read and spread out over dialects and modes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict
from tests.providers.rawserver import DIALECTS, DialectName

Place = Literal["llmock", "raw", "nobody"]
Mode = Literal["whole", "stream", "tool", "http-whole", "http-stream"]
"""How it is asked: the core whole or as a stream, the tool, or the gateway over HTTP."""
Outcome = Literal["ok", "error", "broken"]
PLACES: tuple[Place, ...] = get_args(Place)


def _range(value: object) -> object:
    return [value, value] if isinstance(value, int) else value


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


Times = Annotated[tuple[int, int], BeforeValidator(_range)]


class Case(BaseModel):
    """One fault, and what must come of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    at: Place
    alone: bool = False
    dialects: tuple[DialectName, ...] = DIALECTS
    modes: tuple[Literal["whole", "stream"], ...] = ("whole", "stream")
    # llmock's own form of a behaviour, whose fields differ from one to the next
    faults: tuple[Mapping[str, Any], ...] = ()
    behind: tuple[Mapping[str, Any], ...] = ()
    raw: tuple[Mapping[str, Any], ...] = ()
    client: Annotated[tuple[Outcome, ...], BeforeValidator(_several)]
    code: str | None = None
    status: int | None = None
    primary: Times
    fallback: Times
    gap_s: float = 0.0
    within_s: float = 4.0
    rss_mib: int | None = None
    text: str | None = None
    any_text: bool = False
    finish: str = "stop"
    source: Annotated[tuple[str, ...], BeforeValidator(_several)] = ("provider", "estimated", "clamped")
    cost: Literal["zero", "positive"] | None = None
    alert: bool = False


@dataclass(frozen=True)
class Run:
    """One case in one dialect, asked for in one way."""

    case: Case
    dialect: DialectName
    mode: Mode

    @property
    def id(self) -> str:
        return f"{self.case.id}-{self.dialect}-{self.mode}"


@cache
def cases() -> tuple[Case, ...]:
    text = Path(__file__).with_name("fault_matrix.yaml").read_text(encoding="utf-8")
    return tuple(Case.model_validate(row) for row in yaml.safe_load(text)["cases"])


def runs() -> Iterator[Run]:
    """Every case in each dialect and mode, and once through each face, dialects and the gateway's modes in turn."""
    for number, case in enumerate(cases()):
        for dialect in case.dialects:
            for mode in case.modes:
                yield Run(case, dialect, mode)
        turn = case.dialects[number % len(case.dialects)]
        if "stream" in case.modes:
            yield Run(case, turn, "tool")
        over_http: Mode = "http-stream" if case.modes[number % len(case.modes)] == "stream" else "http-whole"
        yield Run(case, turn, over_http)
