"""Who is well enough to be asked, how fast and how surely models answer lately: breakers, trends and exact figures."""

from dynaroute_mcp.health.breaker import Health, ModelHealth, State
from dynaroute_mcp.health.figures import Figures, Try, figures, tries_of
from dynaroute_mcp.health.trend import Condition

__all__ = ["Condition", "Figures", "Health", "ModelHealth", "State", "Try", "figures", "tries_of"]
