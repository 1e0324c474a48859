"""Which models can be called right now: keys, addresses, and the servers found on this machine.

Looking for local servers happens once, in the background or at the first call that needs to know, and never
keeps the process from starting. A key leaves this module only inside an `Endpoint`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import anyio

from dynaroute_mcp.catalog import Catalog, Model, Provider
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.discovery import Discovered
from dynaroute_mcp.providers.wire import check_base_url
from dynaroute_mcp.settings import ProviderSettings, Settings
from dynaroute_mcp.types import Caller, SealedKey
from dynaroute_mcp.vault import Vault

logger = logging.getLogger(__name__)

SANDBOX = "sandbox"
"""Id of the embedded provider that simulates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a provider says of its own models."""

    provider: str
    listed: frozenset[str] | None
    """By its own names; `None` when it could not be asked, or not be understood."""
    unlisted: tuple[str, ...]
    """Ids of our active models that it does not list any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKeys:
    """How providers are reached with the keys that a DynaRoute key brings along."""

    key_id: str = ""
    """Whose they are; empty when there are none."""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    """By provider id: with the key's own where it brings one, else with the operator's."""
    unreadable: frozenset[str] = frozenset()
    """Providers whose key can't be opened: they are not called, least of all with somebody else's key."""


NO_OWN_KEYS = OwnKeys()


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What the configuration file says of a provider, and by which of its names it calls it."""

    called: str
    said: ProviderSettings


class Availability:
    """The catalog of the moment, and how each provider in it is reached."""

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        discover: Callable[[], Awaitable[Sequence[Discovered]]] | None,
        listed: Callable[[Endpoint], Awaitable[frozenset[str] | None]] | None = None,
        vault: Vault | None = None,
    ) -> None:
        """Take what is known at start.

        Args:
            catalog: as loaded, without local servers.
            settings: keys, addresses and exclusions.
            discover: looks for local servers; `None` never looks.
            listed: asks a provider for its models; `None` never asks.
            vault: opens the providers' keys that callers bring along; `None` opens none.

        Raises:
            ConfigurationInvalid: a key may not be sent to a provider's address; names the setting.
        """
        self._catalog = self._loaded = catalog
        self._settings = settings
        self._chosen = _by_id(settings, catalog)
        self._discover = discover
        self._listed = listed
        self._vault = vault
        self._looking = anyio.Lock()
        self._endpoints = {
            provider.id: endpoint
            for provider in catalog.providers.values()
            if (endpoint := self._endpoint(provider)) is not None
        }

    async def ready(self) -> None:
        """Wait until local servers have been looked for; at once from the second time on."""
        if self._discover is not None:
            async with self._looking:
                await self._look()

    async def _look(self) -> None:
        """Look for local servers, unless that was done while this waited."""
        if self._discover is None:
            return
        found = await self._discover()
        self._catalog = self._catalog.with_models(
            [one.provider for one in found], [model for one in found for model in one.models]
        )
        self._endpoints |= {
            one.provider.id: Endpoint(provider=one.provider, base_url=one.provider.base_url) for one in found
        }
        self._discover = None

    def learn(self, model: Model) -> None:
        """Take over what was found out meanwhile about a model that is there."""
        self._catalog = self._catalog.with_models([], [model])

    async def listings(self, *, official_only: bool = False) -> tuple[Listing, ...]:
        """Ask providers that have a key which models they list, all at once; in the order of their ids.

        Args:
            official_only: ask nobody on this machine and at no address of the operator's own: a proxy or a
                stand-in need not list what it answers for.
        """
        found: dict[str, frozenset[str] | None] = {}

        async def ask(endpoint: Endpoint) -> None:
            found[endpoint.provider.id] = await self._listed(endpoint) if self._listed else None

        async with anyio.create_task_group() as tasks:
            for endpoint in self._endpoints.values():
                if endpoint.api_key is not None and (not official_only or _is_official(endpoint)):
                    tasks.start_soon(ask, endpoint)
        return tuple(self._compared(provider, found[provider]) for provider in sorted(found))

    async def drop_unlisted(self) -> None:
        """Stop routing to models that their provider does not list any more, and say which those are."""
        for listing in await self.listings(official_only=True):
            if listing.unlisted and listing.listed is not None:
                self._catalog = self._catalog.without_unlisted(listing.provider, listing.listed)
                logger.warning(
                    "models are not routed to, because their provider does not list them",
                    extra={"provider": listing.provider, "models": ", ".join(listing.unlisted)},
                )

    def _compared(self, provider: str, listed: frozenset[str] | None) -> Listing:
        left = self._loaded if listed is None else self._loaded.without_unlisted(provider, listed)
        gone = [
            row.id
            for row in self._loaded.models
            if row.status != "retired" and left.by_id[row.id].status == "retired"
        ]
        return Listing(provider=provider, listed=listed, unlisted=tuple(sorted(gone)))

    @property
    def catalog(self) -> Catalog:
        """The catalog, with the local models once they are found."""
        return self._catalog

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """Providers that can be called, by id."""
        return self._endpoints

    def own_keys(self, caller: Caller) -> OwnKeys:
        """Open the providers' keys that a caller's key brings along; a test key's are never used."""
        if not caller.provider_keys or caller.sandbox:
            return NO_OWN_KEYS
        endpoints, unreadable = dict[str, Endpoint](), set[str]()
        for held in caller.provider_keys:
            provider = self._catalog.providers.get(held.provider)
            own = self._chosen.get(held.provider)
            if provider is None or (own is not None and not own.said.enabled):
                continue
            try:
                endpoints[held.provider] = Endpoint(
                    provider=provider,
                    base_url=self._address(provider, own),
                    api_key=self._opened(caller, held),
                )
            except ConfigurationInvalid as error:
                unreadable.add(held.provider)
                facts = {"key": caller.key_id, "provider": held.provider, "reason": str(error)}
                logger.warning("a provider key can't be used", extra=facts)
        return OwnKeys(
            key_id=caller.key_id or "",
            endpoints={**self._endpoints, **endpoints},
            unreadable=frozenset(unreadable),
        )

    def _opened(self, caller: Caller, held: SealedKey) -> str:
        vault = self._vault or Vault(None, lambda _bound: 0)
        return vault.open(held.sealed, bound_to=place_of(caller.key_id or "", held.provider))

    def usable(self, own: OwnKeys = NO_OWN_KEYS) -> frozenset[str]:
        """Ids of the providers that can be called with the operator's keys, or with one's own."""
        return frozenset(own.endpoints or self._endpoints) - own.unreadable

    @property
    def simulated(self) -> bool:
        """True while no real provider can be called, so that the sandbox must answer."""
        return not self._endpoints

    def can_call(self, model: Model, on: date, own: OwnKeys = NO_OWN_KEYS) -> bool:
        """Tell whether a model is served on a day, by a provider that can be called."""
        reached = (
            model.provider in (own.endpoints or self._endpoints) and model.provider not in own.unreadable
        )
        return reached and not model.retired(on)

    @property
    def found(self) -> frozenset[str]:
        """Ids of the providers that were found on this machine."""
        return frozenset(self._catalog.providers.keys() - self._loaded.providers.keys())

    def way(self, provider_id: str) -> tuple[object, ...]:
        """All that decides how a provider is reached, also by those who bring a key along; only good to compare."""
        provider, own = self._loaded.providers.get(provider_id), self._chosen.get(provider_id)
        name = provider.base_url_env if provider else None
        address = (own and own.said.base_url) or (name and self._settings.variable(name))
        return provider, address, self._endpoints.get(provider_id)

    def missing_keys(self) -> Mapping[str, str]:
        """Name the variable to set for each provider that has no key."""
        return {
            provider.id: provider.key_env[0]
            for provider in self._catalog.providers.values()
            if provider.id not in self._endpoints and provider.key_env
        }

    def _endpoint(self, provider: Provider) -> Endpoint | None:
        own = self._chosen.get(provider.id)
        if provider.id == SANDBOX or (own is not None and not own.said.enabled):
            return None
        key = own.said.api_key.get_secret_value() if own and own.said.api_key else self._key(provider)
        if key is None and not provider.keyless:
            return None
        return Endpoint(provider=provider, base_url=self._address(provider, own), api_key=key)

    def _address(self, provider: Provider, own: _Chosen | None) -> str:
        if own is not None and own.said.base_url:
            setting = f"providers.{own.called}.base_url"
            return _set_address(own.said.base_url, setting, self._settings.config_file)
        name = provider.base_url_env
        if name and (address := self._settings.variable(name)):
            return _set_address(address, name)
        return check_base_url(
            provider.base_url, name=f"in the catalog of your own, providers[{provider.id}].base_url"
        )

    def _key(self, provider: Provider) -> str | None:
        return next((key for name in provider.key_env if (key := self._settings.variable(name))), None)


def _by_id(settings: Settings, catalog: Catalog) -> Mapping[str, _Chosen]:
    """What the file says of each provider, by any of its names (`gemini` is `google`); its id goes before."""
    named = sorted(settings.providers, key=lambda name: name in catalog.providers)
    known = {name: catalog.find_provider(name) for name in named}
    return {
        (row.id if (row := known[name]) else name): _Chosen(name, settings.providers[name]) for name in named
    }


def _set_address(address: str, setting: str, file: Path | None = None) -> str:
    try:
        return check_base_url(address, name=setting)
    except ConfigurationInvalid as error:
        raise ConfigurationInvalid(f"{file}: {error}" if file else str(error), setting=setting) from error


def place_of(key_id: str, provider: str) -> str:
    """Name the only place where a provider's key may be opened: its DynaRoute key's row, for its provider."""
    return f"dynaroute:{key_id}:{provider}"


def _is_official(endpoint: Endpoint) -> bool:
    return endpoint.base_url == endpoint.provider.base_url.rstrip("/") and endpoint.base_url.startswith(
        "https://"
    )
