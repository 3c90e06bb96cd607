"""Streams a corpus from an S3 store on loopback, and compares it with the local directory.

    python -m benchmarks.corpus.object_store

Needs the real documents (ASSAY_TEST_DATA), all of which are indexed and put into a bucket of moto's
server. moto and s3fs are in a separate environment, in which the code of the corpus service reads
the bucket. Nothing is timed. tests/corpus/storage/test_s3.py does the same with a small corpus.

Writes benchmarks/results/corpus/object_store.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.peer_process import peer_python
from services.cli import testdata
from services.corpus.shards.index.writer import write_index
from services.corpus.shards.layout import find_shards


def read_from_s3(python: str | Path, folder: Path) -> dict[str, Any]:
    """Run peers/corpus_s3.py on an indexed corpus; return what it prints."""
    done = subprocess.run(
        [python, report.HERE / "peers" / "corpus_s3.py", folder],
        env={**os.environ, "PYTHONPATH": str(report.HERE.parent)},
        check=True,
        stdout=subprocess.PIPE,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    """Compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        raise SystemExit("no real documents: set ASSAY_TEST_DATA")
    python = peer_python(options.venvs / "s3", "s3.txt")
    with tempfile.TemporaryDirectory() as folder:
        for shard in find_shards(data / "pile"):
            write_index(shard.file, shard.path, Path(folder))
        answer = read_from_s3(python, Path(folder))
    if not answer["same_digest"]:
        raise SystemExit("the corpus has another digest there")
    rows = [
        report.row(what, "the local directory", answer[key], answer["of"], "documents", target=1.0)
        for key, what in (
            ("documents", "documents from s3:// that are those of the directory, in both orders"),
            ("kept", "the same from the cache of frames, once the store has stopped"),
        )
    ]
    report.write(
        "corpus/object_store", rows, packages=("zstandard",), peer_versions=answer["versions"]
    )


if __name__ == "__main__":
    main()
