"""`catalog`: are our prices still true? Compares them with other people's lists, and writes what changed."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from dynaroute_mcp.availability import Listing
from dynaroute_mcp.catalog import load_catalog, load_overrides
from dynaroute_mcp.cli.render import facts, note, table
from dynaroute_mcp.cli.session import emit, json_option, surroundings, with_core
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.pricing.check import Check, Drift, check
from dynaroute_mcp.pricing.sync import Change, changes, head_of, rendered, updated
from dynaroute_mcp.runtime import Core

_EXTRA: Final = "the price lists are not installed; run `pip install 'dynaroute-mcp[catalog]'`"


@click.group()
def catalog() -> None:
    """Compare the prices with other lists, and update them."""


@catalog.command("check", short_help="Compare every active price with two other lists.")
@click.option(
    "--live", is_flag=True, help="Ask the providers instead, with your keys, which models they list."
)
@json_option
@click.pass_context
def check_command(ctx: click.Context, *, live: bool, as_json: bool) -> None:
    """Compare every active price, now and on the day of each announced change, with genai-prices and model-prices.

    Offline: the lists are packages. Exit code 1 when a price differs and no override explains it, or, with
    --live, when a provider does not list a model of ours.
    """
    if live:
        ctx.exit(_ask_providers(as_json=as_json))
    found = _compare()
    if as_json:
        emit(
            {
                "ok": not found.exit_code,
                "compared": found.compared,
                "missing": list(found.missing),
                "drifts": [_row(drift) for drift in found.drifts],
                "expired_overrides": [row.model for row in found.expired],
                "checked_on": str(found.checked_on) if found.checked_on else None,
                "stale": found.stale,
            }
        )
    else:
        _show(found)
    ctx.exit(found.exit_code)


@catalog.command()
@click.option(
    "--write", is_flag=True, help="Write the changes to prices.yaml; without it they are only shown."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("catalog"),
    show_default=True,
    help="The catalog of your checkout.",
)
@json_option
def sync(folder: Path, *, write: bool, as_json: bool) -> None:
    """Turn differences into new dated rows of prices.yaml. Old rows stay: past calls were billed by them."""
    ours, found, on = load_catalog(folder), _compare(folder), surroundings().ambient.clock().date()
    made, left = changes(ours, _references(), found, on)
    if write:
        file = folder / "prices.yaml"
        head = head_of(file.read_text(encoding="utf-8"))
        file.write_text(rendered(head, updated(ours, made, left, on)), encoding="utf-8")
    if as_json:
        emit({"written": write, "changed": [_changed(change) for change in made], "for_people": list(left)})
        return
    table(
        [("model", ""), ("from", "!"), ("rates", "")], [tuple(_changed(change).values()) for change in made]
    )
    note(f"{len(made)} changes {'written' if write else 'found; --write writes them'}")
    if left:
        note(f"for a person to look at: {', '.join(left)}")


def _ask_providers(*, as_json: bool) -> int:
    async def work(core: Core) -> tuple[Listing, ...]:
        return await core.availability.listings()

    found = with_core(work)
    if as_json:
        emit(
            {
                "ok": not any(row.unlisted for row in found),
                "providers": [
                    {
                        "provider": row.provider,
                        "listed": None if row.listed is None else len(row.listed),
                        "unlisted": list(row.unlisted),
                    }
                    for row in found
                ],
            }
        )
        return int(any(row.unlisted for row in found))
    table(
        [("provider", ""), ("lists", ">"), ("not on its list", "")],
        [
            (
                row.provider,
                "?" if row.listed is None else f"{len(row.listed):,}",
                ", ".join(row.unlisted) or ("could not be asked" if row.listed is None else "-"),
            )
            for row in found
        ],
    )
    if not found:
        note("no provider has a key; `dynaroute doctor` names the variables to set")
    return int(any(row.unlisted for row in found))


def _compare(folder: Path | None = None) -> Check:
    on = surroundings().ambient.clock().date()
    return check(load_catalog(folder), _references(), on, load_overrides(folder))


def _references() -> list[Any]:  # Any: each is a Reference and a RateSource
    try:
        lists = import_module("dynaroute_mcp.pricing.reference")
    except ModuleNotFoundError as error:
        raise ConfigurationInvalid(_EXTRA) from error
    return [lists.GenaiPrices(), lists.ModelPrices()]


def _show(found: Check) -> None:
    unexcused = [drift for drift in found.drifts if drift.excuse is None]
    facts(
        {
            "compared": f"{found.compared:,} prices",
            "different": f"{len(unexcused)}, and {len(found.drifts) - len(unexcused)} that an override explains",
            "not listed": ", ".join(found.missing) or None,
            "checked": f"{found.checked_on}{', more than 45 days ago' if found.stale else ''}",
            "overdue": ", ".join(row.model for row in found.expired) or None,
        }
    )
    if found.drifts:
        click.echo()
        table(
            [
                ("model", ""),
                ("on", "!"),
                ("what", ""),
                ("ours", ">"),
                ("theirs", ">"),
                ("our source", ""),
                ("their list", ""),
                ("excuse", ""),
            ],
            [tuple(str(_row(drift)[name] or "") for name in _SHOWN) for drift in found.drifts],
        )


_SHOWN: Final = (
    "model", "on", "what", "ours_usd_per_mtok", "theirs_usd_per_mtok", "source", "reference", "excuse",
)  # fmt: skip


def _row(drift: Drift) -> dict[str, str | None]:
    ours = drift.ours_usd_per_mtok
    return {
        "model": drift.model_id,
        "on": str(drift.on),
        "what": drift.what,
        "ours_usd_per_mtok": None if ours is None else f"{ours:f}",
        "theirs_usd_per_mtok": f"{drift.theirs_usd_per_mtok:f}",
        "source": drift.source,
        "reference": drift.reference,
        "excuse": drift.excuse,
    }


def _changed(change: Change) -> dict[str, str]:
    rates = change.after.usd_per_mtok.model_dump(exclude_none=True)
    shown = ", ".join(f"{name} {value:f}" for name, value in rates.items())
    return {"model": change.after.model, "from": str(change.after.valid_from), "rates": shown}
