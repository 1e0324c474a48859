"""YAML text to plain data, for files that a user may have written.

Every scalar stays text, so that a price keeps its digits and `no` is no truth value; the row classes convert.
What YAML can do beyond data is refused: tags, aliases, repeated keys, several documents, huge or deep files.
"""

from pathlib import Path
from typing import Final

import yaml

from dynaroute_mcp.errors import ConfigurationInvalid

Plain = str | None | list["Plain"] | dict[str, "Plain"]

_MAX_BYTES: Final = 2_000_000
_MAX_DEPTH: Final = 12
_MAX_OPEN: Final = 400
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TAGS: Final = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})
_Loader: type[yaml.BaseLoader] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_yaml(path: Path) -> tuple[dict[str, Plain], bytes]:
    """Read one file: its mapping, and its bytes for the digest.

    Raises:
        ConfigurationInvalid: it can't be read, is no mapping, or uses more of YAML than data.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(
            f"{path}: can't be read ({error}); check the path and its encoding"
        ) from error
    return parse_yaml(text, path.name), raw


def parse_yaml(text: str, name: str) -> dict[str, Plain]:
    """Parse the text of a file called `name`; see `read_yaml`."""
    if len(text) > _MAX_BYTES:
        raise ConfigurationInvalid(f"{name}: larger than {_MAX_BYTES:,} characters")
    if text.count("[") + text.count("{") > _MAX_OPEN and _nesting(text) > _MAX_OPEN:
        raise ConfigurationInvalid(f"{name}: nested too deeply")
    try:
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationInvalid(f"{name}: not valid YAML: {_first_line(error)}") from error
    data = _Walk(name).plain(root, 0) if root else {}
    if not isinstance(data, dict):
        raise ConfigurationInvalid(f"{name}: must be a mapping of sections")
    return data


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}" if mark else problem


def _nesting(text: str) -> int:
    """Upper bound of how deep brackets stand open; keeps the C parser's own stack safe."""
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
