"""Bodies of `/v1/keys`. Unknown fields are refused: nobody slips in a state or a hash."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field

from dynaroute_mcp.accounts import LONGEST_GRACE_S, OWNER_PATTERN, Terms
from dynaroute_mcp.accounts.terms import HIGHEST_LIMIT, MOST_NAMES, NAME_CHARACTERS
from dynaroute_mcp.gateway.decode import strategy_of
from dynaroute_mcp.gateway.wire import StrategyName, Wire, category_named, integral
from dynaroute_mcp.taxonomy import Category
from dynaroute_mcp.types import KeyRule

Owner = Annotated[str, Field(min_length=1, max_length=200, pattern=OWNER_PATTERN)]
Count = Annotated[int, Field(ge=1, le=HIGHEST_LIMIT), BeforeValidator(integral)]
AnyName = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS)]
Names = Annotated[list[AnyName], Field(max_length=MOST_NAMES)]
_CLOSED = ConfigDict(strict=True, frozen=True, extra="forbid")


def _category_or_all(value: object) -> object:
    return value if value == "*" else category_named(value)


class RuleBody(Wire):
    """Prompts of a category, or of all (`*`), go to this model, unless it is excluded."""

    model_config = _CLOSED

    category: Annotated[Literal["*"] | Category, BeforeValidator(_category_or_all)]
    model: AnyName


class TermsBody(Wire):
    """What a key may do and what it favours. In a change, a field that is left out stays, and `null` clears it."""

    model_config = _CLOSED

    strategy: StrategyName | None = None
    expires_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    requests_per_minute: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_month: Count | None = None
    usd_per_month: Annotated[float, Field(gt=0, le=HIGHEST_LIMIT, allow_inf_nan=False)] | None = None
    models: Names | None = None
    """The only models and providers that the key may use; an empty list allows all."""
    exclude: Names | None = None
    """Models and providers never to choose, beside the configured ones."""
    prefer: Names | None = None
    """Models and providers to take where they cost the same."""
    rules: Annotated[list[RuleBody], Field(max_length=MOST_NAMES)] | None = None

    def given(self) -> dict[str, Any]:  # Any: a value of each field of Terms
        """Return the fields of `Terms` that the body sets or clears."""
        values = {name: getattr(self, name) for name in Terms.__slots__ if name in self.model_fields_set}
        for name in values.keys() & {"models", "exclude", "prefer"}:
            values[name] = tuple(values[name] or ())
        if "rules" in values:
            rules = values["rules"] or ()
            values["rules"] = tuple(KeyRule(category=rule.category, model=rule.model) for rule in rules)
        if values.get("usd_per_month") is not None:
            values["usd_per_month"] = Decimal(str(values["usd_per_month"]))
        if "strategy" in values:
            values["strategy"] = strategy_of(None, values["strategy"])
        return values


class KeyBody(TermsBody):
    """The body of `POST /v1/keys`."""

    user_id: Owner | None = None
    """Whose key; by default the caller's own."""
    name: Owner | None = None
    """Another word for `user_id`."""
    plan: Annotated[str, Field(max_length=100)] | None = None
    """Only the admin token may choose one; by default the owner's."""
    sandbox: bool = False
    """A `dr_test_` key, which never reaches a provider."""


class RotationBody(Wire):
    """The body of `POST /v1/keys/{id}/rotate`; it may be left out."""

    model_config = _CLOSED

    grace_s: Annotated[int, Field(ge=0, le=LONGEST_GRACE_S), BeforeValidator(integral)] = 0
    """Seconds for which the old key is accepted beside the new one; 0 ends it at once."""


class ProviderKeyBody(Wire):
    """The body of `POST /v1/keys/{id}/providers`."""

    model_config = _CLOSED

    provider: AnyName
    api_key: Annotated[str, Field(pattern=r"^[!-~]{8,1000}$")]
    """The provider's key. It is encrypted, used for this DynaRoute key alone, and never shown again."""
