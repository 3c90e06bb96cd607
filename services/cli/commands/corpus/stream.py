"""`assay corpus stream`: print documents as JSON lines."""

from __future__ import annotations

import argparse
import json
import sys

from assay_rpc.corpus.v1 import corpus_pb2_grpc, stream_pb2

from services.cli.arguments import add_selection, add_skip_bad_lines, count, output_file, selection
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.output.console import warn
from services.cli.output.messages import warn_of_bad_line
from services.cli.pipe import PIPE_CHUNK_BYTES, PositionedOutput
from services.cli.shards import add_shards, corpus_ref, shards_inventory
from services.common.counts import plural

_TIMEOUT_SECONDS = 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action's arguments."""
    parser.description = (
        'Prints one JSON line per document: {"text", "meta", "id", "subset", "shard", "line"}. '
        "--cursor FILE saves the position in FILE, and a later run with the same selection "
        "continues from there. This also works after Ctrl-C, and after a reader such as `head` "
        "closes the pipe: what it read counts as delivered. After a killed run, documents since "
        "the last saved position are printed again, and the last line may be incomplete."
    )
    parser.epilog = 'example: assay corpus stream --shards pile --split test --subset "Pile-CC"'
    add_shards(parser)
    add_selection(parser)
    parser.add_argument(
        "--cursor", metavar="FILE", help="save the position in FILE, and continue from it"
    )
    parser.add_argument(
        "--jsonl", action="store_true", help="print the shards' own lines, byte for byte"
    )
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="skip damaged frames, and report them; needs an indexed corpus",
    )
    add_skip_bad_lines(parser)
    parser.add_argument(
        "--rank",
        type=count,
        default=0,
        metavar="R",
        help="print only the documents of this rank, 0 to W - 1",
    )
    parser.add_argument(
        "--world-size",
        type=count,
        default=1,
        metavar="W",
        help="number of ranks; default: 1; more than 1 needs an indexed corpus",
    )
    parser.set_defaults(run=stream)


async def stream(arguments: argparse.Namespace) -> Exit:
    """Streams documents to stdout."""
    position = output_file("--cursor", arguments.cursor) if arguments.cursor else None
    request = stream_pb2.StreamCorpusRequest(
        selection=selection(arguments),
        cursor=position.read_bytes() if position and position.exists() else b"",
        delivery=stream_pb2.DELIVERY_JSONL if arguments.jsonl else stream_pb2.DELIVERY_DOCUMENTS,
        skip_damaged=arguments.skip_damaged,
        skip_bad_lines=arguments.skip_bad_lines,
    )
    if arguments.world_size != 1 or arguments.rank:
        request.rank.rank, request.rank.world_size = arguments.rank, arguments.world_size
    out = PositionedOutput(sys.stdout.fileno(), position)
    if position and out.is_pipe:
        request.chunk_bytes = PIPE_CHUNK_BYTES
    async with Connection(shards_inventory(arguments)) as connection:
        request.corpus.CopyFrom(await corpus_ref(connection, arguments))
        stub = corpus_pb2_grpc.CorpusServiceStub(await connection.channel("corpus"))
        begun, meta = bytearray(), b""
        bad = 0
        async for chunk in stub.StreamCorpus(request, timeout=_TIMEOUT_SECONDS):
            lines = bytearray()
            for document in chunk.documents.documents:
                begun += document.text
                meta = meta or document.meta  # comes with a document's first fragment
                if not document.continues:
                    lines += _line(document, bytes(begun), meta)
                    begun, meta = bytearray(), b""
            out.write(bytes(lines) + chunk.jsonl.lines)
            for frame in chunk.damaged:
                warn(
                    f"skipped {frame.shard}, frame {frame.frame} at compressed byte "
                    f"{frame.offset}: {plural(frame.documents, 'document')}"
                )
            for line in chunk.bad_lines:
                bad += 1
                warn_of_bad_line(line, bad)
            # Written before the position is kept: a run that dies in between repeats documents,
            # never skips.
            if chunk.cursor:
                out.keep(chunk.cursor)
    if bad:
        warn(f"skipped {bad} {'bad line' if bad == 1 else 'bad lines'}")
    return Exit.DONE


def _line(document: stream_pb2.Document, text: bytes, meta: bytes) -> bytes:
    # A lone surrogate in the shard's JSON travels as three bytes (WTF-8); only a \u escape can
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
    head = b'{"text": %b, "meta": %b, ' % (line, meta or b"null")
    return head + json.dumps(rest, ensure_ascii=False).encode()[1:] + b"\n"
