"""What `assay doctor` finds: real folders, ports, databases and servers, right and wrong."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from services.cli.__main__ import main
from services.cli.commands import doctor
from services.cli.doctor import kept, machine, running, software
from services.cli.doctor.finding import Finding, Level, findings
from services.cli.exits import Exit
from services.cli.output import console
from services.rpc.settings import ServerSettings
from tests.cli.doctor.old_server import OldHealth


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own, and nothing named."""
    for name in ("ASSAY_SEGMENT_ADDR", "ASSAY_CORPUS_ADDR", "ASSAY_RANKER_ADDR", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    monkeypatch.setenv("ASSAY_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("")
    return tmp_path


@pytest.fixture
def port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def only(found: Iterator[Finding]) -> Finding:
    (one,) = found
    return one


def test_this_installation_is_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(software.versions())
    assert [one.level for one in found if one.subject == "assay"] == [Level.FINE]
    extras = {one.subject: one for one in software.libraries()}
    assert extras["extra segment"].level is Level.FINE
    assert all(one.remedy for one in extras.values() if one.level is not Level.FINE)
    engines = {one.subject: one.found for one in software.engines()}
    assert "CPU" in engines["ONNX Runtime"]


def test_hardware_and_disk_are_named(environment: Path) -> None:
    found = {one.subject: one for one in machine.hardware()}
    assert "cores" in found["processor"].found
    disk = only(machine.disk())
    assert str(environment) in disk.found
    assert "GiB free" in disk.found


def test_a_home_that_is_a_file_is_wrong(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = environment / "file"
    file.write_text("")
    monkeypatch.setenv("ASSAY_HOME", str(file))
    assert only(findings("disk", machine.disk)).level is Level.WRONG


def test_a_port_in_use_is_named_with_its_variable(port: int) -> None:
    found = only(machine.ports("ranker", ServerSettings(port=port)))
    assert found.level is Level.WARNING
    assert f"{port} (ASSAY_PORT) is in use" in found.found
    assert only(machine.ports("ranker", ServerSettings())).level is Level.FINE


def test_a_model_that_is_away_is_wrong(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {one.level for one in kept.models()} == {Level.FINE}
    monkeypatch.setenv("ASSAY_SEGMENT_MODELS", json.dumps([str(environment / "nowhere")]))
    found = only(kept.models())
    assert found.level is Level.WRONG
    assert "nowhere" in found.found
    assert "ASSAY_SEGMENT_MODELS" in found.remedy


def test_a_corpus_that_is_away_is_wrong(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"here": {"path": str(environment)}, "away": {"path": str(environment / "away")}}
    monkeypatch.setenv("ASSAY_CORPUS_CORPORA", json.dumps(places))
    found = {one.subject: one.level for one in kept.corpora()}
    assert found == {"corpus here": Level.FINE, "corpus away": Level.WRONG}


def test_a_damaged_database_is_wrong(environment: Path) -> None:
    assert only(kept.database()).level is Level.OFF
    file = environment / "ranker" / "evidence.sqlite"
    file.parent.mkdir()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE other (x)")
    database.close()
    found = only(kept.database())
    assert found.level is Level.WRONG
    assert "assay restore" in found.remedy


def test_redis_that_does_not_answer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(kept.cache()).level is Level.OFF
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    found = only(kept.cache())
    assert found.level is Level.WRONG
    assert "REDIS_URL" in found.remedy


def test_a_service_that_does_not_answer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(running.service("corpus")).level is Level.OFF
    monkeypatch.setenv("ASSAY_CORPUS_ADDR", "127.0.0.1:1")
    found = only(running.service("corpus"))
    assert found.level is Level.WRONG
    assert "ASSAY_CORPUS_ADDR" in found.remedy


@pytest.mark.parametrize(
    ("version", "away", "levels"),
    [
        (metadata.version("assay-services"), 0, [Level.FINE]),
        ("0.0.1", 0, [Level.WARNING]),
        (metadata.version("assay-services"), 3600, [Level.FINE, Level.WARNING]),
    ],
)
def test_a_services_version_and_clock_are_compared(
    version: str, away: float, levels: list[Level], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(OldHealth(version, away), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        monkeypatch.setenv("ASSAY_RANKER_ADDR", f"127.0.0.1:{port}")
        assert [one.level for one in running.service("ranker")] == levels
    finally:
        server.stop(None).wait()


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SEGMENT_PORT", "many")
    found = [one for one in doctor.examine() if one.subject == "settings of segment"]
    assert [one.level for one in found] == [Level.WRONG]
    assert "ASSAY_SEGMENT_PORT" in found[0].found


def test_what_an_examination_fails_with_is_a_finding() -> None:
    def fails() -> Iterator[Finding]:
        raise ModuleNotFoundError("No module named 'redis'", name="redis")

    found = only(findings("ranker", fails))
    assert found.level is Level.WARNING
    assert "the extra ranker" in found.found


def test_json_and_the_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEGMENT", "CORPUS", "RANKER"):
        for kind in ("PORT", "HEALTH_PORT", "METRICS_PORT"):
            monkeypatch.setenv(f"ASSAY_{name}_{kind}", "0")
    assert main(["doctor", "--json"]) == Exit.DONE
    said = json.loads(capsys.readouterr().out)
    assert said["wrong"] == 0
    assert {"subject", "level", "found", "remedy"} == set(said["findings"][0])
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["doctor", "--quiet"]) == Exit.FAULT
    out = capsys.readouterr().out
    assert "WRONG   Redis: does not answer" in out
    assert "ok      " not in out
    # One command in a process leaves the next as it was.
    console.note("a note")
    assert capsys.readouterr().err == "a note\n"


def test_a_home_that_cannot_be_made_is_a_finding_among_the_others(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (environment / "file").write_text("")
    monkeypatch.setenv("ASSAY_HOME", str(environment / "file" / "home"))
    assert main(["doctor"]) == Exit.FAULT
    shown = capsys.readouterr().out
    assert "WRONG   disk: " in shown
    assert "set ASSAY_HOME to a folder that you may write to" in shown
    assert "processor: " in shown


def test_an_engine_that_is_not_installed_is_told_once_how(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(software, "installed", lambda *_: {})
    engines = list(software.engines())
    assert {one.found.partition(" (")[0] for one in engines} == {"not installed"}
    assert [one.remedy for one in engines] == [""] * 3
    assert {one.level for one in engines} == {Level.OFF}  # the extra that it is of has the warning
    assert any(one.remedy for one in software.libraries())
