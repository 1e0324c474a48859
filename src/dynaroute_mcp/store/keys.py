# ruff: noqa: S608  # queries are built from constants; every value is a parameter
"""The writer's jobs on keys and plans. As in `work.py`, each decides first and writes then."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from dynaroute_mcp.errors import InvalidRequest
from dynaroute_mcp.store.base import KeyRow
from dynaroute_mcp.store.key_rows import KEY_COLUMNS, key_values, read_key
from dynaroute_mcp.store.rows import text, to_micros
from dynaroute_mcp.store.writer import Transaction, Work

_MARKS: Final = ", ".join("?" for _ in KEY_COLUMNS.split(","))
_ADD_KEY: Final = (
    f"INSERT INTO keys ({KEY_COLUMNS}) VALUES ({_MARKS})"
    " ON CONFLICT (key_id) DO NOTHING ON CONFLICT (digest) DO NOTHING"
)
FIND_KEY: Final = f"""
    SELECT {KEY_COLUMNS}, NULL FROM keys WHERE digest = ?1
    UNION ALL
    SELECT {KEY_COLUMNS}, accepted_until FROM former_digests JOIN keys ON key_id = of_key WHERE old_digest = ?1
"""
_BY_ID: Final = f"SELECT {KEY_COLUMNS} FROM keys WHERE key_id = ?"
_WRITE_KEY: Final = f"UPDATE keys SET ({KEY_COLUMNS}) = ({_MARKS}) WHERE key_id = ?"
_KEEP_FORMER: Final = "INSERT INTO former_digests (old_digest, of_key, accepted_until) VALUES (?, ?, ?)"
_END_FORMERS: Final = """
    UPDATE former_digests SET accepted_until = -min(accepted_until, ?) WHERE of_key = ? AND accepted_until > 0
"""
"""An end that has come is written as a negative time: then no clock that is set back undoes it."""
_END_FORMER: Final = "UPDATE former_digests SET accepted_until = -abs(accepted_until) WHERE old_digest = ?"
_REVOKE_KEY: Final = (
    "UPDATE keys SET revoked_at = ?, provider_keys = NULL WHERE key_id = ? AND revoked_at IS NULL"
)
_SET_PLAN: Final = """
    INSERT INTO owners (owner, plan, changed_at) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET plan = excluded.plan, changed_at = excluded.changed_at
"""


def add_key(row: KeyRow) -> Work[None]:
    """Store a key.

    Raises:
        InvalidRequest: its id or digest is there already.
    """
    values = key_values(row)

    def run(transaction: Transaction) -> None:
        if transaction.connection.execute(_ADD_KEY, values).rowcount == 0:
            raise InvalidRequest(f"key {row.key_id!r} exists already; make a new one")

    return run


def revoke_key(digest: bytes, at: datetime) -> Work[KeyRow | None]:
    """Revoke a key, by its digest or a former one, unless it is already; forget its providers' keys."""

    def run(transaction: Transaction) -> KeyRow | None:
        found = transaction.connection.execute(FIND_KEY, (digest,)).fetchone()
        if found is None:
            return None
        row = read_key(found)
        transaction.connection.execute(_REVOKE_KEY, (to_micros(at), row.key_id))
        return row

    return run


def edit_key(key_id: str, edit: Callable[[KeyRow], KeyRow]) -> Work[KeyRow | None]:
    """Put what an edit makes of a key in its place, and return that."""

    def run(transaction: Transaction) -> KeyRow | None:
        found = transaction.connection.execute(_BY_ID, (key_id,)).fetchone()
        if found is None:
            return None
        row = edit(read_key(found))
        transaction.connection.execute(_WRITE_KEY, (*key_values(row), key_id))
        return row

    return run


def rotate_key(
    key_id: str, old: bytes, new: tuple[bytes, str, str], at: datetime, until: datetime
) -> Work[KeyRow | None]:
    """Give a key another secret, and accept the old one for a while; one before that ends at once."""
    digest, first8, last4 = new

    def run(transaction: Transaction) -> KeyRow | None:
        found = transaction.connection.execute(_BY_ID, (key_id,)).fetchone()
        if found is None or (row := read_key(found)).digest != old or row.revoked_at is not None:
            return None
        row = replace(row, digest=digest, first8=first8, last4=last4)
        transaction.connection.execute(_WRITE_KEY, (*key_values(row), key_id))
        transaction.connection.execute(_END_FORMERS, (to_micros(at), key_id))
        ends = to_micros(until) if until > at else -to_micros(until)
        transaction.connection.execute(_KEEP_FORMER, (old, key_id, ends))
        return row

    return run


def end_grace(digest: bytes) -> Work[None]:
    """Accept a former secret no more, whatever the clock says from now on."""

    def run(transaction: Transaction) -> None:
        transaction.connection.execute(_END_FORMER, (digest,))

    return run


def set_plan(owner: str, plan: str, at: datetime) -> Work[None]:
    """Give an owner and all their keys a plan."""

    def run(transaction: Transaction) -> None:
        transaction.connection.execute(_SET_PLAN, (text(owner), plan, to_micros(at)))
        transaction.connection.execute("UPDATE keys SET plan = ? WHERE owner = ?", (plan, text(owner)))

    return run
