"""The service as a process: what it says when it can't start, and that it drains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ServiceStarter
from tests.corpus.shard_files import line, write_corpus


def _start(tmp_path: Path, corpora: str) -> subprocess.CompletedProcess[str]:
    ports = {f"ASSAY_CORPUS_{kind}PORT": "0" for kind in ("", "HEALTH_", "METRICS_")}
    return subprocess.run(
        [sys.executable, "-m", "services.corpus"],
        env={"ASSAY_HOME": str(tmp_path), "ASSAY_CORPUS_CORPORA": corpora, **ports},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("corpora", "code", "words"),
    [
        ('{"a": {"path": "/nowhere"}}', 1, "/nowhere is not a directory"),
        ('{"a": {"path": "/nowhere", "kind": "sample"}}', 1, "/nowhere is not a directory"),
        ('{"a": {"path": "/nowhere", "kind": "half"}}', 2, "ASSAY_CORPUS_CORPORA[a][kind]"),
        ('{"a": {"path": "/nowhere", "kind": "sample", "x": 1}}', 2, "ASSAY_CORPUS_CORPORA[a][x]"),
        ("{", 2, "ASSAY_CORPUS_CORPORA: is not valid JSON"),
    ],
)
def test_bad_settings_are_named(tmp_path: Path, corpora: str, code: int, words: str) -> None:
    ended = _start(tmp_path, corpora)
    assert words in ended.stderr
    assert ended.returncode == code


def test_it_serves_and_drains(start_service: ServiceStarter, tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", {"test.jsonl.zst": [line("a")]})
    corpora = {"small": {"path": str(root), "kind": "complete"}}
    with start_service("corpus", {"ASSAY_CORPUS_CORPORA": json.dumps(corpora)}) as service:
        assert service.port
    assert service.stop() == 0
