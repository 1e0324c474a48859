"""The JSON contract: what every face answers, as flat models built from the core's values.

The core's types are imported for the type checker only: a server must start before it loads the core.
"""

from dynaroute_mcp.results.answers import Classified, RoutedPrompt
from dynaroute_mcp.results.base import Result, encodable, is_crowded, iso, short
from dynaroute_mcp.results.health import HealthReport, ModelVitals, View
from dynaroute_mcp.results.key_details import (
    DetailedKeyList,
    ForgottenProviderKey,
    KeyDetails,
    ProviderKeyEntry,
    ProviderKeyList,
    RotatedKey,
)
from dynaroute_mcp.results.keys import (
    GeneratedKey,
    KeyList,
    PlanLimits,
    RevokedKey,
    SubscriptionInfo,
    VerifiedKey,
)
from dynaroute_mcp.results.reports import CostQuote, CostSavings, ModelList, ModelRow, UsageSummary

__all__ = [
    "Classified",
    "CostQuote",
    "CostSavings",
    "DetailedKeyList",
    "ForgottenProviderKey",
    "GeneratedKey",
    "HealthReport",
    "KeyDetails",
    "KeyList",
    "ModelList",
    "ModelRow",
    "ModelVitals",
    "PlanLimits",
    "ProviderKeyEntry",
    "ProviderKeyList",
    "Result",
    "RevokedKey",
    "RotatedKey",
    "RoutedPrompt",
    "SubscriptionInfo",
    "UsageSummary",
    "VerifiedKey",
    "View",
    "encodable",
    "is_crowded",
    "iso",
    "short",
]
