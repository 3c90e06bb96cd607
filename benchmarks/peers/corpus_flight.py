"""An Arrow Flight server of a shard's texts, and its client, for corpus/stream_flight.py.

    corpus_flight.py serve SHARD MODE LIMIT_BYTES    prints its port, serves until killed
    corpus_flight.py read PORT ROUNDS                prints a JSON object a round

MODE: "none", "lz4" or "zstd" is the compression of batches that are held in memory; "live" decodes
the shard at every request and sends uncompressed batches. The client turns every batch into a list
of bytes objects, one a document, and measures itself.

Runs in an environment that has pyarrow and none of this project.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

import orjson
import pyarrow as pa
import zstandard
from pyarrow import flight

# A megabyte or so of text a batch, as Flight's guide advises to keep batches under gRPC's limits.
_BATCH_BYTES = 1 << 20
_SCHEMA = pa.schema([("text", pa.binary())])


def batches(shard: str, limit_bytes: int) -> Iterator[pa.RecordBatch]:
    """Decode a shard into batches of texts."""
    tail, texts, size, total = b"", [], 0, 0
    with (
        open(shard, "rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as source,
    ):
        while (data := source.read(1 << 20)) and total < limit_bytes:
            lines = (tail + data).split(b"\n")
            tail = lines.pop()
            for line in lines:
                text = orjson.loads(line)["text"].encode()
                texts.append(text)
                size += len(text)
                if size >= _BATCH_BYTES:
                    yield pa.record_batch([pa.array(texts, pa.binary())], schema=_SCHEMA)
                    total += size
                    texts, size = [], 0
    if texts:
        yield pa.record_batch([pa.array(texts, pa.binary())], schema=_SCHEMA)


class Server(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow publishes no types
    """Answers every ticket with all of the texts."""

    def __init__(self, shard: str, mode: str, limit_bytes: int) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._live = (shard, limit_bytes) if mode == "live" else None
        self._table = None
        self._options = pa.ipc.IpcWriteOptions()
        if mode != "live":
            self._table = pa.Table.from_batches(batches(shard, limit_bytes), _SCHEMA)
            self._options = pa.ipc.IpcWriteOptions(compression=None if mode == "none" else mode)

    def do_get(self, context: object, ticket: object) -> flight.FlightDataStream:  # noqa: ARG002
        """Send the batches."""
        if self._live is not None:
            return flight.GeneratorStream(_SCHEMA, batches(*self._live))
        return flight.RecordBatchStream(self._table, options=self._options)


def read(port: str, rounds: int) -> None:
    """Read everything `rounds` times."""
    client = flight.connect(f"grpc://127.0.0.1:{port}")
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        documents = size = 0
        for chunk in client.do_get(flight.Ticket(b"")):
            texts = chunk.data.column(0).to_pylist()
            documents += len(texts)
            size += chunk.data.column(0).nbytes
        seconds = {
            "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "documents": documents,
            "bytes": size,
        }
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        server = Server(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        print(json.dumps({"port": server.port, "pyarrow": version("pyarrow")}), flush=True)
        server.serve()
    else:
        read(sys.argv[2], int(sys.argv[3]))
