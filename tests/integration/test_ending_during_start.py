"""A service that is told to stop while it loads ends at once, as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What takes long where there is much to load, each in a thread of its service.
LOADS = {
    "segment": "services.segment.serving.models.Models._open",
    "corpus": "services.corpus.catalog.catalog.Catalog.load",
    "ranker": "services.ranker.database.sqlite.SqliteDatabase._open",
}
PROGRAM = """
import sys, time
from pydoc import locate
place, _, name = sys.argv[2].rpartition(".")
def loads(*_):
    print("loading", flush=True)
    time.sleep(3600)
setattr(locate(place), name, loads)
sys.exit(locate(f"services.{sys.argv[1]}.__main__").main())
"""
pytestmark = pytest.mark.process


@pytest.mark.parametrize("service", LOADS)
def test_sigterm_during_the_load_ends_the_service(service: str, tmp_path: Path) -> None:
    prefix = f"ASSAY_{service.upper()}_"
    own = {f"{prefix}{kind}PORT": "0" for kind in ("", "HEALTH_", "METRICS_")}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ASSAY_")}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, service, LOADS[service]],
        cwd=ROOT,
        env={**kept, **own, f"{prefix}HOST": "127.0.0.1", "ASSAY_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
