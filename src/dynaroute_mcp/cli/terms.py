"""The options that say what a key may do and what it favours, shared by making and changing one."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import click

from dynaroute_mcp.accounts import Terms
from dynaroute_mcp.cli.options import STRATEGIES
from dynaroute_mcp.taxonomy import Category, Strategy
from dynaroute_mcp.types import KeyRule

CommandT = TypeVar("CommandT", bound=Callable[..., Any])  # any signature: click passes what the options say

CLEARABLE = tuple(field.name for field in fields(Terms))
"""Fields of `Terms`, as `--clear` names them."""

_OPTIONS = (
    click.option("--strategy", type=STRATEGIES, help="What this key's requests favour."),
    click.option("--expires-days", type=click.IntRange(1, 3650), help="Days after which the key stops."),
    click.option(
        "--usd-per-month",
        type=click.FloatRange(min=0, min_open=True),
        help="Most dollars that this key may spend a month.",
    ),
    click.option(
        "--tokens-per-month", type=click.IntRange(min=1), help="Most tokens that this key may use a month."
    ),
    click.option("--requests-per-minute", type=click.IntRange(min=1), help="Most requests a minute."),
    click.option("--requests-per-day", type=click.IntRange(min=1), help="Most requests a day."),
    click.option(
        "--model", "models", multiple=True, metavar="NAME", help="The only models or providers; repeat it."
    ),
    click.option(
        "--exclude", multiple=True, metavar="NAME", help="A model or provider never to choose; repeat it."
    ),
    click.option(
        "--prefer", multiple=True, metavar="NAME", help="One to take where it costs the same; repeat it."
    ),
    click.option(
        "--rule",
        "rules",
        multiple=True,
        metavar="CATEGORY=MODEL",
        help="Prompts of a category, or of all (*), go to this model, or provider; repeat it.",
    ),
)


def term_options(command: CommandT) -> CommandT:
    """Add the options for a key's terms."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def edited(terms: Terms, options: dict[str, Any], now: datetime) -> Terms:  # Any: what click parsed
    """Put what the options say in the place of a key's terms; what they leave out stays."""
    given = {name: options[name] for name in CLEARABLE if options.get(name)}
    if options.get("expires_days"):
        given["expires_at"] = now + timedelta(days=options["expires_days"])
    if "strategy" in given:
        given["strategy"] = Strategy(given["strategy"])
    if "usd_per_month" in given:
        given["usd_per_month"] = Decimal(str(given["usd_per_month"]))
    if "rules" in given:
        given["rules"] = tuple(_rule(text) for text in given["rules"])
    return replace(terms, **given)


def _rule(text: str) -> KeyRule:
    category, separator, model = text.partition("=")
    known = {each.casefold(): each for each in Category}
    wanted = category.strip().casefold()
    if not separator or not (wanted == "*" or wanted in known):
        raise click.UsageError(
            f"--rule takes CATEGORY=MODEL, not {text!r}; the categories are: {', '.join(Category)}"
        )
    return KeyRule(category="*" if wanted == "*" else known[wanted], model=model.strip())
