"""From an error of ours to what a shell sees: one line on stderr, and an exit code that says which kind it was."""

import json
from typing import Final

import click

from dynaroute_mcp.cli.text import clean
from dynaroute_mcp.errors import DynarouteError

INTERRUPTED: Final = 130
"""Ctrl-C, as shells count it: 128 and the number of SIGINT."""

EXIT_CODES: Final = {
    "error": 1,
    "invalid_request": 2,
    "unknown_name": 2,
    "context_length_exceeded": 2,
    "authentication_failed": 3,
    "permission_denied": 3,
    "not_found": 4,
    "limit_exceeded": 5,
    "no_candidate": 6,
    "deadline_passed": 7,
    "provider_error": 8,
    "provider_refused": 8,
    "provider_context_length": 8,
    "provider_content_blocked": 8,
    "provider_key_rejected": 8,
    "provider_quota_exhausted": 8,
    "provider_model_missing": 8,
    "provider_rate_limited": 8,
    "provider_unavailable": 8,
    "provider_timed_out": 8,
    "provider_garbled": 8,
    "stream_broken": 8,
    "configuration_invalid": 9,
    "store_unavailable": 10,
    "store_corrupt": 10,
}
"""Exit code for each error code. 2 is also what a wrong option or an unknown command gives."""


def find_ours(error: BaseException) -> DynarouteError | None:
    """Find the error of ours in what was raised; a task group may have wrapped it."""
    if isinstance(error, DynarouteError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for inner in error.exceptions if (found := find_ours(inner))), None)
    return None


def report(error: DynarouteError, *, as_json: bool) -> int:
    """Tell an error on stderr and return the exit code."""
    status = EXIT_CODES[error.code]
    request_id = getattr(error, "request_id", None)
    if as_json:
        body = {
            "code": error.code,
            "message": clean(str(error)),
            "request_id": request_id,
            "exit_code": status,
        }
        click.echo(json.dumps({"error": body}), err=True)
        return status
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {clean(str(error))} [{error.code}]", err=True)
    if request_id:
        click.echo(f"`dynaroute explain {request_id}` shows how it was routed", err=True)
    return status
