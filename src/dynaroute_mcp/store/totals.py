# ruff: noqa: S608  # queries are built from constants; every value is a parameter
"""Sums and ranks over calls: those that are still there as rows, and those that retention has folded into days."""

from typing import Final, Literal

from dynaroute_mcp.store.base import CallFilter, Totals, Waits
from dynaroute_mcp.store.driver import Params
from dynaroute_mcp.store.rows import Row, from_micros, from_nano, to_micros

Grouping = Literal["all", "model", "category", "day"]

DAY_MICROS: Final = 86_400_000_000

SUMS: Final = (
    "requests, successful, unpriced, estimated, input_tokens, output_tokens, cache_read_tokens,"
    " cost_nano_usd, gpt41_nano_usd, baseline_nano_usd, latency_ms, timed"
)
"""What both sources give, in this order."""

SUMS_OF_CALLS: Final = """
    count(*) FILTER (WHERE status <> 'in_flight'),
    count(*) FILTER (WHERE status = 'ok'),
    count(*) FILTER (WHERE status <> 'in_flight' AND cost_nano_usd IS NULL),
    count(*) FILTER (WHERE usage_source <> 'provider'),
    coalesce(sum(uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens), 0)
        + coalesce(sum(lost_input_tokens), 0),
    coalesce(sum(output_tokens), 0) + coalesce(sum(lost_output_tokens), 0),
    coalesce(sum(cache_read_tokens), 0),
    coalesce(sum(cost_nano_usd), 0),
    coalesce(sum(gpt41_nano_usd) FILTER (WHERE cost_nano_usd IS NOT NULL), 0),
    coalesce(sum(baseline_nano_usd) FILTER (WHERE cost_nano_usd IS NOT NULL), 0),
    coalesce(sum(latency_ms), 0),
    count(latency_ms)
"""
_SUMS_OF_DAYS: Final = ", ".join(f"coalesce(sum({name.strip()}), 0)" for name in SUMS.split(","))

_GROUPS: Final[dict[Grouping, tuple[str, str]]] = {
    "all": ("''", "''"),
    "model": ("model_id", "model_id"),
    "category": ("category", "category"),
    "day": (f"started_at / {DAY_MICROS}", "day"),
}
"""Grouping expression over `calls`, and over `daily`."""


def where_calls(which: CallFilter) -> tuple[str, list[object]]:
    """Write a filter as a condition on `calls` and its parameters."""
    terms, params = _whose(which)
    if which.since is not None:
        terms.append("started_at >= ?")
        params.append(to_micros(which.since))
    if which.until is not None:
        terms.append("started_at < ?")
        params.append(to_micros(which.until))
    return " AND ".join(terms), params


def totals_query(which: CallFilter, by: Grouping) -> tuple[str, Params]:
    """Write the query whose rows `read_totals` takes."""
    calls, calls_params = where_calls(which)
    days, days_params = _where_days(which)
    of_calls, of_days = _GROUPS[by]
    query = f"""
        SELECT {of_calls}, count(*) FILTER (WHERE status = 'in_flight'), {SUMS_OF_CALLS}
        FROM calls WHERE {calls} GROUP BY 1
        UNION ALL
        SELECT {of_days}, 0, {_SUMS_OF_DAYS} FROM daily WHERE {days} GROUP BY 1
    """
    return query, (*calls_params, *days_params)


def read_totals(rows: list[Row], by: Grouping) -> tuple[Totals, ...]:
    """Add up the rows of each group, the largest cost first."""
    merged: dict[str | int, list[int]] = {"": [0] * _WIDTH} if by == "all" else {}
    for group, *figures in rows:
        known = merged.get(group, [0] * _WIDTH)
        merged[group] = [a + b for a, b in zip(known, figures, strict=True)]
    found = [_totals(_label(group), figures) for group, figures in merged.items()]
    return tuple(sorted(found, key=lambda total: (-total.cost_usd, total.group)))


def waits_query(which: CallFilter, newest: int) -> tuple[str, Params]:
    """Write the query whose rows `read_waits` takes."""
    where, params = where_calls(which)
    query = f"""
        SELECT latency_ms, first_token_ms FROM calls WHERE {where} AND status = 'ok'
        ORDER BY started_at DESC LIMIT ?
    """
    return query, (*params, newest)


def read_waits(rows: list[Row]) -> Waits:
    """Find the ranks."""
    whole = sorted(latency for latency, _ in rows if latency is not None)
    first = sorted(token for _, token in rows if token is not None)
    return Waits(
        calls=len(whole),
        latency_p50_ms=_rank(whole, 50),
        latency_p95_ms=_rank(whole, 95),
        first_token_p50_ms=_rank(first, 50),
        first_token_p95_ms=_rank(first, 95),
    )


def _rank(ordered: list[int], pct: int) -> int | None:
    return ordered[-(-pct * len(ordered) // 100) - 1] if ordered else None


OVERCOUNTS: Final = """
    SELECT model_id, max(
        (uncached_input_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens)
        / max(estimated_input_tokens * ?1, ?2, 1.0)
    ) AS share
    FROM calls
    WHERE id > (SELECT max(id) FROM calls) - ?3 AND NOT sandbox AND usage_source IN ('provider', 'clamped')
    GROUP BY model_id HAVING share > 1
"""

_WIDTH: Final = SUMS.count(",") + 2


def _totals(group: str, figures: list[int]) -> Totals:
    in_flight, requests, successful, unpriced, estimated, *rest = figures
    tokens_in, tokens_out, cache_read, cost, gpt41, baseline, latency_ms, timed = rest
    return Totals(
        group=group,
        requests=requests,
        successful=successful,
        unpriced=unpriced,
        estimated=estimated,
        in_flight=in_flight,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_read_tokens=cache_read,
        cost_usd=from_nano(cost),
        gpt41_usd=from_nano(gpt41),
        baseline_usd=from_nano(baseline),
        latency_ms_mean=round(latency_ms / timed) if timed else None,
    )


def _label(group: str | int) -> str:
    return f"{from_micros(group * DAY_MICROS):%Y-%m-%d}" if isinstance(group, int) else group


def _where_days(which: CallFilter) -> tuple[str, list[object]]:
    terms, params = _whose(which)
    if which.since is not None:
        terms.append("day >= ?")
        params.append(to_micros(which.since) // DAY_MICROS)
    if which.until is not None:
        terms.append("day * ? < ?")
        params += [DAY_MICROS, to_micros(which.until)]
    return " AND ".join(terms), params


def _whose(which: CallFilter) -> tuple[list[str], list[object]]:
    terms, params = ["sandbox = ?"], list[object]([which.sandbox])
    if which.owner is not None:
        terms.append("owner = ?")
        params.append(which.owner)
    if which.key_id is not None:
        terms.append("key_id = ?")
        params.append(which.key_id)
    return terms, params
