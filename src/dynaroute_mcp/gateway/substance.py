"""What a published schema says of messages: that one of them holds something, as the core demands."""

from typing import Final

from pydantic import JsonValue

_BLANK: Final[dict[str, JsonValue]] = {"type": "string", "pattern": r"^\s*$"}
_NULL: Final[dict[str, JsonValue]] = {"type": "null"}
_NONE: Final[dict[str, JsonValue]] = {"anyOf": [_NULL, {"type": "array", "maxItems": 0}]}
_BLANK_PART: Final[dict[str, JsonValue]] = {
    "anyOf": [
        {"properties": {"type": {"const": "text"}, "text": _BLANK}, "required": ["type"]},
        {"properties": {"type": {"const": "refusal"}, "refusal": _BLANK}, "required": ["type"]},
    ]
}
_BLANK_CONTENT: Final[dict[str, JsonValue]] = {
    "anyOf": [_NULL, _BLANK, {"type": "array", "items": _BLANK_PART}]
}
_NOTHING: Final[dict[str, JsonValue]] = {
    "anyOf": [
        {"properties": {"role": {"enum": ["system", "developer", "user"]}, "content": _BLANK_CONTENT}},
        {
            "properties": {
                "role": {"const": "assistant"},
                "content": _BLANK_CONTENT,
                "refusal": {"anyOf": [_NULL, _BLANK]},
                "tool_calls": _NONE,
                "reasoning_content": {"anyOf": [_NULL, {"type": "string", "maxLength": 0}]},
                "reasoning_details": _NONE,
            }
        },
    ]
}
SUBSTANCE: Final[dict[str, JsonValue]] = {"not": {"items": _NOTHING}}
"""What the core demands of messages: that one of them says something."""

_BLANK_SAID: Final[dict[str, JsonValue]] = {
    "anyOf": [
        {
            "properties": {"type": {"enum": ["input_text", "output_text"]}, "text": _BLANK},
            "required": ["type"],
        },
        {"properties": {"type": {"const": "refusal"}, "refusal": _BLANK}, "required": ["type"]},
    ]
}
_NO_ITEM: Final[dict[str, JsonValue]] = {
    "anyOf": [
        {
            "properties": {"content": {"anyOf": [_BLANK, {"type": "array", "items": _BLANK_SAID}]}},
            "required": ["role"],
        },
        {"properties": {"type": {"const": "reasoning"}}, "required": ["type"]},
    ]
}
INPUT_SUBSTANCE: Final[dict[str, JsonValue]] = {"not": {"items": _NO_ITEM}}
"""The same of the items of `input`: one of them says something, reasoning aside."""
