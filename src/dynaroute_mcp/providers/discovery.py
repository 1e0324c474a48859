"""Looks for model servers on this machine, so that a first run needs no key.

Each server must say itself what it is: another program, DynaRoute's own gateway among them, may listen on its
port. What is found becomes catalog rows for free models. It never fails: what can't be read is not there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import anyio
from pydantic import ValidationError

from dynaroute_mcp.catalog import Capability, Constraints, Model, Provider
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.providers.usage import tokens
from dynaroute_mcp.providers.wire import Wire

ServerKind = Literal["ollama", "llamacpp", "lmstudio", "vllm"]

ADDRESSES: Mapping[ServerKind, str] = {
    "ollama": "http://127.0.0.1:11434",
    "llamacpp": "http://127.0.0.1:8080",
    "lmstudio": "http://127.0.0.1:1234",
    "vllm": "http://127.0.0.1:8000",
}
"""Where each server listens unless it is told otherwise."""

PROBE_S = 0.3
"""Time in which a server must answer at all."""
DETAILS_S = 2.0
"""Time in which a server that is there must describe its models."""
MAX_MODELS = 50

_DEFAULT_CONTEXT = 4_096
"""Ollama's own on a machine with less than 24 GiB of video memory (docs.ollama.com/context-length, read 2026-11)."""
_MAX_PRINT = 100
_NAMES: Mapping[ServerKind, str] = {
    "ollama": "Ollama",
    "llamacpp": "llama.cpp",
    "lmstudio": "LM Studio",
    "vllm": "vLLM",
}
_SOURCES: Mapping[ServerKind, str] = {
    "ollama": "https://docs.ollama.com/api",
    "llamacpp": "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    "lmstudio": "https://lmstudio.ai/docs/developer/rest/endpoints",
    "vllm": "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """A server that answered, with the models that it serves."""

    provider: Provider
    models: tuple[Model, ...]
    """Never empty."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """What tells a model from another one that comes under its id later: a digest, a size; by id, where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A model as its server describes it."""

    wire_id: str
    context_tokens: int | None
    capabilities: frozenset[Capability] = frozenset()
    form: Capability = "json_mode"
    """How it is asked for JSON."""
    fingerprint: str = ""


async def discover(wire: Wire, addresses: Mapping[ServerKind, str] = ADDRESSES) -> tuple[Discovered, ...]:
    """Ask all addresses at once; the result is in the order of `ServerKind`.

    Without any server it takes at most `PROBE_S`. An address that is no loopback address and no https is
    skipped.
    """
    found: dict[ServerKind, Discovered] = {}

    async def ask(kind: ServerKind, address: str) -> None:
        one = await _discovered(wire, kind, address.rstrip("/"))
        if one is not None:
            found[kind] = one

    async with anyio.create_task_group() as tasks:
        for kind, address in addresses.items():
            tasks.start_soon(ask, kind, address)
    return tuple(found[kind] for kind in get_args(ServerKind) if kind in found)


async def _discovered(wire: Wire, kind: ServerKind, address: str) -> Discovered | None:
    try:
        described = await _READERS[kind](wire, address)
        provider = Provider(
            id=kind,
            name=_NAMES[kind],
            dialect="openai",
            base_url=f"{address}/v1",
            keyless=True,
            source=_SOURCES[kind],
        )
    except (ConfigurationInvalid, ValidationError):
        return None
    pairs = [(row, one) for one in described[:MAX_MODELS] if (row := _row(kind, one)) is not None]
    rows = {row.id: row for row, _ in pairs}
    prints = {row.id: one.fingerprint for row, one in pairs}
    return Discovered(provider=provider, models=tuple(rows.values()), fingerprints=prints) if rows else None


def _row(kind: ServerKind, found: _Found) -> Model | None:
    context = found.context_tokens or _DEFAULT_CONTEXT
    try:
        return Model(
            id=f"{kind}/{found.wire_id}",
            provider=kind,
            wire_id=found.wire_id,
            name=f"{found.wire_id} ({_NAMES[kind]})",
            family="local",
            context_tokens=context,
            max_output_tokens=context,
            capabilities=found.capabilities | {found.form},
            constraints=Constraints(forced_tool_choice=False),
            free=True,
            source=_SOURCES[kind],
        )
    except ValidationError:
        return None


async def _ollama(wire: Wire, address: str) -> Sequence[_Found]:
    listed = _rows(await wire.get_json(f"{address}/api/tags", timeout_s=PROBE_S), "models")
    named = {name: row for row in listed if isinstance(name := row.get("model") or row.get("name"), str)}
    names = list(named)
    if not names:
        return ()
    details: dict[str, _Found] = {}
    loaded = {
        name: tokens(row.get("context_length"))
        for row in _rows(await wire.get_json(f"{address}/api/ps", timeout_s=DETAILS_S), "models")
        if isinstance(name := row.get("model") or row.get("name"), str)
    }

    async def show(name: str) -> None:
        shown = _mapping(
            await wire.get_json(f"{address}/api/show", timeout_s=DETAILS_S, post={"model": name})
        )
        known = shown.get("capabilities")
        can = [word for word in known if isinstance(word, str)] if isinstance(known, list) else ["completion"]
        if "completion" in can:
            details[name] = _Found(
                wire_id=name,
                context_tokens=loaded.get(name) or _ollama_context(shown),
                capabilities=_capabilities(can),
                fingerprint=_fingerprint(named[name], "digest", "size"),
            )

    async with anyio.create_task_group() as tasks:
        for name in names[:MAX_MODELS]:
            tasks.start_soon(show, name)
    return [details[name] for name in names if name in details]


def _ollama_context(shown: Mapping[str, object]) -> int | None:
    """Read the window that a model will be loaded with: `num_ctx` when it is set for it, else the server's default.

    What its architecture allows is no window: Ollama cuts a longer prompt at its beginning and says nothing
    (NousResearch/hermes-agent#43900). Only models that run in Ollama's cloud have all of it.
    """
    parameters = shown.get("parameters")
    for line in parameters.splitlines() if isinstance(parameters, str) else ():
        name, _, value = line.partition(" ")
        if name == "num_ctx" and value.strip().isdecimal() and len(value.strip()) < len("1000000000"):
            return int(value) or None
    info = _mapping(shown.get("model_info"))
    most = next(
        (tokens(value) or None for name, value in info.items() if name.endswith(".context_length")), None
    )
    return most if shown.get("remote_host") or most is None else min(most, _DEFAULT_CONTEXT)


async def _llamacpp(wire: Wire, address: str) -> Sequence[_Found]:
    listed = _rows(await wire.get_json(f"{address}/v1/models", timeout_s=PROBE_S), "data")
    own = [row for row in listed if row.get("owned_by") == "llamacpp"]
    if not own:
        return ()
    props = _mapping(await wire.get_json(f"{address}/props", timeout_s=DETAILS_S))
    window = tokens(_mapping(props.get("default_generation_settings")).get("n_ctx"))
    words = ["vision"] if _mapping(props.get("modalities")).get("vision") is True else []
    if _mapping(props.get("chat_template_caps")).get("supports_tools") is True:
        words.append("tools")
    return [
        _Found(
            wire_id=wire_id,
            context_tokens=window or None,
            capabilities=_capabilities(words),
            fingerprint=_fingerprint(_mapping(row.get("meta")), "n_params", "size"),
        )
        for row in own
        if isinstance(wire_id := row.get("id"), str)
    ]


async def _lmstudio(wire: Wire, address: str) -> Sequence[_Found]:
    listed = _rows(await wire.get_json(f"{address}/api/v0/models", timeout_s=PROBE_S), "data")
    found = []
    for row in listed:
        wire_id, kind, known = row.get("id"), row.get("type"), row.get("capabilities")
        if not isinstance(wire_id, str) or kind not in {"llm", "vlm"}:
            continue
        words = ["tools"] if isinstance(known, list) and "tool_use" in known else []
        window = tokens(row.get("loaded_context_length")) or tokens(row.get("max_context_length"))
        can = _capabilities([*words, "vision"] if kind == "vlm" else words)
        fingerprint = _fingerprint(row, "publisher", "arch", "quantization")
        found.append(
            _Found(
                wire_id=wire_id,
                context_tokens=window or None,
                capabilities=can,
                form="json_schema",  # `json_object` is a 400 (lmstudio-ai/lmstudio-bug-tracker#189)
                fingerprint=fingerprint,
            )
        )
    return found


async def _vllm(wire: Wire, address: str) -> Sequence[_Found]:
    listed = _rows(await wire.get_json(f"{address}/v1/models", timeout_s=PROBE_S), "data")
    return [
        _Found(
            wire_id=wire_id,
            context_tokens=tokens(row.get("max_model_len")) or None,
            fingerprint=_fingerprint(row, "root"),
        )
        for row in listed
        if row.get("owned_by") == "vllm" and isinstance(wire_id := row.get("id"), str)
    ]


_READERS: Mapping[ServerKind, Callable[[Wire, str], Awaitable[Sequence[_Found]]]] = {
    "ollama": _ollama,
    "llamacpp": _llamacpp,
    "lmstudio": _lmstudio,
    "vllm": _vllm,
}


def _capabilities(words: Sequence[str]) -> frozenset[Capability]:
    """Read a server's words for what a model can do; `thinking` is Ollama's for reasoning."""
    known: dict[str, Capability] = {"tools": "tools", "vision": "vision", "thinking": "reasoning"}
    return frozenset(known[word] for word in words if word in known)


def _fingerprint(row: Mapping[str, object], *names: str) -> str:
    """Join what identifies a model's content, as far as its server tells."""
    values = [row.get(name) for name in names]
    return " ".join(str(value)[:_MAX_PRINT] for value in values if isinstance(value, str | int) and value)


def _rows(document: object, name: str) -> list[Mapping[str, object]]:
    rows = _mapping(document).get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
