"""The schema, as numbered steps that are only ever appended to.

`PRAGMA user_version` counts the steps that a file has been through. Steps run under the write lock with the
version read again, so that processes that start together on an absent or old file do them once.
"""

import filecmp
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from dynaroute_mcp.errors import StoreUnavailable
from dynaroute_mcp.store.driver import connect
from dynaroute_mcp.store.lock import exclusive

APPLICATION_ID = 0x44795274
"""Marks a file as ours (`DyRt`), so that another program's database is never written to."""

Step = tuple[str, ...]

_INITIAL: Step = (
    """CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        key_id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL UNIQUE,
        first8 TEXT NOT NULL,
        last4 TEXT NOT NULL,
        owner TEXT NOT NULL,
        plan TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        strategy TEXT,
        sandbox INTEGER NOT NULL,
        expires_at INTEGER,
        revoked_at INTEGER,
        last_used_at INTEGER,
        total_requests INTEGER NOT NULL
    )""",
    "CREATE INDEX keys_by_owner ON keys (owner)",
    "CREATE TABLE owners (owner TEXT PRIMARY KEY, plan TEXT NOT NULL, changed_at INTEGER NOT NULL)",
    """CREATE TABLE counters (
        scope TEXT NOT NULL,
        metric TEXT NOT NULL,
        window TEXT NOT NULL,
        used INTEGER NOT NULL,
        reserved INTEGER NOT NULL,
        resets_at INTEGER NOT NULL,
        PRIMARY KEY (scope, metric, window)
    ) WITHOUT ROWID""",
    """CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        key_id TEXT,
        plan TEXT,
        caller_sandbox INTEGER NOT NULL,
        caller_strategy TEXT,
        started_at INTEGER NOT NULL,
        deadline_at INTEGER NOT NULL,
        intended_model_id TEXT NOT NULL,
        intended_provider TEXT NOT NULL,
        category TEXT NOT NULL,
        level INTEGER NOT NULL,
        strategy TEXT NOT NULL,
        confidence REAL NOT NULL,
        classifier_tier TEXT NOT NULL,
        estimated_input_tokens INTEGER NOT NULL,
        reserved_nano_usd INTEGER,
        sandbox INTEGER NOT NULL,
        decision TEXT NOT NULL,
        project TEXT,
        holds TEXT,
        status TEXT NOT NULL,
        finished_at INTEGER,
        model_id TEXT NOT NULL,
        provider TEXT NOT NULL,
        uncached_input_tokens INTEGER,
        cache_read_tokens INTEGER,
        cache_write_5m_tokens INTEGER,
        cache_write_1h_tokens INTEGER,
        output_tokens INTEGER,
        reasoning_tokens INTEGER,
        usage_source TEXT,
        cost_nano_usd INTEGER,
        input_cost_nano_usd INTEGER,
        price_basis TEXT,
        gpt41_nano_usd INTEGER,
        baseline_nano_usd INTEGER,
        latency_ms INTEGER,
        first_token_ms INTEGER,
        attempts TEXT,
        error_code TEXT,
        finish_reason TEXT
    )""",
    "CREATE INDEX calls_by_owner ON calls (owner, started_at)",
    "CREATE INDEX calls_by_time ON calls (started_at)",
    "CREATE INDEX calls_in_flight ON calls (deadline_at) WHERE status = 'in_flight'",
    """CREATE TABLE daily (
        day INTEGER NOT NULL,
        owner TEXT NOT NULL,
        key_id TEXT NOT NULL,
        sandbox INTEGER NOT NULL,
        model_id TEXT NOT NULL,
        category TEXT NOT NULL,
        requests INTEGER NOT NULL,
        successful INTEGER NOT NULL,
        unpriced INTEGER NOT NULL,
        estimated INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL,
        gpt41_nano_usd INTEGER NOT NULL,
        baseline_nano_usd INTEGER NOT NULL,
        latency_ms INTEGER NOT NULL,
        timed INTEGER NOT NULL,
        PRIMARY KEY (day, owner, key_id, sandbox, model_id, category)
    ) WITHOUT ROWID""",
    """CREATE TABLE feedback (
        id INTEGER PRIMARY KEY,
        prompt_sha256 BLOB NOT NULL,
        predicted_category TEXT NOT NULL,
        predicted_level INTEGER NOT NULL,
        right_category TEXT NOT NULL,
        right_level INTEGER NOT NULL,
        at INTEGER NOT NULL,
        text TEXT
    )""",
    "CREATE TABLE upkeep (name TEXT PRIMARY KEY, at INTEGER NOT NULL)",
)

_LIMITS_AND_REPRICINGS: Step = (
    "ALTER TABLE keys ADD COLUMN nano_usd_per_month INTEGER",
    "ALTER TABLE keys ADD COLUMN tokens_per_month INTEGER",
    "ALTER TABLE calls ADD COLUMN repriced TEXT",
)
"""What one key may use; and of a call that was priced anew, what was recorded before."""

