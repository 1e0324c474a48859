"""Asks a provider which models it lists for a key, in its own way. It never fails: what can't be read is `None`."""

from collections.abc import Mapping
from typing import Final

from dynaroute_mcp.catalog import Dialect
from dynaroute_mcp.providers.anthropic import API_VERSION
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.wire import Wire

TIMEOUT_S: Final = 10.0
"""For one page of a list."""

_MAX_PAGES: Final = 20
_PAGE: Final[Mapping[Dialect, Mapping[str, str]]] = {
    "anthropic": {"limit": "1000"},
    "gemini": {"pageSize": "1000"},
}
"""What asks for the longest page (API references of both, read 2026-11-22)."""


async def listed_models(wire: Wire, endpoint: Endpoint) -> frozenset[str] | None:
    """Read a provider's whole list of models, by the names that it gives them.

    Returns:
        `None` when the list can't be had, or not as a whole.
    """
    dialect = endpoint.provider.dialect
    url = endpoint.base_url + _path(endpoint)
    params, names = dict(_PAGE.get(dialect, {})), set[str]()
    for _ in range(_MAX_PAGES):
        page = await wire.get_json(
            url, headers=_headers(endpoint), params=params or None, timeout_s=TIMEOUT_S
        )
        found, following = _read(page)
        if found is None:
            return None
        names |= found
        if not following:
            return frozenset(names)
        params |= following
    return None


def _path(endpoint: Endpoint) -> str:
    rest = endpoint.provider.models_path
    versions: Mapping[Dialect, str] = {"anthropic": "v1", "gemini": "v1beta"}
    version = versions.get(endpoint.provider.dialect)
    return endpoint.path(version, rest) if version else rest


def _headers(endpoint: Endpoint) -> dict[str, str]:
    key = endpoint.api_key or ""
    if endpoint.provider.dialect == "anthropic":
        return {"x-api-key": key, "anthropic-version": API_VERSION}
    if endpoint.provider.dialect == "gemini":
        return {"x-goog-api-key": key}
    return {"authorization": f"Bearer {key}"}


def _read(page: object) -> tuple[frozenset[str] | None, Mapping[str, str]]:
    """Names on a page, and what asks for the next one."""
    document = page if isinstance(page, Mapping) else {"data": page}
    rows = document.get("data", document.get("models"))
    if not isinstance(rows, list):
        return None, {}
    named = [row.get("id") or row.get("name") for row in rows if isinstance(row, Mapping)]
    names = frozenset(name for name in named if isinstance(name, str))
    last, token = document.get("last_id"), document.get("nextPageToken")
    if document.get("has_more") is True and isinstance(last, str):
        return names, {"after_id": last}
    if isinstance(token, str) and token:
        return names, {"pageToken": token}
    return names, {}
