"""The documentation says what the code does: whatever has a name there has it here, and what stands here is there."""

import ast
import inspect
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.cli.app import COMMANDS, cli
from dynaroute_mcp.cli.failure import EXIT_CODES
from dynaroute_mcp.mcp_server.tools import Tools
from dynaroute_mcp.settings import (
    BreakerSettings,
    Budget,
    CallSettings,
    ClassifierSettings,
    ProviderSettings,
    Rule,
    Settings,
    read_settings,
)
from dynaroute_mcp.taxonomy import Category, Level

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {"README.md": README, **DOCS}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOOLS = [name for name in vars(Tools) if name.startswith("dynaroute_")]
CATALOG = load_catalog()
VARIABLES = (
    "DYNAROUTE_API_KEY",
    "DYNAROUTE_ADMIN_TOKEN",
    "DYNAROUTE_CONFIG",
    "DYNAROUTE_DATABASE",
    "DYNAROUTE_PROJECT",
)
BORDERS = {"variables", "config_file"}
"""Fields of the settings that nobody writes."""


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from leaves(child, (*path, name))


LEAVES = dict(leaves(cli))


def test_there_are_eleven_tools() -> None:
    assert len(TOOLS) == 11


@pytest.mark.parametrize("tool", TOOLS)
def test_every_tool_and_argument_is_explained(tool: str) -> None:
    assert f"`{tool}`" in README
    told = DOCS["tools.md"].partition(f"**`{tool}`**")[2]
    assert told

    arguments = set(inspect.signature(getattr(Tools, tool)).parameters) - {"self", "ctx"}
    assert {name for name in arguments if f"`{name}`" not in told} == set()


@pytest.mark.parametrize(
    "section",
    [Settings, ProviderSettings, CallSettings, BreakerSettings, ClassifierSettings, Budget, Rule],
    ids=lambda kind: kind.__name__,
)
def test_every_setting_is_explained(section: type[BaseModel]) -> None:
    fields = set(section.model_fields) - BORDERS

    assert {name for name in fields if f"`{name}`" not in DOCS["configuration.md"]} == set()


def test_every_default_of_a_clock_is_the_one_that_is_told() -> None:
    table = DOCS["configuration.md"].partition("Fields of `calls`")[2].partition("Fields of `breaker`")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", table, re.MULTILINE))

    assert {name: float(told) for name, told in rows.items()} == CallSettings().model_dump()


def test_every_environment_variable_is_explained() -> None:
    keys = {name for provider in CATALOG.providers.values() for name in provider.key_env}
    addresses = {provider.base_url_env for provider in CATALOG.providers.values() if provider.base_url_env}

    assert {name for name in {*keys, *VARIABLES} if f"`{name}`" not in README} == set()
    assert {
        name for name in {*keys, *addresses, *VARIABLES} if f"`{name}`" not in DOCS["configuration.md"]
    } == set()


def test_every_command_is_in_the_readme() -> None:
    assert {name for name in COMMANDS if f"`dynaroute {name}" not in README} == set()

    for group in ("keys", "plan", "db", "catalog"):
        listed = max(re.findall(rf"`dynaroute {group} ([\w\\|-]+)`", README), key=len)
        command = LEAVES[group,]
        assert isinstance(command, click.Group)
        assert set(listed.split(r"\|")) == set(command.list_commands(click.Context(command)))


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_shows_exists_with_its_options(page: str) -> None:
    for shown in re.findall(r"`(?:\.venv/bin/)?(dynaroute [a-z][^`]*)`", PAGES[page]):
        words = shlex.split(shown.replace("\\|", "|").replace("|", " "))[1:]
        path = tuple(word for depth, word in enumerate(words) if tuple(words[: depth + 1]) in LEAVES)
        assert path, shown
        known = {option for parameter in (*LEAVES[path].params, *cli.params) for option in parameter.opts}
        assert {word for word in words if word.startswith("-") and word != "-"} <= known, shown


def test_every_error_code_is_told_with_its_exit_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", DOCS["errors.md"], re.MULTILINE))

    roots = {"error", "provider_error"}
    assert {code: int(status) for code, status in rows.items()} == {
        code: status for code, status in EXIT_CODES.items() if code not in roots
    }
    assert {root for root in roots if f"`{root}`" not in DOCS["errors.md"]} == set()


