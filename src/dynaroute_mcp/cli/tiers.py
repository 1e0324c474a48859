"""Which tiers of the classifier are active, for `doctor`."""

from typing import Final

from dynaroute_mcp.classifier.model import load_classifier
from dynaroute_mcp.classifier.second import examine
from dynaroute_mcp.runtime import Core

_SECOND: Final = {
    "ready": ("tier 2 local", ""),
    "absent": ("tier 2 not installed", ""),
    "broken": (
        "tier 2 damaged and left out",
        "reinstall it: pip install --force-reinstall dynaroute-accurate",
    ),
}


def tiers(core: Core) -> tuple[str, str]:
    """What is active, and what to do where something is wrong; loads the second tier's weights."""
    chosen = core.settings.classifier
    second, step = _SECOND[examine(load_classifier())] if chosen.accurate else ("tier 2 turned off", "")
    third = f"tier 3 {chosen.refine_model}" if chosen.refine_model else "tier 3 off"
    if chosen.refine_model and core.availability.catalog.find_model(chosen.refine_model) is None:
        third, step = f"tier 3 names no model: {chosen.refine_model!r}", "correct classifier.refine_model"
    return f"tier 1 local, {second}, {third}", step
