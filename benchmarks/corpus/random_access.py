"""Times finding a document and resuming a stream in shards of 110 MB and 15 GB.

    python -m benchmarks.corpus.random_access [--gigabytes N] [--lookups N]

Needs the real documents (ASSAY_TEST_DATA) and as much temporary disk space. The large shard repeats
the frames of an indexed shard of real documents; each copy has its own place and index entry. Only
as many of its pages are in memory as the machine keeps.

Writes benchmarks/results/corpus/random_access.json.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from assay_rpc.channel import connect
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2

from benchmarks import report
from benchmarks.corpus.local_read import NAME, make_shard
from benchmarks.serving import CorpusServer
from services.corpus.shards.frames import FrameReader
from services.corpus.shards.index.format import (
    FileFact,
    Index,
    encode,
    index_path,
    open_index,
    text_path,
)

_POSITIONS = (0.0, 0.1, 0.5, 0.9, 0.999)


def repeat(shard: Path, index: Index, out: Path, size: int) -> Index:
    """Write a shard of at least `size` bytes to `out` with its index, without texts alone."""
    ends = index.frames["offset"] + index.frames["bytes"]
    frames = shard.read_bytes()[: int(ends.max())]
    times = -(-size // len(frames))
    out.parent.mkdir(parents=True)
    digest = hashlib.sha256()
    with out.open("wb") as file:
        for _ in range(times):
            file.write(frames)
            digest.update(frames)
    every = np.tile(index.frames, times)
    turn = np.repeat(np.arange(times, dtype=np.uint64), len(index.frames))
    every["offset"] += turn * np.uint64(len(frames))
    every["first_line"] += turn * np.uint64(index.documents)
    every["text_offset"], every["text_frame_bytes"], every["text_digest"] = 0, 0, 0
    fact = FileFact(times * len(frames), f"sha256:{digest.hexdigest()}")
    large = Index(
        replace(index.header, shard=fact, text=None),
        every,
        np.tile(index.text_bytes, times),
        np.tile(index.line_bytes, times),
        np.tile(index.text_hash, times),
    )
    out.with_name(index_path(out.name)).write_bytes(encode(large))
    return large


def look_up(shard: Path, index: Index, lookups: int) -> list[float]:
    """Milliseconds to read and parse documents at random places."""
    chance, found = random.Random(1), []
    text = shard.with_name(text_path(shard.name))
    with closing(FrameReader(NAME, shard, text, index)) as frames:
        for _ in range(lookups):
            line, begun = chance.randrange(index.documents), time.perf_counter()
            frames.document(line)
            found.append(1e3 * (time.perf_counter() - begun))
    return found


def resume(
    stub: corpus_pb2_grpc.CorpusServiceStub, selection: selection_pb2.Selection, documents: int
) -> list[float]:
    """Milliseconds from a call with a cursor to its first documents, by position."""
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"),
        selection=selection,
        delivery=stream_pb2.DELIVERY_FRAMES,
    )

    def first(request: stream_pb2.StreamCorpusRequest) -> stream_pb2.StreamCorpusResponse:
        call = stub.StreamCorpus(request)
        try:
            while not (chunk := next(call)).frames.frames:
                pass
            return chunk
        finally:
            call.cancel()

    found = []
    for position in _POSITIONS:
        there = stream_pb2.StreamCorpusRequest()
        there.CopyFrom(request)
        point = there.resume.add(documents=int(position * documents))
        point.rank.world_size = 1
        cursor = first(there).cursor
        del there.resume[:]
        there.cursor = cursor
        begun = time.perf_counter()
        first(there)
        found.append(1e3 * (time.perf_counter() - begun))
    return found


def main() -> None:
    """Make the shards, measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gigabytes", type=float, default=15)
    parser.add_argument("--lookups", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, index = make_shard(options.venvs / "bench", options.megabytes)
    shard = source.with_name(f"{options.megabytes}-indexed") / NAME
    rows = []
    with tempfile.TemporaryDirectory(dir=options.venvs) as folder:
        for size, what in ((110e6, "110 MB"), (options.gigabytes * 1e9, "15 GB")):
            place = Path(folder) / what.replace(" ", "") / NAME
            large = repeat(shard, index, place, int(size))
            rows.append(
                report.row(
                    f"a document at a random place of a shard of {place.stat().st_size / 1e6:,.0f} "
                    "MB, found and parsed, median",
                    "the target itself",
                    statistics.median(look_up(place, large, options.lookups)),
                    0.5,
                    "ms",
                    target=1.0,
                    less_is_better=True,
                )
            )
        root = place.parents[1]
        documents = open_index(place.with_name(index_path(place.name))).documents
        server = CorpusServer(root, Path(folder) / "home")
        with connect(server.address) as channel:
            stub = corpus_pb2_grpc.CorpusServiceStub(channel)
            for name, selection in (
                ("in the order of the shard", selection_pb2.Selection()),
                ("shuffled", selection_pb2.Selection(seed=1)),
            ):
                cold = resume(stub, selection, documents)[0]
                rounds = [resume(stub, selection, documents) for _ in range(options.rounds)]
                medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
                rows.append(
                    report.row(
                        f"resuming {name} in a shard of {place.stat().st_size / 1e9:,.1f} GB to "
                        "the first documents at the client, the slowest of five positions",
                        "the target itself",
                        max(medians),
                        50,
                        "ms",
                        target=1.0,
                        less_is_better=True,
                    )
                )
                by_position = dict(zip(map(str, _POSITIONS), medians, strict=True))
                print(f"{by_position}; the selection's first call {cold:.1f} ms")
        server.stop()
    report.write("corpus/random_access", rows, packages=("grpcio", "zstandard", "numpy"))


if __name__ == "__main__":
    main()
