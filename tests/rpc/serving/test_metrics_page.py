"""The page of metrics under clients that are silent or go."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from services.rpc.serving import metrics


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[metrics.MetricsPage]:
    monkeypatch.setattr(metrics._QuietHandler, "timeout", 0.05)
    served = metrics.MetricsPage("127.0.0.1", 0, CollectorRegistry())
    yield served
    served.close()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost:"])
def test_a_silent_client_is_hung_up_on_without_a_word(
    sent: bytes, page: metrics.MetricsPage, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as client:
        client.sendall(sent)
        assert client.recv(1) == b""
    page.close()
    assert "".join(capfd.readouterr()) == ""


def test_a_client_that_resets_its_connection_leaves_no_word(
    page: metrics.MetricsPage, capfd: pytest.CaptureFixture[str]
) -> None:
    client = socket.create_connection(("127.0.0.1", page.port), timeout=30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sendall(b"GET /metrics HTTP/1.1\r\n")
    client.close()
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as other:
        other.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert other.recv(64).startswith(b"HTTP/1.0 200 OK")
    page.close()
    assert "".join(capfd.readouterr()) == ""
