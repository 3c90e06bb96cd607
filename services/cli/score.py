"""`assay score`: bits per byte of a language model, by subset."""

from __future__ import annotations

import argparse
import math
from typing import Any

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2, corpus_pb2_grpc
from rich.live import Live
from rich.table import Table

from services.cli.arguments import (
    add_json,
    add_selection,
    add_shards,
    corpus_ref,
    selection,
    shards_inventory,
)
from services.cli.connection import Connection, running_address
from services.cli.console import ERR, OUT, note, print_json
from services.cli.definition import add_definition, definition
from services.cli.exits import Exit
from services.cli.inventory import Inventory, existing_folder, names_a_folder
from services.cli.messages import plain
from services.errors import InternalError, InvalidArgument

TIMEOUT_SECONDS = 24 * 3600.0
LOCAL_MODEL = "local"


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "score",
        help="bits per byte of a language model, by subset",
        description=(
            "Computes a causal language model's bits per byte over a selection of documents, by "
            "lm-evaluation-harness's definition. Lower is better. Documents that the tokenizer "
            "does not reproduce are reported apart."
        ),
        epilog="example: assay score --model gpt2 --shards pile --split test --max-documents 100",
    )
    parser.add_argument(
        "--model",
        metavar="DIR|NAME",
        help="a Hugging Face causal language model's folder, a registered name, or zstd-19 or xz; "
        "the reference model without it",
    )
    add_shards(parser)
    add_selection(parser)
    add_definition(parser)
    add_json(parser)
    parser.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> Exit:
    """Scores one model."""
    shards = shards_inventory(arguments.shards)
    name, language_models = arguments.model or "byte-reference", {}
    if arguments.model and names_a_folder(arguments.model):
        if running_address("corpus"):
            raise InvalidArgument(
                "--model",
                "ASSAY_CORPUS_ADDR names a running service, which scores models by name; give a "
                "registered name, or unset the variable",
            )
        name = LOCAL_MODEL
        language_models = {name: existing_folder("--model", arguments.model)}
    request = corpus_pb2.ScoreBPBRequest(
        corpus=corpus_ref(arguments),
        selection=selection(arguments),
        model=common_pb2.ModelRef(name=name),
        definition=definition(arguments),
    )
    inventory = Inventory(corpora=shards.corpora, language_models=language_models)
    async with Connection(inventory) as connection:
        stub = corpus_pb2_grpc.CorpusServiceStub(await connection.channel("corpus"))
        final = await follow(stub.ScoreBPB(request, timeout=TIMEOUT_SECONDS))
    if arguments.json:
        print_json(as_json(final))
    else:
        show(final)
    return Exit.DONE


async def follow(updates: Any) -> corpus_pb2.FinalScore:
    """Shows running figures until the final ones come, and returns those."""
    with Live(console=ERR, transient=True, refresh_per_second=4) as live:
        async for update in updates:
            if update.HasField("final"):
                final: corpus_pb2.FinalScore = update.final
                return final
            if ERR.is_terminal:
                live.update(_running_table(update.running))
    raise InternalError("the scoring ended without final figures; see the corpus service's log")


def _running_table(running: corpus_pb2.RunningScore) -> Table:
    left = running.time_left.ToTimedelta().total_seconds()
    of = f" of {running.documents_total:,}" if running.documents_total else ""
    table = _table(f"{running.overall.documents:,}{of} documents")
    table.caption = f"{running.tokens_per_second:,.0f} tokens/s, about {left:,.0f} s left"
    for subset in running.subsets:
        _add_row(table, subset.subset, subset.score)
    _add_row(table, "overall", running.overall)
    return table


def show(final: corpus_pb2.FinalScore) -> None:
    """Prints the final figures by subset."""
    table = _table(f"{final.model.name} on {final.corpus.name}, {final.engine}")
    for subset in final.subsets:
        _add_row(table, subset.subset or "(none named)", subset.score)
    table.add_section()
    _add_row(table, "overall (micro)", final.overall)
    macro = f"{final.macro_bits_per_byte:.4f}" if final.overall.text_bytes else ""
    table.add_row("mean of subsets (macro)", macro)
    OUT.print(table)
    lost = final.not_round_tripping
    if lost.documents:
        note(
            f"{lost.documents:,} documents ({lost.text_bytes:,} bytes) are in no figure above: the "
            f"tokenizer does not reproduce them. First: {final.not_round_tripping_ids[0]}. With "
            f"them, as lm-evaluation-harness counts: {_merged(final)['bits_per_byte'] or 0:.4f}"
        )


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("subset")
    for heading in ("bits per byte", "documents", "bytes", "tokens"):
        table.add_column(heading, justify="right")
    return table


def _add_row(table: Table, name: str, score: corpus_pb2.Score) -> None:
    figure = f"{score.bits_per_byte:.4f}" if score.text_bytes else ""
    table.add_row(
        name, figure, f"{score.documents:,}", f"{score.text_bytes:,}", f"{score.tokens:,}"
    )


def as_json(final: corpus_pb2.FinalScore) -> dict[str, Any]:
    """The final figures as the JSON that `--json` prints."""
    return {
        "overall": _score_json(final.overall),
        "macro_bits_per_byte": final.macro_bits_per_byte if final.overall.text_bytes else None,
        "subsets": {subset.subset: _score_json(subset.score) for subset in final.subsets},
        "not_round_tripping": {
            **_score_json(final.not_round_tripping),
            "ids": list(final.not_round_tripping_ids),
        },
        "including_not_round_tripping": _merged(final),
        "model": plain(final.model),
        "corpus": plain(final.corpus),
        "definition": plain(final.definition),
        "engine": final.engine,
        "environment": plain(final.environment),
    }


def _merged(final: corpus_pb2.FinalScore) -> dict[str, float | None]:
    """Over every document, also those that the tokenizer does not reproduce."""
    parts = (final.overall, final.not_round_tripping)
    names = ("nats", "text_bytes", "tokens", "documents")
    merged = {name: sum(getattr(part, name) for part in parts) for name in names}
    bits = merged["nats"] / math.log(2)
    return merged | {"bits_per_byte": bits / merged["text_bytes"] if merged["text_bytes"] else None}


def _score_json(score: corpus_pb2.Score) -> dict[str, float | None]:
    return {
        "bits_per_byte": score.bits_per_byte if score.text_bytes else None,
        "nats": score.nats,
        "text_bytes": score.text_bytes,
        "tokens": score.tokens,
        "documents": score.documents,
    }
