"""What is wrong with a field of a body, in plain words that say what it takes, and never what it held."""

from collections.abc import Mapping
from typing import Final

from pydantic_core import ErrorDetails

from dynaroute_mcp.gateway import wire

_TIME: Final = "send a time with its zone, such as 2027-01-31T00:00:00Z"
_WORDS: Final[Mapping[str, str]] = {
    "missing": "this field is missing",
    "extra_forbidden": "there is no such field",
    "int_type": "send a whole number",
    "int_from_float": "send a whole number",
    "float_type": "send a number",
    "finite_number": "send a finite number",
    "bool_type": "send true or false",
    "string_type": "send a string",
    "list_type": "send an array",
    "dict_type": "send an object",
    "model_type": "send an object",
    "model_attributes_type": "send an object",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "timezone_aware": _TIME,
    "literal_error": "send {expected}",
    "enum": "send {expected}",
    "greater_than": "send more than {gt}",
    "greater_than_equal": "send {ge} or more",
    "less_than": "send less than {lt}",
    "less_than_equal": "send {le} or less",
    "too_long": "send {max_length} entries at most",
    "too_short": "send {min_length} or more entries",
    "string_too_long": "send {max_length} characters at most",
    "string_too_short": "send {min_length} or more characters",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "{discriminator} is missing",
}
"""By pydantic's name for the fault."""

_SHAPES: Final[Mapping[str, str]] = {
    wire.IMAGE: "send an http(s) address, or the picture itself as `data:image/png;base64,...`",
    wire.DATA: "send the file itself as `data:application/pdf;base64,...`; it is fetched from nowhere",
    wire.NAME: "send 1 to 128 letters, digits, `_`, `-`, `.` or `:`",
    wire.SCHEMA_NAME: "send 1 to 64 letters, digits, `_` or `-`",
    r"\S": "send some text",
}
"""By the pattern that did not fit."""


def told(fault: ErrorDetails) -> str:
    """Put a fault into words; pydantic's own where there are none."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return _SHAPES.get(context["pattern"], fault["msg"])
    words = _WORDS.get(kind)
    if words is None:
        return fault["msg"]
    return words.format(**{name: str(value).removesuffix(".0") for name, value in context.items()})
