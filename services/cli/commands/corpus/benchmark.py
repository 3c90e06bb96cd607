"""`assay corpus benchmark`: how a corpus's storage performs on this machine."""

from __future__ import annotations

import argparse

from assay_rpc.corpus.v1 import benchmark_pb2, benchmark_pb2_grpc

from services.cli.arguments import add_format, count
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.cli.shards import add_shards, corpus_ref, shards_inventory

_TIMEOUT_SECONDS = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action's arguments."""
    parser.description = (
        "Measures the compression ratio and decompression speed of several codecs, and the peak "
        "memory of streaming, on a corpus's own shards."
    )
    add_shards(parser)
    parser.add_argument(
        "--split", default="", help="split to read; default: the corpus's first split"
    )
    parser.add_argument(
        "--sample-mb",
        type=count,
        default=8,
        metavar="N",
        help="amount of JSONL to measure, in MB; default: 8",
    )
    parser.add_argument(
        "--repetitions",
        type=count,
        default=0,
        metavar="N",
        help="timed runs of each codec, 3 to 100; default: 9",
    )
    add_format(parser)
    parser.set_defaults(run=benchmark)


async def benchmark(arguments: argparse.Namespace) -> Exit:
    """Prints how a corpus's storage performs here."""
    request = benchmark_pb2.BenchmarkStorageRequest(
        split=arguments.split,
        sample_bytes=arguments.sample_mb * 1_000_000,
        repetitions=arguments.repetitions,
    )
    result = benchmark_pb2.StorageResult()
    async with Connection(shards_inventory(arguments)) as connection:
        request.corpus.CopyFrom(await corpus_ref(connection, arguments))
        stub = benchmark_pb2_grpc.CorpusBenchmarkServiceStub(await connection.channel("corpus"))
        async for update in stub.BenchmarkStorage(request, timeout=_TIMEOUT_SECONDS):
            if update.HasField("progress"):
                step = update.progress
                note(f"{step.done}/{step.total} {step.step}")
            else:
                result = update.result
    if arguments.json:
        print_json(plain(result))
        return Exit.DONE
    level = max((codec.decompress_interval.level for codec in result.codecs), default=0.0)
    table = Grid(
        f"{result.corpus.name}: {result.sample_bytes:,} bytes of jsonl on "
        f"{result.environment.cpu}, one core",
        [
            Column("codec", Kind.NAME),
            Column("ratio"),
            Column("decompressed MB/s"),
            Column(f"{level * 100:.0f} % interval"),
        ],
    )
    for codec in result.codecs:
        interval = codec.decompress_interval
        table.add(
            codec.codec,
            f"{codec.ratio:.3f}",
            f"{codec.decompress_bytes_per_second / 1e6:,.0f}",
            f"{interval.low / 1e6:,.0f} .. {interval.high / 1e6:,.0f}",
        )
    show(table)
    memory, parsed = result.streaming, result.plain_parse
    OUT.print(
        f"streaming {memory.content_bytes:,} bytes grew the process's peak memory by "
        f"{memory.peak_growth_bytes:,} bytes; zstandard and json alone parsed "
        f"{parsed.parsed:,} of {parsed.lines:,} lines",
        markup=False,
    )
    return Exit.DONE
