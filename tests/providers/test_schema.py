import json

from hypothesis import given
from hypothesis import strategies as st

from dynaroute_mcp.providers.schema import for_anthropic, for_gemini

KEYWORDS = (
    "type",
    "properties",
    "items",
    "anyOf",
    "allOf",
    "$ref",
    "$defs",
    "enum",
    "required",
    "const",
    "oneOf",
    "format",
    "minItems",
    "a",
)
ANY = st.recursive(
    st.one_of(st.none(), st.integers(), st.sampled_from(["object", "array", "string", "null", "#/$defs/a"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4)
    ),
    max_leaves=12,
)
SCHEMAS = st.dictionaries(st.sampled_from(KEYWORDS), ANY, max_size=5)


@given(schema=SCHEMAS)
def test_any_schema_is_rewritten_without_a_crash(schema: dict[str, object]) -> None:
    json.dumps(for_gemini(schema))
    json.dumps(for_anthropic(schema))


def test_gemini_gets_its_own_types_and_only_words_that_it_knows() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "default": "x", "description": "Who.", "format": "email"},
            "when": {"type": "string", "format": "date-time"},
            "size": {"type": ["integer", "null"], "format": "int64", "minimum": 1},
            "unit": {"enum": ["C", "F", None]},
            "kind": {"const": "a"},
            "list": {"type": "array", "items": {"type": "number"}},
            "loose": {"type": "array"},
            "free": {"type": "object"},
            "odd": True,
        },
        "required": ["name", "odd"],
    }

    assert for_gemini(schema) == {
        "type": "OBJECT",
        "properties": {
            "name": {"type": "STRING", "description": "Who."},
            "when": {"type": "STRING", "format": "date-time"},
            "size": {"type": "INTEGER", "nullable": True, "format": "int64", "minimum": 1},
            "unit": {"type": "STRING", "format": "enum", "enum": ["C", "F"]},
            "kind": {"type": "STRING", "format": "enum", "enum": ["a"]},
            "list": {"type": "ARRAY", "items": {"type": "NUMBER"}},
            "loose": {"type": "ARRAY", "items": {"type": "STRING"}},
            "free": {"type": "STRING", "description": "A JSON object, written as text."},
        },
        "required": ["name"],
    }


def test_gemini_gets_references_in_full_and_alternatives_without_null() -> None:
    schema = {
        "type": "object",
        "$defs": {"Node": {"type": "object", "properties": {"value": {"type": "integer"}}}},
        "properties": {
            "node": {"$ref": "#/$defs/Node", "description": "One."},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "both": {"allOf": [{"$ref": "#/$defs/Node"}, {"description": "Merged."}]},
            "lost": {"$ref": "#/$defs/Missing"},
        },
    }
    node = {"type": "OBJECT", "properties": {"value": {"type": "INTEGER"}}}

    assert for_gemini(schema) == {
        "type": "OBJECT",
        "properties": {
            "node": {**node, "description": "One."},
            "maybe": {"anyOf": [{"type": "STRING"}], "nullable": True},
            "both": {**node, "description": "Merged."},
            "lost": {"type": "STRING"},
        },
    }


def test_gemini_gets_no_empty_choice_and_no_demand_for_what_is_no_property() -> None:
    schema = {
        "type": "object",
        "properties": {
            "action": {"type": "string", "enum": ["list", "open", ""]},
            "blank": {"type": "string", "enum": [""]},
            "ref": {"type": "object", "required": ["x"]},
            "either": {"anyOf": [{"type": "string"}], "required": ["x"]},
        },
        "required": ["ghost"],
        "anyOf": [{"required": ["action"]}, {"required": ["blank"]}],
    }

    assert for_gemini(schema) == {
        "type": "OBJECT",
        "properties": {
            "action": {"type": "STRING", "format": "enum", "enum": ["list", "open"]},
            "blank": {"type": "STRING"},
            "ref": {"type": "STRING", "description": "A JSON object, written as text."},
            "either": {"anyOf": [{"type": "STRING"}]},
        },
    }


def test_claude_gets_alternatives_formats_and_kinds_as_it_knows_them() -> None:
    schema = {
        "type": ["object", "null"],
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "path": {"type": "string", "format": "file-path"},
            "format": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {}}]},
        },
    }

    assert for_anthropic(schema) == {
        "type": ["object", "null"],
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "path": {"type": "string"},
            "format": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "object", "properties": {}, "additionalProperties": False},
                ]
            },
        },
        "additionalProperties": False,
    }


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/definitions/Tree"}}}

    written = json.dumps(for_gemini({**tree, "definitions": {"Tree": tree}}))

    assert len(written) < 5_000


def test_claude_gets_closed_objects_without_bounds_also_deep_inside() -> None:
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 3},
            "tags": {"type": "array", "minItems": 2, "items": {"type": "string", "maxLength": 3}},
            "some": {"type": "array", "minItems": 1},
            "inner": {"anyOf": [{"type": "object", "properties": {}}, {"type": "null"}]},
        },
        "$defs": {"A": {"type": "object"}},
    }

    assert for_anthropic(schema) == {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "some": {"type": "array", "minItems": 1},
            "inner": {
                "anyOf": [
                    {"type": "object", "properties": {}, "additionalProperties": False},
                    {"type": "null"},
                ]
            },
        },
        "$defs": {"A": {"type": "object", "additionalProperties": False}},
        "additionalProperties": False,
    }


def test_a_bottomless_schema_is_left_alone_below_a_depth() -> None:
    schema: dict[str, object] = {"type": "string", "minLength": 1}
    for _ in range(60):
        schema = {"type": "array", "items": schema}

    assert "minLength" in json.dumps(for_anthropic(schema))
    assert "ARRAY" in json.dumps(for_gemini(schema))
