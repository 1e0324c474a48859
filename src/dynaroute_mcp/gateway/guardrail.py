"""Refuses prompts that hold obvious personal data, before anybody is asked. What was found is named, never repeated.

Only patterns that prove themselves count: a card number must pass Luhn's check, an IBAN its remainder.
Expressions are linear in the text: no nested repeats. A long text is read in pieces, between which others are
served.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

import anyio.lowlevel

from dynaroute_mcp.gateway.refusal import Refusal
from dynaroute_mcp.types import ChatRequest, Part, Reasoning, Text, ToolCall, ToolResult

_STEP: Final = 20_000
"""Characters that are searched at once, which takes a few milliseconds."""
_OVERLAP: Final = 512
"""Characters that two pieces share; no pattern is as long."""


async def check(
    header: str | None, request: ChatRequest, names: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Check what goes to a provider in words, if `X-GR-Guardrails` wants it: messages, tools, schema and stops.

    Args:
        header: as it came.
        request: what was read of the body.
        names: what the caller's API calls the fields, where that is not as in chat completions.

    Raises:
        Refusal: 400 `guardrail_violation`, with the names of the patterns; or the header is wrong.
    """
    if not wanted(header):
        return
    found = set[str]()
    fields = list[str]()
    for field, text in _texts(request):
        before = len(found)
        for at in range(0, max(1, len(text) - _OVERLAP), _STEP):
            end = at + _STEP + _OVERLAP
            found |= patterns_in(text[at:end], begins=not at, ends=end >= len(text))
            await anyio.lowlevel.checkpoint()
        fields += [field] * (len(found) > before)
    if found:
        kinds = ", ".join(sorted(found))
        raise Refusal(
            400,
            f"the prompt holds personal data: {kinds}; take it out, or send no X-GR-Guardrails header",
            reason="guardrail_violation",
            param=names.get(fields[0], fields[0]),
            kind="guardrail_violation",
        )


def patterns_in(text: str, *, begins: bool = True, ends: bool = True) -> set[str]:
    """Name the kinds of personal data in a text, or in a piece of one, where nothing at a cut counts."""
    plain = text if text.isascii() else text.translate(_PLAIN)
    least, most = 0 if begins else 1, len(plain) if ends else len(plain) - 1
    return {
        name
        for name, pattern, proof in _PATTERNS
        if any(
            match.start() >= least and match.end() <= most and proof(match.group())
            for match in pattern.finditer(plain)
        )
    }


def wanted(header: str | None) -> bool:
    """Read `X-GR-Guardrails`.

    Raises:
        Refusal: 400; there is only `moderate`.
    """
    mode = (header or "").strip().casefold()
    if mode in {"", "off"}:
        return False
    if mode != "moderate":
        raise Refusal(
            400,
            "X-GR-Guardrails must be `moderate` or absent",
            reason="invalid_request",
            param="X-GR-Guardrails",
        )
    return True


def _luhn(found: str) -> bool:
    digits = [int(char) for char in found if char.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _iban(found: str) -> bool:
    packed = found.replace(" ", "")
    moved = packed[4:] + packed[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1


def _social_security(found: str) -> bool:
    area, group, serial = found.split("-")
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def _is_long(found: str) -> bool:
    return sum(map(str.isdecimal, found)) >= _PHONE_DIGITS


def _always(_found: str) -> bool:
    return True


_PHONE_DIGITS: Final = 9

_PATTERNS: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...]] = (
    (
        "email",
        re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}"),
        _always,
    ),
    ("credit_card", re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])"), _luhn),
    ("iban", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban),
    ("us_social_security_number", re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])"), _social_security),
    (
        "phone_number",
        re.compile(r"(?<!\w)\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,5}(?!\w)"),
        _is_long,
    ),
    (
        "phone_number",  # as North America writes them
        re.compile(r"(?<![\w.+-])(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\w-])"),
        _always,
    ),
)

_PLAIN: Final = {
    **dict.fromkeys([0xA0, *range(0x2000, 0x200B), 0x202F, 0x3000], " "),
    **dict.fromkeys([*range(0x2010, 0x2016), 0x2212], "-"),
    **dict.fromkeys([0xAD, *range(0x200B, 0x200E), 0x2060, 0xFEFF], None),
    **{code + 0xFEE0: chr(code) for code in range(0x21, 0x7F)},
}
"""Spaces, hyphens and full-width signs as word processors and forms write them; what has no width is left out."""


def _texts(request: ChatRequest) -> Iterable[tuple[str, str]]:
    """Every text that a provider gets, with the field of the body where it stands."""
    for message in request.messages:
        yield "messages", message.name or ""
        for part in message.parts:
            yield from (("messages", text) for text in _said(part))
    for tool in request.tools:
        yield "tools", tool.description
        yield from (("tools", text) for text in _strings(tool.parameters))
    if request.response_format is not None:
        yield from (("response_format", text) for text in _strings(request.response_format.schema))
    yield from (("stop", text) for text in request.parameters.stop)


def _said(part: Part) -> Iterable[str]:
    if isinstance(part, Text | Reasoning):
        yield part.text
    elif isinstance(part, ToolCall):
        yield part.arguments
    elif isinstance(part, ToolResult):
        yield from (inner.text for inner in part.parts if isinstance(inner, Text))


def _strings(schema: object) -> Iterable[str]:
    if isinstance(schema, str):
        yield schema
    elif isinstance(schema, dict):
        for name, inner in schema.items():
            yield name
            yield from _strings(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _strings(inner)
