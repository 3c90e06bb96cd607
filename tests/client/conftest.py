"""A corpus server that tests stop and start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from assay_rpc.channel import connect

from tests.ports import free_port


class Server:
    """A corpus server in a process of its own, at one port for good."""

    def __init__(self, root: Path, home: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        corpora = {"c": {"path": str(root / "indexed"), "kind": "sample"}}
        corpora["plain"] = {"path": str(root / "source"), "kind": "sample"}
        self._environment = {
            **os.environ,
            "ASSAY_HOME": str(home),
            "ASSAY_CORPUS_CORPORA": json.dumps(corpora),
            "ASSAY_CORPUS_PORT": self.address.rpartition(":")[2],
            "ASSAY_CORPUS_HEALTH_PORT": "0",
            "ASSAY_CORPUS_METRICS_PORT": "0",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.corpus"],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from tests.corpus.stream.test_indexed import make_corpus  # noqa: PLC0415  # few tests need it

    root = tmp_path_factory.mktemp("corpus")
    make_corpus(root)
    started = Server(root, root / "home")
    started.start()
    with connect(started.address) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
    yield started
    started.end()
