"""`keys show`, `edit`, `rotate`, and the providers' keys that a key brings along."""

import secrets
from dataclasses import replace
from typing import Any

import click

from dynaroute_mcp.accounts import LONGEST_GRACE_S, NO_TERMS, KeyRow, KeyStatus, Terms
from dynaroute_mcp.cli.options import read_key
from dynaroute_mcp.cli.render import facts, note, table
from dynaroute_mcp.cli.session import emit, json_option, surroundings, with_core
from dynaroute_mcp.cli.terms import CLEARABLE, edited, term_options
from dynaroute_mcp.cli.text import spaced, usd
from dynaroute_mcp.results import (
    ForgottenProviderKey,
    KeyDetails,
    ProviderKeyEntry,
    ProviderKeyList,
    RotatedKey,
)
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.vault import write_keyring


@click.command(short_help="Show a key: its limits, preferences and providers.")
@click.argument("key_id")
@json_option
def show(key_id: str, *, as_json: bool) -> None:
    """Show the key with the id KEY_ID: its limits, preferences and providers."""

    async def work(core: Core) -> None:
        _show(core, await core.accounts.get_key(key_id), as_json=as_json)

    with_core(work)


@click.command(short_help="Change the limits and preferences of a key.")
@click.argument("key_id")
@term_options
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(CLEARABLE),
    help="Take a limit or preference away; repeat it.",
)
@json_option
def edit(
    key_id: str, *, clear: tuple[str, ...], as_json: bool, **options: Any
) -> None:  # Any: click's values
    """Change the limits and preferences of the key with the id KEY_ID.

    What no option names stays as it is. It holds from the key's next request on, in every process.

    \b
    dynaroute keys edit key_1a2b3c4d5e6f --requests-per-day 500 --exclude openrouter
    dynaroute keys edit key_1a2b3c4d5e6f --clear models --rule "Debugging Assistance=anthropic"
    """  # noqa: D301 -- click's mark of a block kept as it is
    now = surroundings().ambient.clock()
    untouched = {name: getattr(NO_TERMS, name) for name in clear}

    def change(terms: Terms) -> Terms:
        return edited(replace(terms, **untouched), options, now)

    async def work(core: Core) -> None:
        if clear or any(options.values()):
            _show(core, await core.accounts.edit_key(key_id, change), as_json=as_json)
            return
        _show(core, await core.accounts.get_key(key_id), as_json=as_json)
        note("Nothing was changed: no option says what; `dynaroute keys edit --help` lists them.", err=True)

    with_core(work)


@click.command(short_help="Give a key a new secret, shown once.")
@click.argument("key_id")
@click.option(
    "--grace-s",
    type=click.IntRange(0, LONGEST_GRACE_S),
    default=0,
    help="Seconds for which the old key is accepted too; by default it stops at once.",
)
@json_option
def rotate(key_id: str, *, grace_s: int, as_json: bool) -> None:
    """Give the key with the id KEY_ID a new secret, shown once; id, limits and usage stay."""

    async def work(core: Core) -> None:
        result = RotatedKey.of(await core.accounts.rotate_key(key_id, grace_s=grace_s))
        if as_json:
            emit(result.payload())
            return
        click.echo(result.api_key)
        until = result.old_key_accepted_until
        note(
            f"{result.message} The old key "
            + (f"is accepted until {spaced(until)}." if until else "stopped."),
            err=True,
        )

    with_core(work)


@click.command("add-provider", short_help="Keep a provider's own key for a DynaRoute key.")
@click.argument("key_id")
@click.argument("provider")
@click.argument("provider_key", required=False)
@json_option
def add_provider(key_id: str, provider: str, provider_key: str | None, *, as_json: bool) -> None:
    """Keep PROVIDER's own key for the DynaRoute key KEY_ID, encrypted.

    Requests of that key use it in place of yours. PROVIDER_KEY `-` reads it from stdin; without it you are
    asked. Needs a master key in DYNAROUTE_ENCRYPTION_KEY; `dynaroute keys master-key` makes one.
    """
    secret = read_key(provider_key)

    async def work(core: Core) -> None:
        entry = ProviderKeyEntry.of(await core.accounts.provider_keys.add(key_id, provider, secret))
        if as_json:
            emit(entry.payload())
        else:
            click.echo(f"{key_id} calls {entry.provider} with its own key {entry.masked_key} from now on")

    with_core(work)


