"""Speaks OpenAI's Responses API with a gateway in process."""

import json
from typing import Any

import httpx2
from tests.faces.gateway_door import Door

RESPONSES = "/v1/responses"


async def ask(at: Door, said: object = "Hello", *, headers: Any = None, **fields: Any) -> httpx2.Response:
    return await at.client.post(RESPONSES, json={"input": said, **fields}, headers=headers)


def told(text: str) -> list[Any]:
    """The events of a stream, whose names and numbers are right."""
    found = []
    for number, block in enumerate(text.removesuffix("\n\n").split("\n\n")):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


def kinds(events: list[Any]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]
