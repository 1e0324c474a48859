"""A correction as JSON."""

from typing import TYPE_CHECKING, Self

from dynaroute_mcp.results.base import Result, iso

if TYPE_CHECKING:
    from dynaroute_mcp.corrections import FeedbackRow


class Corrected(Result):
    """What a prompt was taken for, and what it is. `python -m training.fit --feedback FILE` reads lines of it."""

    digest: str
    """First 16 digits of the SHA-256 of the prompt in lower case with single spaces."""
    predicted_category: str
    predicted_level: int
    category: str
    level: int
    at: str
    text: str | None
    """The prompt, where its owner let it be kept."""

    @classmethod
    def of(cls, row: "FeedbackRow") -> Self:
        """Show a correction."""
        return cls(
            digest=row.prompt_sha256.hex()[:16],
            predicted_category=row.predicted_category,
            predicted_level=int(row.predicted_level),
            category=row.right_category,
            level=int(row.right_level),
            at=iso(row.at),
            text=row.text,
        )
