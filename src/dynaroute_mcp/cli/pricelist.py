"""`models` and `cost`: what there is, and what it costs."""

from collections.abc import Sequence
from typing import Final, TypedDict, Unpack, cast, get_args

import click

from dynaroute_mcp.catalog import Capability
from dynaroute_mcp.cli.options import LEVELS
from dynaroute_mcp.cli.render import facts, note, table
from dynaroute_mcp.cli.session import emit, json_option, with_core
from dynaroute_mcp.cli.text import counted, pct, rate, tokens, usd
from dynaroute_mcp.reports import Listing, Quote
from dynaroute_mcp.results import CostQuote, ModelList
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.taxonomy import Level

_LETTERS: Final = (("t", "tools"), ("v", "vision"), ("p", "pdf"), ("j", "json_schema"), ("r", "reasoning"))


class ModelFilters(TypedDict):
    """Which models to list."""

    search: str
    provider: str | None
    capability: str | None
    level: int | None
    available: bool
    everything: bool
    as_json: bool


@click.command()
@click.argument("search", required=False, default="")
@click.option("--provider", help="Only this provider's.")
@click.option("--capability", type=click.Choice(get_args(Capability)), help="Only those that can do this.")
@click.option("--level", type=LEVELS, help="Only those that are good enough for this level.")
@click.option("--available", is_flag=True, help="Only those that can be called now.")
@click.option("--all", "everything", is_flag=True, help="Retired ones too; they are priced, never called.")
@json_option
def models(**filters: Unpack[ModelFilters]) -> None:
    """List models, what they cost and whether they can be called.

    SEARCH is words of a name, or parts of them, in any order. Prices are US dollars per million tokens, input and output. Those that can be
    called now come first.
    """
    level, capability = filters["level"], filters["capability"]

    async def work(core: Core) -> None:
        rows = await core.reports.models(
            search=filters["search"],
            provider=filters["provider"],
            capability=cast("Capability | None", capability),  # click.Choice has checked it
            level=Level(level) if level else None,
            available_only=filters["available"],
            include_retired=filters["everything"],
        )
        if filters["as_json"]:
            emit(ModelList.of(rows, limit=len(rows), full=True).payload())
            return
        if rows:
            _show_models(rows)
        elif filters["available"] and core.availability.simulated:
            note("no model can be called now; `dynaroute doctor` says what they need")
        else:
            note("no model passes these filters; take one of them away")

    with_core(work)


@click.command()
@click.argument("model")
@click.argument("prompt_tokens", type=int, metavar="IN")
@click.argument("completion_tokens", type=int, metavar="OUT")
@json_option
def cost(model: str, prompt_tokens: int, completion_tokens: int, *, as_json: bool) -> None:
    """Price a number of tokens on a model, beside GPT-4.1.

    MODEL is any of its names: "Gemini 2.5 Flash", gemini-2.5-flash, google/gemini-2.5-flash. IN and OUT are
    tokens.
    """

    async def work(core: Core) -> None:
        quote = core.reports.quote(model, prompt_tokens, completion_tokens)
        if as_json:
            emit(CostQuote.of(quote, model).payload())
        else:
            _show_quote(quote)

    with_core(work)


def _show_models(rows: Sequence[Listing]) -> None:
    table(
        [
            ("model", ""),
            ("in $/M", ">"),
            ("out $/M", ">"),
            ("window", ">"),
            ("level", ""),
            ("can", "!"),
            ("state", ""),
        ],
        [
            (
                row.model.id,
                rate(row.rates.input_usd_per_mtok if row.rates else None),
                rate(row.rates.output_usd_per_mtok if row.rates else None),
                tokens(row.model.context_tokens),
                _levels(row.levels),
                "".join(letter if name in row.model.capabilities else "-" for letter, name in _LETTERS),
                _state(row),
            )
            for row in rows
        ],
    )
    ready = sum(row.available for row in rows)
    keyless = any(not (row.available or row.retired) for row in rows)
    advice = "; `dynaroute doctor` says what the others need" if keyless else ""
    note(f"{counted(len(rows), 'model')}, {ready} can be called now{advice}")
    note(f"can: {', '.join(f'{letter} {name}' for letter, name in _LETTERS)}")


def _state(row: Listing) -> str:
    if row.retired:
        return row.standing
    return ("ready" if row.available else "no key") + (", ends" if row.model.retires_at else "")


def _levels(levels: tuple[Level, ...]) -> str:
    if not levels:
        return "-"
    return f"{levels[0]:d}" if len(levels) == 1 else f"{levels[0]:d}-{levels[-1]:d}"


def _show_quote(quote: Quote) -> None:
    gpt41 = quote.gpt41
    facts(
        {
            "model": f"{quote.model.name} ({quote.model.id})",
            "tokens": f"{quote.usage.input_tokens:,} in, {quote.usage.output_tokens:,} out",
            "input": usd(quote.cost.input_usd) if quote.cost else None,
            "output": usd(quote.cost.output_usd) if quote.cost else None,
            "cost": usd(quote.cost.total_usd) if quote.cost else "unknown: this model has no known price",
            "GPT-4.1": usd(gpt41.baseline_usd) if gpt41 else None,
            "saved": f"{usd(gpt41.saved_usd)} ({pct(gpt41.saved_pct)})" if gpt41 else None,
            "price": quote.cost.basis if quote.cost else None,
        }
    )
