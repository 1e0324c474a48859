"""Where logs go, and what never gets into them. Light, because a server sets it up before anything else."""

import logging
import os
import re
import sys

_SECRET = re.compile(
    r"(?:(?:sk|pk|xai|gsk|key)-|gsk_)[\w-]{8,}|AIza[\w-]{10,}|dr_(?:test_)?[0-9A-Za-z]{20,}"
    r"|(?i:bearer)\s+[\w.~+/-]{8,}|(?<=[?&]key=)[^&\s]+"
)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What could steer a terminal, end a line or reorder one; line feeds and tabs are not among it."""


def configure_logging(level: int = logging.WARNING) -> None:
    """Send logs to stderr, without secrets. Called before an MCP server is built, whose own set-up then does nothing."""
    _fill_descriptors()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s %(message)s%(facts)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it logs whole addresses


def _fill_descriptors() -> None:
    """Put the null device where stdin, stdout or stderr is closed.

    Else the next socket or file gets its number: uvloop aborts the process over that, and others may write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


class _Redacting(logging.Formatter):
    """Adds the facts of `extra` and takes out whatever looks like a key, tracebacks included.

    Only a record begins at the margin: what somebody else wrote can't pass for one.
    """

    _own = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "facts"}

    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in self._own}
        record.facts = "".join(f" {name}={value}" for name, value in facts.items())
        shown = _SECRET.sub("[redacted]", super().format(record)).replace("\n", "\n  ")
        return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", shown)
