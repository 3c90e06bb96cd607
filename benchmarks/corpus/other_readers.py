"""Reads indexed shards with other readers, and compares the texts with the published shards'.

    python -m benchmarks.corpus.other_readers

Needs the real documents (ASSAY_TEST_DATA), all of which are indexed. `zstd -dc` must give the same
lines, and lm_dataformat, datasets and zstandard the same texts, in any order, because an index
groups documents by subset. Peers run in a separate environment. Nothing is timed.

Writes benchmarks/results/corpus/other_readers.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.corpus.local_read import Readers
from services.cli import testdata
from services.corpus.shards.index.verify import verify
from services.corpus.shards.index.writer import write_index
from services.corpus.shards.layout import find_shards

READERS = ("lm_dataformat", "datasets", "zstandard + orjson")


def decompress(shard: Path) -> list[bytes]:
    """Read the lines of a shard with `zstd -dc`."""
    done = subprocess.run(["zstd", "-dcq", shard], check=True, capture_output=True)
    return done.stdout.split(b"\n")[:-1]


def digest(lines: list[bytes]) -> str:
    """Digest the texts of lines as peers/corpus_readers.py does."""
    texts = sorted(hashlib.sha256(json.loads(line)["text"].encode()).digest() for line in lines)
    return hashlib.sha256(b"".join(texts)).hexdigest()


def main() -> None:
    """Compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    data = testdata.data_dir()
    if data is None:
        raise SystemExit("no real documents: set ASSAY_TEST_DATA")
    peers = Readers(options.venvs / "corpus", "corpus.txt")
    same = dict.fromkeys(("zstd -dc", *READERS, "assay corpus verify"), 0)
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for shard in find_shards(data / "pile"):
            index = write_index(shard.file, shard.path, out)
            lines = decompress(shard.file)
            wanted, count = digest(lines), len(lines)
            total += count
            if sorted(decompress(out / shard.path)) == sorted(lines):
                same["zstd -dc"] += count
            for reader in READERS:
                found = peers.ask(reader=reader, shard=str(out / shard.path))
                if found == {"documents": count, "digest": wanted}:
                    same[reader] += count
            same["assay corpus verify"] += verify(shard.file, shard.path, out).documents
            print(f"{shard.path}: {count} documents in {len(index.frames)} frames", flush=True)
    peers.close()
    version = subprocess.run(["zstd", "--version"], check=True, capture_output=True, text=True)
    rows: list[dict[str, Any]] = [
        report.row(
            "documents of indexed shards that are byte for byte those of the shards as published",
            reader,
            documents,
            total,
            "documents",
            target=1.0,
        )
        for reader, documents in same.items()
    ]
    versions = {**peers.versions, "zstd": version.stdout.partition("v")[2].partition(",")[0]}
    report.write("corpus/other_readers", rows, packages=("zstandard",), peer_versions=versions)


if __name__ == "__main__":
    main()
