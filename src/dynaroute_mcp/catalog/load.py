"""From the catalog's files to one checked `Catalog`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol, TypeVar

from dynaroute_mcp.catalog.catalog import Catalog, index_models, index_providers
from dynaroute_mcp.catalog.files import (
    BaselinesFile,
    Files,
    LadderFile,
    ModelsFile,
    PlansFile,
    PricesFile,
    ProvidersFile,
    RatingsFile,
    SkillsFile,
    parse_overrides,
)
from dynaroute_mcp.catalog.schema import Model, Override, Price, Rating, Skill
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.taxonomy import Category, Level, Strategy

_PACKAGED: Final = Path(__file__).parents[1] / "_catalog"
_CHECKED_OUT: Final = Path(__file__).parents[3] / "catalog"
_ELO_SCALE: Final = 400
"""Points of difference at which the stronger side is expected to win ten times out of eleven."""
_WEIGHT_SLACK: Final = 1e-9


def load_catalog(folder: Path | None = None, overlay: Path | None = None) -> Catalog:
    """Read the catalog from `folder`, else from the package, else from the repository.

    `overlay` is one YAML file with any of the sections `providers`, `profiles`, `models`, `calendars`,
    `prices`, `baselines` and `plans`. A row with the id of ours corrects the fields that it names, any other
    row is added. A model that the overlay prices has only the overlay's prices.

    Raises:
        ConfigurationInvalid: a file is missing or wrong; the message names file, row and field.
    """
    files = Files(_home(folder), overlay)
    try:
        return _load(files)
    except ConfigurationInvalid as error:
        if overlay is None or error.in_overlay:
            raise
        raise ConfigurationInvalid(f"{overlay}, merged into {error}") from error  # ours alone is right


def _load(files: Files) -> Catalog:
    providers = _unique(files.parse(ProvidersFile).providers, "providers.yaml")
    models = files.parse(ModelsFile)
    prices = files.parse(PricesFile)
    skills = files.parse(SkillsFile)
    by_id = _unique(_rate(_constrain(models), skills, files.parse(RatingsFile)), "models.yaml")
    catalog = Catalog(
        by_id=by_id,
        providers=providers,
        prices=_by_model(prices.prices),
        calendars=prices.calendars,
        baselines=_unique(files.parse(BaselinesFile).baselines, "baselines.yaml"),
        plans=_unique(files.parse(PlansFile).plans, "plans.yaml"),
        weights=skills.categories,
        ladder=files.parse(LadderFile).ladder,
        digest=files.digest,
        names=index_models(by_id.values(), providers),
        provider_names=index_providers(providers.values()),
    )
    _cross_check(catalog)
    return catalog


def load_overrides(folder: Path | None = None) -> tuple[Override, ...]:
    """Read which differences from other price lists are known and right; only a check needs them.

    Raises:
        ConfigurationInvalid: the file is missing or wrong.
    """
    return parse_overrides(_home(folder) / "overrides.yaml")


def _home(folder: Path | None) -> Path:
    home = folder or (_PACKAGED if _PACKAGED.is_dir() else _CHECKED_OUT)
    if not home.is_dir():
        raise ConfigurationInvalid(f"catalog folder {str(home)!r} does not exist; set it or leave it out")
    return home


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


RowT = TypeVar("RowT", bound=_Identified)


def _unique(rows: Sequence[RowT], file: str) -> dict[str, RowT]:
    by_id: dict[str, RowT] = {}
    for row in rows:
        if row.id in by_id:
            raise ConfigurationInvalid(f"{file}: {row.id!r} stands there twice")
        by_id[row.id] = row
    return by_id


def _by_model(rows: Sequence[Price]) -> dict[str, tuple[Price, ...]]:
    book: dict[str, list[Price]] = {}
    for row in rows:
        book.setdefault(row.model, []).append(row)
    return {model: tuple(sorted(group, key=lambda row: row.valid_from)) for model, group in book.items()}


def _constrain(file: ModelsFile) -> list[Model]:
    """Give every model the constraints of its profile, unless it states its own."""
    rows = []
    for row in file.models:
        if row.profile is None:
            rows.append(row)
            continue
        shared = file.profiles.get(row.profile)
        if shared is None:
            raise ConfigurationInvalid(f"models.yaml: [{row.id}].profile: unknown profile {row.profile!r}")
        own = row.constraints.model_dump(exclude_unset=True)
        rows.append(row.model_copy(update={"constraints": shared.model_copy(update=own)}))
    return rows


def _rate(rows: Iterable[Model], skills: SkillsFile, file: RatingsFile) -> list[Model]:
    """Give every rated model its qualities; an estimate takes over another model's, and says so.

    A quality that a row states itself, as a user's overlay may, stays.
    """
    scores: dict[str, Mapping[Skill, int]] = dict(file.references)
    scores |= {row.model: row.scores for row in file.ratings}
    anchor = scores.get(skills.anchor)
    if anchor is None or set(anchor) != set(skills.skills):
        raise ConfigurationInvalid(f"skills.yaml: anchor {skills.anchor!r} must be rated in every skill")
    source = {row.model: f"{file.source}, as {row.board_name}" for row in file.ratings}
    for guess in file.estimates:
        if guess.like not in scores:
            raise ConfigurationInvalid(f"ratings.yaml: [{guess.model}].like: {guess.like!r} has no rating")
        scores[guess.model] = scores[guess.like]
        source[guess.model] = f"estimate, the rating of {guess.like}: {guess.why}"
    guessed = {guess.model for guess in file.estimates}
    rated = []
    for row in rows:
        quality = {
            skill: Rating.model_construct(
                value=_win_share(elo - anchor[skill]),
                source=source[row.id],
                as_of=file.as_of,
                estimated=row.id in guessed,
            )
            for skill, elo in (scores[row.id] if row.id in source else {}).items()
        }
        rated.append(row.model_copy(update={"quality": quality | dict(row.quality)}) if quality else row)
    _known("ratings.yaml", source, {row.id for row in rated}, "model")
    return rated


def _win_share(points: int) -> float:
    """Chance in [0, 1] that people prefer the answer of a model this many Elo points above the other."""
    return 1 / (1 + 10 ** (-points / _ELO_SCALE))


def _cross_check(catalog: Catalog) -> None:
    """Refuse rows that point nowhere and tables with gaps."""
    _known("prices.yaml", catalog.prices, catalog.by_id, "model")
    replacements = {row.replacement for row in catalog.by_id.values() if row.replacement}
    _known("models.yaml", replacements, catalog.by_id, "replacement")
    for rows in catalog.prices.values():
        _check_prices(rows, catalog)
    for category in Category:
        weights = catalog.weights.get(category)
        if weights is None or abs(sum(weights.values()) - 1) > _WEIGHT_SLACK:
            raise ConfigurationInvalid(
                f"skills.yaml: categories.{category}: weights must be there and sum to 1"
            )
    _check_ladder(catalog)


def _known(file: str, names: Iterable[str], known: Iterable[str], kind: str) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise ConfigurationInvalid(f"{file}: unknown {kind} {unknown[0]!r}")


def _check_prices(rows: Sequence[Price], catalog: Catalog) -> None:
    for earlier, later in pairwise(rows):
        if earlier.valid_from == later.valid_from:
            raise ConfigurationInvalid(f"prices.yaml: [{later.model}]: two rows from {later.valid_from}")
    for row in rows:
        for table in (row, row.batch):
            bounds = [tier.above_tokens for tier in table.tiers] if table else []
            if bounds != sorted(set(bounds)):
                raise ConfigurationInvalid(f"prices.yaml: [{row.model}].tiers: must rise by above_tokens")
        if row.calendar is not None:
            _known("prices.yaml", (row.calendar,), catalog.calendars, "calendar")


def _check_ladder(catalog: Catalog) -> None:
    ladder = catalog.ladder
    tables: dict[str, tuple[Iterable[object], Iterable[object]]] = {
        "demand": (ladder.demand, Level),
        "output_tokens": (ladder.output_tokens, Level),
        "reasoning_tokens": (ladder.reasoning_tokens, Level),
        "output_factor": (ladder.output_factor, Category),
        "quantile": (ladder.quantile, Strategy),
    }
    for field, (given, wanted) in tables.items():
        missing = sorted(map(str, set(wanted) - set(given)))
        if missing:
            raise ConfigurationInvalid(f"ladder.yaml: {field}: no entry for {missing[0]}")
    demands = [ladder.below_first, *(ladder.demand[level] for level in Level)]
    if demands != sorted(demands):
        raise ConfigurationInvalid("ladder.yaml: demand: must rise with the level")
    if max(ladder.neutral_difficulty.values(), default=0.0) >= ladder.hardest_difficulty:
        raise ConfigurationInvalid("ladder.yaml: neutral_difficulty: must lie below hardest_difficulty")
