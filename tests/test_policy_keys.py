"""What a key prefers, among models that cost the same, and how the reasons name it."""

from dataclasses import replace

from tests.policy_examples import model, price_row, situation, world

from dynaroute_mcp.policy import choose
from dynaroute_mcp.settings import Settings
from dynaroute_mcp.types import Preferences

TWINS = world(
    [model("ant/one", 0.5), model("bee/one", 0.5), model("cat/one", 0.5)],
    [price_row(f"{name}/one", "1", "4", "0.1") for name in ("ant", "bee", "cat")],
)


def test_a_keys_preference_goes_before_the_configured_one_and_is_named() -> None:
    plain = situation(TWINS, settings=Settings(prefer=("bee",)))
    by_key = replace(plain, preferences=Preferences(prefer=("cat/one",)))

    assert choose(plain).winner.model_id == "bee/one"
    choice = choose(by_key)
    assert [each.model_id for each in choice.chain] == ["cat/one", "bee/one", "ant/one"]
    assert "preferred by this key" in choice.reason
    assert {each.model_id: each.reason for each in choice.losers} == {
        "bee/one": "costs the same, less preferred",
        "ant/one": "costs the same, less preferred",
    }
    assert "preferred by this key" not in choose(plain).reason


def test_an_unknown_name_among_a_keys_exclusions_is_pointed_out() -> None:
    choice = choose(replace(situation(TWINS), preferences=Preferences(exclude=("dog",))))

    assert "excluded name 'dog' is neither a model nor a provider here" in choice.notes
