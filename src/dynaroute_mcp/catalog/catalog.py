"""The whole catalog as one frozen value, and the look-ups on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from dynaroute_mcp.catalog.names import nearest, normalise, resolve, spellings
from dynaroute_mcp.catalog.schema import Baseline, Calendar, Ladder, Model, Plan, Price, Provider, Skill
from dynaroute_mcp.errors import ConfigurationInvalid, UnknownName
from dynaroute_mcp.taxonomy import Category


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalog:
    """Models, providers, prices and rules. It knows no keys, no health and no clock.

    Two catalogs are the same only if they are one, so that what is worked out of one can be remembered.
    """

    by_id: Mapping[str, Model]
    """Models by canonical id, retired ones included."""
    providers: Mapping[str, Provider]
    prices: Mapping[str, tuple[Price, ...]]
    """By model id, oldest first."""
    calendars: Mapping[str, Calendar]
    baselines: Mapping[str, Baseline]
    plans: Mapping[str, Plan]
    weights: Mapping[Category, Mapping[Skill, float]]
    """Which skills a category asks for; each category's weights sum to 1."""
    ladder: Ladder
    digest: str
    """Hash of the files behind it; stands in every price basis."""
    names: Mapping[str, str]
    """Every normalised name of a model to its id."""
    provider_names: Mapping[str, str]

    @property
    def models(self) -> tuple[Model, ...]:
        """All models, retired ones included."""
        return tuple(self.by_id.values())

    def find_model(self, name: str) -> Model | None:
        """Look a model up by any of its names."""
        found = resolve(name, self.names)
        return self.by_id[found] if found else None

    def get_model(self, name: str) -> Model:
        """Look a model up by any of its names.

        Raises:
            UnknownName: there is none; the error carries the nearest three ids.
        """
        model = self.find_model(name)
        if model is None:
            gone = {row.id for row in self.models if row.status == "retired"}
            current = {known: target for known, target in self.names.items() if target not in gone}
            raise UnknownName("model", name, nearest(name, current))
        return model

    def find_provider(self, name: str) -> Provider | None:
        """Look a provider up by its id or what other tools call it."""
        found = self.provider_names.get(normalise(name))
        return self.providers[found] if found else None

    def get_provider(self, name: str) -> Provider:
        """Look a provider up by its id or what other tools call it.

        Raises:
            UnknownName: there is none; the error carries the nearest names, and tells all ids.
        """
        provider = self.find_provider(name)
        if provider is None:
            known = f"There are {len(self.providers)}: {', '.join(sorted(self.providers))}"
            raise UnknownName("provider", name, nearest(name, self.provider_names), known=known)
        return provider

    def find_baseline(self, name: str) -> Baseline | None:
        """Look a frozen baseline up by its id, its name or an alias."""
        key = normalise(name)
        for row in self.baselines.values():
            if key in {normalise(known) for known in (row.id, row.name, *row.aliases)}:
                return row
        return None

    def get_plan(self, name: str) -> Plan:
        """Look a plan up by its id.

        Raises:
            UnknownName: there is no such plan.
        """
        plan = self.plans.get(name.casefold())
        if plan is None:
            raise UnknownName("plan", name, tuple(self.plans))
        return plan

    def find_price(self, model_id: str, at: datetime) -> Price | None:
        """The price row in force at an instant; `None` when the model has no known price then."""
        day = at.astimezone(UTC).date()
        rows = self.prices.get(model_id, ())
        return next((row for row in reversed(rows) if row.valid_from <= day), None)

    @property
    def checked_on(self) -> date | None:
        """The day of the newest check of a price; old prices deserve a warning."""
        return max((row.checked for rows in self.prices.values() for row in rows), default=None)

    def with_models(self, providers: Iterable[Provider], models: Iterable[Model]) -> "Catalog":
        """Add what was found on this machine; a row with an id of ours replaces it, a name of ours stays ours.

        Raises:
            ConfigurationInvalid: a model's provider is unknown.
        """
        new_models = tuple(models)
        all_providers = {**self.providers, **{row.id: row for row in providers}}
        names, provider_names = dict(self.names), dict(self.provider_names)
        for model in new_models:
            known = _names(model, all_providers)
            for name in (*known.own, *known.shared):
                names.setdefault(name, model.id)
        for provider in all_providers.values():
            provider_names.setdefault(normalise(provider.id), provider.id)
        return replace(
            self,
            providers=all_providers,
            by_id={**self.by_id, **{row.id: row for row in new_models}},
            names=names,
            provider_names=provider_names,
        )

    def without_unlisted(self, provider_id: str, listed: Iterable[str]) -> "Catalog":
        """Retire a provider's models that its own list does not name any more.

        A list that names none of them is not believed: it is of another kind, or broken.
        """
        known = frozenset[str]().union(*(spellings(name) for name in listed))
        theirs = [row for row in self.models if row.provider == provider_id]
        gone = [row for row in theirs if not spellings(row.wire_id) & known]
        if len(gone) == len(theirs):
            return self
        retired = {row.id: row.model_copy(update={"status": "retired", "unlisted": True}) for row in gone}
        return replace(self, by_id={**self.by_id, **retired})


@dataclass(frozen=True, slots=True)
class _Names:
    own: tuple[str, ...]
    """Names that nobody else may have."""
    shared: tuple[str, ...]
    """What several providers may call a model of theirs; the first one in the catalog has it."""


def index_providers(providers: Iterable[Provider]) -> dict[str, str]:
    """Every normalised name of a provider to its id.

    Raises:
        ConfigurationInvalid: two providers answer to one name.
    """
    index: dict[str, str] = {}
    for row in providers:
        for name in (row.id, row.prefix or row.id, row.name, *row.aliases):
            _enter(index, normalise(name), row.id, "provider")
    return index


def index_models(models: Iterable[Model], providers: Mapping[str, Provider]) -> dict[str, str]:
    """Every normalised name of a model to its id: alone, and behind each name of its provider.

    Raises:
        ConfigurationInvalid: two models answer to one name, or a model's provider is unknown.
    """
    index: dict[str, str] = {}
    rows = [(row.id, _names(row, providers)) for row in models]
    for model_id, known in rows:
        for name in known.own:
            _enter(index, name, model_id, "model")
    for model_id, known in rows:
        for name in known.shared:
            index.setdefault(name, model_id)
    return index


def _names(model: Model, providers: Mapping[str, Provider]) -> _Names:
    provider = providers.get(model.provider)
    if provider is None:
        raise ConfigurationInvalid(f"model {model.id!r}: unknown provider {model.provider!r}")
    given = (model.name, *model.aliases)
    prefixes = (provider.id, provider.prefix or provider.id, *provider.aliases)
    prefixed = (f"{prefix}/{name}" for prefix in prefixes for name in (model.wire_id, *given))
    return _Names(
        own=tuple(normalise(name) for name in (model.id, *given, *prefixed)),
        shared=(normalise(model.wire_id),),
    )


def _enter(index: dict[str, str], key: str, target: str, kind: str) -> None:
    if index.setdefault(key, target) != target:
        raise ConfigurationInvalid(
            f"{kind} {target!r}: the name {key!r} already belongs to {index[key]!r}; names must differ"
        )
