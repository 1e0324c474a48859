"""Providers' keys that a DynaRoute key brings along: taken, shown masked, encrypted anew. Nobody gets one back."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Final

from dynaroute_mcp.accounts.terms import check_maker
from dynaroute_mcp.availability import place_of
from dynaroute_mcp.catalog import Catalog
from dynaroute_mcp.errors import ConfigurationInvalid, InvalidRequest, NotFound, UnknownName
from dynaroute_mcp.store.base import KeyRow, Store
from dynaroute_mcp.types import Caller, SealedKey
from dynaroute_mcp.vault import Vault

_SHAPE: Final = re.compile(r"[!-~]{8,1000}")
"""What may stand in a header: visible ASCII without spaces."""
_SHOWN_FROM: Final = 24
"""A shorter key is masked whole: first and last characters would be too much of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What changing the master key came to."""

    done: int
    """Providers' keys that the first master key seals now and did not before."""
    current: int
    """Those that it sealed already."""
    unreadable: tuple[tuple[str, str], ...]
    """Key id and provider of those that no master key here opens."""


class ProviderKeys:
    """Keeps providers' keys for DynaRoute keys."""

    def __init__(self, store: Store, catalog: Catalog, vault: Vault, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._catalog = catalog
        self._vault = vault
        self._clock = clock

    async def add(self, key_id: str, provider: str, secret: str, *, by: Caller | None = None) -> SealedKey:
        """Keep a provider's key for a DynaRoute key, in place of one that was there.

        Args:
            key_id: the DynaRoute key.
            provider: by any of its names.
            secret: the provider's key.
            by: who asks; `None` is the owner of the database.

        Raises:
            PermissionDenied: a key with limits of its own asks.
            UnknownName: there is no such provider.
            InvalidRequest: it takes no key, the secret can't be one, or the DynaRoute key never reaches a provider.
            NotFound: there is no such DynaRoute key.
            ConfigurationInvalid: there is no master key; says what to do.
        """
        check_maker(by)
        provider_id = self._taking_keys(provider)
        if not _SHAPE.fullmatch(secret):
            raise InvalidRequest(
                "api_key must have 8 to 1,000 visible ASCII characters and no spaces", param="api_key"
            )
        added = SealedKey(
            provider=provider_id,
            sealed=self._vault.seal(secret, bound_to=place_of(key_id, provider_id)),
            masked=mask(secret),
            added_at=self._clock(),
        )

        def put(row: KeyRow) -> KeyRow:
            if row.sandbox or row.revoked_at is not None:
                kind = "test" if row.sandbox else "revoked"
                raise InvalidRequest(f"a {kind} key never reaches a provider, so it keeps no key of one")
            others = (held for held in row.provider_keys if held.provider != provider_id)
            return replace(row, provider_keys=(*others, added))

        await self._edit(key_id, put)
        return added

    async def remove(self, key_id: str, provider: str, *, by: Caller | None = None) -> SealedKey:
        """Forget a provider's key.

        Raises:
            PermissionDenied: a key with limits of its own asks.
            NotFound: there is no such DynaRoute key, or it has no key of this provider.
        """
        check_maker(by)
        found = self._catalog.find_provider(provider)
        provider_id = found.id if found else provider
        removed: list[SealedKey] = []

        def drop(row: KeyRow) -> KeyRow:
            removed[:] = [held for held in row.provider_keys if held.provider == provider_id]
            if not removed:
                raise NotFound(f"this key brings no key of {provider_id[:80]!r} along")
            return replace(
                row, provider_keys=tuple(held for held in row.provider_keys if held not in removed)
            )

        await self._edit(key_id, drop)
        return removed[0]

    async def reencrypt(self) -> Resealed:
        """Seal everything under the first master key; those after it only open.

        Raises:
            ConfigurationInvalid: there is no master key.
            StoreCorrupt: a DynaRoute key's row can't be read; those of the others are sealed anew.
        """
        done, current, unreadable = 0, 0, list[tuple[str, str]]()

        def anew(row: KeyRow) -> KeyRow:
            nonlocal done, current
            kept = []
            for held in row.provider_keys:
                if self._vault.is_current(held.sealed):
                    current += 1
                elif (again := self._again(row.key_id, held)) is None:
                    unreadable.append((row.key_id, held.provider))
                else:
                    done += 1
                    kept.append(again)
                    continue
                kept.append(held)
            return replace(row, provider_keys=tuple(kept))

        for row in await self._store.list_keys(None):
            if row.provider_keys:
                await self._store.edit_key(row.key_id, anew)
        for fault in (await self._store.unreadable_keys(None)).values():
            raise fault
        return Resealed(done=done, current=current, unreadable=tuple(unreadable))

    def readable(self, key_id: str, held: SealedKey) -> bool:
        """Tell whether a kept key can be used here and now."""
        try:
            self._vault.open(held.sealed, bound_to=place_of(key_id, held.provider))
        except ConfigurationInvalid:
            return False
        return True

    def _again(self, key_id: str, held: SealedKey) -> SealedKey | None:
        place = place_of(key_id, held.provider)
        try:
            secret = self._vault.open(held.sealed, bound_to=place)
        except ConfigurationInvalid:
            return None
        return replace(held, sealed=self._vault.seal(secret, bound_to=place))

    async def _edit(self, key_id: str, edit: Callable[[KeyRow], KeyRow]) -> None:
        if await self._store.edit_key(key_id, edit) is None:
            raise NotFound(f"no key has the id {key_id[:80]!r}; list the keys to see which there are")

    def _taking_keys(self, name: str) -> str:
        taking = {row.id for row in self._catalog.providers.values() if row.key_env}
        found = self._catalog.find_provider(name)
        if found is None:
            near = get_close_matches(name.casefold(), sorted(taking), n=3, cutoff=0.5)
            raise UnknownName(
                "provider", name, near, known=f"There are {len(taking)}: {', '.join(sorted(taking))}"
            )
        if found.id not in taking:
            raise InvalidRequest(f"{found.id} takes no key", param="provider")
        return found.id


def mask(secret: str) -> str:
    """How a provider's key is shown: first eight and last four characters of a long one, nothing of a short one."""
    return f"{secret[:8]}...{secret[-4:]}" if len(secret) >= _SHOWN_FROM else "****"
