"""Gather: collects the documents of a shard, and writes them in their order, with an index.

Takes the memory of a shard's lines, about twice `shard_bytes`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any

import orjson
import zstandard

from services.corpus.build.job import Job
from services.corpus.build.mixture import Mixture
from services.corpus.build.stages.scatter import scattered
from services.corpus.build.workspace import whole_file, write_json
from services.corpus.shards.documents import subset_of
from services.corpus.shards.formats import READING
from services.corpus.shards.index.format import Index, index_path, text_path
from services.corpus.shards.index.output import file_fact
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.corpus.shards.layout import BUILD_NOTES

GATHER = "gather"
NOTES = BUILD_NOTES


def gather(job: Job, mixture: Mixture, shard: int) -> None:
    """Write a shard, its index and its notes."""
    name = mixture.shards[shard]
    target = job.unit_files(GATHER, shard)
    # By key; equal keys, of copies with the same name, are ordered by their content.
    documents = sorted(scattered(job, shard))
    source = target.path("jsonl")
    with whole_file(source) as file:
        for _, line, _ in documents:
            file.write(line)
    options = IndexOptions(job.recipe.output.level, job.recipe.output.texts)
    index = write_index(source, name, job.out, options, path=source.name, reading=READING)
    counts, notes = _notes(documents, index)
    notes_name = f"{NOTES}/{name}"
    with whole_file(job.out / notes_name) as file:
        compressor = zstandard.ZstdCompressor(level=job.recipe.output.level, write_checksum=True)
        file.write(compressor.compress(notes))
    names = [name, index_path(name), notes_name]
    if job.recipe.output.texts:
        names.append(text_path(name))
    files = {path: asdict(file_fact(job.out / path)) for path in sorted(names)}
    write_json(target.path("json"), {"shard": name, "counts": counts, "files": files})
    source.unlink()


def _notes(
    documents: list[tuple[int, bytes, bytes]], index: Index
) -> tuple[list[dict[str, Any]], bytes]:
    """Return documents and bytes by source and subset, and the notes in the order of the shard.

    A shard has the documents of a subset in their order, a frame of them after the other.
    """
    waiting: dict[str, deque[bytes]] = {}
    for _, line, note in documents:
        waiting.setdefault(subset_of(line.rstrip(b"\n")), deque()).append(note)
    notes: list[bytes] = []
    counts: dict[tuple[str, str], list[int]] = {}
    sizes = iter(index.text_bytes.tolist())
    for frame in index.frames:
        subset = index.header.subsets[int(frame["subset"])]
        for _ in range(int(frame["documents"])):
            note = waiting[subset].popleft()
            notes.append(note)
            count = counts.setdefault((orjson.loads(note)["source"], subset), [0, 0])
            count[0] += 1
            count[1] += next(sizes)
    rows = [
        {"source": source, "subset": subset, "documents": count[0], "bytes": count[1]}
        for (source, subset), count in sorted(counts.items())
    ]
    return rows, b"".join(notes)
