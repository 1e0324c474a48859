"""`keys` and `plan`: who may ask, and how much."""

from typing import Any

import click

from dynaroute_mcp.accounts import DEFAULT_PLAN, NO_TERMS, Subscription
from dynaroute_mcp.cli import key_care
from dynaroute_mcp.cli.options import read_key
from dynaroute_mcp.cli.render import facts, note, table
from dynaroute_mcp.cli.session import emit, json_option, surroundings, with_core
from dynaroute_mcp.cli.terms import edited, term_options
from dynaroute_mcp.cli.text import counted, spaced, usd
from dynaroute_mcp.results import (
    DetailedKeyList,
    GeneratedKey,
    KeyDetails,
    RevokedKey,
    SubscriptionInfo,
    VerifiedKey,
)
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.types import Caller


@click.group()
def keys() -> None:
    """Make, check, change, revoke and list API keys."""


@keys.command()
@click.argument("owner")
@click.option("--plan", help="Plan of the key; else the owner's, else free.")
@click.option(
    "--sandbox", is_flag=True, help="A dr_test_ key: simulated answers, no provider is ever called."
)
@term_options
@json_option
def create(
    owner: str, *, plan: str | None, sandbox: bool, as_json: bool, **options: Any
) -> None:  # Any: click's values
    """Make a key for OWNER, an e-mail address or a name. It is shown once.

    Limits count beside the owner's plan; preferences come after a request's own wishes and before the configuration's.

    \b
    dynaroute keys create alice --requests-per-day 500 --usd-per-month 5
    dynaroute keys create ci --model gpt-6-luna --expires-days 30
    dynaroute keys create bob --exclude deepseek --rule "Debugging Assistance=anthropic/claude-haiku-5-5"
    """  # noqa: D301 -- click's mark of a block kept as it is
    terms = edited(NO_TERMS, options, surroundings().ambient.clock())

    async def work(core: Core) -> None:
        new = await core.accounts.generate_key(owner, plan=plan, sandbox=sandbox, terms=terms)
        result = GeneratedKey.of(new)
        if as_json:
            emit(result.payload())
            return
        click.echo(new.secret)
        note(f"{result.key_id} for {result.user_id}, plan {result.tier}. {result.message}", err=True)

    with_core(work)


@keys.command()
@click.argument("key", required=False)
@json_option
@click.pass_context
def verify(ctx: click.Context, key: str | None, *, as_json: bool) -> None:
    """Tell whether a key works and what is left of its plan.

    KEY is the key, or `-` for stdin; without it you are asked. Exit code 3 when the key does not work.
    """
    secret = read_key(key)

    async def work(core: Core) -> VerifiedKey:
        return VerifiedKey.of(await core.accounts.verify_key(secret))

    result = with_core(work)
    if as_json:
        emit(result.payload())
    else:
        _show_verified(result)
    ctx.exit(0 if result.valid else 3)


@keys.command(short_help="Stop a key at once, in every process.")
@click.argument("key", required=False)
@json_option
def revoke(key: str | None, *, as_json: bool) -> None:
    """Stop a key at once, in every process that shares the database.

    KEY is the key, or its id (key_...) when the key is lost, or `-` for stdin; without it you are asked.
    """
    secret = read_key(key)

    async def work(core: Core) -> None:
        by_id = secret.startswith("key_")
        result = RevokedKey.of(
            await (core.accounts.revoke_key_id(secret) if by_id else core.accounts.revoke_key(secret))
        )
        if as_json:
            emit(result.payload())
        else:
            again = "was revoked already, " if result.already_revoked else "is revoked since "
            click.echo(f"{result.masked_key} {again}{spaced(result.revoked_at)}")

    with_core(work)


@keys.command("list")
@click.argument("owner")
@json_option
def list_keys(owner: str, *, as_json: bool) -> None:
    """List the keys of OWNER, masked."""

    async def work(core: Core) -> None:
        result = DetailedKeyList.of(owner, await core.accounts.key_statuses(owner))
        if as_json:
            emit(result.payload())
            return
        table(
            [
                ("id", "!"),
                ("key", "!"),
                ("state", ""),
                ("plan", ""),
                ("created", ""),
                ("last used", ""),
                ("requests", ">"),
                ("terms", ""),
            ],
            [
                (
                    row.key_id,
                    row.masked_key,
                    row.status,
                    f"{row.tier}, sandbox" if row.sandbox else row.tier,
                    row.created_at[:10],
                    (row.last_used_at or "never")[:10],
                    f"{row.total_requests:,}",
                    _terms(row),
                )
                for row in result.keys
            ],
        )
        if result.unreadable:
            more = counted(result.unreadable, "more key")
            note(f"{more} can't be read and work nowhere; make others in their place, or put a backup back")
        elif not result.count:
            note(f"{owner} has no keys; `dynaroute keys create {owner}` makes one")

    with_core(work)


