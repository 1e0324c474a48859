"""Every model of the shipped catalog can be asked what its row says that it takes."""

import pytest
from tests.providers.examples import KEY, TOOL_TALK, WEATHER, ask, say

from dynaroute_mcp.catalog import Model, load_catalog
from dynaroute_mcp.providers.base import Call, Endpoint, Translation
from dynaroute_mcp.providers.registry import translation_of
from dynaroute_mcp.types import ChatRequest, Image, Parameters, ResponseFormat

CATALOG = load_catalog()
MODELS = [
    model
    for model in CATALOG.by_id.values()
    if model.status != "retired" and CATALOG.providers[model.provider].dialect != "sandbox"
]


def spoken(model: Model, request: ChatRequest) -> tuple[dict[str, object], tuple[str, ...]]:
    provider = CATALOG.providers[model.provider]
    one = Call(
        endpoint=Endpoint(provider=provider, base_url=provider.base_url, api_key=KEY),
        model=model,
        request=request,
        max_output_tokens=model.max_output_tokens,
        input_tokens=10,
    )
    translation: Translation = translation_of(one)
    outgoing = translation.write(one, stream=True)
    assert KEY not in outgoing.path
    assert KEY in "".join(outgoing.headers.values())
    return dict(outgoing.body), outgoing.dropped


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_a_plain_bounded_request_loses_nothing(model: Model) -> None:
    body, dropped = spoken(model, ask(parameters=Parameters(max_tokens=50)))

    assert dropped == ()
    assert str(model.max_output_tokens) in str(body)


@pytest.mark.parametrize(
    "model", [one for one in MODELS if "tools" in one.capabilities], ids=lambda model: model.id
)
def test_a_model_with_tools_gets_them(model: Model) -> None:
    body, dropped = spoken(model, ask(*TOOL_TALK, tools=[WEATHER]))

    assert "tools" in body
    assert dropped == ()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_effort_that_a_row_names_reaches_the_model(model: Model) -> None:
    lost = [
        effort
        for effort in model.constraints.efforts
        if spoken(model, ask(parameters=Parameters(reasoning_effort=effort)))[1]
    ]

    assert lost == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_images_and_schemas_reach_the_models_that_take_them(model: Model) -> None:
    wanted = ResponseFormat(kind="schema", schema={"type": "object", "properties": {}})

    if "vision" in model.capabilities:
        assert spoken(model, ask(say("user", Image(url="https://example.com/a.png"))))[1] == ()
    if "json_schema" in model.capabilities:
        assert spoken(model, ask(response_format=wanted))[1] == ()


PENALTIES = Parameters(presence_penalty=0.2, frequency_penalty=0.2, seed=7)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("xai/grok-4.6", {"seed"}),
        ("gemini/gemini-3.8-flash", {"seed"}),
        ("gemini/gemini-2.5-pro", {"seed"}),
        ("mistral/ministral-8b-2512", {"presence_penalty", "frequency_penalty", "random_seed"}),
        ("groq/openai/gpt-oss-20b", {"presence_penalty", "frequency_penalty", "seed"}),
    ],
)
def test_a_vendor_gets_no_penalty_that_it_refuses_and_the_seed_under_its_own_name(
    name: str, taken: set[str]
) -> None:
    body, dropped = spoken(CATALOG.by_id[name], ask(parameters=PENALTIES))
    sent = body.get("generationConfig", body)

    assert isinstance(sent, dict)
    assert {word for word in sent if word.endswith(("enalty", "seed"))} == taken
    assert len(dropped) == (0 if "presence_penalty" in taken else 2)


def test_gemini_2_5_gets_tools_without_a_form_of_the_answer_and_gemini_3_both() -> None:
    request = ask(tools=[WEATHER], response_format=ResponseFormat(kind="schema", schema={"type": "object"}))

    older, dropped = spoken(CATALOG.by_id["gemini/gemini-2.5-flash"], request)
    newer, _ = spoken(CATALOG.by_id["gemini/gemini-4-argon"], request)

    assert dropped == ("response_format",)
    assert "responseMimeType" not in str(older)
    assert "responseMimeType" in str(newer)
