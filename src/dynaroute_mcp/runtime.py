"""The composition root: from settings to a running core.

Clock, chance and environment enter here and travel on as arguments. Everything that is opened is opened here and
closed in reverse; what is heavy (catalog, weights, HTTP client) is made on first use or in the background.
"""

import logging
import os
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dynaroute_mcp.accounts import LOCAL, Accounts
from dynaroute_mcp.availability import SANDBOX, Availability
from dynaroute_mcp.books import Books
from dynaroute_mcp.calling import Calling
from dynaroute_mcp.catalog import Catalog, load_catalog
from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.health import Health
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.discovery import discover
from dynaroute_mcp.providers.registry import dialects
from dynaroute_mcp.providers.wire import open_wire
from dynaroute_mcp.reports import Reports
from dynaroute_mcp.router import Lane, Router
from dynaroute_mcp.settings import Settings, read_settings
from dynaroute_mcp.store.base import Store
from dynaroute_mcp.store.sqlite import open_store
from dynaroute_mcp.tokens import estimate_tokens
from dynaroute_mcp.types import Ambient, Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What the faces may use, and nothing else."""

    router: Router
    accounts: Accounts
    reports: Reports
    availability: Availability
    settings: Settings
    store: Store

    async def caller(self) -> Caller:
        """Tell on whose behalf this process speaks: `DYNAROUTE_API_KEY`'s owner, else the local owner.

        Raises:
            AuthenticationFailed: the key is set but not valid.
        """
        key = self.settings.api_key
        return LOCAL if key is None else await self.accounts.caller_for(key.get_secret_value())
