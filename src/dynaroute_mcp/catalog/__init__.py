"""What models there are, what each is good for, what it costs and how it wants to be called.

The YAML files of `catalog/` become one frozen `Catalog`; a user's overlay adds to it or corrects it. Every
name that people use for a model resolves here. It knows no keys, no health and no clock.
"""

from dynaroute_mcp.catalog.catalog import Catalog
from dynaroute_mcp.catalog.load import load_catalog, load_overrides
from dynaroute_mcp.catalog.schema import (
    Baseline,
    Calendar,
    Capability,
    Constraints,
    Dialect,
    Extra,
    Ladder,
    Model,
    Override,
    Plan,
    Price,
    Provider,
    RateTable,
    Rating,
    Row,
    Skill,
    Status,
    Tier,
    UsdPerMtok,
)

__all__ = [
    "Baseline",
    "Calendar",
    "Capability",
    "Catalog",
    "Constraints",
    "Dialect",
    "Extra",
    "Ladder",
    "Model",
    "Override",
    "Plan",
    "Price",
    "Provider",
    "RateTable",
    "Rating",
    "Row",
    "Skill",
    "Status",
    "Tier",
    "UsdPerMtok",
    "load_catalog",
    "load_overrides",
]
