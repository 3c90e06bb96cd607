from pathlib import Path

import pytest
from pydantic import Field, ValidationError
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings, load_settings, port_field


class Settings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="ASSAY_THING_")
    port: int = port_field(50099, "of the gRPC server")
    models: list[Path] = Field(default=[], description="Model directories.")
    redis_url: str | None = Field(
        default=None, pattern="^redis://", validation_alias="REDIS_URL", description="Redis."
    )


def refused(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Loads the settings, which must fail; returns what was said."""
    with pytest.raises(SystemExit) as caught:
        load_settings(Settings)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_every_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_THING_HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("ASSAY_THING_MODELS", '["/a", "/b"]')
    monkeypatch.setenv("REDIS_URL", "redis://h/0")
    settings = load_settings(Settings)
    assert settings.host == "0.0.0.0"  # noqa: S104
    assert settings.models == [Path("/a"), Path("/b")]
    assert settings.port == 50099
    assert settings.redis_url == "redis://h/0"


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_THING_TLS_CERT", "")
    assert load_settings(Settings).tls_cert is None


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def test_every_setting_is_documented() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


@pytest.mark.parametrize("value", ["many", "-1", "65536", "1.5"])
def test_a_bad_port_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("ASSAY_THING_PORT", value)
    (line,) = refused(capsys)
    assert line.startswith("bad setting: ASSAY_THING_PORT: ")
    assert value in line


def test_every_bad_setting_has_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_THING_LOG_LEVEL", "loud")
    monkeypatch.setenv("ASSAY_THING_DRAIN_SECONDS", "-1")
    names = {line.split(": ")[1] for line in refused(capsys)}
    assert names == {"ASSAY_THING_LOG_LEVEL", "ASSAY_THING_DRAIN_SECONDS"}


def test_a_list_that_is_not_json_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_THING_MODELS", "/a,/b")
    (line,) = refused(capsys)
    assert line.startswith('bad setting: ASSAY_THING_MODELS: is not valid JSON, such as ["/')


def test_a_password_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "http://user:secret@host")
    (line,) = refused(capsys)
    assert line.startswith("bad setting: REDIS_URL: ")
    assert "secret" not in line


def test_a_port_that_kubernetes_set_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_THING_PORT", "tcp://10.0.0.1:50051")
    assert "enableServiceLinks" in refused(capsys)[0]


@pytest.mark.parametrize("given", ["TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA"])
def test_half_of_tls_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    monkeypatch.setenv(f"ASSAY_THING_{given}", "/some.pem")
    (line,) = refused(capsys)
    assert f"ASSAY_THING_{given}" in line


def test_a_misspelt_variable_is_told_and_others_names_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_THING_MODLES", "[]")
    monkeypatch.setenv("ASSAY_THING_ADDR", "localhost:1")
    monkeypatch.setenv("ASSAY_THING_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("ASSAY_THING_PORT_50051_TCP_ADDR", "10.0.0.1")
    load_settings(Settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ASSAY_THING_MODLES is not a setting")