def test_the_taxonomy_is_told_as_it_is() -> None:
    page = DOCS["taxonomy.md"]

    assert {name for name in Category if f"| {name.value} | {name.meaning} |" not in page} == set()
    assert {
        level for level in Level if f"| {level:d} | {level.title} | {level.cost_tier} |" not in page
    } == set()


def test_the_plans_are_told_as_they_are() -> None:
    def cell(value: object) -> str:
        return "unlimited" if value is None else f"{value:,}"

    for plan in CATALOG.plans.values():
        figures = (plan.requests_per_minute, plan.requests_per_day, plan.usd_per_month, plan.tokens_per_month)
        assert (
            f"| `{plan.id}` | {' | '.join(cell(figure) for figure in figures)} |" in DOCS["configuration.md"]
        )


def test_the_example_configuration_is_valid() -> None:
    example, _ = re.findall(r"```yaml\n(.*?)```", DOCS["configuration.md"], re.DOTALL)
    assert set(yaml.safe_load(example)) <= set(Settings.model_fields)


def test_the_example_configuration_is_read(tmp_path: Path) -> None:
    example, _ = re.findall(r"```yaml\n(.*?)```", DOCS["configuration.md"], re.DOTALL)
    file = tmp_path / "config.yaml"
    file.write_text(example, encoding="utf-8")

    settings = read_settings({"HOME": str(tmp_path), "OPENAI_API_KEY": "sk-1"}, file)
    assert settings.database == tmp_path / "router" / "dynaroute.db"
    assert all(CATALOG.find_model(rule.model) for rule in settings.rules)
    assert all(
        CATALOG.find_model(name) or CATALOG.find_provider(name)
        for name in (*settings.exclude, *settings.prefer)
    )


def test_the_example_of_a_catalog_of_ones_own_is_read(tmp_path: Path) -> None:
    _, example = re.findall(r"```yaml\n(.*?)```", DOCS["configuration.md"], re.DOTALL)
    file = tmp_path / "catalog.yaml"
    file.write_text(example, encoding="utf-8")

    mine = load_catalog(None, file)
    assert mine.get_model("Writer 1").provider == "company"
    assert mine.get_model("gpt-6-luna").context_tokens == 128_000
    assert CATALOG.get_model("gpt-6-luna").context_tokens != 128_000


def test_the_example_for_claude_desktop_starts_a_script_of_ours() -> None:
    example = json.loads((ROOT / "claude_desktop_config.example.json").read_text(encoding="utf-8"))

    server = example["mcpServers"]["dynaroute"]
    assert Path(server["command"]).is_absolute()
    assert Path(server["command"]).name in PROJECT["scripts"]
    assert set(server) <= {"command", "args", "env"}


def test_the_two_commands_are_one_line_each_and_use_what_is_there() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)

    assert len(commands) == 2
    for command in commands:
        steps = [shlex.split(step) for step in command.split(" && ")]
        assert steps[0] == ["python3", "-m", "venv", ".venv"]
        (requirements,) = (step[step.index("-r") + 1] for step in steps if "-r" in step)
        assert (ROOT / requirements).is_file()
    assert "dynaroute route" in commands[0]
    assert commands[1].endswith(".venv/bin/pytest -q")


def test_the_file_for_the_inspector_is_where_the_readme_says() -> None:
    (file,) = re.findall(r"mcp dev (\S+\.py)", README)

    assert (ROOT / file).is_file()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    home = ROOT if page == "README.md" else ROOT / "docs"
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", PAGES[page])]

    assert [link for link in links if not link.startswith("http") and not (home / link).is_file()] == []


def test_every_package_that_is_imported_is_justified() -> None:
    table = README.partition("## Dependencies")[2]
    justified = {
        name.split("[")[0]
        for row in re.findall(r"^\| ([a-z][\w\[\], ]+) \|", table, re.MULTILINE)
        for name in row.split(", ")
    }
    required = {re.split(r"[\[><=]", line)[0] for line in PROJECT["dependencies"]}

    assert justified - {"package"} <= required
    assert imported() & required <= justified


def imported() -> set[str]:
    """Distributions that the package imports anywhere."""
    modules = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    owners = packages_distributions()
    return {owner for module in modules - sys.stdlib_module_names for owner in owners.get(module, ())}


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
