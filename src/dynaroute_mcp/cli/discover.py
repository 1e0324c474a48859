"""`discover`: the models of servers on this machine, how fast they are, and what they can be trusted with."""

import click

from dynaroute_mcp.cli.render import note, table
from dynaroute_mcp.cli.session import emit, json_option, with_core
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.providers.local import LocalModel
from dynaroute_mcp.results import iso
from dynaroute_mcp.runtime import Core

_HEADINGS = (
    ("model", "!"),
    ("context", ">"),
    ("level", ">"),
    ("tokens/s", ">"),
    ("tested", "!"),
    ("server", ""),
)


@click.command()
@click.option("--test", is_flag=True, help="Ask each model that was never tested one prompt.")
@click.option("--again", is_flag=True, help="Test every model anew.")
@json_option
def discover(*, test: bool, again: bool, as_json: bool) -> None:
    """List and test the models of local servers.

    Looked for on this machine: Ollama, llama.cpp, LM Studio and vLLM.

    A test is one prompt with three small tasks: it shows the speed, and up to which level (3 at most) a model
    can be trusted. What it showed is remembered beside the database; servers test a few models by themselves.
    """

    async def work(core: Core) -> tuple[LocalModel, ...]:
        if core.local is None:
            raise ConfigurationInvalid("discover_local is false: set it to true to look for local servers")
        await core.availability.ready()
        if test or again:
            async for tested in core.local.test(again=again):
                click.echo(f"tested {tested.model.id}", err=True)
        return tuple(core.local.found)

    found = with_core(work)
    if as_json:
        emit({"models": [_shown(each) for each in found]})
        return
    if not found:
        click.echo("no local server was found; start Ollama, llama.cpp, LM Studio or vLLM")
        return
    table(_HEADINGS, [_cells(each) for each in found])
    if untested := sum(each.note is None for each in found):
        note(f"{untested} not tested yet: `dynaroute discover --test` tests them")


def _shown(local: LocalModel) -> dict[str, object]:
    tested = local.note.result if local.note else None
    speed = tested.tokens_per_s if tested else None
    return {
        "id": local.model.id,
        "server": local.endpoint.base_url,
        "context_tokens": local.model.context_tokens,
        "capabilities": sorted(local.model.capabilities),
        "tested_at": iso(local.note.at) if local.note else None,
        "highest_level": tested.highest_level if tested else None,
        "tokens_per_s": None if speed is None else round(speed, 1),
        "error": tested.error if tested else None,
        "trusted": local.model.note,
    }


def _cells(local: LocalModel) -> tuple[str, ...]:
    shown = _shown(local)
    level, speed, error = shown["highest_level"], shown["tokens_per_s"], shown["error"]
    return (
        local.model.id,
        f"{local.model.context_tokens:,}",
        "-" if local.note is None or error else str(level or "none"),
        "-" if speed is None else str(speed),
        f"failed: {error}" if error else str(shown["tested_at"] or "not yet"),
        local.endpoint.base_url,
    )
