"""A corpus in a real S3 store on loopback, where the environment that has one is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.corpus.object_store import read_from_s3
from tests.corpus.stream.test_indexed import SHARDS, make_corpus

# Of 330 MB, with its store: not for every run of the tests.
PYTHON = Path(__file__).parents[3] / ".venv-peers" / "s3" / "bin" / "python"


@pytest.mark.skipif(
    not PYTHON.exists(),
    reason="no environment with s3fs and moto: python -m benchmarks.corpus.object_store makes it",
)
def test_the_same_documents_under_the_same_digest(tmp_path: Path) -> None:
    answer = read_from_s3(PYTHON, make_corpus(tmp_path))
    assert answer["same_digest"]
    assert answer["documents"] == answer["kept"] == answer["of"] > 2 * len(SHARDS)
    assert answer["gone"].startswith("LayoutError: s3://corpora/nothing lists no shard")
    assert answer["refused"].startswith("PreconditionFailed: s3://corpora/pile")
    assert "look at the server's credentials" in answer["refused"]
