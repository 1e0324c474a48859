"""From a prompt's text to its category and level, locally and in about a millisecond."""

from typing import Protocol, runtime_checkable

from dynaroute_mcp.types import Classification


class Classifier(Protocol):
    """Anything that can label a prompt. Pure, deterministic and total: any string gets an answer."""

    def classify(self, text: str) -> Classification:
        """Label the last human ask of a conversation."""
        ...


@runtime_checkable
class SecondOpinion(Protocol):
    """What a classifier may offer besides: a better and slower judge, asked only where it is unsure."""

    def wanted(self, label: Classification) -> bool:
        """Whether a label is doubtful enough to ask. Takes no time."""
        ...

    def refine(self, text: str, label: Classification) -> Classification:
        """Put what it thinks together with a label. Takes milliseconds: call it in a thread. Never fails."""
        ...
