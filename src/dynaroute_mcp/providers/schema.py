"""JSON Schema, cut down to what a provider's own validator accepts. Pure."""

from collections.abc import Mapping

_MAX_DEPTH = 24
"""Deeper, and where a schema refers to itself, anything is allowed."""

# What Gemini's Schema object knows (https://ai.google.dev/api/caching#Schema, read 2026-11).
_GEMINI_PLAIN = (
    "description",
    "title",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
)
_GEMINI_FORMATS = {
    "string": ("enum", "date-time"),
    "number": ("float", "double"),
    "integer": ("int32", "int64"),
}

# What Anthropic's structured outputs refuse (platform.claude.com, build-with-claude/structured-outputs, read
# 2026-11).
_ANTHROPIC_REFUSES = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)

# The formats that it takes (anthropic 2.12.0, which leaves out the others and writes oneOf as anyOf too).
_ANTHROPIC_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)

Schema = Mapping[str, object]


def for_gemini(schema: Schema) -> dict[str, object]:
    """Rewrite a schema in Gemini's subset: references resolved, unknown words left out, no empty object."""
    definitions: dict[str, object] = {}
    for home in ("$defs", "definitions"):
        found = schema.get(home)
        if isinstance(found, Mapping):
            definitions |= {f"#/{home}/{name}": value for name, value in found.items()}
    return _gemini(schema, definitions, 0)


def for_anthropic(schema: Schema) -> dict[str, object]:
    """Rewrite a schema in Anthropic's subset: bounds left out, and every object closed."""
    return _closed(schema, 0)


def _closed(schema: Schema, depth: int) -> dict[str, object]:
    kept: dict[str, object] = {}
    for word, value in schema.items():
        if word in _ANTHROPIC_REFUSES or (word == "minItems" and value not in (0, 1)):
            continue
        if word == "format" and isinstance(value, str) and value not in _ANTHROPIC_FORMATS:
            continue
        own = "anyOf" if word == "oneOf" else word
        kept[own] = _each(value, depth, mapped=word in {"properties", "$defs", "definitions"})
    kind = kept.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind):
        kept["additionalProperties"] = False
    return kept


def _each(value: object, depth: int, *, mapped: bool) -> object:
    """Close the schemas within a keyword's value; `mapped` when its keys are names."""
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        if not mapped:
            return _closed(value, depth + 1)
        return {name: _each(inner, depth + 1, mapped=False) for name, inner in value.items()}
    if isinstance(value, list):
        return [_each(inner, depth + 1, mapped=False) for inner in value]
    return value


def _gemini(schema: Schema, definitions: Schema, depth: int) -> dict[str, object]:
    schema = _resolved(schema, definitions)
    if depth > _MAX_DEPTH:
        return {"type": "STRING"}
    kept: dict[str, object] = {word: schema[word] for word in _GEMINI_PLAIN if word in schema}
    kind, nullable = _kind(schema)
    if nullable:
        kept["nullable"] = True
    options = _options(schema)
    if options and "properties" not in schema:  # beside properties they say which of them go together
        kept["anyOf"] = [_gemini(option, definitions, depth + 1) for option in options]
        return kept
    kept["type"] = kind.upper()
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if kind == "string" and isinstance(values, list):
        # an empty one is a 400 (sbroenne/mcp-server-excel#607, 2026-04-24)
        names = [str(value) for value in values if value is not None and value != ""]
        kept |= {"format": "enum", "enum": names} if names else {}
    elif schema.get("format") in _GEMINI_FORMATS.get(kind, ()):
        kept["format"] = schema["format"]
    if kind == "array":
        items = schema.get("items")
        kept["items"] = _gemini(items if isinstance(items, Mapping) else {}, definitions, depth + 1)
    if kind == "object":
        kept |= _properties(schema, definitions, depth)
    return kept


def _properties(schema: Schema, definitions: Schema, depth: int) -> dict[str, object]:
    properties = schema.get("properties")
    named = properties if isinstance(properties, Mapping) else {}
    kept = {
        name: _gemini(inner, definitions, depth + 1)
        for name, inner in named.items()
        if isinstance(inner, Mapping)
    }
    if not kept:  # an object without properties is refused
        return {"type": "STRING", "description": "A JSON object, written as text."}
    required = schema.get(
        "required"
    )  # what is no property may not be named (probelabs/probe#569, 2026-05-28)
    names = [name for name in kept if name in required] if isinstance(required, list) else []
    return {"properties": kept, "required": names} if names else {"properties": kept}


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Put a definition in the place of a reference to it, and merge `allOf`."""
    target = definitions.get(str(schema.get("$ref")))
    if isinstance(target, Mapping):
        schema = {**target, **{word: value for word, value in schema.items() if word != "$ref"}}
    parts = schema.get("allOf")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, Mapping):
            schema = {**schema, **_resolved({**part}, definitions)}
    return schema


def _kind(schema: Schema) -> tuple[str, bool]:
    """Return the first type that is not null, and whether null is allowed too."""
    named = schema.get("type")
    kinds = [kind for kind in (named if isinstance(named, list) else [named]) if isinstance(kind, str)]
    real = [kind for kind in kinds if kind != "null"]
    nullable = "null" in kinds or {"type": "null"} in _alternatives(schema) or schema.get("nullable") is True
    if real:
        return real[0], nullable
    return ("object" if "properties" in schema else "array" if "items" in schema else "string"), nullable


def _alternatives(schema: Schema) -> list[object]:
    found = schema.get("anyOf") or schema.get("oneOf")
    return found if isinstance(found, list) else []


def _options(schema: Schema) -> list[Schema]:
    return [
        option
        for option in _alternatives(schema)
        if isinstance(option, Mapping) and option.get("type") != "null"
    ]
