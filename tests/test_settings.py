"""Settings: environment over file over defaults, and no value that is silently empty."""

import os
from pathlib import Path

import pytest

from dynaroute_mcp import settings as module
from dynaroute_mcp.catalog import load_catalog
from dynaroute_mcp.errors import ConfigurationInvalid
from dynaroute_mcp.settings import Settings, read_settings
from dynaroute_mcp.taxonomy import Strategy


def write(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def read(folder: Path, text: str, **environ: str) -> Settings:
    return read_settings(environ, write(folder, text))


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    settings = read_settings({"DYNAROUTE_CONFIG": str(write(tmp_path, ""))})

    assert settings.strategy is Strategy.BALANCED
    assert settings.api_key is None


@pytest.mark.parametrize("kind", ["nothing", "folder", "dangling link", "file for a folder"])
def test_a_default_file_is_passed_over_only_where_nothing_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "HOME", tmp_path / "home")
    if kind == "file for a folder":
        (tmp_path / "home").touch()
    else:
        (tmp_path / "home").mkdir()
    if kind == "folder":
        (tmp_path / "home" / "config.yaml").mkdir()
    if kind == "dangling link":
        (tmp_path / "home" / "config.yaml").symlink_to(tmp_path / "gone")

    if kind in {"nothing", "file for a folder"}:
        assert read_settings({}).config_file is None
    else:
        with pytest.raises(ConfigurationInvalid, match=r"config\.yaml: can't be read"):
            read_settings({})


def test_a_home_that_is_closed_to_this_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "lstat", closed)
    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(ConfigurationInvalid, match="Permission denied"):
        read_settings({})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = read(tmp_path, "database: /from/file.db\n", DYNAROUTE_DATABASE="/from/environment.db")

    assert settings.database == Path("/from/environment.db")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    settings = read(tmp_path, "database: /from/file.db\n", DYNAROUTE_DATABASE="", DYNAROUTE_ADMIN_TOKEN="")

    assert settings.database == Path("/from/file.db")
    assert settings.admin_token is None


def test_a_reference_takes_the_variable(tmp_path: Path) -> None:
    settings = read(tmp_path, "providers: {openai: {api_key: '${TEAM_KEY}'}}", TEAM_KEY="sk-of-the-team")

    key = settings.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-of-the-team"


@pytest.mark.parametrize("environ", [{}, {"TEAM_TOKEN": ""}])
def test_a_reference_to_an_unset_variable_is_an_error_that_names_it(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"admin_token: .*TEAM_TOKEN is not set"):
        read(tmp_path, "admin_token: ${TEAM_TOKEN}", **environ)


WEAK = ["x", "admin", "the-admin-token", "1" * 40, "adminadminadminadmin", " " * 20, "     admin-token     "]


@pytest.mark.parametrize("token", WEAK)
@pytest.mark.parametrize("written", ["file", "reference", "environment"])
def test_an_admin_token_that_can_be_guessed_is_refused_with_the_way_to_make_one(
    tmp_path: Path, token: str, written: str
) -> None:
    environ = {"environment": {"DYNAROUTE_ADMIN_TOKEN": token}, "reference": {"TEAM_TOKEN": token}}
    said = {"file": f"admin_token: '{token}'", "reference": "admin_token: ${TEAM_TOKEN}"}
    with pytest.raises(ConfigurationInvalid, match=r"admin_token: .*secrets\.token_urlsafe\(32\)") as caught:
        read(tmp_path, said.get(written, ""), **environ.get(written, {}))

    assert f"{token!r}" not in str(caught.value)


def test_each_wrong_value_is_laid_to_where_it_was_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        read(tmp_path, "strategy: fast\nretention_days: 0", DYNAROUTE_ADMIN_TOKEN="x")

    assert str(caught.value).startswith("DYNAROUTE_ADMIN_TOKEN: admin_token: an admin token has at least 16")
    assert "config.yaml: strategy: must be" in str(caught.value)
    assert str(caught.value).endswith("; retention_days: must be at least 1")


def test_a_path_that_is_none_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"database: must be a path$"):
        read(tmp_path, "database: null")


@pytest.mark.parametrize("token", ["0a1b2c3d4e5f0a1b", "b7Q_w-xY2mN8kL4pR6tV9zD3fG5hJ1sA"])
def test_an_admin_token_of_random_characters_is_taken(tmp_path: Path, token: str) -> None:
    settings = read(tmp_path, "", DYNAROUTE_ADMIN_TOKEN=token)

    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == token


