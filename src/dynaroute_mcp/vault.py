"""Encrypts what is kept for others: the providers' keys that a DynaRoute key brings along.

AES-256-GCM under a key derived from the master key of the operator. Each ciphertext is bound to the row that
it stands in and names the master key that made it, so that it opens nowhere else and master keys can be
changed. `cryptography` is imported when something is first sealed or opened: a start that needs none does not
pay for it.
"""

import base64
import binascii
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from dynaroute_mcp.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FROM_KEYRING: Final = "keyring"
"""In place of a master key: it is kept by the operating system."""

MASTER_CHARACTERS: Final = 32
"""Shortest master key."""

SERVICE: Final = "dynaroute"
ENTRY: Final = "encryption-key"
"""Under which names the operating system keeps it."""

_FORMAT: Final = "1"
_NONCE_BYTES: Final = 12
_ID_CHARACTERS: Final = 8
_LABEL: Final = b"dynaroute provider keys, format 1"
_NEEDED: Final = (
    "providers' keys are kept only encrypted, and there is no master key: set DYNAROUTE_ENCRYPTION_KEY to what "
    "`dynaroute keys master-key` prints, then restart or send SIGHUP"
)

Keyring = Callable[[], str | None]
"""Asks the operating system for the master key; `None` when it has none."""


class Vault:
    """Seals and opens. What it needs is looked up at the first use, not before."""

    def __init__(
        self, masters: SecretStr | None, randbelow: Callable[[int], int], keyring: Keyring | None = None
    ) -> None:
        """Take what is known at start.

        Args:
            masters: one master key, or several by commas: the first seals, all open; `keyring` among them stands
                for the one that the operating system keeps. `None` seals nothing.
            randbelow: a cryptographic source.
            keyring: asks the operating system; by default through PyPI `keyring`.
        """
        self._masters = masters
        self._randbelow = randbelow
        self._keyring = keyring or read_keyring
        self._ciphers: dict[str, AESGCM] = {}

    def seal(self, secret: str, *, bound_to: str) -> str:
        """Encrypt a secret for one place.

        Args:
            secret: any text.
            bound_to: names the place; opening it elsewhere fails.

        Raises:
            ConfigurationInvalid: there is no master key; says what to do.
        """
        master_id, cipher = next(iter(self._known().items()))
        nonce = self._randbelow(256**_NONCE_BYTES).to_bytes(_NONCE_BYTES, "big")
        sealed = nonce + cipher.encrypt(nonce, secret.encode(), bound_to.encode())
        return f"{_FORMAT}.{master_id}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: str, *, bound_to: str) -> str:
        """Decrypt what `seal` made for the same place.

        Raises:
            ConfigurationInvalid: there is no master key, or not the one that sealed it, or it was changed or moved.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 -- see the module's docstring

        version, _, rest = sealed.partition(".")
        master_id, _, packed = rest.partition(".")
        cipher = self._known().get(master_id)
        if version != _FORMAT or cipher is None:
            raise ConfigurationInvalid(
                f"no master key here opens what master key {master_id[:_ID_CHARACTERS]!r} sealed; "
                "put it behind the new one in DYNAROUTE_ENCRYPTION_KEY, by a comma"
            )
        try:
            data = base64.urlsafe_b64decode(packed)
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound_to.encode()).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise ConfigurationInvalid(
                "a sealed provider key does not belong where it stands, or was changed; add it anew"
            ) from None

    def is_current(self, sealed: str) -> bool:
        """Tell whether the first master key sealed it; raises as `seal`."""
        return sealed.split(".")[1:2] == [next(iter(self._known()))]

    def _known(self) -> "dict[str, AESGCM]":
        if not self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 -- as above

            self._ciphers = {
                _derive(master, b"id").hex()[:_ID_CHARACTERS]: AESGCM(_derive(master, b"key"))
                for master in self._resolved()
            }
        return self._ciphers

    def _resolved(self) -> list[str]:
        if self._masters is None:
            raise ConfigurationInvalid(_NEEDED)
        masters = list[str]()
        for master in split_masters(self._masters.get_secret_value()):
            masters += split_masters(self._keyring() or "") if master == FROM_KEYRING else [master]
        if not all(masters):
            raise ConfigurationInvalid(
                "the keyring of this user holds no master key; `dynaroute keys master-key --keyring` puts one there"
            )
        return masters


def split_masters(setting: str) -> list[str]:
    """Part the master keys of a setting."""
    return [part.strip() for part in setting.split(",")]


def read_keyring() -> str | None:
    """Ask the operating system for the master key.

    Raises:
        ConfigurationInvalid: PyPI `keyring` is not installed, or the system's keyring can't be asked.
    """
    keyring = _keyring()
    try:
        found = keyring.get_password(SERVICE, ENTRY)
    except keyring.errors.KeyringError as error:
        raise ConfigurationInvalid(f"the keyring can't be asked: {type(error).__name__}") from None
    return None if found is None else str(found)


def write_keyring(master: str) -> None:
    """Have the operating system keep a master key; what it kept before stays behind a comma. Raises as `read_keyring`."""
    before, keyring = read_keyring(), _keyring()
    try:
        keyring.set_password(SERVICE, ENTRY, ",".join(filter(None, (master, before))))
    except keyring.errors.KeyringError as error:
        raise ConfigurationInvalid(f"the keyring takes nothing: {type(error).__name__}") from None


def _keyring() -> Any:  # Any: a module that need not be there
    try:
        import keyring.errors  # noqa: PLC0415 -- an extra
    except ImportError:
        raise ConfigurationInvalid(
            "the master key is to come from the keyring: `pip install 'dynaroute-mcp[keyring]'` first"
        ) from None
    return keyring


def _derive(master: str, purpose: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) of one block; a master key is random, so it needs no stretching."""
    extracted = hmac.digest(_LABEL, master.encode(), "sha256")
    return hmac.digest(extracted, purpose + b"\x01", "sha256")
