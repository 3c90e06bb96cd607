"""Whether a service traces: its setting, the extra, and OpenTelemetry's variables."""

from __future__ import annotations

import pytest

from services.rpc.exits import Exit
from services.rpc.settings import load_settings
from services.rpc.tracing import configured
from services.rpc.tracing.configured import tracing_of
from services.rpc.tracing.tracing import Tracing
from tests.rpc.echo_server import EchoSettings


def _refused(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        load_settings(EchoSettings)
    assert ended.value.code == Exit.BAD_SETTINGS
    return capsys.readouterr().err


def test_without_the_extra_the_refusal_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(configured, "_PACKAGES", ("a-package-that-is-not-installed",))
    assert load_settings(EchoSettings).tracing is False
    monkeypatch.setenv("ASSAY_ECHO_TRACING", "true")
    assert _refused(capsys) == (
        "bad setting: ASSAY_ECHO_TRACING: needs a-package-that-is-not-installed: install the extra "
        "`tracing`, or unset it (got 'true')\n"
    )


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "spans are sent by otlp, or by none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "spans are sent by grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "spans are sent by grpc"),
    ],
)
def test_another_way_of_sending_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setattr(configured, "_PACKAGES", ())
    monkeypatch.setenv(variable, value)
    load_settings(EchoSettings)  # off, the variables are others'
    monkeypatch.setenv("ASSAY_ECHO_TRACING", "true")
    assert f"{variable} is '{value}': {says}" in _refused(capsys)


def test_off_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    assert type(tracing_of(False, "echo")) is Tracing
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert type(tracing_of(True, "echo")) is Tracing
