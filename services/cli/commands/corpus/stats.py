"""`assay corpus stats`: a corpus's contents, next to its published figures."""

from __future__ import annotations

import argparse

from assay_rpc.corpus.v1 import corpus_pb2_grpc, describe_pb2

from services.cli.arguments import add_format
from services.cli.connections.connection import Connection
from services.cli.exits import Exit
from services.cli.output.console import OUT, print_json
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.cli.output.progress import working
from services.cli.shards import add_shards, corpus_ref, shards_inventory
from services.common.counts import plural
from services.common.percent import percent
from services.errors import InternalError

_TIMEOUT_SECONDS = 3600.0
_NAMED = 5
_AVAILABILITY = {
    describe_pb2.AVAILABILITY_EXCEPT_UNCOPYRIGHTED: "copyrighted",
    describe_pb2.AVAILABILITY_BY_NAME: "withdrawn",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action's arguments."""
    parser.description = (
        "Counts documents and bytes by subset, with share, compression and licence. For The "
        "Pile, the paper's figures are shown beside them. Shards without an index are read once, "
        'and the counts are kept. A subset marked "withdrawn" is read only by a command that '
        'names it with --subset; one marked "copyrighted" is left out by --uncopyrighted.'
    )
    parser.epilog = "example: assay corpus stats --shards pile-indexed"
    add_shards(parser)
    add_format(parser)
    parser.set_defaults(run=stats)


async def stats(arguments: argparse.Namespace) -> Exit:
    """Prints a corpus's contents."""
    async with Connection(shards_inventory(arguments)) as connection:
        stub = corpus_pb2_grpc.CorpusServiceStub(await connection.channel("corpus"))
        corpus = await corpus_ref(connection, arguments)
        request = describe_pb2.DescribeCorpusRequest(corpus=corpus)
        reply = await _described(stub, request)
    if arguments.json:
        print_json(plain(reply))
        return Exit.DONE
    show(_subset_table(reply))
    for line in _summary(reply):
        OUT.print(line, markup=False, soft_wrap=True)
    return Exit.DONE


async def _described(
    stub: corpus_pb2_grpc.CorpusServiceAsyncStub, request: describe_pb2.DescribeCorpusRequest
) -> describe_pb2.CorpusDescription:
    """Follow the counting on stderr; return its result."""
    with working("counting documents and bytes") as status:
        async for update in stub.DescribeCorpus(request, timeout=_TIMEOUT_SECONDS):
            if update.HasField("result"):
                return update.result
            one = update.progress
            status.update(
                f"counting: {one.shards_done} of {one.shards_total} shards, "
                f"{one.bytes_done:,} of {one.bytes_total:,} bytes"
            )
    raise InternalError("the description ended without a result; see the corpus service's log")


def _subset_table(reply: describe_pb2.CorpusDescription) -> Grid:
    table = Grid(
        f"{reply.corpus.ref.name}: {plural(reply.documents, 'document')}, {reply.text_bytes:,} "
        f"bytes of text in {plural(len(reply.corpus.shards), 'shard')}",
        [
            Column("subset", Kind.NAME),
            Column("documents"),
            Column("bytes"),
            Column("share"),
            Column("published share", spare=3),
            Column("mean KiB", spare=1),
            Column("published mean", spare=4),
            Column("zstd ratio", spare=2),
            Column("rights", Kind.TEXT, spare=5),
        ],
    )
    rows = list(reply.subsets)
    if reply.documents_without_subset and rows:
        rows.append(_without_subset(reply))
    for subset in rows:
        published = subset.HasField("published")
        mean = subset.text_bytes / subset.documents / 1024 if subset.documents else 0.0
        marks = [_AVAILABILITY.get(subset.rights.availability, ""), subset.rights.license]
        table.add(
            subset.name or "(none named)",
            f"{subset.documents:,}",
            f"{subset.text_bytes:,}",
            f"{percent(subset.share, 2)}",
            f"{percent(subset.published.weight, 2)}" if published else "",
            f"{mean:.2f}" if subset.documents else "",
            f"{subset.published.mean_document_kib:.2f}" if published else "",
            f"{subset.content_bytes / subset.stored_bytes:.2f}" if subset.stored_bytes else "",
            "; ".join(filter(None, marks)),
        )
    return table


def _without_subset(reply: describe_pb2.CorpusDescription) -> describe_pb2.SubsetInfo:
    """The documents that name no subset, as a row of the table."""
    text = reply.text_bytes - sum(subset.text_bytes for subset in reply.subsets)
    return describe_pb2.SubsetInfo(
        documents=reply.documents_without_subset,
        text_bytes=text,
        share=text / reply.text_bytes if reply.text_bytes else 0.0,
    )


def _summary(reply: describe_pb2.CorpusDescription) -> list[str]:
    lines = []
    if reply.HasField("distance"):
        found = reply.distance
        lines.append(
            f"total-variation distance of the shares from {found.source}: "
            f"{found.total_variation:.3f} ({percent(found.interval.level)} interval "
            f"{found.interval.low:.3f} .. {found.interval.high:.3f}, of drawing documents alone)"
        )
    indexed = sum(shard.HasField("frames") for shard in reply.corpus.shards)
    compressed = sum(shard.stored_bytes for shard in reply.corpus.shards)
    jsonl = sum(shard.content_bytes for shard in reply.corpus.shards)
    if compressed:
        lines.append(
            f"{jsonl:,} bytes of jsonl, stored in {compressed:,} ({jsonl / compressed:.2f} to 1); "
            f"{indexed} of {plural(len(reply.corpus.shards), 'shard')} with an index"
        )
    if reply.corpus.left_out_total:
        named = ", ".join(reply.corpus.left_out[:_NAMED])
        more = " ..." if reply.corpus.left_out_total > _NAMED else ""
        lines.append(
            f"not read, though they look like shards: "
            f"{plural(reply.corpus.left_out_total, 'file')}, {named}{more}"
        )
    if indexed < len(reply.corpus.shards):
        lines.append("compression by subset needs an index in every shard: assay corpus index")
    lines.append(
        f"documents that repeat an earlier text: {reply.duplicate_documents:,}, "
        f"that name no subset: {reply.documents_without_subset:,}; digest {reply.corpus.ref.digest}"
    )
    return lines
