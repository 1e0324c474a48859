"""From a prompt's text to its category and level, locally and in about a millisecond."""

from typing import Protocol

from dynaroute_mcp.types import Classification


class Classifier(Protocol):
    """Anything that can label a prompt. Pure, deterministic and total: any string gets an answer."""

    def classify(self, text: str) -> Classification:
        """Label the last human ask of a conversation."""
        ...
