"""How the models did lately, for `doctor`: what the books say, and what a gateway here says of itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click
from pydantic import ValidationError

from dynaroute_mcp.cli.render import note, table
from dynaroute_mcp.providers.wire import Wire
from dynaroute_mcp.results import HealthReport, ModelVitals, View
from dynaroute_mcp.types import Ambient

GATEWAY: Final = "http://127.0.0.1:8000"
"""Where `dynaroute serve` listens unless it is told otherwise."""
_GATEWAY_S: Final = 1.0

_HEADINGS: Final = (
    ("model, last hour", "!"),
    ("calls", ">"),
    ("failed", ">"),
    ("first token p50", ">"),
    ("first token p95", ">"),
    ("answer p50", ">"),
    ("answer p95", ">"),
    ("tokens/s", ">"),
)
_RESTS: Final[Mapping[str, str]] = {
    "open": "its breaker is open",
    "cooling": "it cools down",
    "half_open": "its breaker is half open: the next call probes it",
}


async def gateway_view(address: str, ambient: Ambient) -> View | None:
    """Ask a gateway how it stands to each model; `None` when none of ours answers there.

    No key is sent: another program may listen on its port. A gateway shows this to its own machine.

    Raises:
        ConfigurationInvalid: the address is not one to ask.
    """
    async with Wire.open(now=ambient.clock) as wire:
        document = await wire.get_json(f"{address.rstrip('/')}/health/models", timeout_s=_GATEWAY_S)
    try:
        return HealthReport.model_validate(document).here
    except ValidationError:
        return None


def resting(view: View) -> Iterator[tuple[str, str]]:
    """Name who rests or fails in a view, and why, for how long."""
    for row in view.models:
        told = []
        if rests := _RESTS.get(row.state or "closed"):
            told.append(rests)
            told += [f"asked again in {row.retry_in_s:.0f} s"] if row.retry_in_s else []
            told += [f"last error {row.last_error}"] if row.last_error else []
        if row.degraded:
            told.append(f"degraded: {row.error_rate:.0%} of {row.calls} calls failed")
        if told:
            yield row.id, "; ".join(told)


def show(rows: Sequence[ModelVitals]) -> None:
    """Print how each model did by the books."""
    if not rows:
        return
    click.echo()
    table(_HEADINGS, [_cells(row) for row in rows])
    note("by the books of every process on this database; rate limits and refusals are no failures")


def _cells(row: ModelVitals) -> tuple[str, ...]:
    first, answer = row.first_token_s, row.answer_s
    return (
        row.id,
        f"{row.calls:,}",
        f"{row.failures:,} ({row.error_rate:.0%})",
        *(_seconds(each) for each in (first.p50, first.p95, answer.p50, answer.p95)),
        "-" if row.tokens_per_s is None else f"{row.tokens_per_s:.0f}",
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
