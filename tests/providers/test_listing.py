"""Lists of models: read whole in each provider's own way, or not at all."""

import json
from collections.abc import Callable

import httpx2
import pytest
from tests.providers.examples import NOW
from tests.providers.mock_client import Mocked

from dynaroute_mcp.catalog import Dialect, Provider
from dynaroute_mcp.providers.base import Endpoint
from dynaroute_mcp.providers.listing import listed_models
from dynaroute_mcp.providers.wire import Wire

Answer = Callable[[httpx2.Request], object]


def endpoint(dialect: Dialect = "openai") -> Endpoint:
    provider = Provider(
        id="somebody", name="Somebody", dialect=dialect, base_url="https://api.example.com/v1", source="test"
    )
    return Endpoint(provider=provider, base_url=provider.base_url, api_key="sk-1")


async def listed(answer: Answer, at: Endpoint) -> tuple[frozenset[str] | None, list[httpx2.Request]]:
    asked: list[httpx2.Request] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        page = answer(request)
        return httpx2.Response(401) if page is None else httpx2.Response(200, content=json.dumps(page))

    async with Wire.open(now=lambda: NOW, transport=Mocked(serve)) as wire:
        return await listed_models(wire, at), asked


async def test_openai_and_those_who_speak_its_dialect_list_everything_at_once() -> None:
    names, (asked,) = await listed(
        lambda _: {"data": [{"id": "gpt-6-sol"}, {"id": "whisper"}, 7]}, endpoint()
    )

    assert names == frozenset({"gpt-6-sol", "whisper"})
    assert (str(asked.url), asked.headers["authorization"]) == (
        "https://api.example.com/v1/models",
        "Bearer sk-1",
    )


async def test_a_bare_list_is_a_list_too() -> None:
    names, _ = await listed(lambda _: [{"id": "llama"}], endpoint())

    assert names == frozenset({"llama"})


async def test_anthropic_is_asked_page_by_page() -> None:
    def answer(request: httpx2.Request) -> object:
        if "after_id" in request.url.params:
            return {"data": [{"id": "claude-b"}], "has_more": False, "last_id": "claude-b"}
        return {"data": [{"id": "claude-a"}], "has_more": True, "last_id": "claude-a"}

    names, asked = await listed(answer, endpoint("anthropic"))

    assert names == frozenset({"claude-a", "claude-b"})
    assert [dict(one.url.params) for one in asked] == [
        {"limit": "1000"},
        {"limit": "1000", "after_id": "claude-a"},
    ]
    assert (asked[0].headers["x-api-key"], asked[0].headers["anthropic-version"]) == ("sk-1", "2023-06-01")


async def test_gemini_names_models_by_its_own_path_and_goes_on_with_a_token() -> None:
    def answer(request: httpx2.Request) -> object:
        follows = {} if "pageToken" in request.url.params else {"nextPageToken": "t"}
        return {"models": [{"name": f"models/gemini-{len(request.url.params)}"}], **follows}

    names, asked = await listed(answer, endpoint("gemini"))

    assert names == frozenset({"models/gemini-1", "models/gemini-2"})
    assert all("sk-1" not in str(one.url) for one in asked)


@pytest.mark.parametrize(
    "page",
    [None, {}, {"data": "none"}, {"error": {}}, "text"],
    ids=["refused", "empty", "text", "error", "word"],
)
async def test_a_list_that_can_not_be_read_is_none(page: object) -> None:
    names, _ = await listed(lambda _: page, endpoint())

    assert names is None


async def test_a_list_without_end_is_given_up() -> None:
    names, asked = await listed(lambda _: {"models": [], "nextPageToken": "again"}, endpoint("gemini"))

    assert (names, len(asked)) == (None, 20)
