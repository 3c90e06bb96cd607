"""Compares streaming frames with the messages that a service would usually send.

    python -m benchmarks.corpus.messages [--rounds N]

Needs the real documents (ASSAY_TEST_DATA). The other servers read the same frames of the same shard
and send `repeated string` batches of half a megabyte, or one document a message. Every client ends
with a list of str. Rounds alternate; figures are medians of wall time.

Writes benchmarks/results/corpus/messages.json.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
from assay_rpc.channel import connect
from assay_rpc.corpus import stream
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from benchmarks import report
from benchmarks.corpus.local_read import NAME, make_shard
from benchmarks.serving import CorpusServer
from services.corpus.shards.frames import FrameReader
from services.corpus.shards.index.format import index_path, open_index, text_path

_BATCH_BYTES = 512 << 10
_FIELD = descriptor_pb2.FieldDescriptorProto


def _message(repeated: bool) -> Any:
    name = "Texts" if repeated else "Text"
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", syntax="proto3")
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    file.message_type.add(name=name).field.add(
        name="text", number=1, type=_FIELD.TYPE_STRING, label=label
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


TEXTS, TEXT = _message(True), _message(False)


def serve(shard: Path) -> None:
    """Be the other server, on a free port that is printed, until killed."""
    index = open_index(shard.with_name(index_path(shard.name)))

    def texts() -> Iterator[str]:
        file = shard.with_name(text_path(shard.name))
        with closing(FrameReader(NAME, shard, file, index)) as frames:
            for frame in range(len(index.frames)):
                for text in frames.texts(frame):
                    yield text.decode()

    def batches(_request: bytes, _context: Any) -> Iterator[Any]:
        batch, size = TEXTS(), 0
        for text in texts():
            batch.text.append(text)
            size += len(text)
            if size > _BATCH_BYTES:
                yield batch
                batch, size = TEXTS(), 0
        yield batch

    def documents(_request: bytes, _context: Any) -> Iterator[Any]:
        for text in texts():
            yield TEXT(text=text)

    def handler(method: Callable[..., Any], kind: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(
            method, response_serializer=kind.SerializeToString
        )

    server = grpc.server(
        ThreadPoolExecutor(2),
        options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)],
    )
    methods = {"Batches": handler(batches, TEXTS), "Documents": handler(documents, TEXT)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Peer", methods),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def read_peer(channel: grpc.Channel, method: str, limit: int) -> tuple[float, int]:
    """Read texts from the other server; return seconds and bytes."""
    kind = TEXTS if method == "Batches" else TEXT
    multicallable: Any = channel.unary_stream(
        f"/Peer/{method}", response_deserializer=kind.FromString
    )
    call = multicallable(b"")
    begun, size = time.perf_counter(), 0
    for message in call:
        texts = list(message.text) if method == "Batches" else [message.text]
        size += sum(map(len, texts))
        if size >= limit:
            break
    seconds = time.perf_counter() - begun
    call.cancel()
    return seconds, size


def read_ours(address: str, limit: int) -> tuple[float, int]:
    """Read texts from our server; return seconds and bytes."""
    begun, size = time.perf_counter(), 0
    with stream(address, "c") as documents:
        for texts in documents.texts():
            size += sum(map(len, texts))
            if size >= limit:
                break
    return time.perf_counter() - begun, size


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    source, _ = make_shard(options.venvs / "bench", options.megabytes)
    root = source.with_name(f"{options.megabytes}-indexed")
    command = [sys.executable, "-m", "benchmarks.corpus.messages", "--serve", str(root / NAME)]
    peer = subprocess.Popen(command, stdout=subprocess.PIPE)
    port = int(peer.stdout.readline()) if peer.stdout else 0
    rows = []
    with tempfile.TemporaryDirectory() as home, connect(f"127.0.0.1:{port}") as channel:
        server = CorpusServer(root, home)
        whole = read_ours(server.address, 1 << 62)[1]
        for method, name, limit, target in (
            ("Batches", "`repeated string`, half a megabyte a message", whole, 2.0),
            # A tenth of the shard gives the same rate.
            ("Documents", "one document a message", whole // 10, 20.0),
        ):
            ours, theirs = [], []
            for _ in range(options.rounds):
                seconds, size = read_peer(channel, method, limit)
                theirs.append(size / seconds / 1e6)
                seconds, size = read_ours(server.address, whole)
                ours.append(size / seconds / 1e6)
            rows.append(
                report.row(
                    "a shard over loopback to a str a text, live from disk",
                    name,
                    statistics.median(ours),
                    statistics.median(theirs),
                    "million characters per second",
                    target=target,
                )
            )
        server.stop()
    peer.kill()
    peer.wait()
    report.write("corpus/messages", rows, packages=("grpcio", "protobuf", "zstandard"))


if __name__ == "__main__":
    main()
