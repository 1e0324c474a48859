"""What the operator decided: environment and configuration file, read once, checked, frozen.

The environment wins over the file, the file over the defaults; only a provider's own variables yield to what
the file says of it. `${NAME}` in the fields that are meant for it (tokens, keys, addresses, paths) takes an
environment variable; one that is not set is an error that names it, never an empty value. No other module
reads our variables.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)

from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.plain_yaml import complaint, read_yaml
from dynaroute_mcp.taxonomy import Category, Strategy
from dynaroute_mcp.vault import FROM_KEYRING, MASTER_CHARACTERS, split_masters

HOME = Path("~/.dynaroute").expanduser()

ADMIN_CHARACTERS: Final = 16
ADMIN_DIFFERENT: Final = 6
"""Characters of an admin token that differ at least: `adminadminadminadmin` has five."""


def _expand(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    environ: Mapping[str, str] = (info.context or {}).get("environ", {})

    def look_up(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environ.get(name):
            raise ValueError(f"environment variable {name} is not set; set it or take ${{{name}}} out")
        return environ[name]

    return re.sub(r"\$\{([^}]*)\}", look_up, value)


def _check_masters(masters: SecretStr) -> SecretStr:
    for part in split_masters(masters.get_secret_value()):
        if part != FROM_KEYRING and len(part) < MASTER_CHARACTERS:
            raise ValueError(
                f"a master key has at least {MASTER_CHARACTERS} random characters; "
                f"`dynaroute keys master-key` makes one, {FROM_KEYRING!r} takes the operating system's"
            )
    return masters


def _check_admin_token(token: SecretStr) -> SecretStr:
    said = token.get_secret_value().strip()
    if len(said) < ADMIN_CHARACTERS or len(set(said)) < ADMIN_DIFFERENT:
        raise ValueError(
            f"an admin token has at least {ADMIN_CHARACTERS} random characters: it opens everything; "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"
        )
    return SecretStr(said)  # as it arrives in a header


def _at_home(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no path holds a zero byte")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("nobody knows the home directory that it begins with") from error


FromEnvironment = BeforeValidator(_expand)
Secret = Annotated[SecretStr, FromEnvironment, Field(min_length=1)]
AdminToken = Annotated[SecretStr, FromEnvironment, AfterValidator(_check_admin_token)]
Master = Annotated[SecretStr, FromEnvironment, AfterValidator(_check_masters)]
Address = Annotated[str, FromEnvironment, Field(pattern=r"^https?://[^\s@]+$", max_length=500)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000_000, allow_inf_nan=False)]
File = Annotated[Path, FromEnvironment, AfterValidator(_at_home)]


class Section(BaseModel):
    """A part of the configuration: unknown fields are errors, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderSettings(Section):
    """The operator's own key and address for one provider."""

    api_key: Secret | None = None
    base_url: Address | None = None
    enabled: bool = True


class CallSettings(Section):
    """Clocks and retries of calls to providers."""

    attempts_per_model: Annotated[int, Field(ge=1, le=5)] = 2
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 5
    """In all, over the whole chain."""
    backoff_s: Seconds = 0.5
    """First wait; doubles from try to try, with full jitter on top."""
    backoff_cap_s: Seconds = 8.0
    retry_after_cap_s: Seconds = 5.0
    """A provider that asks for a longer wait is left for the next one."""
    connect_s: Seconds = 10.0
    first_token_s: Seconds = 60.0
    idle_s: Seconds = 60.0
    answer_s: Seconds = 600.0
    """One try at a whole non-streaming answer."""
    total_s: Seconds = 720.0
    """A whole non-streaming request, every try included."""
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 16_384
    """Bound on output (reasoning included) where the caller sets none: it is sent, and what is reserved."""


class BreakerSettings(Section):
    """When a model that keeps failing is left alone."""

    failures: Annotated[int, Field(ge=1)] = 5
    within_s: Seconds = 30.0
    open_s: Seconds = 30.0
    enabled: bool = True