@click.command("providers", short_help="List the providers' own keys of a key, masked.")
@click.argument("key_id")
@json_option
def list_providers(key_id: str, *, as_json: bool) -> None:
    """List the providers whose own keys the DynaRoute key KEY_ID brings along, masked."""

    async def work(core: Core) -> None:
        row = await core.accounts.get_key(key_id)
        entries = tuple(ProviderKeyEntry.of(held) for held in row.provider_keys)
        if as_json:
            emit(ProviderKeyList(id=key_id, count=len(entries), providers=entries).payload())
            return
        can = {
            held.provider: core.accounts.provider_keys.readable(key_id, held) for held in row.provider_keys
        }
        table(
            [("provider", "!"), ("key", ""), ("since", ""), ("state", "")],
            [
                (
                    entry.provider,
                    entry.masked_key,
                    entry.created_at[:10],
                    "kept" if can[entry.provider] else "can't be decrypted: see DYNAROUTE_ENCRYPTION_KEY",
                )
                for entry in entries
            ],
        )
        if not entries:
            note(f"{key_id} brings no providers' keys along; `dynaroute keys add-provider` keeps one")

    with_core(work)


@click.command("remove-provider", short_help="Forget a provider's own key of a DynaRoute key.")
@click.argument("key_id")
@click.argument("provider")
@json_option
def remove_provider(key_id: str, provider: str, *, as_json: bool) -> None:
    """Forget PROVIDER's own key of the DynaRoute key KEY_ID."""

    async def work(core: Core) -> None:
        held = await core.accounts.provider_keys.remove(key_id, provider)
        if as_json:
            emit(ForgottenProviderKey(id=key_id, provider=held.provider, deleted=True).payload())
        else:
            click.echo(f"{key_id} has no {held.provider} key of its own any more")

    with_core(work)


@click.command("master-key", short_help="Make a master key for providers' own keys.")
@click.option(
    "--keyring", is_flag=True, help="Put it into the operating system's keyring, and print nothing."
)
@json_option
def master_key(*, keyring: bool, as_json: bool) -> None:
    """Make a master key for DYNAROUTE_ENCRYPTION_KEY, under which providers' own keys are encrypted.

    \b
    To change the master key: put the new one before the old one, by a comma,
        DYNAROUTE_ENCRYPTION_KEY=NEW,OLD
    restart or send SIGHUP, run `dynaroute keys reencrypt`, and take the old one out.
    """  # noqa: D301 -- click's mark of a block kept as it is
    master = secrets.token_urlsafe(32)
    if keyring:
        write_keyring(master)
    if as_json:
        emit({"kept_in": "keyring"} if keyring else {"master_key": master})
    elif keyring:
        note("The keyring has it; set DYNAROUTE_ENCRYPTION_KEY=keyring. Older ones stay behind it.")
    else:
        click.echo(master)
        note("Keep it apart from the database: who has both can read the providers' keys.", err=True)


@click.command(short_help="Encrypt providers' own keys under a new master key.")
@json_option
@click.pass_context
def reencrypt(ctx: click.Context, *, as_json: bool) -> None:
    """Encrypt all kept providers' keys under the first master key of DYNAROUTE_ENCRYPTION_KEY.

    Exit code 1 when a key can't be decrypted by any of them.
    """

    async def work(core: Core) -> int:
        result = await core.accounts.provider_keys.reencrypt()
        if as_json:
            unreadable = [{"id": key_id, "provider": provider} for key_id, provider in result.unreadable]
            emit({"encrypted_anew": result.done, "current": result.current, "unreadable": unreadable})
            return len(unreadable)
        click.echo(f"{result.done} encrypted anew, {result.current} were already")
        for key_id, provider in result.unreadable:
            note(
                f"{key_id}: no master key here decrypts its {provider} key; add it anew or put the old one back"
            )
        return len(result.unreadable)

    ctx.exit(1 if with_core(work) else 0)


COMMANDS = (show, edit, rotate, add_provider, list_providers, remove_provider, master_key, reencrypt)


def _show(core: Core, row: KeyRow, *, as_json: bool) -> None:
    details = KeyDetails.of(KeyStatus(state=core.accounts.state_of(row), row=row))
    if as_json:
        emit(details.payload())
        return
    limits, wanted = details.limits, details.preferences
    facts(
        {
            "id": details.key_id,
            "key": details.masked_key,
            "owner": details.user_id,
            "state": details.status,
            "plan": f"{details.tier}, sandbox" if details.sandbox else details.tier,
            "requests a minute": _number(limits.requests_per_minute),
            "requests a day": _number(limits.requests_per_day),
            "tokens a month": _number(limits.tokens_per_month),
            "dollars a month": None if row.usd_per_month is None else usd(row.usd_per_month),
            "expires": limits.expires_at,
            "only": ", ".join(limits.models) or None,
            "strategy": wanted.strategy,
            "excludes": ", ".join(wanted.exclude) or None,
            "prefers": ", ".join(wanted.prefer) or None,
            "rules": ", ".join(f"{rule.category} -> {rule.model}" for rule in wanted.rules) or None,
            "own providers": ", ".join(f"{p.provider} {p.masked_key}" for p in details.providers) or None,
        }
    )


def _number(limit: int | None) -> str | None:
    return None if limit is None else f"{limit:,}"
