"""`assay corpus`: read a corpus, say what it is, measure how it is stored."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

from assay.corpus.v1 import corpus_pb2, corpus_pb2_grpc
from rich.table import Table

from services.cli.arguments import (
    add_json,
    add_selection,
    add_shards,
    corpus_ref,
    count,
    output_file,
    selection,
    shards_inventory,
)
from services.cli.commands import corpus_index, corpus_stats
from services.cli.connection import Connection
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json
from services.cli.output.messages import plain

BENCHMARK_TIMEOUT_SECONDS = 3600.0
STREAM_TIMEOUT_SECONDS = 24 * 3600.0


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "corpus", help="stream and describe a corpus, measure its storage"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_stream(actions)
    corpus_stats.add_parser(actions)
    _add_benchmark(actions)
    corpus_index.add_parsers(actions)


def _add_stream(actions: Any) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "stream",
        help="print documents as JSON lines",
        description=(
            'Prints a JSON line {"text", "meta", "id", "subset", "shard", "line"} a document. '
            "With --cursor FILE the position is kept in FILE: a later run with the same selection "
            "goes on where this one ended. After a run that was killed, the documents since the "
            "last kept position come again, and the last line may be cut short."
        ),
        epilog='example: assay corpus stream --shards pile --split test --subset "Pile-CC"',
    )
    add_shards(parser)
    add_selection(parser)
    parser.add_argument(
        "--cursor", metavar="FILE", help="keep the position in FILE, and go on from it"
    )
    parser.add_argument(
        "--jsonl", action="store_true", help="print the shards' own lines, byte for byte"
    )
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="pass over damaged frames, and say which; needs an index",
    )
    parser.add_argument(
        "--rank", type=count, default=0, metavar="R", help="the part of this rank, from 0"
    )
    parser.add_argument(
        "--world-size", type=count, default=1, metavar="W", help="ranks; more need an index"
    )
    parser.set_defaults(run=stream)


def _add_benchmark(actions: Any) -> None:
    parser: argparse.ArgumentParser = actions.add_parser(
        "benchmark",
        help="compression ratios, decompression speeds and memory on a corpus's own shards",
    )
    add_shards(parser)
    parser.add_argument("--split", default="", help="split to read; the first without it")
    parser.add_argument(
        "--sample-mb", type=count, default=8, metavar="N", help="megabytes of jsonl to measure"
    )
    parser.add_argument(
        "--repetitions", type=count, default=0, metavar="N", help="the service's own without it"
    )
    add_json(parser)
    parser.set_defaults(run=benchmark)


async def stream(arguments: argparse.Namespace) -> Exit:
    """Streams documents to stdout."""
    position = output_file("--cursor", arguments.cursor) if arguments.cursor else None
    request = corpus_pb2.StreamCorpusRequest(
        corpus=corpus_ref(arguments),
        selection=selection(arguments),
        cursor=position.read_bytes() if position and position.exists() else b"",
        delivery=corpus_pb2.DELIVERY_JSONL if arguments.jsonl else corpus_pb2.DELIVERY_DOCUMENTS,
        skip_damaged=arguments.skip_damaged,
    )
    if arguments.world_size != 1 or arguments.rank:
        request.rank.rank, request.rank.world_size = arguments.rank, arguments.world_size
    out = sys.stdout.buffer
    async with Connection(shards_inventory(arguments.shards)) as connection:
        stub = corpus_pb2_grpc.CorpusServiceStub(await connection.channel("corpus"))
        begun, meta = bytearray(), b""
        async for chunk in stub.StreamCorpus(request, timeout=STREAM_TIMEOUT_SECONDS):
            for document in chunk.documents.documents:
                begun += document.text
                meta = meta or document.meta  # comes with a document's first fragment
                if not document.continues:
                    _write_document(out, document, bytes(begun), meta)
                    begun, meta = bytearray(), b""
            out.write(chunk.jsonl.lines)
            for frame in chunk.damaged:
                note(
                    f"passed over {frame.shard}, frame {frame.frame} at compressed byte "
                    f"{frame.offset}: {frame.documents} documents"
                )
            # Flushed before the position is kept: a run that dies in between repeats, never skips.
            out.flush()
            if position and chunk.cursor:
                _replace(position, chunk.cursor)
    return Exit.DONE


def _write_document(out: BinaryIO, document: corpus_pb2.Document, text: bytes, meta: bytes) -> None:
    # A lone surrogate of the shard's JSON travels as its three bytes (WTF-8); only a \u escape can
    # print it.
    decoded = text.decode("utf-8", "surrogatepass")
    try:
        line = json.dumps(decoded, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        line = json.dumps(decoded).encode()
    rest = {
        "id": document.id,
        "subset": document.subset,
        "shard": document.shard,
        "line": document.line,
    }
    out.write(b'{"text": %b, "meta": %b, ' % (line, meta or b"null"))
    out.write(json.dumps(rest, ensure_ascii=False).encode()[1:] + b"\n")


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(content)
    temporary.replace(path)


async def benchmark(arguments: argparse.Namespace) -> Exit:
    """Prints how a corpus's storage performs here."""
    request = corpus_pb2.BenchmarkStorageRequest(
        corpus=corpus_ref(arguments),
        split=arguments.split,
        sample_bytes=arguments.sample_mb * 1_000_000,
        repetitions=arguments.repetitions,
    )
    result = corpus_pb2.StorageResult()
    async with Connection(shards_inventory(arguments.shards)) as connection:
        stub = corpus_pb2_grpc.CorpusAdminServiceStub(await connection.channel("corpus"))
        async for update in stub.BenchmarkStorage(request, timeout=BENCHMARK_TIMEOUT_SECONDS):
            if update.HasField("progress"):
                step = update.progress
                note(f"{step.done}/{step.total} {step.step}")
            else:
                result = update.result
    if arguments.json:
        print_json(plain(result))
        return Exit.DONE
    table = Table(
        title=f"{result.corpus.name}: {result.sample_bytes:,} bytes of jsonl on "
        f"{result.environment.cpu}, one core",
        title_justify="left",
    )
    table.add_column("codec")
    level = max((codec.decompress_interval.level for codec in result.codecs), default=0.0)
    for heading in ("ratio", "decompressed MB/s", f"{level:.0%} interval"):
        table.add_column(heading, justify="right")
    for codec in result.codecs:
        interval = codec.decompress_interval
        table.add_row(
            codec.codec,
            f"{codec.ratio:.3f}",
            f"{codec.decompress_mb_per_second:,.0f}",
            f"{interval.low:,.0f} .. {interval.high:,.0f}",
        )
    OUT.print(table)
    memory, parsed = result.streaming, result.plain_parse
    OUT.print(
        f"streaming {memory.jsonl_bytes:,} bytes grew the process's peak memory by "
        f"{memory.peak_growth_bytes:,} bytes; zstandard and json alone parsed "
        f"{parsed.parsed:,} of {parsed.lines:,} lines",
        markup=False,
    )
    return Exit.DONE
