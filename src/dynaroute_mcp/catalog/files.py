"""The catalog's files on disk: what each holds, and how a user's overlay is laid over them."""

import hashlib
from collections.abc import Mapping, Set
from datetime import date
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, ValidationError

from dynaroute_mcp.catalog.schema import (
    Baseline,
    Calendar,
    Constraints,
    Ladder,
    Model,
    Name,
    Note,
    Override,
    Plan,
    Price,
    Provider,
    Row,
    Skill,
)
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.plain_yaml import Plain, complaint, read_yaml
from dynaroute_mcp.taxonomy import Category

Weight = Annotated[float, Field(gt=0, le=1)]
Elo = Annotated[int, Field(ge=500, le=3000)]


class RatedRow(Row):
    """One model on the public boards, under the name that it has there."""

    model: Name
    board_name: Name
    scores: Mapping[Skill, Elo]


class EstimateRow(Row):
    """A model that no board rates, and the one whose rating it gets."""

    model: Name
    like: Name
    """A model of ours, or a name in `references`."""
    why: Note


class SkillsFile(Row):
    """What the skills mean, how a rating becomes a quality, and what each category asks for."""

    anchor: Name
    """The model that has quality 0.5 in every skill."""
    skills: Mapping[Skill, Note]
    categories: Mapping[Category, Mapping[Skill, Weight]]


class RatingsFile(Row):
    """Public ratings."""

    source: Note
    licence: Note
    as_of: date
    ratings: tuple[RatedRow, ...]
    references: Mapping[Name, Mapping[Skill, Elo]] = {}
    """Ratings of models that we do not offer, for estimates."""
    estimates: tuple[EstimateRow, ...] = ()


class ProvidersFile(Row):
    """The services."""

    providers: tuple[Provider, ...]


class ModelsFile(Row):
    """The models."""

    profiles: Mapping[Name, Constraints]
    models: tuple[Model, ...]


class PricesFile(Row):
    """What they cost."""

    calendars: Mapping[Name, Calendar]
    prices: tuple[Price, ...]


class BaselinesFile(Row):
    """What savings are measured against."""

    baselines: tuple[Baseline, ...]


class PlansFile(Row):
    """What a key may use."""

    plans: tuple[Plan, ...]


class LadderFile(Row):
    """What a level demands."""

    ladder: Ladder


class OverridesFile(Row):
    """Differences from other price lists that are known and right."""

    overrides: tuple[Override, ...]


FILES: Final[Mapping[str, type[Row]]] = {
    "providers.yaml": ProvidersFile,
    "models.yaml": ModelsFile,
    "prices.yaml": PricesFile,
    "baselines.yaml": BaselinesFile,
    "plans.yaml": PlansFile,
    "skills.yaml": SkillsFile,
    "ratings.yaml": RatingsFile,
    "ladder.yaml": LadderFile,
}
FileT = TypeVar("FileT", bound=Row)


def json_schemas() -> dict[str, dict[str, object]]:
    """JSON Schemas of the files for editors, by the name under `catalog/schema/`."""
    kinds: dict[str, type[Row]] = {**FILES, "overrides.yaml": OverridesFile}
    return {
        f"{name.removesuffix('.yaml')}.schema.json": kind.model_json_schema() for name, kind in kinds.items()
    }


def parse_overrides(path: Path) -> tuple[Override, ...]:
    """Read the overrides of the price check; they are no part of the catalog's digest.

    Raises:
        ConfigurationInvalid: names file, row and field of the first fault.
    """
    data, _ = read_yaml(path)
    try:
        return OverridesFile.model_validate(data).overrides
    except ValidationError as error:
        raise explain(error, OverridesFile, data, path.name) from error


