import json
from collections.abc import Mapping

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.providers.examples import NOW
from tests.providers.mock_client import Mocked

from dynaroute_mcp.providers.discovery import PROBE_S, Discovered, ServerKind, discover
from dynaroute_mcp.providers.wire import Wire

Pages = Mapping[str, object]
OLLAMA_TAGS = {
    "models": [{"name": "llama3.2:3b", "model": "llama3.2:3b"}, {"name": "nomic-embed"}, {"name": "odd"}]
}
OLLAMA_SHOW = {
    "llama3.2:3b": {
        "capabilities": ["completion", "tools", "vision", "thinking"],
        "model_info": {"general.architecture": "llama", "llama.context_length": 131_072},
    },
    "nomic-embed": {"capabilities": ["embedding"], "model_info": {"bert.context_length": 2_048}},
    "odd": {"parameters": 'stop "x"\nnum_ctx    8192', "model_info": {"llama.context_length": 131_072}},
}


async def found(pages: Pages, addresses: Mapping[ServerKind, str] | None = None) -> tuple[Discovered, ...]:
    def serve(request: httpx2.Request) -> httpx2.Response:
        page = pages.get(f"{request.url.port}{request.url.path}")
        if request.url.path == "/api/show" and isinstance(page, dict):
            page = page.get(json.loads(request.content)["model"])
        return httpx2.Response(404) if page is None else httpx2.Response(200, content=json.dumps(page))

    async with Wire.open(now=lambda: NOW, transport=Mocked(serve)) as wire:
        return await (discover(wire) if addresses is None else discover(wire, addresses))


async def test_ollama_tells_its_models_their_windows_and_what_they_can_do() -> None:
    (one,) = await found({"11434/api/tags": OLLAMA_TAGS, "11434/api/show": OLLAMA_SHOW})

    assert (one.provider.id, one.provider.base_url, one.provider.keyless) == (
        "ollama",
        "http://127.0.0.1:11434/v1",
        True,
    )
    llama, odd = one.models
    assert (llama.id, llama.wire_id, llama.context_tokens) == ("ollama/llama3.2:3b", "llama3.2:3b", 4_096)
    assert llama.capabilities == {"tools", "vision", "reasoning", "json_mode"}
    assert (llama.free, llama.status) == (True, "active")
    assert (odd.wire_id, odd.context_tokens) == ("odd", 8_192)


async def test_ollamas_window_is_the_loaded_ones_and_not_all_that_an_architecture_allows() -> None:
    show = {"capabilities": ["completion"], "model_info": {"x.context_length": 131_072}}
    small = {"capabilities": ["completion"], "model_info": {"x.context_length": 2_048}}

    (one,) = await found(
        {
            "11434/api/tags": {
                "models": [{"model": name} for name in ("up", "down", "small", "cloud", "odd")]
            },
            "11434/api/show": {
                "up": show,
                "down": show,
                "small": small,
                "cloud": {**show, "remote_host": "https://ollama.com"},
                "odd": OLLAMA_SHOW["odd"],
            },
            "11434/api/ps": {"models": [{"model": "up", "context_length": 32_768}, {"model": 5}]},
        }
    )

    assert {model.wire_id: model.context_tokens for model in one.models} == {
        "up": 32_768,
        "down": 4_096,
        "small": 2_048,
        "cloud": 131_072,
        "odd": 8_192,
    }


async def test_llama_cpp_tells_its_window_in_its_properties() -> None:
    (one,) = await found(
        {
            "8080/v1/models": {
                "data": [{"id": "qwen", "owned_by": "llamacpp"}, {"id": 5, "owned_by": "llamacpp"}]
            },
            "8080/props": {
                "default_generation_settings": {"n_ctx": 65_536},
                "modalities": {"vision": True},
                "chat_template_caps": {"supports_tools": True},
            },
        }
    )

    (model,) = one.models
    assert (model.id, model.context_tokens) == ("llamacpp/qwen", 65_536)
    assert model.capabilities == {"vision", "tools", "json_mode"}


async def test_lm_studio_tells_which_of_its_models_can_talk() -> None:
    rows = [
        {
            "id": "a",
            "type": "llm",
            "max_context_length": 32_768,
            "loaded_context_length": 4_096,
            "capabilities": ["tool_use"],
        },
        {"id": "b", "type": "vlm", "max_context_length": 8_192},
        {"id": "c", "type": "embeddings"},
    ]

    (one,) = await found({"1234/api/v0/models": {"data": rows}})

    assert [(model.wire_id, model.context_tokens) for model in one.models] == [("a", 4_096), ("b", 8_192)]
    assert [model.capabilities for model in one.models] == [
        {"tools", "json_schema"},
        {"vision", "json_schema"},
    ]


async def test_vllm_is_known_by_its_own_name_and_our_gateway_on_its_port_is_not_taken_for_it() -> None:
    theirs = {"data": [{"id": "m", "owned_by": "vllm", "max_model_len": 16_384}]}
    ours = {"object": "list", "data": [{"id": "openai/gpt", "owned_by": "openai"}]}

    (one,) = await found({"8000/v1/models": theirs})

    assert (one.models[0].id, one.models[0].context_tokens) == ("vllm/m", 16_384)
    assert await found({"8000/v1/models": ours, "8080/v1/models": ours}) == ()


async def test_all_servers_are_found_in_one_order() -> None:
    pages = {
        "8000/v1/models": {"data": [{"id": "m", "owned_by": "vllm"}]},
        "8080/v1/models": {"data": [{"id": "m", "owned_by": "llamacpp"}]},
        "1234/api/v0/models": {"data": [{"id": "m", "type": "llm"}]},
        "11434/api/tags": {"models": [{"model": "m"}]},
        "11434/api/show": {"m": {}},
    }

    assert [one.provider.id for one in await found(pages)] == ["ollama", "llamacpp", "lmstudio", "vllm"]


async def test_addresses_can_be_moved_and_must_be_on_this_machine() -> None:
    pages = {"9/v1/models": {"data": [{"id": "m", "owned_by": "vllm"}]}}

    assert len(await found(pages, {"vllm": "http://127.0.0.1:9/"})) == 1
    assert await found(pages, {"vllm": "http://10.0.0.1:9"}) == ()


@pytest.mark.parametrize("wire_id", ["", "x" * 500, "a\nb"])
async def test_a_model_with_an_impossible_name_is_left_out(wire_id: str) -> None:
    assert await found({"8000/v1/models": {"data": [{"id": wire_id, "owned_by": "vllm"}]}}) == ()


@settings(deadline=None, max_examples=50)
@given(
    page=st.recursive(
        st.one_of(st.none(), st.integers(), st.text()),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["models", "data", "id", "model", "owned_by", "capabilities", "parameters", "model_info"]
                ),
                x,
            )
        ),
    )
)
def test_nothing_that_a_server_says_makes_it_fail(page: object) -> None:
    paths = [
        "11434/api/tags",
        "11434/api/show",
        "8080/v1/models",
        "8080/props",
        "1234/api/v0/models",
        "8000/v1/models",
    ]

    assert isinstance(anyio.run(found, dict.fromkeys(paths, page)), tuple)


async def test_without_any_server_it_takes_no_longer_than_one_probe() -> None:
    async def hang(request: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    async with Wire.open(now=lambda: NOW, transport=Mocked(hang)) as wire:
        with anyio.fail_after(PROBE_S + 0.2):
            assert await discover(wire) == ()
