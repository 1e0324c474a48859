"""The vault: what is sealed opens only where it was sealed, under a master key that is there."""

import subprocess
import sys

import keyring.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from dynaroute_mcp import vault as module
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.vault import Vault, read_keyring, write_keyring

OLD, NEW = "old-master-key-of-many-characters", "new-master-key-of-many-characters"


def nonces(bound: int) -> int:
    nonces.count += 1  # type: ignore[attr-defined]  # a counter of its own
    return int(nonces.count * 7_919 % bound)  # type: ignore[attr-defined]


nonces.count = 0  # type: ignore[attr-defined]


def vault(*masters: str) -> Vault:
    return Vault(SecretStr(",".join(masters)), nonces)


@given(st.text(max_size=200), st.text(max_size=50))
def test_what_is_sealed_comes_back_in_its_place_and_is_not_to_be_read(secret: str, place: str) -> None:
    one = vault(OLD)

    sealed = one.seal(secret, bound_to=place)

    assert one.open(sealed, bound_to=place) == secret
    assert sealed.isascii()
    if len(secret) > 3:
        assert secret not in sealed


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    one = vault(OLD)

    assert one.seal("sk-1", bound_to="a") != one.seal("sk-1", bound_to="a")


def test_a_sealed_secret_opens_nowhere_else() -> None:
    one = vault(OLD)
    sealed = one.seal("sk-1", bound_to="key_1:openai")

    with pytest.raises(ConfigurationInvalid, match="does not belong where it stands"):
        one.open(sealed, bound_to="key_2:openai")


@given(st.data())
def test_a_single_changed_character_is_noticed(data: st.DataObject) -> None:
    one = vault(OLD)
    sealed = one.seal("sk-1234567890", bound_to="a")
    place = data.draw(st.integers(0, len(sealed) - 3))
    other = data.draw(st.sampled_from("A0.z").filter(lambda character: character != sealed[place]))

    with pytest.raises(ConfigurationInvalid):
        one.open(sealed[:place] + other + sealed[place + 1 :], bound_to="a")


@pytest.mark.parametrize("broken", ["", "1", "1.", "2.aaaaaaaa.xx", "é", "1.aaaaaaaa.é"])
def test_nonsense_is_refused_in_words(broken: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        vault(OLD).open(broken, bound_to="a")


def test_the_first_master_key_seals_and_all_open() -> None:
    sealed = vault(OLD).seal("sk-1", bound_to="a")
    both = vault(NEW, OLD)

    assert both.open(sealed, bound_to="a") == "sk-1"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal("sk-1", bound_to="a"))
    with pytest.raises(ConfigurationInvalid, match="put it behind the new one"):
        vault(NEW).open(sealed, bound_to="a")


def test_without_a_master_key_nothing_is_sealed_and_the_reason_says_what_to_do() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"DYNAROUTE_ENCRYPTION_KEY .* master-key"):
        Vault(None, nonces).seal("sk-1", bound_to="a")


def test_the_operating_system_may_keep_the_master_keys() -> None:
    ring = Vault(SecretStr("keyring"), nonces, lambda: f"{NEW},{OLD}")

    assert ring.open(vault(OLD).seal("sk-1", bound_to="a"), bound_to="a") == "sk-1"
    assert vault(NEW).open(ring.seal("sk-2", bound_to="a"), bound_to="a") == "sk-2"


def test_an_empty_keyring_says_how_to_fill_it() -> None:
    with pytest.raises(ConfigurationInvalid, match="--keyring"):
        Vault(SecretStr("keyring"), nonces, lambda: None).seal("sk-1", bound_to="a")


class Ring:
    """The operating system's keyring, as far as it is used."""

    errors = keyring.errors

    def __init__(self, *, locked: bool = False) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = locked

    def get_password(self, service: str, name: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("secret reason")
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, value: str) -> None:
        if len(self.kept) > 1:
            raise keyring.errors.PasswordSetError("secret reason")
        self.kept[service, name] = value


def test_a_new_master_key_goes_before_the_old_one_in_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    monkeypatch.setattr(module, "_keyring", lambda: ring)

    assert read_keyring() is None
    write_keyring(OLD)
    write_keyring(NEW)

    assert read_keyring() == f"{NEW},{OLD}"


def test_a_keyring_that_fails_is_told_without_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_keyring", lambda: Ring(locked=True))
    with pytest.raises(ConfigurationInvalid, match=r"can't be asked: KeyringLocked$"):
        read_keyring()
    full = Ring()
    full.kept = {("a", "b"): "c", ("d", "e"): "f"}
    monkeypatch.setattr(module, "_keyring", lambda: full)
    with pytest.raises(ConfigurationInvalid, match=r"takes nothing: PasswordSetError$"):
        write_keyring(NEW)


def test_the_keyring_package_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring.errors", None)

    with pytest.raises(ConfigurationInvalid, match=r"pip install 'dynaroute-mcp\[keyring\]'"):
        read_keyring()


def test_a_start_does_not_load_the_cryptography() -> None:
    code = (
        "import sys, dynaroute_mcp.runtime, dynaroute_mcp.gateway.app; print('cryptography' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
