"""Names in the settings and in the environment that stand for nothing, for `doctor`."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from dynaroute_mcp.accounts import check_name
from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.errors import UnknownName
from dynaroute_mcp.settings import VARIABLES, Settings


def misnamed(chosen: Settings, catalog: Catalog, environ: Mapping[str, str]) -> Iterator[str]:
    """Tell each one, where it stands and what may have been meant; such a name is no error, it just does nothing."""
    for place, name in _named(chosen, catalog):
        try:
            check_name(place, name, catalog)
        except UnknownName as error:
            yield f"{place}: {error}"
    for name in sorted(environ):
        if name.startswith("DYNAROUTE_") and name not in VARIABLES:
            near = get_close_matches(name, VARIABLES, n=1, cutoff=_CLOSE)
            offer = f"did you mean {near[0]}?" if near else f"there are {', '.join(VARIABLES)}"
            yield f"environment variable {name} means nothing; {offer}"


_CLOSE: Final = 0.85
"""All of our variables begin alike, so that half of each name is right in any case."""


def _named(chosen: Settings, catalog: Catalog) -> Iterator[tuple[str, str]]:
    yield from (("exclude", name) for name in chosen.exclude)
    yield from (("prefer", name) for name in chosen.prefer)
    yield from ((f"rules for {rule.category}", rule.model) for rule in chosen.rules)
    yield from (("providers", name) for name in chosen.providers)
    if catalog.find_baseline(chosen.baseline_model) is None:
        yield "baseline_model", chosen.baseline_model
