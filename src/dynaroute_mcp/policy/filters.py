"""Hard filters: why a model cannot take a request, in words for people."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

from dynaroute_mcp.catalog import Capability, Catalog, Model
from dynaroute_mcp.policy.demand import Entrant, entrant
from dynaroute_mcp.policy.situation import Needs, Situation

Kind = Literal["retired", "excluded", "key", "wire", "capability", "window", "price", "budget", "cooling"]

_SCREENS: Final = 256
"""Screens that are remembered: one for each kind of request of each kind of key, a day and a catalog at a time."""

_MISSING: Final[dict[Capability, str]] = {
    "tools": "no tools",
    "vision": "no vision",
    "pdf": "no documents",
    "json_mode": "no JSON mode",
    "json_schema": "no JSON schema",
    "reasoning": "no reasoning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why one model is out."""

    kind: Kind
    reason: str
    needed_usd: Decimal | None = None
    """What would have to be allowed, where money is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusions:
    """Models and providers never to choose, by id, and names among them that mean nothing here."""

    ids: frozenset[str]
    """By the request or the operator."""
    unknown: tuple[str, ...]
    by_key: frozenset[str] = frozenset()
    """By the caller's key."""
    allowed: frozenset[str] | None = None
    """The only ones that the caller's key may use; `None` allows all."""


_NOBODY: Final = Exclusions(ids=frozenset(), unknown=())


def exclusions(situation: Situation) -> Exclusions:
    """What the request, the caller's key and the operator exclude; any name of a model or provider will do."""
    if not (
        situation.request.routing.exclude
        or situation.settings.exclude
        or situation.preferences.exclude
        or situation.allowed
    ):
        return _NOBODY
    unknown: list[str] = []

    def ids(names: Iterable[str]) -> frozenset[str]:
        known = {name: ids_of(situation.catalog, name) for name in names}
        unknown.extend(name for name, found in known.items() if not found)
        return frozenset[str]().union(*known.values())

    return Exclusions(
        ids=ids({*situation.request.routing.exclude, *situation.settings.exclude}),
        by_key=ids(situation.preferences.exclude),
        allowed=ids(situation.allowed) if situation.allowed else None,
        unknown=tuple(sorted(unknown)),
    )


def ids_of(catalog: Catalog, name: str) -> frozenset[str]:
    """Ids of the model and the provider that a name stands for; it may be both, or nothing here."""
    return frozenset(row.id for row in (catalog.find_provider(name), catalog.find_model(name)) if row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """All that bars models whatever the prompt and the hour: one screen serves all requests on the same frame."""

    catalog: Catalog
    day: date
    usable: frozenset[str]
    unreadable: frozenset[str]
    excluded: Exclusions
    asked: Needs
    named: str | None
    """The only model that comes into question, by id."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screen:
    """Models that can be asked in some frame, and why the others can't. Two are the same only if they are one."""

    open: tuple[Entrant, ...]
    barred: Mapping[str, Objection]
    """By model id."""


def screen(situation: Situation, asked: Needs, excluded: Exclusions) -> Screen:
    """Part the models by everything but the prompt's length, money and health.

    Raises:
        UnknownName: the request names a model that does not exist.
    """
    catalog, named = situation.catalog, situation.request.model
    return _screen(
        Frame(
            catalog=catalog,
            day=situation.at.date(),
            usable=situation.usable,
            unreadable=situation.unreadable,
            excluded=excluded,
            asked=asked,
            named=catalog.get_model(named).id if named else None,
        )
    )


@lru_cache(maxsize=_SCREENS)
def _screen(frame: Frame) -> Screen:
    models = (frame.catalog.by_id[frame.named],) if frame.named else frame.catalog.models
    judged = [(model, _bar(frame, model)) for model in models]
    return Screen(
        open=tuple(
            entrant(frame.catalog, frame.asked, model) for model, objection in judged if objection is None
        ),
        barred={model.id: objection for model, objection in judged if objection is not None},
    )


forget = _screen.cache_clear


def _bar(frame: Frame, model: Model) -> Objection | None:
    """The first reason why a model cannot be asked at all."""
    if model.retired(frame.day):
        return Objection(kind="retired", reason=_retired(frame, model))
    if barred := _excluded(frame.excluded, {model.id, model.provider}):
        return Objection(kind="excluded", reason=barred)
    if model.provider not in frame.usable:
        return Objection(kind="key", reason=_no_key(frame, model))
    if wire := _wire(frame.asked, model):
        return Objection(kind="wire", reason=wire)
    missing = frame.asked.capabilities - model.capabilities
    return Objection(kind="capability", reason=_MISSING[min(missing)]) if missing else None


def cooling(situation: Situation, model: Model) -> Objection | None:
    """Whether a model is to be left alone just now."""
    if not situation.cooling:
        return None
    wait_s = max(situation.cooling.get(model.id, 0.0), situation.cooling.get(model.provider, 0.0))
    return Objection(kind="cooling", reason=f"cooling {wait_s:.0f} s") if wait_s > 0 else None


def _excluded(excluded: Exclusions, names: Set[str]) -> str | None:
    if names & excluded.ids:
        return "excluded"
    if names & excluded.by_key:
        return "excluded by this key"
    if excluded.allowed is not None and not names & excluded.allowed:
        return "not among the models of this key"
    return None


def _retired(frame: Frame, model: Model) -> str:
    standing = model.standing(frame.day)
    when = f"retired {model.retires_at}" if model.retires_at and not model.unlisted else standing
    return f"{when}, use {model.replacement}" if model.replacement else when


def _no_key(frame: Frame, model: Model) -> str:
    if model.provider in frame.unreadable:
        return f"this key's own {model.provider} key can't be read: see DYNAROUTE_ENCRYPTION_KEY"
    names = frame.catalog.providers[model.provider].key_env
    return f"no key: set {names[0]}" if names else f"{model.provider} can't be reached"


def _wire(asked: Needs, model: Model) -> str | None:
    limits = model.constraints
    tools = "tools" in asked.capabilities
    if tools and limits.tools_need_effort_none and asked.effort not in {None, "none"}:
        return "takes tools only without reasoning"
    if asked.forced_tool and not limits.forced_tool_choice:
        return "can't be forced to call a tool"
    if asked.prefill and not limits.prefill:
        return "can't continue an assistant message"
    return None


def window(input_tokens: int, each: Entrant, output_tokens: int) -> Objection:
    """Say by how much prompt and expected answer don't fit."""
    if input_tokens > each.prompt_room:
        reason = f"prompt window {each.model.max_input_tokens:,} < {input_tokens:,} tokens"
    else:
        reason = f"window {each.model.context_tokens:,} < {input_tokens + output_tokens:,} tokens"
    return Objection(kind="window", reason=reason)
