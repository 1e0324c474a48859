"""Tools that every client can take: flat schemas, strict arguments, short errors.

Clients refuse or misread composition keywords, references and nulls in schemas, and a model pays for every
title, so what pydantic writes is flattened. An argument that a tool does not have is an error: one that is
silently ignored is a wish that is silently ignored.
"""

import inspect
from collections.abc import Awaitable, Callable
from difflib import get_close_matches
from itertools import islice
from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import ConfigDict, ValidationError

from dynaroute_mcp.results import Result

Schema = dict[str, Any]  # Any: JSON Schema
_TOLD = 20
"""Faults of one call that are told; there can be millions, and each unknown name is compared with the known ones."""


def strict_tool(
    method: Callable[..., Awaitable[CallToolResult]],
    result: type[Result],
    *,
    title: str,
    annotations: ToolAnnotations,
    meta: Schema | None = None,
) -> Tool:
    """Make a method a tool: its docstring is the description, its parameters the schema."""
    tool = Tool.from_function(
        method,
        title=title,
        description=" ".join(inspect.cleandoc(method.__doc__ or "").split()),
        annotations=annotations,
        meta=meta,
        structured_output=False,
    )
    made = tool.fn_metadata
    made.arg_model = type(
        made.arg_model.__name__,
        (made.arg_model,),
        {"model_config": ConfigDict(extra="forbid"), "__module__": __name__},
    )
    tool.parameters = arguments_schema(made.arg_model.model_json_schema(by_alias=True))
    made.output_schema = result_schema(result)
    return tool


def arguments_schema(written: Schema) -> Schema:
    """Drop titles and null defaults from a schema of arguments."""
    properties = {
        name: {key: value for key, value in item.items() if key != "title" and value is not None}
        for name, item in written.get("properties", {}).items()
    }
    return {
        "type": "object",
        "properties": properties,
        "required": written.get("required", []),
        "additionalProperties": False,
    }


def result_schema(result: type[Result]) -> Schema:
    """Write what a result holds, one level deep: all eleven schemas have to fit into eight kilobytes."""
    written = result.model_json_schema(mode="serialization")
    properties = {name: _shallow(item) for name, item in written["properties"].items()}
    return {"type": "object", "properties": properties}


def _shallow(node: Schema) -> Schema:
    if "$ref" in node:
        return {"type": "object"}
    if "anyOf" in node:
        first = next(_shallow(option) for option in node["anyOf"] if option != {"type": "null"})
        return {**first, "type": [first["type"], "null"]}
    if "items" in node:
        return {"type": "array", "items": _shallow(node["items"])}
    return {"type": node["type"]}


def without_blanks(tool: Tool, arguments: Schema) -> Schema:
    """Leave out optional arguments that are null or empty: so many clients send what a model left out."""
    optional = tool.parameters["properties"].keys() - set(tool.parameters["required"])
    return {
        name: value for name, value in arguments.items() if name not in optional or value not in (None, "")
    }


def explain(tool: Tool, error: ValidationError) -> str:
    """Say in one line per argument what is wrong with it, the first few, without echoing what was sent."""
    known = list(tool.parameters["properties"])
    faults = islice(error.errors(include_input=False), _TOLD)
    lines = [_line(item["loc"], item["type"], item["msg"], known) for item in faults]
    return f"invalid arguments for {tool.name}: " + "; ".join(dict.fromkeys(lines))


def _line(where: tuple[int | str, ...], kind: str, message: str, known: list[str]) -> str:
    name = str(where[0])[:80] if where else "arguments"
    if kind == "extra_forbidden":
        near = [other for other in known if other.startswith(name)] or get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"
        return f"there is no argument {name!r}; {hint}"
    if kind == "missing":
        return f"{name} is required"
    return f"{name}: {message[:1].lower()}{message[1:]}"
