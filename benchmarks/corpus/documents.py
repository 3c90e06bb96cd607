"""Measures the Python client's processor time for a document, against the stub alone.

    python -m benchmarks.corpus.documents [--rounds N] [--megabytes N]

Needs the real documents (ASSAY_TEST_DATA). The client's processor time, all its threads', over an
indexed shard from a server in a process of its own; the stub takes the same frames and decodes
nothing. Ways take turns; figures are medians of the rounds.

Writes benchmarks/results/corpus/documents.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from assay_rpc.channel import connect
from assay_rpc.corpus import CorpusStream
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2

from benchmarks import report
from benchmarks.corpus.local_read import make_shard
from benchmarks.serving import CorpusServer


def stub_alone(address: str) -> int:
    """Take the frames, and count the documents in them."""
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"),
        delivery=stream_pb2.DELIVERY_FRAMES,
        chunk_bytes=1 << 20,
    )
    with connect(address) as channel:
        chunks = corpus_pb2_grpc.CorpusServiceStub(channel).StreamCorpus(request)
        return sum(len(frame.text_bytes) for chunk in chunks for frame in chunk.frames.frames)


def documents(address: str) -> int:
    """Iterate documents."""
    with CorpusStream(address, "c") as stream:
        return sum(1 for _ in stream)


def texts(address: str) -> int:
    """Iterate lists of texts."""
    with CorpusStream(address, "c") as stream:
        return sum(map(len, stream.texts()))


def texts_bytes(address: str) -> int:
    """Iterate lists of texts in UTF-8."""
    with CorpusStream(address, "c") as stream:
        return sum(map(len, stream.texts_bytes()))


WAYS = {
    "document by document: for document in stream": documents,
    "lists of texts: stream.texts()": texts,
    "lists of texts in UTF-8: stream.texts_bytes()": texts_bytes,
}


def microseconds(way: Callable[[str], int], address: str) -> tuple[float, int]:
    """Processor microseconds of this process a document, and the number of documents."""
    begun = time.process_time()
    count = way(address)
    return (time.process_time() - begun) / count * 1e6, count


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, index = make_shard(options.venvs / "bench", options.megabytes)
    found: dict[str, list[float]] = {name: [] for name in ("stub", *WAYS)}
    counts = set()
    with tempfile.TemporaryDirectory() as home:
        server = CorpusServer(source.with_name(f"{options.megabytes}-indexed"), home)
        stub_alone(server.address)
        for _ in range(options.rounds):
            for name, way in {"stub": stub_alone, **WAYS}.items():
                spent, count = microseconds(way, server.address)
                found[name].append(spent)
                counts.add(count)
        server.stop()
    (count,) = counts  # every way gives as many
    size = int(index.text_bytes.sum(dtype="int64")) / count
    medians = {name: statistics.median(spent) for name, spent in found.items()}
    rows = [
        report.row(
            name,
            "the stub alone, its frames not decoded",
            medians[name],
            medians["stub"],
            "microseconds of processor time a document",
            target=None,
            less_is_better=True,
        )
        for name in WAYS
    ]
    packages = ("grpcio", "protobuf", "zstandard")
    report.write(
        "corpus/documents", rows, packages=packages, documents=count, mean_text_bytes=round(size)
    )


if __name__ == "__main__":
    main()
