"""`assay score`: bits per byte of a language model, by subset."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc, selection_pb2
from rich.live import Live

from services.cli.arguments import (
    INTERVAL_SCOPES,
    add_compute,
    add_definition,
    add_format,
    add_interval_of,
    add_sample,
    add_selection,
    compute,
    definition,
    selection,
)
from services.cli.commands.bpb import prove
from services.cli.connections.connection import Connection
from services.cli.connections.inventory import Inventory
from services.cli.exits import Exit
from services.cli.models import language_model, only_language_model
from services.cli.output import document_rows, score_picture
from services.cli.output.console import ERR, note, note_written, print_json, progress_console
from services.cli.output.grid import table
from services.cli.output.progress import LINE_SECONDS
from services.cli.output.score_output import (
    LOADING,
    comparison_json,
    comparison_rows,
    comparison_words,
    has_value,
    published_source,
    running_line,
    running_table,
    score_json,
    score_rows,
    score_words,
    show_comparison,
    show_score,
)
from services.cli.shards import add_shards, corpus_ref, shards_inventory
from services.errors import InternalError, InvalidArgument

TIMEOUT_SECONDS = 24 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Computes a causal language model's bits per byte over a selection of documents, by "
        "lm-evaluation-harness's definition or another. Lower is better. With --sample, "
        "estimates the figure with a 95 % interval. Documents that the tokenizer cannot "
        "reproduce are reported separately. Running an interrupted command again continues it."
    )
    parser.epilog = (
        "example: assay score --model gpt2 --shards pile --split test --max-documents 100"
    )
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a Hugging Face causal language model's folder, a registered name, or zstd-19 or xz; "
        "default: the reference model",
    )
    parser.add_argument(
        "--against",
        metavar="DIR|NAME",
        help="a second model, scored on the same text; also prints the paired difference",
    )
    add_shards(parser)
    add_selection(parser)
    add_sample(parser)
    add_interval_of(parser)
    add_definition(parser)
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        default="",
        help="save finished documents under NAME permanently; default: results of the last 256 "
        "runs are saved automatically, and an interrupted run continues",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="ignore saved results, and score everything again"
    )
    parser.add_argument(
        "--per-document",
        metavar="FILE",
        help="also write the figures of every document to FILE, .jsonl or .parquet; with "
        "--against, for both models",
    )
    parser.add_argument("--plot", metavar="FILE", help="also save the plot as FILE, .svg or .png")
    prove.add_options(parser)
    add_compute(parser)
    add_format(parser)
    parser.set_defaults(
        run=run,
        interrupted="finished documents are saved, and the same command without --fresh continues",
    )


async def run(arguments: argparse.Namespace) -> Exit:
    """Scores one model, or two and their difference; BAD_INPUT when nothing could be scored."""
    if arguments.against and arguments.checkpoint:
        raise InvalidArgument("--checkpoint", "is for one model; --against keeps both anyway")
    per_document = arguments.per_document and document_rows.check(arguments.per_document)
    picture = arguments.plot and score_picture.check(arguments.plot)
    prove.check_options(arguments)
    shards = shards_inventory(arguments)
    folders: dict[str, Path] = {}
    model = language_model("--model", arguments.model, folders)
    common: dict[str, Any] = {
        "selection": _selection(arguments),
        "definition": definition(arguments),
        "compute": compute(arguments),
        "fresh": arguments.fresh,
        "interval_scope": INTERVAL_SCOPES[arguments.interval_of],
    }
    against = ""
    if arguments.against:
        against = language_model("--against", arguments.against, folders)
    async with Connection(Inventory(corpora=shards.corpora, language_models=folders)) as connection:
        stub = scoring_pb2_grpc.ScoringServiceStub(await connection.channel("corpus"))
        model = await only_language_model(connection, model)
        common["model"] = common_pb2.ModelRef(name=model)
        common["corpus"] = await corpus_ref(connection, arguments)
        documents: list[Any] = []
        if against:
            both = scoring_pb2.CompareBPBRequest(
                **common,
                against=common_pb2.ModelRef(name=against),
                per_document=bool(per_document),
            )
            updates = stub.CompareBPB(both, timeout=TIMEOUT_SECONDS)
            comparison = await follow(updates, documents.append)
            corpus = comparison.model.corpus.name
            rows, said = comparison_rows(comparison), comparison_words(comparison.overall)
            published = ""
        else:
            one = scoring_pb2.ScoreBPBRequest(
                **common, checkpoint=arguments.checkpoint, per_document=bool(per_document)
            )
            final = await follow(stub.ScoreBPB(one, timeout=TIMEOUT_SECONDS), documents.append)
            rows, said = score_rows(final), score_words(final.overall)
            published, corpus = published_source(final), final.corpus.name
    if against and arguments.json:
        print_json(comparison_json(comparison))
    elif against:
        show_comparison(comparison)
    elif arguments.json:
        print_json(score_json(final))
    else:
        show_score(final)
    if per_document:
        document_rows.write(per_document, corpus, documents, compared=bool(against))
        note_written(per_document)
    if picture and rows:
        score_picture.draw(picture, rows, (model, against), said, published)
        note_written(picture)
    elif picture:
        note(f"{picture} is not written: there are no figures to draw")
    if not against:
        await prove.write(arguments, final.model.digest)
    scored = comparison.overall.model if against else final.overall
    return Exit.DONE if has_value(scored) else Exit.BAD_INPUT


def _selection(arguments: argparse.Namespace) -> selection_pb2.Selection:
    chosen = selection(arguments)
    if arguments.sample or arguments.sample_documents:
        chosen.sample.spans, chosen.sample.seed = arguments.sample, arguments.sample_seed
        chosen.sample.documents = arguments.sample_documents
        if arguments.sample_equally:
            chosen.sample.allocation = selection_pb2.SAMPLE_ALLOCATION_EQUAL
    return chosen


async def follow(
    updates: Any,
    document: Callable[[Any], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Any:
    """Shows running figures until the final ones come, and returns those.

    On a terminal they are a table that changes, otherwise a line every 30 seconds of `clock`.
    `document` is called with the figures of each document.
    """
    if not ERR.is_terminal:
        note(LOADING)
    began = told = clock()
    with Live(console=progress_console(), transient=True, refresh_per_second=4) as live:
        async for update in updates:
            which = update.WhichOneof("update")
            if which == "result":
                return update.result
            if which == "document":
                document(update.document)
            elif ERR.is_terminal:
                live.update(table(running_table(update.progress), ERR.width))
            elif (now := clock()) - told >= LINE_SECONDS:
                told = now
                note(running_line(update.progress, now - began))
    raise InternalError("the scoring ended without final figures; see the corpus service's log")
