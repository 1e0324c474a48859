"""`doctor`: what was found on this machine, what is wrong with it, and the next step for each."""

import contextlib
import platform
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Final, Literal
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import click

from dynaroute_mcp.cli.misnamed import misnamed
from dynaroute_mcp.cli.render import verdicts
from dynaroute_mcp.cli.session import Surroundings, emit, json_option, settings, surroundings
from dynaroute_mcp.cli.text import counted
from dynaroute_mcp.cli.tiers import tiers
from dynaroute_mcp.cli.vitals import GATEWAY, gateway_view, resting, show
from dynaroute_mcp.errors import ConfigurationInvalid, DynarouteError, StoreUnavailable
from dynaroute_mcp.pricing.check import STALE_AFTER_DAYS
from dynaroute_mcp.results import ModelVitals, View
from dynaroute_mcp.runtime import Core
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.store.base import CallFilter
from dynaroute_mcp.store.driver import how_to_restore
from dynaroute_mcp.store.upkeep import check
from dynaroute_mcp.types import Ambient

_ALERT_CALLS: Final = 200
"""How many of the newest calls are searched for alerts."""
_ALERT_DAYS: Final = 7

_ALERTS: Final = {
    "provider_key_rejected": ("rejects its key", "check the key and its rights in the provider's console"),
    "provider_quota_exhausted": ("has no credit left", "top the account up, or take the provider out of use"),
    "provider_model_missing": ("does not serve", "exclude the model, or ask the provider for access to it"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    state: Literal["ok", "warning", "failure"]
    about: str
    found: str
    next_step: str = ""
    """What to do; empty when there is nothing to do."""


@dataclass(slots=True, kw_only=True)
class _Examination:
    """What was found, as it grows."""

    findings: list[Finding]
    models: tuple[ModelVitals, ...] = ()
    """How each model did lately, by the books."""
    gateway: View | None = None
    """How the gateway on this machine stands to each model; `None` when none answered."""


def _whole(_ctx: click.Context, _option: click.Parameter, address: str | None) -> str | None:
    """Take only what has the form of an address; whether it may be asked is told with the findings."""
    try:
        parts = urlsplit(address or GATEWAY)
        formed = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        formed = False
    if not formed:
        raise click.BadParameter(f"{address!r} is no address; write it like {GATEWAY}")
    return address


@click.command()
@click.option(
    "--gateway",
    metavar="URL",
    callback=_whole,
    help=f"Ask the gateway there for its breakers; else at {GATEWAY}.",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, gateway: str | None, as_json: bool) -> None:
    """Check the installation and say what to do next.

    Keys are shown masked. Exit code 1 when something is broken; warnings alone do not change it.
    """
    try:
        chosen = settings()
    except DynarouteError as error:
        broken = _broken("settings", error, "correct what it names, then run this again")
        found = _Examination(findings=[_versions(), broken])
    else:
        found = anyio.run(_examine, chosen, surroundings(), gateway)
    ill = any(finding.state == "failure" for finding in found.findings)
    if as_json:
        emit(
            {
                "ok": not ill,
                "findings": [asdict(finding) for finding in found.findings],
                "models": [row.payload() for row in found.models],
                "gateway": found.gateway.payload() if found.gateway else None,
            }
        )
    else:
        verdicts([(each.state, each.about, each.found, each.next_step) for each in found.findings])
        show(found.models)
    ctx.exit(1 if ill else 0)


async def _examine(chosen: Settings, here: Surroundings, gateway: str | None) -> _Examination:
    ambient, findings = here.ambient, [_versions(), _settings(chosen), await _database(chosen)]
    found = _Examination(findings=findings)
    if gateway or chosen.discover_local:
        await _ask_gateway(found, gateway, ambient)
    try:
        async with here.opener(chosen, ambient) as core:
            await core.availability.ready()
            findings += _names(chosen, core, here)
            findings += [
                _catalog(core, ambient),
                await _classifier(core),
                *_providers(core, ambient),
                *_local_servers(core),
                await _identity(core),
            ]
            findings += [alert async for alert in _alerts(core, ambient)]
            with contextlib.suppress(StoreUnavailable):  # the database's own finding says why
                found.models = tuple(ModelVitals.of(row) for row in await core.reports.vitals())
    except DynarouteError as error:
        findings.append(_unopened(error))
    return found


def _unopened(error: DynarouteError) -> Finding:
    if isinstance(error, ConfigurationInvalid) and error.setting:
        return _broken("settings", error, f"correct {error.setting}, then run this again")
    return _broken("catalog", error, "correct the file that it names")


async def _ask_gateway(found: _Examination, named: str | None, ambient: Ambient) -> None:
    """Have the gateway tell how it stands to the models: its breakers are its own."""
    about = f"gateway {named or GATEWAY}"
    try:
        view = found.gateway = await gateway_view(named or GATEWAY, ambient)
    except ConfigurationInvalid as error:
        found.findings.append(_broken(about, error, "name an address of this machine, or an https one"))
        return
    if view is not None:
        ill = [Finding(state="warning", about=about, found=f"{who}: {why}") for who, why in resting(view)]
        well = Finding(
            state="ok", about=about, found=f"{counted(len(view.models), 'model')} asked, none rests"
        )
        found.findings += ill or [well]
    elif named:
        nobody = "no DynaRoute gateway tells its health there"
        found.findings.append(Finding(state="warning", about=about, found=nobody))


def _versions() -> Finding:
    ours, sdk = version("dynaroute-mcp"), version("mcp")
    found = f"dynaroute {ours}, Python {platform.python_version()}, mcp {sdk}, {sys.platform}"
    return Finding(state="ok", about="versions", found=found)


def _settings(chosen: Settings) -> Finding:
    where = str(chosen.config_file) if chosen.config_file else "no file; defaults and environment"
    return Finding(state="ok", about="settings", found=f"{where}; strategy {chosen.strategy}")


def _names(chosen: Settings, core: Core, here: Surroundings) -> list[Finding]:
    step = "correct it; until then it does nothing"
    return [
        Finding(state="warning", about="settings", found=found, next_step=step)
        for found in misnamed(chosen, core.availability.catalog, here.environ)
    ]


async def _database(chosen: Settings) -> Finding:
    try:
        found = await anyio.to_thread.run_sync(check, chosen.database)
    except DynarouteError as error:
        return _broken("database", error, "")
    sqlite = f"SQLite {found.sqlite.version} ({found.sqlite.library})"
    guard = f", has the WAL-reset bug; safeguard: {found.sqlite.safeguard}" if found.sqlite.affected else ""
    holds = f"{found.path}: {counted(found.calls, 'call')}, {counted(found.keys, 'key')}; {sqlite}{guard}"
    if found.problems:
        return Finding(
            state="failure",
            about="database",
            found=f"{found.path} is damaged: {found.problems[0]}",
            next_step=how_to_restore(found.path),
        )
    if found.network_file_system:
        steps = "set DYNAROUTE_DATABASE to a path on a local disk"
        return Finding(
            state="warning",
            about="database",
            found=f"{holds}; on {found.network_file_system}",
            next_step=steps,
        )
    return Finding(state="ok", about="database", found=holds)


def _catalog(core: Core, ambient: Ambient) -> Finding:
    catalog = core.availability.catalog
    today = ambient.clock().date()
    active = sum(not model.retired(today) for model in catalog.models)
    makers = len({model.provider for model in catalog.models})
    found = f"{counted(active, 'model')} of {counted(makers, 'provider')}"
    if catalog.checked_on is None:
        return Finding(state="warning", about="catalog", found=f"{found}, no price was ever checked")
    age = (today - catalog.checked_on).days
    found = f"{found}, prices checked {catalog.checked_on} ({counted(age, 'day')} ago)"
    if age > STALE_AFTER_DAYS:
        steps = "upgrade with `pip install -U dynaroute-mcp`, or correct prices in ~/.dynaroute/catalog.yaml"
        return Finding(state="warning", about="catalog", found=found, next_step=steps)
    return Finding(state="ok", about="catalog", found=found)


async def _classifier(core: Core) -> Finding:
    found, step = await anyio.to_thread.run_sync(tiers, core)
    return Finding(state="warning" if step else "ok", about="classifier", found=found, next_step=step)


def _providers(core: Core, ambient: Ambient) -> list[Finding]:
    today = ambient.clock().date()
    endpoints, catalog = core.availability.endpoints, core.availability.catalog
    active = Counter(model.provider for model in catalog.models if not model.retired(today))
    keyed = [
        Finding(
            state="ok",
            about=f"provider {provider}",
            found=f"key {_masked(endpoint.api_key)}, {endpoint.base_url}, {counted(active[provider], 'model')}",
        )
        for provider, endpoint in endpoints.items()
        if not endpoint.provider.keyless
    ]
    missing = core.availability.missing_keys()
    if keyed or any(endpoint.provider.keyless for endpoint in endpoints.values()):
        without = ", ".join(sorted(missing.values()))
        return (
            [*keyed, Finding(state="ok", about="not used", found=f"no key in {without}")]
            if without
            else keyed
        )
    steps = f"set one of {', '.join(missing.values())}, or start a local server such as Ollama"
    found = "no key and no local server: every answer is simulated by the sandbox"
    return [Finding(state="warning", about="providers", found=found, next_step=steps)]


def _local_servers(core: Core) -> list[Finding]:
    catalog, known = core.availability.catalog, core.local.found if core.local else ()
    findings = []
    for provider, endpoint in core.availability.endpoints.items():
        if endpoint.provider.keyless:
            models = sum(model.provider == provider for model in catalog.models)
            tested = sum(each.note is not None for each in known if each.model.provider == provider)
            found = f"{endpoint.provider.name} at {endpoint.base_url}, {counted(models, 'model')}, {tested} tested"
            step = "`dynaroute discover --test` shows how good and fast the others are"
            findings.append(
                Finding(
                    state="ok", about="local server", found=found, next_step=step if tested < models else ""
                )
            )
    return findings


async def _identity(core: Core) -> Finding:
    if core.settings.api_key is None:
        found = "DYNAROUTE_API_KEY is not set: calls are the local owner's, whom no plan limits"
        return Finding(state="ok", about="you", found=found)
    try:
        caller = await core.caller()
    except DynarouteError as error:
        return _broken("you", error, "make a key with `dynaroute keys create`, or unset DYNAROUTE_API_KEY")
    kind = "test key (sandbox only)" if caller.sandbox else "key"
    return Finding(state="ok", about="you", found=f"{kind} of {caller.owner}, plan {caller.plan}")


async def _alerts(core: Core, ambient: Ambient) -> AsyncIterator[Finding]:
    """What providers complained about lately and only the operator can mend."""
    try:
        since = ambient.clock() - timedelta(days=_ALERT_DAYS)
        calls = await core.reports.recent(CallFilter(since=since), _ALERT_CALLS)
    except DynarouteError:
        return  # the database's own finding says why
    attempts = [attempt for call in calls if call.outcome for attempt in call.outcome.attempts]
    seen = Counter((a.provider, a.outcome, a.model_id) for a in attempts if a.outcome in _ALERTS)
    for (provider, code, model_id), times in seen.items():
        what, step = _ALERTS[code]
        subject = f" {model_id}" if code == "provider_model_missing" else ""
        yield Finding(
            state="warning",
            about=f"provider {provider}",
            found=f"{what}{subject}: {times}x in {_ALERT_DAYS} days, last with {model_id}",
            next_step=step,
        )


def _broken(about: str, error: DynarouteError, step: str) -> Finding:
    return Finding(state="failure", about=about, found=str(error), next_step=step)


def _masked(key: str | None) -> str:
    return "none" if not key else f"...{key[-4:]}"