class ClassifierSettings(Section):
    """What judges prompts beside the first, local tier."""

    accurate: bool = True
    """Ask the second, local tier where the first is unsure; it needs the extra `accurate`."""
    refine_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Model that is asked, and paid, where both are unsure; `None` asks nobody."""
    refine_below: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.4
    """Confidence below which it is asked."""
    refine_s: Annotated[float, Field(gt=0, le=30, allow_inf_nan=False)] = 3.0
    """How long its opinion is waited for."""


class Budget(Section):
    """A ceiling on dollars."""

    scope: Literal["day", "month"]
    usd: Dollars
    project: str | None = None
    """Only calls of this project count; `None` counts all calls of this database."""


class Rule(Section):
    """Prompts of a category go to this model, unless it is excluded."""

    category: Category | Literal["*"]
    model: str


class Settings(Section):
    """Everything that the operator can decide."""

    api_key: Secret | None = None
    """Whose usage this process works on; from `DYNAROUTE_API_KEY`."""
    admin_token: AdminToken | None = None
    """Opens everything over HTTP; from `DYNAROUTE_ADMIN_TOKEN`."""
    encryption_key: Master | None = None
    """Master key under which keys' own provider keys are encrypted; from `DYNAROUTE_ENCRYPTION_KEY`."""
    database: File = HOME / "dynaroute.db"
    catalog_overlay: File | None = None
    baseline_model: str = "gpt-4.1"
    strategy: Strategy = Strategy.BALANCED
    exclude: tuple[str, ...] = ()
    """Providers and models never to choose; wins over every rule."""
    prefer: tuple[str, ...] = ()
    """Providers and models to take where they cost the same."""
    rules: tuple[Rule, ...] = ()
    budgets: tuple[Budget, ...] = ()
    budget_action: Literal["downgrade", "refuse"] = "downgrade"
    """What happens to a request that the rest of a budget does not cover: a cheaper model, or an error."""
    project: str | None = None
    """Project that this process's calls are booked on; from `DYNAROUTE_PROJECT`."""
    providers: Mapping[str, ProviderSettings] = {}
    calls: CallSettings = CallSettings()
    breaker: BreakerSettings = BreakerSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    check_models: bool = True
    """Ask each provider once, soon after the start, which models it still lists."""
    discover_local: bool = True
    """Look for Ollama, llama.cpp, LM Studio and vLLM on loopback."""
    test_local: bool = True
    """Ask models found there one prompt, once, to see how fast they are and what they can be trusted with."""
    untested_local_level: Annotated[int, Field(ge=0, le=5)] = 1
    """Level that a model found there is trusted with before its test; 0 trusts it with none."""
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Calls older than this are folded into daily sums; `None` keeps each one."""
    variables: Mapping[str, SecretStr] = Field(default={}, exclude=True, repr=False)
    """The providers' own environment variables: names that end in `_API_KEY` or `_BASE_URL`."""
    config_file: Path | None = None
    """Where these settings were read; `None` without a file."""

    def variable(self, name: str) -> str | None:
        """Value of one of the providers' variables, `None` when it is unset or empty."""
        secret = self.variables.get(name)
        return secret.get_secret_value().strip() or None if secret else None


_FROM_ENVIRONMENT = {
    "DYNAROUTE_API_KEY": "api_key",
    "DYNAROUTE_ADMIN_TOKEN": "admin_token",
    "DYNAROUTE_ENCRYPTION_KEY": "encryption_key",
    "DYNAROUTE_DATABASE": "database",
    "DYNAROUTE_PROJECT": "project",
}
VARIABLES: Final = ("DYNAROUTE_CONFIG", *_FROM_ENVIRONMENT)
"""All variables of ours."""


def read_settings(environ: Mapping[str, str], config: Path | None = None) -> Settings:
    """Read the configuration file, if there is one, and the environment.

    Args:
        environ: the process environment.
        config: file to read; else the one that `DYNAROUTE_CONFIG` names, else `~/.dynaroute/config.yaml`.

    Raises:
        ConfigurationInvalid: the file can't be read, or a value is wrong; names file or variable, field and reason.
    """
    file = _config_file(environ, config)
    written = read_yaml(file)[0] if file else {}
    for name in sorted({"variables", "config_file"} & written.keys()):
        raise ConfigurationInvalid(f"{file}: {name}: not a setting")
    values: dict[str, object] = {
        **written,
        **{field: environ[name] for name, field in _FROM_ENVIRONMENT.items() if environ.get(name)},
        "variables": {k: v for k, v in environ.items() if k.endswith(("_API_KEY", "_BASE_URL"))},
        "config_file": file,
    }
    try:
        return Settings.model_validate(values, context={"environ": environ})
    except ValidationError as error:
        raise ConfigurationInvalid(_explain(error, file, environ)) from None  # the cause would quote secrets


def _config_file(environ: Mapping[str, str], config: Path | None) -> Path | None:
    named = config or (Path(environ["DYNAROUTE_CONFIG"]) if environ.get("DYNAROUTE_CONFIG") else None)
    if named is not None:
        try:
            return _at_home(named)
        except ValueError as error:
            raise ConfigurationInvalid(f"{named}: {error}") from error
    return if_there(HOME / "config.yaml")


def if_there(path: Path) -> Path | None:
    """The path, or `None` where nothing stands at it; what can't be read there is for its reader to tell."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        pass
    return path


def _explain(error: ValidationError, file: Path | None, environ: Mapping[str, str]) -> str:
    variables = {field: name for name, field in _FROM_ENVIRONMENT.items() if environ.get(name)}
    problems: dict[str, dict[str, str]] = {}
    for item in error.errors(include_url=False):
        field = ".".join(
            str(part) for part in item["loc"] if "[" not in str(part)
        )  # `[`: one of several forms
        source = variables.get(field, str(file or "environment"))
        problems.setdefault(source, {}).setdefault(field, complaint(item, Settings))
    return "; ".join(
        f"{source}: " + "; ".join(f"{field}: {problem}" for field, problem in told.items())
        for source, told in problems.items()
    )
