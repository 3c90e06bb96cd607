"""`assay corpus plan`: a selection's contents, and what each rank of a run would get of it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.arguments import add_json, add_selection, count, output_file
from services.cli.connections.inventory import home
from services.cli.exits import Exit
from services.cli.output.console import OUT, note_written, print_json, warn
from services.cli.result_files import write_result
from services.cli.shards import add_reading, local_layout, reading
from services.common.counts import plural
from services.common.percent import percent
from services.errors import InvalidArgument

if TYPE_CHECKING:
    from services.corpus.stream.plan import StreamPlan
    from services.corpus.stream.selection import Selection
    from services.corpus.stream.simulate import Simulation

_BARS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_SHOWN_SUBSETS = 12
_SHOWN_RANKS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The action's arguments."""
    parser.description = (
        "Counts the documents and bytes of a selection of an indexed corpus. With --simulate, "
        "also shows the documents, bytes and batches that each of --world ranks would get, and "
        "how far each part of the stream deviates from the mixture of the whole. Reads only the "
        "indexes."
    )
    parser.epilog = (
        "example: assay corpus plan --shards pile-indexed --simulate --world 64 --seed 1"
    )
    parser.add_argument("--shards", required=True, metavar="DIR", help="an indexed corpus")
    add_reading(parser)
    add_selection(parser)
    parser.add_argument(
        "--simulate", action="store_true", help="simulate how the selection is divided among ranks"
    )
    parser.add_argument(
        "--world", type=count, default=8, metavar="W", help="number of ranks; default: 8"
    )
    parser.add_argument(
        "--batch-size",
        type=count,
        default=1,
        metavar="N",
        help="documents in a rank's batch; default: 1",
    )
    parser.add_argument(
        "--equal",
        choices=("drop", "wrap"),
        help="give every rank the same number of documents: drop leaves out the last ones, wrap "
        "repeats the first ones",
    )
    parser.add_argument("--svg", metavar="FILE", help="also draw the simulation as an SVG file")
    add_json(parser)
    parser.set_defaults(run=plan)


async def plan(arguments: argparse.Namespace) -> Exit:
    """Prints what a plan contains and what ranks get of it."""
    from services.corpus.stream.simulate import simulate  # noqa: PLC0415  the corpus extra
    from services.corpus.stream.spans import Remainder  # noqa: PLC0415

    if not arguments.batch_size:
        raise InvalidArgument("--batch-size", "is 0; a batch has at least one document")
    picture = output_file("--svg", arguments.svg) if arguments.svg else None
    made = await asyncio.to_thread(_plan, arguments)
    found: dict[str, Any] = {
        "documents": int(made.counts.sum()),
        "text_bytes": int(made.text_bytes.sum()),
        "units": made.units,
    }
    if not found["documents"]:
        warn(
            "the selection leaves every document out: look at --split, --subset and the limits; "
            "`assay corpus stats` shows what the corpus contains"
        )
    result = None
    if arguments.simulate:
        remainder = Remainder(arguments.equal) if arguments.equal else None
        result = await asyncio.to_thread(
            simulate, made, arguments.world, arguments.batch_size, remainder
        )
        found |= {
            "ranks": [
                {"documents": documents, "text_bytes": size, "batches": batches}
                for documents, size, batches in zip(
                    *(one.tolist() for one in (result.documents, result.text_bytes)),
                    result.batches.tolist(),
                    strict=True,
                )
            ],
            "dropped": result.dropped,
            "repeated": result.repeated,
            "drift": result.drift.tolist(),
            "shares": {name: shares.tolist() for name, shares in result.shares.items()},
        }
    if picture is not None and result is not None:
        from services.cli.output.plan_picture import drawn  # noqa: PLC0415

        write_result(picture, drawn(result))
        note_written(picture)
    if arguments.json:
        print_json(found)
        return Exit.DONE
    OUT.print(
        f"{plural(found['documents'], 'document')}, {found['text_bytes']:,} bytes of "
        f"text in {plural(found['units'], 'unit')}",
        markup=False,
    )
    for line in _lines(result) if result is not None else ():
        OUT.print(line, markup=False, soft_wrap=True, highlight=False)
    return Exit.DONE


