"""A small indexed corpus, and a job that scores it with the packaged model."""

from __future__ import annotations

from pathlib import Path

from services.corpus.bpb.cluster.unit_scoring import UnitJob
from services.corpus.bpb.definition import Definition
from services.corpus.shards.index.writer import IndexOptions, write_index
from tests.corpus.shard_files import line, write_corpus

SUBSETS = ("Github", "Pile-CC", "ArXiv")


def make_job(root: Path, documents: int = 60) -> UnitJob:
    """Write and index a shard of this project's own sources, frames of a few documents each."""
    sources = sorted(Path(__file__).parents[3].glob("services/corpus/**/*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    lines = [
        line(text[n * 700 : n * 700 + 300 + 40 * (n % 20)], SUBSETS[n % 3])
        for n in range(documents)
    ]
    write_corpus(root / "source", {"test.jsonl.zst": lines})
    shards = root / "shards"
    write_index(
        root / "source" / "test.jsonl.zst", "test.jsonl.zst", shards, IndexOptions(frame_bytes=3000)
    )
    return UnitJob(shards, root / "cache", definition=Definition(256), unit_frames=2)
