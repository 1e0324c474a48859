"""`tokens`: count a text, and install what an exact count needs."""

from pathlib import Path
from typing import Final

import click

from dynaroute_mcp.cli.options import read_prompt
from dynaroute_mcp.cli.render import facts, note, table
from dynaroute_mcp.cli.session import emit, json_option
from dynaroute_mcp.ranks import RANKS, fetch_ranks, find_ranks, install_ranks, read_ranks
from dynaroute_mcp.tokens import EXACT_MAX_CHARS, estimate_tokens, exact_tokens

_NEWEST: Final = "o200k_base"
_ENCODING: Final = click.option(
    "--encoding",
    type=click.Choice(list(RANKS)),
    default=_NEWEST,
    show_default=True,
    help="; ".join(f"{name}: {ranks.models}" for name, ranks in RANKS.items()) + ".",
)


@click.group()
def tokens() -> None:
    """Count tokens, and install what exact counts need."""


@tokens.command(short_help="Count the tokens of a text.")
@click.argument("text", required=False)
@_ENCODING
@json_option
def count(text: str | None, encoding: str, *, as_json: bool) -> None:
    """Count the tokens of TEXT, or of stdin (`-`): our estimate, and OpenAI's exact figure where it can be had.

    The estimate is what is used before every call, whatever the provider; it needs nothing installed.
    """
    given = read_prompt(text)
    estimate, exact = estimate_tokens(given), exact_tokens(given, encoding)
    if as_json:
        emit({"characters": len(given), "estimate": estimate, "exact": exact, "encoding": encoding})
        return
    facts(
        {
            "characters": f"{len(given):,}",
            "estimate": f"{estimate:,}",
            "exact": f"{exact:,} ({encoding})" if exact is not None else "unknown",
        }
    )
    if len(given) > EXACT_MAX_CHARS:
        note(f"a text of more than {EXACT_MAX_CHARS:,} characters is estimated only")
    elif exact is None:
        note(f"`dynaroute tokens install --encoding {encoding}` makes exact counts possible")


@tokens.command(short_help="Fetch once what exact counts need.")
@_ENCODING
@click.option(
    "--file",
    "carried",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take the ranks from this file, fetched elsewhere, in place of the network.",
)
@json_option
def install(encoding: str, carried: Path | None, *, as_json: bool) -> None:
    """Fetch the ranks of an encoding once, check them, and keep them for exact counts.

    They come from OpenAI's public address, or from --file; either way their SHA-256 must be the known one.
    This is the only command that fetches anything that is no answer of a provider. TIKTOKEN_CACHE_DIR names
    another folder.
    """
    there = find_ranks(encoding)
    if there is None:
        if carried is None and not as_json:
            click.echo(f"Fetching the ranks of {encoding} ...", err=True)
        there = install_ranks(encoding, read_ranks(carried) if carried else fetch_ranks(encoding))
    if as_json:
        emit({"encoding": encoding, "path": str(there), "bytes": there.stat().st_size})
        return
    facts({"encoding": f"{encoding} ({RANKS[encoding].models})", "ranks": str(there)})


@tokens.command()
@json_option
def status(*, as_json: bool) -> None:
    """Say which encodings can be counted exactly."""
    found = {encoding: find_ranks(encoding) for encoding in RANKS}
    if as_json:
        emit({encoding: str(path) if path else None for encoding, path in found.items()})
        return
    table(
        [("encoding", ""), ("models", ""), ("state", ""), ("ranks", "")],
        [
            (
                encoding,
                RANKS[encoding].models,
                "exact" if path else "estimate only",
                str(path or "not installed"),
            )
            for encoding, path in found.items()
        ],
    )
    if None in found.values():
        note("`dynaroute tokens install --encoding NAME` makes exact counts possible")
