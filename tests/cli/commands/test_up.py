"""`assay up` where it cannot listen: all of it is said before a service is started."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.cli.connections.running import announced
from services.cli.exits import Exit

_PORTS = ("PORT", "HEALTH_PORT", "METRICS_PORT")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """A port that is in use, by the setting of two services; all others are free."""
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    for service in ("SEGMENT", "CORPUS", "RANKER"):
        for kind in _PORTS:
            monkeypatch.setenv(f"ASSAY_{service}_{kind}", "0")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("ASSAY_SEGMENT_PORT", str(port))
        monkeypatch.setenv("ASSAY_RANKER_HTTP_PORT", str(port))
        yield port


def test_all_ports_that_are_in_use_are_named_before_anything_is_started(
    taken: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up"]) == Exit.BAD_INPUT
    told = capsys.readouterr().err
    assert f"{taken} (ASSAY_SEGMENT_PORT) is in use" in told
    assert f"{taken} (ASSAY_RANKER_HTTP_PORT) is in use" in told
    assert "Stop the program that has them" in told
    assert "starting" not in told


def test_a_host_that_does_not_resolve_is_not_a_port_in_use(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSAY_SEGMENT_HOST", "no-such-host.invalid")
    assert main(["up"]) == Exit.BAD_INPUT
    told = capsys.readouterr().err
    assert "unknown error" not in told
    assert "ASSAY_SEGMENT_HOST" in told
    assert "Stop the program" not in told


def test_a_second_one_is_told_of_the_first(taken: int, capsys: pytest.CaptureFixture[str]) -> None:
    with announced({"ranker": "127.0.0.1:7"}):
        assert main(["up"]) == Exit.BAD_INPUT
    told = capsys.readouterr().err
    assert "`assay up` already runs with this ASSAY_HOME (ranker at 127.0.0.1:7)" in told
