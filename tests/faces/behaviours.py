"""What the eleven tools promise, by id. Each promise has a test that names it; `shows` ties the two."""

from collections.abc import Callable
from typing import Final, TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

BEHAVIOURS: Final = {
    "generate-shows-once": "A generated key is shown whole in its result and nowhere afterwards.",
    "generate-owner": "A user id that is empty or holds control characters is refused.",
    "verify-active": "An active key tells its plan, limits and remaining tokens.",
    "verify-unknown": "A key that was never issued is an answer, not an error.",
    "verify-mistyped": "A key whose checksum does not fit is told to be mistyped.",
    "revoke-at-once": "A revoked key is not valid from then on; a second time changes nothing.",
    "revoke-unknown": "Revoking a key that does not exist is an error.",
    "list-masked": "Keys are listed masked, with their state.",
    "subscription-local": "Without a key the local owner has no limits.",
    "subscription-key": "With a key its owner's plan is told.",
    "subscription-bad-key": "A DYNAROUTE_API_KEY that is not valid is an error of the call, not of the start.",
    "route-answer": "A prompt is answered with model, labels, tokens, cost and saving.",
    "route-text": "The text alone tells what the structured content tells.",
    "route-overrides": "Level and category can be set, in any case of letters.",
    "route-level-range": "A level outside 1 to 5 is an error that says so.",
    "route-category-unknown": "An unknown category is an error that lists the categories.",
    "route-empty": "An empty prompt is an error.",
    "route-json-text": "A prompt that looks like JSON is a prompt like any other.",
    "route-odd-text": "NUL and lone surrogates neither break the call nor the wire.",
    "route-huge": "Ten megabytes are answered or refused in words.",
    "route-system": "A system prompt and an output bound reach the provider.",
    "route-bounds": "A bound on tokens or cost that makes no sense is an error.",
    "route-dry-run": "A dry run chooses and explains, and calls nobody.",
    "route-progress": "Whoever waits is told what goes on.",
    "route-silence": "A provider that is silent for long does not leave the caller without a sign of life.",
    "route-deadline": "At the deadline the text that has arrived is the answer.",
    "route-all-failed": "When every candidate fails the error tells every attempt.",
    "route-secrets": "No result and no error holds a provider's key.",
    "classify-label": "A prompt gets a category, a level, a confidence and the signals, without any call.",
    "classify-empty": "An empty prompt can't be classified.",
    "models-short": "Models are listed short by default and in full on demand.",
    "models-filters": "Filters narrow the list, and a cut list says so.",
    "cost-example": "The published example is priced to the micro-dollar.",
    "cost-dearer": "A model dearer than GPT-4.1 shows a negative saving.",
    "cost-unknown-model": "An unknown model is an error with the nearest names, never a price of 0.",
    "cost-absurd": "Negative and absurd token counts are errors.",
    "usage-sums": "The summary adds up what was used and saved, with the subscription.",
    "usage-apart": "Simulated calls are counted apart.",
    "savings-keyless": "Without a key there is no running total.",
    "savings-key": "With a key the running total is that of its owner.",
    "strict-arguments": "An argument that a tool does not have is an error that names it and the nearest one.",
    "wrong-types": "A value of the wrong type is an error with the argument's name and no dump.",
    "unknown-tool": "An unknown tool is an error that names the known ones.",
    "crash-hidden": "A crash shows the tool's name and nothing of what went wrong.",
    "no-core": "A core that can't be opened is an error of each call until it can.",
}

COVERED: Final[set[str]] = set()


def shows(*ids: str) -> Callable[[Test], Test]:
    """Say which promises a test keeps."""
    unknown = set(ids) - BEHAVIOURS.keys()
    if unknown:
        raise KeyError(f"no such behaviour: {sorted(unknown)}")
    COVERED.update(ids)
    return lambda test: test