def _plan(arguments: argparse.Namespace) -> StreamPlan:
    """Open the corpus and order the selection."""
    from services.common.license import License  # noqa: PLC0415
    from services.corpus.catalog.catalog import Catalog, Registration  # noqa: PLC0415
    from services.corpus.catalog.corpus import Kind  # noqa: PLC0415

    local_layout("--shards", arguments.shards, arguments)
    catalog = Catalog(home() / "cache" / "corpus")
    where = Registration(
        Path(arguments.shards).resolve(),
        Kind.SAMPLE,
        "",
        License("", "", ""),
        reading(arguments),
        arguments.every_file,
    )
    catalog.load({"local": where})
    corpus = catalog.open("local")
    selection = corpus.resolve(_selection(arguments))
    corpus.check_indexed(
        selection, "every plan needs; make one with `assay corpus index`, and plan what it writes"
    )
    return corpus.plan(selection)


def _selection(arguments: argparse.Namespace) -> Selection:
    from services.corpus.catalog import published  # noqa: PLC0415
    from services.corpus.stream.mixture import mixture  # noqa: PLC0415
    from services.corpus.stream.selection import Selection  # noqa: PLC0415

    mixed = None
    if arguments.weight:
        mixed = mixture("weights", dict(arguments.weight), field="--weight")
    elif arguments.passes:
        mixed = mixture("passes", dict(arguments.passes), field="--passes")
    elif arguments.published:
        rows = published.SUBSETS.items()
        weights = arguments.published == "weights"
        mixed = mixture(
            "weights" if weights else "passes",
            {name: row.weight if weights else row.epochs for name, row in rows},
            published=True,
        )
    return Selection(
        splits=tuple(arguments.split),
        subsets=frozenset(arguments.subset),
        exclude_subsets=frozenset(arguments.exclude_subset),
        max_documents=arguments.max_documents,
        max_bytes=arguments.max_bytes,
        min_text_bytes=arguments.min_text_bytes,
        max_text_bytes=arguments.max_text_bytes,
        uncopyrighted=arguments.uncopyrighted,
        seed=arguments.seed,
        mixture=mixed,
        epochs=arguments.epochs or 1,
    )


def _lines(result: Simulation) -> list[str]:
    from services.corpus.stream.simulate import spread  # noqa: PLC0415

    lines = []
    for name, values in (
        ("documents", result.documents),
        ("bytes", result.text_bytes),
        ("batches", result.batches),
    ):
        shown = values[:_SHOWN_RANKS].tolist()
        more = " ..." if len(values) > _SHOWN_RANKS else ""
        lines.append(
            f"{name:9} a rank: {int(values.min()):,} to {int(values.max()):,}, the mean "
            f"{float(values.mean()):,.1f}, {percent(spread(values), 1)} apart  {_bars(shown)}{more}"
        )
    if result.dropped or result.repeated:
        lines.append(f"{result.dropped:,} documents left out, {result.repeated:,} come again")
    if int(result.batches.min()) != int(result.batches.max()):
        lines.append(
            "ranks make different numbers of batches: training on all of them stops with the first "
            "that has no more; --equal drop or --equal wrap makes them equal"
        )
    if len(result.drift):
        lines.append(
            f"mixture: each of {len(result.drift)} parts of the stream is up to "
            f"{float(result.drift.max()):.3f} from the whole, the mean "
            f"{float(result.drift.mean()):.3f}"
            f"  {_bars(result.drift.tolist())}"
        )
    largest = sorted(result.shares.items(), key=lambda one: -result.overall[one[0]])
    for name, shares in largest[:_SHOWN_SUBSETS]:
        lines.append(
            f"  {name or '(none named)':24} {percent(result.overall[name], 1):>7}  "
            f"{_bars(shares.tolist())}"
        )
    return lines


def _bars(values: list[float] | list[int]) -> str:
    top = max(values, default=0)
    steps = len(_BARS) - 1
    return "".join(_BARS[round(value / top * steps) if top else 0] for value in values)
