"""`assay corpus audit`: the contents of a corpus, and the test sets that it repeats."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from assay_rpc.audit.v1alpha1 import corpus_audit_pb2, corpus_audit_pb2_grpc
from assay_rpc.common.v1 import common_pb2

from services.cli.absent import absent
from services.cli.arguments import (
    add_definition,
    add_format,
    add_selection,
    definition,
    output_file,
    positive,
    selection,
)
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.exits import Exit
from services.cli.models import language_model
from services.cli.output import corpus_audit, corpus_audit_page, grid
from services.cli.output.console import OUT, note_written, print_json
from services.cli.output.messages import plain
from services.cli.output.progress import working
from services.cli.pages import templates
from services.cli.result_files import write_result
from services.cli.shards import add_shards, corpus_ref, shards_inventory
from services.corpus.shards.documents import Document
from services.corpus.shards.formats import Keys, Reading
from services.corpus.shards.layout import find_layout
from services.corpus.stream import reader
from services.corpus.stream.selection import Selection
from services.errors import DataLoss, InternalError, InvalidArgument

_TIMEOUT_SECONDS = 86400.0
_MESSAGE_BYTES = 1 << 20
_READING = corpus_audit_pb2.CORPUS_AUDIT_STAGE_READING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action's arguments."""
    parser.description = (
        "Reads the documents of a selection once and reports, by subset: duplicates within and "
        "between splits, lengths, words, e-mail addresses, IP addresses, telephone numbers, "
        "rights, and the distance from The Pile's Table 1. With --against, also reports every "
        "place where a document repeats 13 consecutive words of a test set, as The Pile and "
        "lm-evaluation-harness define contamination; each match is verified and extended to the "
        "longest run of words that both share. With --model, also reports bits per byte with and "
        "without the contaminated documents."
    )
    parser.epilog = "example: assay corpus audit --shards pile --against hellaswag.jsonl mmlu"
    add_shards(parser)
    add_selection(parser)
    group = parser.add_argument_group("test sets")
    group.add_argument(
        "--against",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="test sets: files or folders in any format that a corpus can have",
    )
    group.add_argument(
        "--against-key",
        default="text",
        metavar="KEY",
        help='JSON key of the text in a test set\'s records; default: "text"',
    )
    group.add_argument(
        "--ngram",
        type=positive,
        default=0,
        metavar="N",
        help="consecutive words that count as a match; default: 13",
    )
    parser.add_argument(
        "--near-duplicates",
        action="store_true",
        help="also find documents that are nearly the same",
    )
    parser.add_argument(
        "--languages",
        action="store_true",
        help="also detect the languages of a sample of 2,000 documents",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="also score the documents with this model: a causal language model's folder, a "
        "registered name, zstd-19 or xz",
    )
    add_definition(parser)
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="also write the results to FILE as one self-contained HTML page",
    )
    add_format(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Prints the contents of a corpus."""
    page = output_file("--html", arguments.html) if arguments.html else None
    if page:
        templates("--html")
    shards = shards_inventory(arguments)
    sets = {name: _shards(given, arguments) for name, given in _named(arguments.against)}
    folders: dict[str, Path] = {}
    asked = corpus_audit_pb2.CorpusToAudit(
        selection=selection(arguments),
        ngram_words=arguments.ngram,
        near_duplicates=arguments.near_duplicates,
        languages=arguments.languages,
        definition=definition(arguments),
    )
    if arguments.model:
        name = language_model("--model", arguments.model, folders)
        asked.model.CopyFrom(common_pb2.ModelRef(name=name))
    async with Connection(Inventory(corpora=shards.corpora, language_models=folders)) as connection:
        asked.corpus.CopyFrom(await corpus_ref(connection, arguments))
        stub = corpus_audit_pb2_grpc.CorpusAuditServiceStub(await connection.channel("corpus"))
        found = await _audited(stub, asked, sets)
    if page:
        write_result(page, corpus_audit_page.page(found))
        note_written(page)
    if arguments.json:
        print_json(plain(found))
        return Exit.DONE
    for table in corpus_audit.tables(found):
        grid.show(table)
    for line in corpus_audit.summary(found):
        OUT.print(line, markup=False, soft_wrap=True)
    return Exit.DONE


def _named(given: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name each test set after its file, or by its path if two files have the same name."""
    names = [Path(one).resolve().name for one in given]
    if len(set(given)) < len(given):
        raise InvalidArgument("--against", "names a file twice")
    for name, one in zip(names, given, strict=True):
        yield (name if names.count(name) == 1 else one), one


def _shards(given: str, arguments: argparse.Namespace) -> Sequence[reader.ShardLike]:
    """Find the files of a test set, before a service is started for them."""
    path = Path(given).resolve()
    if not path.exists():
        raise FileNotFoundError(f"--against: {absent(given)}")
    return find_layout(path, Reading(Keys(arguments.against_key)), every_file=True).shards


async def _requests(
    asked: corpus_audit_pb2.CorpusToAudit, sets: dict[str, Sequence[reader.ShardLike]]
) -> AsyncIterator[corpus_audit_pb2.AuditCorpusRequest]:
    """The audit, then the texts of the test sets, about a MiB a message."""
    yield corpus_audit_pb2.AuditCorpusRequest(audit=asked)
    for name, shards in sets.items():
        splits = tuple(dict.fromkeys(shard.split for shard in shards))
        texts = corpus_audit_pb2.TestTexts(test_set=name)
        size = 0
        for document in _documents(name, shards, splits):
            texts.texts.append(document.text)
            size += len(document.text)
            if size > _MESSAGE_BYTES:
                yield corpus_audit_pb2.AuditCorpusRequest(texts=texts)
                texts, size = corpus_audit_pb2.TestTexts(test_set=name), 0
        yield corpus_audit_pb2.AuditCorpusRequest(texts=texts)


def _documents(
    name: str, shards: Sequence[reader.ShardLike], splits: tuple[str, ...]
) -> Iterator[Document]:
    try:
        yield from reader.documents(shards, Selection(splits))
    except DataLoss as error:
        where = f"--against: test set {name}: {error.shard}"
        problem = error.problem.replace("--text-key", "--against-key")
        raise DataLoss(where, error.offset, problem) from None


async def _audited(
    stub: corpus_audit_pb2_grpc.CorpusAuditServiceAsyncStub,
    asked: corpus_audit_pb2.CorpusToAudit,
    sets: dict[str, Sequence[reader.ShardLike]],
) -> corpus_audit_pb2.CorpusAudit:
    """Follow the work on stderr; return its result."""
    requests = [request async for request in _requests(asked, sets)]
    with working("reading the corpus") as status:
        async for update in stub.AuditCorpus(iter(requests), timeout=_TIMEOUT_SECONDS):
            if update.HasField("result"):
                return update.result
            one = update.progress
            doing = "reading" if one.stage == _READING else "scoring"
            hits = f", {one.hits:,} hits" if sets and one.stage == _READING else ""
            status.update(f"{doing}: {one.documents:,} documents, {one.text_bytes:,} bytes{hits}")
    raise InternalError("the audit ended without a result; see the corpus service's log")
