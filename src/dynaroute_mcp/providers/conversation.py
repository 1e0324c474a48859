"""What the dialects with alternating turns share: Anthropic's and Gemini's. Pure."""

from collections.abc import Iterable, Mapping

from dynaroute_mcp.providers.parsing import Unparsable, parse_json
from dynaroute_mcp.types import ChatRequest

Piece = dict[str, object]


def system_text(request: ChatRequest) -> str:
    """All system messages as one text, because these dialects keep it beside the turns."""
    return "\n\n".join(message.text for message in request.messages if message.role == "system")


def alternate(turns: Iterable[tuple[str, list[Piece]]]) -> list[tuple[str, list[Piece]]]:
    """Make neighbours of one role one turn, and leave out empty turns."""
    merged: list[tuple[str, list[Piece]]] = []
    for role, pieces in turns:
        if merged and merged[-1][0] == role:
            merged[-1][1].extend(pieces)
        elif pieces:
            merged.append((role, pieces))
    return merged


def arguments_object(text: str) -> Mapping[str, object]:
    """Arguments as the object that the API demands; what is no object is wrapped, so that nothing is lost."""
    try:
        value = parse_json(text or "{}")
    except Unparsable:
        value = text
    return value if isinstance(value, dict) else {"arguments": value}
