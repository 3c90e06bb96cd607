"""`assay units`: score a corpus on several machines, by ranges of frames, and add it up."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.arguments import add_compute, add_format, add_interval_of, add_sample, count
from services.cli.connections.inventory import existing_folder, home
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json, warn
from services.cli.output.grid import Column, Grid, Kind, show
from services.common.counts import plural
from services.errors import InvalidArgument

# Modules of the corpus extra are imported where they are used: other commands do not need it.
if TYPE_CHECKING:
    from services.corpus.bpb.cluster.unit_results import Merged
    from services.corpus.bpb.cluster.unit_scoring import UnitJob, UnitScorer
    from services.corpus.bpb.cluster.units import WorkUnit
    from services.corpus.bpb.estimates import Figure, Scope
    from services.corpus.bpb.figures import Score
    from services.corpus.bpb.sampling import Sample

_UNIT_FRAMES = 16


_SAVED = "finished units are in --out, and the same command continues"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.description = (
        "Divides the scoring of an indexed corpus into units, each a range of frames of one "
        "shard. `score` writes one file per unit with the sums of each document; scoring a unit "
        "again changes nothing. `merge` computes the figures from all files, bit for bit the "
        "same however the units were divided among machines."
    )
    parser.epilog = "example: assay units score --shards pile-indexed --share 0/8 --out results"
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list the units of a job")
    _add_job(listing)
    listing.set_defaults(run=list_units)
    score = actions.add_parser(
        "score", help="score some or all units, and write their results to --out"
    )
    _add_job(score)
    which = score.add_mutually_exclusive_group()
    which.add_argument(
        "--unit", metavar="SHARD:FIRST-END", help="score only this unit, as `list` names it"
    )
    which.add_argument(
        "--share",
        default="0/1",
        metavar="I/N",
        help="score every N-th unit, starting with unit I (0 to N - 1); default: all units",
    )
    score.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    score.set_defaults(run=score_units, interrupted=_SAVED)
    ray = actions.add_parser("ray", help="score all units on a Ray cluster, and merge them")
    _add_job(ray)
    ray.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the results, on this machine"
    )
    ray.add_argument(
        "--address",
        metavar="ADDRESS",
        help="address of a Ray cluster; default: start Ray on this machine",
    )
    ray.add_argument(
        "--workers",
        type=count,
        default=0,
        metavar="N",
        help="parallel workers; default: as many as fit",
    )
    add_interval_of(ray)
    add_format(ray)
    ray.set_defaults(run=score_on_ray, interrupted=_SAVED)
    merging = actions.add_parser("merge", help="add the results of all units up")
    merging.add_argument("directory", metavar="DIR", help="the --out folder of `score`")
    add_interval_of(merging)
    add_format(merging)
    merging.set_defaults(run=merge_units)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shards", required=True, metavar="DIR|URL", help="an indexed corpus")
    parser.add_argument("--model", metavar="DIR", help="folder of the language model to score")
    for flag, text in (
        ("--split", "train, val or test; repeatable; default: all"),
        (
            "--subset",
            "score only this subset; repeatable; default: all but withdrawn ones",
        ),
        ("--exclude-subset", "leave this subset out; repeatable"),
    ):
        parser.add_argument(flag, action="append", default=[], metavar="NAME", help=text)
    parser.add_argument("--max-length", type=count, default=0, metavar="TOKENS", help="window")
    parser.add_argument(
        "--special-tokens",
        action="store_true",
        help="also score special tokens that the "
        "tokenizer adds, as `assay score "
        "--special-tokens` does",
    )
    parser.add_argument(
        "--unit-frames",
        type=count,
        default=_UNIT_FRAMES,
        metavar="N",
        help=f"frames per unit; default: {_UNIT_FRAMES}",
    )
    add_sample(parser)
    add_compute(parser)


def _job(arguments: argparse.Namespace) -> UnitJob:
    from services.corpus.bpb.cluster.unit_scoring import UnitJob  # noqa: PLC0415
    from services.corpus.bpb.definition import Definition  # noqa: PLC0415
    from services.corpus.bpb.models.compute import Compute, Precision  # noqa: PLC0415
    from services.corpus.storage.urls import is_url  # noqa: PLC0415
    from services.corpus.stream.selection import Selection  # noqa: PLC0415

    shards = arguments.shards
    return UnitJob(
        shards=shards if is_url(shards) else existing_folder("--shards", shards),
        cache=home() / "cache" / "corpus",
        model=existing_folder("--model", arguments.model) if arguments.model else None,
        selection=Selection(
            splits=tuple(arguments.split),
            subsets=frozenset(arguments.subset),
            exclude_subsets=frozenset(arguments.exclude_subset),
        ),
        definition=Definition(arguments.max_length, arguments.special_tokens),
        compute=Compute(arguments.engine, Precision(arguments.precision)),
        unit_frames=max(1, arguments.unit_frames),
        sample=_sample(arguments),
    )


def _sample(arguments: argparse.Namespace) -> Sample | None:
    from services.corpus.bpb.sampling import Allocation, Sample  # noqa: PLC0415

    if arguments.sample and arguments.sample_documents:
        raise InvalidArgument("--sample", "and --sample-documents are both given; give one")
    if not arguments.sample and not arguments.sample_documents:
        return None
    allocation = Allocation.EQUAL if arguments.sample_equally else Allocation.BYTES
    return Sample(arguments.sample, arguments.sample_documents, arguments.sample_seed, allocation)


def _scope(arguments: argparse.Namespace) -> Scope:
    from services.corpus.bpb.estimates import Scope  # noqa: PLC0415

    return Scope(arguments.interval_of)


async def list_units(arguments: argparse.Namespace) -> Exit:
    """Names the units of a job, one a line."""
    from services.corpus.bpb.cluster.unit_scoring import UnitScorer  # noqa: PLC0415

    scorer = await asyncio.to_thread(UnitScorer, _job(arguments))
    for unit in scorer.units:
        OUT.print(str(unit), markup=False, soft_wrap=True, highlight=False)
    return Exit.DONE


async def score_units(arguments: argparse.Namespace) -> Exit:
    """Scores units that have no results yet."""
    from services.corpus.bpb.cluster.unit_scoring import UnitScorer  # noqa: PLC0415
    from services.corpus.bpb.cluster.units import find_unit, share_of  # noqa: PLC0415

    scorer = await asyncio.to_thread(UnitScorer, _job(arguments))
    if arguments.unit:
        units: tuple[WorkUnit, ...] = (find_unit(scorer.units, arguments.unit),)
    else:
        units = share_of(scorer.units, arguments.share)
    for unit in units:
        await asyncio.to_thread(_score, scorer, unit, Path(arguments.out))
    return Exit.DONE


def _score(scorer: UnitScorer, unit: WorkUnit, out: Path) -> None:
    from services.corpus.bpb.cluster.unit_results import is_done, write_result  # noqa: PLC0415

    if is_done(out, unit, scorer.facts()):
        note(f"{unit}: up to date")
        return
    result = scorer.score(unit)
    path = write_result(out, result)
    note(f"{unit}: {plural(len(result.documents), 'document')}, {result.engine} -> {path}")


async def score_on_ray(arguments: argparse.Namespace) -> Exit:
    """Scores all units on a Ray cluster and merges them."""
    from services.corpus.bpb.cluster.unit_results import merge  # noqa: PLC0415
    from services.errors import PreconditionFailed  # noqa: PLC0415

    try:
        from services.corpus.bpb.cluster.ray_job import run_on_ray  # noqa: PLC0415
    except ImportError as error:
        raise PreconditionFailed(
            f"{error.name} is missing: pip install 'assay-services[ray]'"
        ) from error
    out = Path(arguments.out)
    await asyncio.to_thread(
        run_on_ray,
        _job(arguments),
        out,
        address=arguments.address,
        workers=arguments.workers,
        progress=lambda done, total: note(f"{done:,} of {plural(total, 'unit')}"),
    )
    merged = await asyncio.to_thread(merge, out, _scope(arguments))
    return _show(merged, as_json=arguments.json)


async def merge_units(arguments: argparse.Namespace) -> Exit:
    """Adds up results."""
    from services.corpus.bpb.cluster.unit_results import merge  # noqa: PLC0415

    folder = existing_folder("DIR", arguments.directory)
    merged = await asyncio.to_thread(merge, folder, _scope(arguments))
    return _show(merged, as_json=arguments.json)


def _show(merged: Merged, *, as_json: bool) -> Exit:
    """Print the figures; BAD_INPUT when nothing could be scored."""
    totals, estimates = merged.figures.totals, merged.figures.estimates
    overall, macro = estimates.overall, estimates.macro
    status = Exit.BAD_INPUT if overall is None else Exit.DONE
    if as_json:
        print_json(
            {
                "overall": _json(totals.overall, overall),
                "macro_bits_per_byte": None if macro is None else macro.value,
                "macro_interval": _ends(macro),
                "subsets": {
                    name: _json(score, figure)
                    for name, (score, figure) in merged.figures.subsets.items()
                },
                "excluded": {
                    reason.value: {
                        "bits_per_byte": left.score.bits_per_byte,
                        **_sums(left.score),
                        "ids": list(left.ids),
                    }
                    for reason, left in totals.excluded.items()
                },
                "job": merged.job,
                "engines": list(merged.engines),
                "doubts": list(merged.doubts),
            }
        )
        return status
    table = Grid(
        ", ".join(merged.engines),
        [
            Column("subset", Kind.TEXT),
            *map(Column, ("bits per byte", "95 % interval", "documents")),
            Column("bytes", spare=1),
            Column("tokens", spare=2),
        ],
    )
    rows = [(name, *both) for name, both in merged.figures.subsets.items()]
    rows.append(("overall (micro)", totals.overall, overall))
    rows += [
        (f"excluded: {reason.replace('_', ' ')}", left.score, None)
        for reason, left in totals.excluded.items()
    ]
    for name, score, figure in rows:
        counts = (f"{value:,}" for value in (score.documents, score.text_bytes, score.tokens))
        bits = "-" if figure is None else f"{figure.value:.4f}"
        table.add(name, bits, _standing(figure), *counts)
    show(table)
    for doubt in merged.doubts:
        warn(f"doubtful: {doubt}")
    if overall is None:
        warn(f"nothing could be scored: all {totals.documents:,} documents are excluded")
    elif overall.basis.no_interval:
        warn(f"the figure is an example, no measurement: {overall.basis.no_interval}")
    return status


def _standing(figure: Figure | None) -> str:
    if figure is None:
        return ""
    if figure.interval is None:
        return {"exact": "exact", "example": "an example"}[figure.basis.standing.value]
    return f"{figure.interval.low:.4f} .. {figure.interval.high:.4f}"


def _ends(figure: Figure | None) -> list[float | None] | None:
    if figure is None or figure.interval is None:
        return None
    return [figure.interval.low, figure.interval.high]


def _json(score: Score, figure: Figure | None) -> dict[str, Any]:
    return {
        "bits_per_byte": None if figure is None else figure.value,
        "interval": _ends(figure),
        "standing": None if figure is None else figure.basis.standing.value,
        "effective_documents": None if figure is None else figure.basis.effective_documents,
        **_sums(score),
    }


def _sums(score: Score) -> dict[str, Any]:
    return {
        "nats": score.nats,
        "text_bytes": score.text_bytes,
        "tokens": score.tokens,
        "documents": score.documents,
    }
