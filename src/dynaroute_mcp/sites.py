"""Which sites may ask a server on this machine. Pure: headers in, verdict out.

A browser can be led to a loopback port under a foreign name (DNS rebinding), so the Host must be one that no
stranger's DNS can point here: loopback, a bare address, or a name that the operator allowed. A page may call
only from loopback, from where the server itself is, or from an allowed name.
"""

from collections.abc import Set
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Literal
from urllib.parse import urlsplit

_KEPT: Final = 256
"""Names that are remembered: most requests come under the same."""
_LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain"})

_FOREIGN: Final = frozenset("@/?#\\")
"""What stands in an address, but in no Host."""


def fault(host: str, origin: str | None, allowed: Set[str]) -> Literal["host", "origin"] | None:
    """Tell which header keeps a request out; `None` lets it in.

    Args:
        host: the Host header, with its port.
        origin: the Origin header; programs send none.
        allowed: names in small letters under which the operator lets the server be reached.
    """
    name = _name_of(host)
    if not (is_loopback(name) or is_address(name) or name in allowed):
        return "host"
    if origin is None:
        return None
    try:
        asked = urlsplit(origin)
        asker = asked.hostname or ""
    except ValueError:
        return "origin"
    known = asked.netloc.casefold() == host.casefold() or is_loopback(asker) or asker in allowed
    return None if asked.scheme in {"http", "https"} and known else "origin"


def names_loopback(host: str) -> bool:
    """Tell whether a Host header, with its port, names this machine only."""
    return is_loopback(_name_of(host))


@lru_cache(maxsize=_KEPT)
def is_loopback(host: str) -> bool:
    """Tell whether a name or address can mean this machine only."""
    name = host.casefold()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost"):
        return True
    return is_address(host) and ip_address(host).is_loopback


@lru_cache(maxsize=_KEPT)
def is_address(host: str) -> bool:
    """Tell whether a host is a bare IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=_KEPT)
def _name_of(host: str) -> str:
    """Take the port off a Host header; empty when it is no host at all, or more than one."""
    if not _FOREIGN.isdisjoint(host):
        return ""
    try:
        return (urlsplit(f"//{host}").hostname or "").casefold()
    except ValueError:
        return ""
