"""YAML text to plain data, for files that a user may have written, and plain words for what is wrong in them.

Every scalar stays text, so that a price keeps its digits and `no` is no truth value; the row classes convert.
What YAML can do beyond data is refused: tags, aliases, repeated keys, several documents, huge or deep files.
"""

import re
import stat
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel

from dynaroute_mcp.errors import ConfigurationInvalid

Plain = str | None | list["Plain"] | dict[str, "Plain"]

_MAX_BYTES: Final = 2_000_000
_MAX_DEPTH: Final = 12
_MAX_OPEN: Final = 400
_OPENING: Final = "-?: \t\ufeff"
"""What may stand on a line before a block that begins in it."""
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TAGS: Final = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})
_Loader: type[yaml.BaseLoader] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_yaml(path: Path) -> tuple[dict[str, Plain], bytes]:
    """Read one file: its mapping, and its bytes for the digest.

    Raises:
        ConfigurationInvalid: it is no file, is too large, can't be read, is no mapping, or uses more of YAML
            than data.
    """
    try:
        raw = _read(path)
        text = raw.decode()
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: can't be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid(f"{path}: can't be read as UTF-8 ({error.reason}); save it so") from error
    return parse_yaml(text, str(path)), raw


def _read(path: Path) -> bytes:
    """Read no more than may be there, and only a file: a pipe may wait for ever, a device never ends."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder can't be opened, and the system says so
        raise ConfigurationInvalid(f"{path}: is a pipe, a socket or a device; name a file")
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise ConfigurationInvalid(f"{path}: larger than {_MAX_BYTES:,} bytes")
    return raw


def parse_yaml(text: str, name: str) -> dict[str, Plain]:
    """Parse the text of a file called `name`; see `read_yaml`."""
    if _indent(text) > _MAX_OPEN or _nesting(text) > _MAX_OPEN:
        raise ConfigurationInvalid(f"{name}: nested too deeply")
    try:
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationInvalid(f"{name}: not valid YAML: {_first_line(error)}") from error
    data = _Walk(name).plain(root, 0) if root else {}
    if not isinstance(data, dict):
        raise ConfigurationInvalid(f"{name}: must be a mapping of sections")
    return data


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem


def _indent(text: str) -> int:
    """The column in which the deepest block begins; it bounds blocks as `_nesting` bounds brackets."""
    return max((len(line) - len(line.lstrip(_OPENING)) for line in text.splitlines()), default=0)


def _nesting(text: str) -> int:
    """Upper bound of how deep brackets stand open; keeps the C parser's own stack safe."""
    if text.count("[") + text.count("{") <= _MAX_OPEN:
        return 0
    deepest = depth = 0
    for char in text:
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


class _Walk:
    """Turns the node tree of one file into plain data, each collection once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._seen: set[int] = set()

    def plain(self, node: yaml.Node, depth: int) -> Plain:
        if node.tag not in _TAGS:
            raise self._refuse(node, f"tag {node.tag!r} is not allowed")
        if isinstance(node, yaml.ScalarNode):
            return None if not node.style and node.value in _NULLS else str(node.value)
        if id(node) in self._seen:
            raise self._refuse(node, "aliases are not allowed; write the value out")
        if depth >= _MAX_DEPTH:
            raise self._refuse(node, "nested too deeply")
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth + 1)
        return [self.plain(item, depth + 1) for item in node.value]

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Plain]:
        data: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key = self.plain(key_node, depth)
            if not isinstance(key, str):
                raise self._refuse(key_node, "a key must be text")
            if key in data:
                raise self._refuse(key_node, f"{key!r} is given twice")
            data[key] = self.plain(value_node, depth)
        return data

    def _refuse(self, node: yaml.Node, why: str) -> ConfigurationInvalid:
        return ConfigurationInvalid(f"{self._name}: line {node.start_mark.line + 1}: {why}")


def complaint(fault: Mapping[str, Any], form: type[BaseModel]) -> str:  # Any: pydantic's `ErrorDetails`
    """Say in plain words what is wrong with a value, without showing it.

    Args:
        fault: as pydantic reports it, its input and context included.
        form: what the whole file was validated as; an unknown field gets the nearest of those known in its
            place.
    """
    kind, context = str(fault["type"]), fault.get("ctx", {})
    if kind == "extra_forbidden":
        return f"there is no such field; {_offer(str(fault['loc'][-1]), _fields(form, fault['loc'][:-1]))}"
    if kind in {"enum", "literal_error"}:
        return _choice(str(fault["input"]), re.findall(r"'([^']*)'", context["expected"]))
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {context[bound]}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return _SHAPES.get(context["pattern"], f"must match {context['pattern']}")
    plain = next((words for part, words in _WORDS.items() if part in kind), None)
    return plain or f"{fault['msg'][:1].lower()}{fault['msg'][1:]}"


_WORDS: Final = {
    "missing": "is missing",
    "bool": "must be true or false",
    "int_": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "tuple": "must be a list",
    "list": "must be a list",
    "model_": "must be a mapping of fields to values",
    "dict": "must be a mapping of names to values",
    "mapping": "must be a mapping of names to values",
    "string_type": "must be text",
    "path_type": "must be a path",
    "string_too_short": "must not be empty",
    "date": "must be a date like 2026-01-31",
}
"""By a part of pydantic's name for the fault; the first that fits."""
_BOUNDS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_SHAPES: Final = {
    r"^https?://[^\s@]+$": "must be an address that begins with http:// or https://, without a user in it"
}
_FEW: Final = 8


def _choice(given: str, known: Sequence[str]) -> str:
    if len(known) > _FEW:
        return f"there is no such value; {_offer(given, known)}"
    *first, last = (repr(name) for name in known)
    return f"must be {', '.join(first)} or {last}" if first else f"must be {last}"


def _offer(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"


def _fields(form: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Names of the fields at a place; rows and names in between stand for nothing in the form."""
    for step in path:
        field = form.model_fields.get(str(step))
        form = (_form_in(field.annotation) if field else None) or form
    return [field.alias or name for name, field in form.model_fields.items()]


def _form_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_form_in, get_args(annotation))), None)