for command in key_care.COMMANDS:
    keys.add_command(command)


def _terms(row: KeyDetails) -> str:
    """Name what a key has of its own; `keys show` tells the rest."""
    limits, wanted = row.limits, row.preferences
    named = {
        "limits": any((limits.requests_per_minute, limits.requests_per_day, limits.tokens_per_month))
        or limits.usd_per_month is not None,
        f"only {', '.join(limits.models)}": limits.models,
        f"expires {(limits.expires_at or '')[:10]}": limits.expires_at,
        f"{wanted.strategy}": wanted.strategy,
        f"excludes {', '.join(wanted.exclude)}": wanted.exclude,
        f"prefers {', '.join(wanted.prefer)}": wanted.prefer,
        counted(len(wanted.rules), "rule"): wanted.rules,
        f"own {', '.join(each.provider for each in row.providers)}": row.providers,
    }
    return "; ".join(name for name, there in named.items() if there)


@click.group()
def plan() -> None:
    """Show or set what an owner may use."""


@plan.command(short_help="Show a plan and what is used of it.")
@click.argument("owner", required=False)
@json_option
def show(owner: str | None, *, as_json: bool) -> None:
    """Show a plan and what is used of it: OWNER's, else that of DYNAROUTE_API_KEY."""

    async def work(core: Core) -> None:
        subscription = await core.accounts.subscription(await _caller(core, owner))
        if as_json:
            emit(SubscriptionInfo.of(subscription).payload())
        else:
            _show_plan(subscription)

    with_core(work)


@plan.command("set", short_help="Give an owner a plan: free, pro or enterprise.")
@click.argument("owner")
@click.argument("plan_name", metavar="PLAN")
@json_option
def set_plan(owner: str, plan_name: str, *, as_json: bool) -> None:
    """Give OWNER, and every key of theirs, a PLAN: free, pro or enterprise."""

    async def work(core: Core) -> None:
        await core.accounts.set_plan(owner, plan_name)
        subscription = await core.accounts.subscription(await _caller(core, owner))
        if as_json:
            emit(SubscriptionInfo.of(subscription).payload())
        else:
            _show_plan(subscription)

    with_core(work)


async def _caller(core: Core, owner: str | None) -> Caller:
    if owner is None:
        return await core.caller()
    return Caller(owner=owner, plan=await core.store.find_plan(owner) or DEFAULT_PLAN)


def _show_verified(result: VerifiedKey) -> None:
    left = "unlimited" if result.tokens_remaining is None else f"{result.tokens_remaining:,}"
    works = {
        "key": result.masked_key,
        "state": result.status,
        "owner": result.user_id,
        "plan": result.subscription_tier,
        "tokens left": f"{left} this month",
        "expires": spaced(result.expires_at or "never"),
        "last used": spaced(result.last_used_at or "never"),
        "hint": result.message or None,
    }
    fails = {
        "state": result.status.replace("_", " "),
        "revoked": spaced(result.revoked_at) or None,
        "expired": spaced(result.expires_at or "") or None,
        "hint": result.message or None,
    }
    facts(works if result.valid else fails)


def _show_plan(subscription: Subscription) -> None:
    limits, spent = subscription.plan, subscription.spent
    if limits is None:
        facts({"owner": subscription.owner, "plan": "none: no plan limits this owner"})
        return
    facts(
        {
            "owner": subscription.owner,
            "plan": limits.name,
            "requests a minute": _used(f"{spent.requests_this_minute:,}", limits.requests_per_minute),
            "requests today": _used(f"{spent.requests_today:,}", limits.requests_per_day),
            "tokens this month": _used(f"{spent.tokens_this_month:,}", limits.tokens_per_month),
            "dollars this month": f"{usd(spent.usd_this_month)} of "
            + ("any amount" if limits.usd_per_month is None else usd(limits.usd_per_month)),
            "renews": f"{subscription.renews_at:%Y-%m-%d}",
        }
    )


def _used(spent: str, limit: int | None) -> str:
    return f"{spent} of " + ("any number" if limit is None else f"{limit:,}")
