"""What the dialects with alternating turns share: Anthropic's and Gemini's. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from dynaroute_mcp.providers.parsing import Unparsable, parse_json
from dynaroute_mcp.types import ChatRequest, Message, Reasoning, ToolCall, ToolResult

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


def lacks_thought(messages: Sequence[Message]) -> bool:
    """Tell whether the assistant's last turn stops at a call and did not begin with a thought of its own.

    A turn goes on until the user speaks; its first message alone need hold one.
    """
    turn: list[Message] = []
    for message in reversed(messages):
        if message.role == "user" and not all(isinstance(part, ToolResult) for part in message.parts):
            if turn:
                break
        elif message.role == "assistant":
            turn.append(message)
    is_open = bool(turn) and any(isinstance(part, ToolCall) for part in turn[0].parts)
    return is_open and not isinstance(next(iter(turn[-1].parts), None), Reasoning)
