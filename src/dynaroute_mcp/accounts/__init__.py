"""Keys and plans: who may ask, how much, with whose providers' keys, and what they favour."""

from dynaroute_mcp.accounts.accounts import (
    DEFAULT_PLAN,
    LOCAL,
    LONGEST_GRACE_S,
    OWNER_PATTERN,
    Accounts,
    KeyState,
    KeyStatus,
    NewKey,
    Revocation,
    Subscription,
    check_owner,
)
from dynaroute_mcp.accounts.provider_keys import ProviderKeys, Resealed
from dynaroute_mcp.accounts.secret import digest, is_well_formed, new_secret
from dynaroute_mcp.accounts.terms import NO_TERMS, Terms, check_name, terms_of
from dynaroute_mcp.store.base import KeyRow

__all__ = [
    "DEFAULT_PLAN",
    "LOCAL",
    "LONGEST_GRACE_S",
    "NO_TERMS",
    "OWNER_PATTERN",
    "Accounts",
    "KeyRow",
    "KeyState",
    "KeyStatus",
    "NewKey",
    "ProviderKeys",
    "Resealed",
    "Revocation",
    "Subscription",
    "Terms",
    "check_name",
    "check_owner",
    "digest",
    "is_well_formed",
    "new_secret",
    "terms_of",
]