_KEYS_WITH_TERMS: Step = (
    "ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER",
    "ALTER TABLE keys ADD COLUMN requests_per_day INTEGER",
    "ALTER TABLE keys ADD COLUMN models TEXT",
    "ALTER TABLE keys ADD COLUMN preferences TEXT",
    "ALTER TABLE keys ADD COLUMN provider_keys TEXT",
    """CREATE TABLE former_digests (
        old_digest BLOB PRIMARY KEY,
        of_key TEXT NOT NULL,
        accepted_until INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX former_digests_by_key ON former_digests (of_key)",
)
"""What one key may do and favours, providers' keys of its own, and secrets whose place newer ones took."""

_CORRECTIONS_BY_REQUEST: Step = (
    "ALTER TABLE feedback ADD COLUMN request_id TEXT",
    "CREATE UNIQUE INDEX feedback_by_request ON feedback (request_id)",
)
"""A request has one correction, the newest, so that nobody fills the disk with them."""

_LOST: Final = """json_each(CASE WHEN json_valid(attempts) THEN attempts ELSE '[]' END)
        WHERE CASE type WHEN 'array' THEN json_array_length(value) END > 6"""
"""Tries of a call that tell behind six other fields what they took; none where a row is damaged."""

_LOST_TOKENS: Step = (
    "ALTER TABLE calls ADD COLUMN lost_input_tokens INTEGER",
    "ALTER TABLE calls ADD COLUMN lost_output_tokens INTEGER",
    f"""UPDATE calls SET (lost_input_tokens, lost_output_tokens) = (
        SELECT sum(json_extract(value, '$[6]') + json_extract(value, '$[7]') + json_extract(value, '$[8]')
            + json_extract(value, '$[9]')), sum(json_extract(value, '$[10]'))
        FROM {_LOST}
    ) WHERE EXISTS (SELECT 1 FROM {_LOST})""",  # noqa: S608  # made of a constant
)
"""What failed tries of a call took, so that the sums of tokens are those behind the sums of dollars."""

MIGRATIONS: tuple[Step, ...] = (
    _INITIAL,
    _LIMITS_AND_REPRICINGS,
    _KEYS_WITH_TERMS,
    _CORRECTIONS_BY_REQUEST,
    _LOST_TOKENS,
)


def migrate(connection: sqlite3.Connection, path: Path, steps: tuple[Step, ...] = MIGRATIONS) -> None:
    """Bring the file to the newest schema; an existing one is copied to `PATH.vN.backup` first.

    Where that name is taken by another state of the file, the copy is `PATH.vN.2.backup`, and so on.

    Raises:
        StoreUnavailable: the file is newer than this code, or another program's.
        sqlite3.Error: it can't be read or written.
    """
    if _version(connection, path, len(steps)) == len(steps):
        return
    with exclusive(path):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            _take_steps(connection, path, steps)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Make sure that a file that can't be written has the newest schema.

    Raises:
        StoreUnavailable: it has not.
    """
    if _version(connection, path, len(MIGRATIONS)) != len(MIGRATIONS):
        raise StoreUnavailable(
            f"database {path} is older than this DynaRoute and can't be written to migrate it"
        )


def copy_database(source: sqlite3.Connection, target: Path) -> None:
    """Write a consistent copy, readable by its owner only, which appears under its name when it is whole.

    Raises:
        StoreUnavailable: the target exists.
        sqlite3.Error, OSError: it can't be written.
    """
    if target.exists():
        raise StoreUnavailable(f"{target} exists already; choose another name")
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with closing(connect(partial)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    partial.rename(target)


def _take_steps(connection: sqlite3.Connection, path: Path, steps: tuple[Step, ...]) -> None:
    version = _version(connection, path, len(steps))
    if 0 < version < len(steps):
        _keep_copy(path, version)
    for step in steps[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(steps)}")


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    holds_tables = connection.execute(
        "SELECT 1 FROM sqlite_master"
    ).fetchone()  # first: another process may migrate
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID and holds_tables:
        raise StoreUnavailable(
            f"database {path} belongs to another program; set DYNAROUTE_DATABASE to a path of its own"
        )
    if version > newest:
        raise StoreUnavailable(
            f"database {path} has schema {version}, this DynaRoute knows {newest}: a newer version wrote it;"
            " upgrade with `pip install -U dynaroute-mcp`, or set DYNAROUTE_DATABASE to another path"
        )
    return version


def _keep_copy(path: Path, version: int) -> None:
    """Copy the file under the first free name, unless a try that failed has left the same copy."""
    names = [f"{path.name}.v{version}.backup"]
    while path.with_name(names[-1]).exists():
        names.append(f"{path.name}.v{version}.{len(names) + 1}.backup")
    *earlier, target = (path.with_name(name) for name in names)
    with closing(connect(path, "ro")) as source:
        copy_database(source, target)
    if earlier and filecmp.cmp(earlier[-1], target, shallow=False):
        target.unlink()
