"""What was decided, before it is put into words."""

from collections.abc import Mapping
from dataclasses import dataclass

from dynaroute_mcp.policy.estimate import Contender
from dynaroute_mcp.policy.filters import Objection, Screen
from dynaroute_mcp.policy.rank import Lead, Ranking
from dynaroute_mcp.taxonomy import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The winner, and all that it was held against."""

    winner: Contender
    ranking: Ranking
    lead: Lead
    screened: Screen
    out: Mapping[str, Objection]
    """Why models that passed the screen can't answer this request now."""
    level: Level
    demanded: float
    unknown_exclusions: tuple[str, ...]
