"""Text from a provider to values that are safe to carry inward.

Total: whatever the bytes, the outcome is a value or `Unparsable`. Every string is valid Unicode, because a
lone surrogate that leaves through MCP's stdio would end the server; every number is finite.
"""

import json
import math
import re
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)


class Unparsable(ValueError):
    """The text is no JSON that we would carry."""


class Theirs(BaseModel):
    """A provider's reply: only the fields that we read, everything else ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _mapping_or_none(value: object) -> object:
    return value if isinstance(value, dict) else None


Lenient = BeforeValidator(_mapping_or_none)
"""For parts that may be nonsense without making the answer worthless, such as `usage`."""


def _sound_or_none(value: object, check: ValidatorFunctionWrapHandler) -> object:
    try:
        return check(value)
    except ValidationError:
        return None


Dispensable = WrapValidator(_sound_or_none)
"""For parts of which vendors have several forms: one that is not ours, at whatever depth, counts as absent."""


def _text_or_none(value: object) -> object:
    return value if isinstance(value, str) else None


Name = Annotated[str | None, BeforeValidator(_text_or_none)]
"""A label that is nice to have: anything but text counts as absent."""

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def parse_json(source: str | bytes) -> object:
    """Parse JSON from anywhere; bytes that are no UTF-8 are replaced, NaN and Infinity become `None`.

    Raises:
        Unparsable: no JSON, or nested too deeply, or with a number of too many digits.
    """
    text = source if isinstance(source, str) else source.decode("utf-8-sig", "replace")
    try:
        value = _DECODER.decode(text)
        return _cleaned(value) if _SURROGATE_ESCAPE.search(text) else value
    except RecursionError as error:
        raise Unparsable("nested too deeply") from error
    except ValueError as error:
        raise Unparsable("not JSON") from error


def dump_json(value: object) -> str:
    """Write JSON compactly, keeping all scripts readable.

    Raises:
        Unparsable: the value is nested too deeply, or holds something that JSON does not know.
    """
    try:
        return _ENCODER.encode(value)
    except (RecursionError, TypeError, ValueError) as error:
        raise Unparsable("can't be written as JSON") from error


def clean(text: str) -> str:
    """Replace what UTF-8 can't hold; valid text is returned as it is."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _nothing(_: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


_DECODER = json.JSONDecoder(strict=False, parse_constant=_nothing, parse_float=_finite)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _cleaned(item) for key, item in value.items()}
    return value