class Files:
    """The files' plain data with the overlay merged in, validated on demand."""

    def __init__(self, folder: Path, overlay: Path | None) -> None:
        self._data: dict[str, dict[str, Plain]] = {}
        hashed = hashlib.sha256()
        for name in FILES:
            self._data[name], raw = read_yaml(folder / name)
            hashed.update(raw)
        self._overlay = overlay.name if overlay else ""
        self._touched: set[str] = set()
        if overlay:
            sections, raw = read_yaml(overlay)
            hashed.update(raw)
            for section, value in sections.items():
                self._merge(section, value)
        self.digest = hashed.hexdigest()[:12]

    def parse(self, kind: type[FileT]) -> FileT:
        """Validate the file that has this form.

        Raises:
            ConfigurationInvalid: names file, row and field of the first fault.
        """
        name = next(name for name, known in FILES.items() if known is kind)
        try:
            return kind.model_validate(self._data[name])
        except ValidationError as error:
            raise explain(error, kind, self._data[name], name, self._overlay, self._touched) from error

    def _merge(self, section: str, value: Plain) -> None:
        owner = next((data for data in self._data.values() if section in data and section in _MERGED), None)
        if owner is None:
            known = ", ".join(sorted(_MERGED))
            raise ConfigurationInvalid(f"{self._overlay}: unknown section {section!r}; choose from {known}")
        ours = owner[section]
        if isinstance(ours, dict) and isinstance(value, dict):
            ours.update(value)
            self._touched.update(value)
        elif isinstance(ours, list) and isinstance(value, list):
            self._merge_rows(section, ours, value)
        else:
            raise ConfigurationInvalid(f"{self._overlay}: {section} must have the form it has in our file")

    def _defaults(self, section: str, row: dict[str, Plain]) -> dict[str, Plain]:
        """What a user need not write: that the overlay is the source, and that a price was right on its day."""
        if section == "plans":
            return {}
        source: dict[str, Plain] = {"source": self._overlay}
        return source | {"checked": row.get("from")} if section == "prices" else source

    def _merge_rows(self, section: str, ours: list[Plain], theirs: list[Plain]) -> None:
        rows = [self._defaults(section, row) | row for row in theirs if isinstance(row, dict)]
        if len(rows) < len(theirs):
            raise ConfigurationInvalid(f"{self._overlay}: {section} must be a list of rows")
        key = _KEYS.get(section, "id")
        self._touched.update(str(row.get(key)) for row in rows)
        if section == "prices":
            priced = {row.get("model") for row in rows}
            ours[:] = [row for row in ours if not (isinstance(row, dict) and row.get("model") in priced)]
            ours.extend(rows)
            return
        by_id = {row.get(key): row for row in ours if isinstance(row, dict)}
        for row in rows:
            known = by_id.get(row.get(key))
            if known is None:
                ours.append(row)
            else:
                known.update(row)


def explain(  # what was read, as what, and where it came from
    error: ValidationError,
    form: type[Row],
    data: Plain,
    file: str,
    overlay: str = "",
    touched: Set[str] = frozenset(),
) -> ConfigurationInvalid:
    """Name file, row and field of the first fault; a misspelt field before the one that it leaves missing."""
    faults = error.errors(include_url=False)
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    path: list[str] = []
    place: object = data
    in_overlay = False
    for step in fault["loc"]:
        place = _step(place, step)
        label = _label(place) if isinstance(step, int) else None
        path.append(f"[{label or step}]" if isinstance(step, int) else f".{step}")
        in_overlay = in_overlay or label in touched
    given = f" (got {fault['input'][:_MAX_SHOWN]!r})" if isinstance(fault["input"], str) else ""
    where = "".join(path).lstrip(".")
    return ConfigurationInvalid(
        f"{overlay if in_overlay else file}: {where}: {complaint(fault, form)}{given}", in_overlay=in_overlay
    )


_MERGED: Final = frozenset({"providers", "profiles", "models", "calendars", "prices", "baselines", "plans"})
_KEYS: Final = {"prices": "model"}
_MAX_SHOWN: Final = 60


def _step(place: object, step: int | str) -> object:
    if isinstance(place, dict):
        return place.get(step)
    if isinstance(place, list) and isinstance(step, int) and step < len(place):
        return place[step]
    return None


def _label(place: object) -> str | None:
    """What a reader would call this row: its id, or the model that it is about."""
    named = place.get("id") or place.get("model") if isinstance(place, dict) else None
    return named if isinstance(named, str) else None