def test_an_error_never_repeats_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        read(tmp_path, "providers: {openai: {api_key: {nested: sk-very-secret}}}")

    assert "sk-very-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_unknown_field_is_an_error_that_names_file_and_field(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"config\.yaml: calls\.retries"):
        read(tmp_path, "calls: {retries: 3}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("exclud: [x]", "exclud: there is no such field; did you mean 'exclude'?"),
        (
            "calls: {first_token: 3}",
            "calls.first_token: there is no such field; did you mean 'first_token_s'?",
        ),
        ("rules: [{category: Law}]", "rules.0.model: is missing"),
        (
            "rules: [{category: Lew, model: x}]",
            "rules.0.category: there is no such value; did you mean 'Law'?",
        ),
        ("providers: {openai: {zzz: 1}}", "openai.zzz: there is no such field; there are api_key, base_url,"),
        ("strategy: bst", "strategy: must be 'cheapest', 'balanced' or 'best'"),
        ("calls: 3", "calls: must be a mapping of fields to values"),
        ("exclude: openai", "exclude: must be a list"),
        ("check_models: maybe", "check_models: must be true or false"),
        ("retention_days: 0", "retention_days: must be at least 1"),
        ("retention_days: x", "retention_days: must be a whole number"),
        ("calls: {connect_s: .nan}", "calls.connect_s: must be a number"),
        ("providers: {openai: {base_url: host}}", "base_url: must be an address that begins with http://"),
        ("baseline_model: [x]", "baseline_model: must be text"),
        ("budgets: [{scope: day, usd: 1e999999999}]", "budgets.0.usd: must be at most 1000000000"),
        ("database: ~nobody-of-this-name/x.db", "database: nobody knows the home directory"),
        ('catalog_overlay: "/tmp/\\0x"', "catalog_overlay: no path holds a zero byte"),
        (
            "calls: {connect_s: 0, idle_s: -1}",
            "calls.connect_s: must be more than 0.0; calls.idle_s: must",
        ),
    ],
)
def test_a_fault_is_told_in_plain_words(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        read(tmp_path, text)

    assert complaint in str(caught.value)


@pytest.mark.parametrize("value", [".nan", ".inf", "-1", "'much'"])
def test_a_clock_must_be_a_finite_positive_number(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"calls\.total_s"):
        read(tmp_path, f"calls: {{total_s: {value}}}")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "https://user:pass@host/v1", "unix:/run/x.sock", "host/v1"]
)
def test_an_address_is_http_without_a_user_in_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"providers\.openai\.base_url"):
        read(tmp_path, f"providers: {{openai: {{base_url: '{url}'}}}}")


def test_a_python_object_in_the_file_is_not_made(tmp_path: Path) -> None:
    marker = tmp_path / "made"

    with pytest.raises(ConfigurationInvalid, match=r"config\.yaml: line 1: tag"):
        read(tmp_path, f"admin_token: !!python/object/apply:pathlib.Path.touch ['{marker}']")
    assert not marker.exists()


def test_a_bomb_of_aliases_is_refused_before_it_grows(tmp_path: Path) -> None:
    layers = "\n".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)
    )

    with pytest.raises(ConfigurationInvalid, match="alias"):
        read(tmp_path, "a: &a [x,x,x,x,x,x,x,x,x]\n" + layers)


def test_a_file_of_the_wrong_shape_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="must be a mapping"):
        read(tmp_path, "- a\n- b\n")


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"absent\.yaml: can't be read"):
        read_settings({"DYNAROUTE_CONFIG": str(tmp_path / "absent.yaml")})


def test_a_named_file_in_an_unknown_home_is_an_error() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"of-this-name/c\.yaml: nobody knows"):
        read_settings({"DYNAROUTE_CONFIG": "~nobody-of-this-name/c.yaml"})


def test_an_enormous_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="larger than"):
        read(tmp_path, "# " + "x" * 2_000_001)


def test_a_file_far_beyond_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    with config.open("wb") as file:
        file.truncate(2**33)  # a hole: no block of it is on the disk

    with pytest.raises(ConfigurationInvalid, match=r"config\.yaml: larger than 2,000,000 bytes"):
        read_settings({}, config)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in folders")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(ConfigurationInvalid, match="pipe: is a pipe, a socket or a device; name a file"):
        read_settings({}, pipe)
    with pytest.raises(ConfigurationInvalid, match="pipe: is a pipe"):
        load_catalog(None, pipe)


def test_the_providers_own_variables_are_kept_and_never_shown() -> None:
    settings = read_settings({"OPENAI_API_KEY": " sk-mine ", "GROQ_API_KEY": " ", "HOME": "/root"})

    assert settings.variable("OPENAI_API_KEY") == "sk-mine"
    assert settings.variable("GROQ_API_KEY") is None
    assert settings.variable("HOME") is None
    assert "sk-mine" not in repr(settings)
