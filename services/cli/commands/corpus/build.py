"""`assay corpus build`: a corpus from sources, following a recipe."""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.absent import absent
from services.cli.arguments import add_format, count
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json, warn
from services.cli.output.grid import Column, Grid, Kind, show
from services.common.counts import plural
from services.common.percent import percent
from services.common.shares import Share
from services.errors import InvalidArgument, PreconditionFailed

# Modules of the corpus extra are imported where they are used: other commands do not need it.
if TYPE_CHECKING:
    from services.corpus.build.stages.sequence import Stage

_NOTE_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `build`."""
    parser.description = (
        "Builds a corpus in the --out directory from the sources and steps in RECIPE. Writes "
        "indexed shards in The Pile's layout, each document's origin, a data card and Croissant "
        "metadata. The same recipe, sources and seed give the same bytes, whatever the number of "
        "processes or machines. Running an interrupted build again continues it. A recipe can "
        "name functions, which are executed: build only recipes that you trust."
    )
    parser.epilog = "example: assay corpus build recipe.yaml --out corpus"
    parser.add_argument(
        "recipe", metavar="RECIPE", help="a YAML file; docs/corpus-build.md describes its format"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="directory to write to")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of a variable in the recipe's paths; overrides the environment; repeatable",
    )
    parser.add_argument(
        "--jobs",
        type=count,
        default=0,
        metavar="N",
        help="parallel processes; default: one per processor",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--share",
        metavar="I/N",
        help="run share I (0 to N - 1) of the tasks, and wait for the other shares",
    )
    where.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run on the Ray cluster at ADDRESS; without ADDRESS, start Ray on this machine",
    )
    add_format(parser)
    parser.set_defaults(
        run=build, interrupted="finished work is in --out, and the same command continues"
    )


async def build(arguments: argparse.Namespace) -> Exit:
    """Builds a corpus."""
    stop = threading.Event()
    try:
        card, done_before = await asyncio.to_thread(_build, arguments, stop)
    finally:
        stop.set()
    for source in card["sources"]:
        if bad := source["bad_records"]:
            warn(f"source {source['name']!r}: skipped {plural(bad, 'bad record')}")
    if arguments.json:
        print_json(card)
    else:
        _show(card, Path(arguments.out), done_before=done_before)
    return Exit.DONE


def _build(arguments: argparse.Namespace, stop: threading.Event) -> tuple[dict[str, Any], bool]:
    from services.corpus.build import run  # noqa: PLC0415
    from services.corpus.build.job import CARD, is_done, open_job, require_place  # noqa: PLC0415
    from services.corpus.build.workspace import (  # noqa: PLC0415
        full_disk_told,
        locked,
        read_json,
    )

    recipe, out = Path(arguments.recipe), Path(arguments.out)
    if not recipe.is_file():
        raise FileNotFoundError(f"RECIPE: {absent(recipe)}")
    share = Share.of(arguments.share or "0/1")
    progress = _Progress()
    values = _variables(arguments.set)
    require_place(recipe, out, values)
    with full_disk_told(out, "before the first stage"):
        out.mkdir(parents=True, exist_ok=True)
        with locked(out, arguments.share or ""):
            job = open_job(recipe, out.resolve(), values, warn)
            done_before = is_done(job)
            if arguments.ray is None:
                jobs = arguments.jobs or len(os.sched_getaffinity(0))
                run.build(job, jobs=jobs, share=share, progress=progress, stopped=stop.is_set)
            else:
                _on_ray(job, arguments, progress, stop)
    card: dict[str, Any] = read_json(out / CARD)
    return card, done_before


def _on_ray(job: Any, arguments: argparse.Namespace, progress: Any, stop: threading.Event) -> None:
    try:
        from services.corpus.build.cluster.ray_job import build_on_ray  # noqa: PLC0415
    except ImportError as error:
        raise PreconditionFailed(
            f"{error.name} is missing: pip install 'assay-services[ray]'"
        ) from error
    address = arguments.ray or None
    build_on_ray(
        job, address=address, workers=arguments.jobs, progress=progress, stopped=stop.is_set
    )


def _variables(given: list[str]) -> dict[str, str]:
    values = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise InvalidArgument("--set", f"{one} is not NAME=VALUE")
        values[name] = value
    return values


class _Progress:
    """Reports progress: the start and the end of each stage, and every two seconds."""

    def __init__(self) -> None:
        self._noted = 0.0
        self._stage = ""

    def __call__(self, stage: Stage, done: int) -> None:
        now = time.monotonic()
        new = stage.name != self._stage
        if new or done == stage.tasks or now - self._noted >= _NOTE_SECONDS:
            self._noted, self._stage = now, stage.name
            note(f"{stage.title}: {done:,} of {stage.tasks:,}")


def _show(card: dict[str, Any], out: Path, *, done_before: bool) -> None:
    from services.corpus.build.card import size_text  # noqa: PLC0415

    table = Grid(
        f"{card['name']} {card['version']}",
        [
            Column("component", Kind.NAME),
            Column("raw size", spare=2),
            Column("weight"),
            Column("epochs"),
            Column("effective size"),
            Column("documents"),
            Column("mean document", spare=1),
        ],
    )
    for row in card["components"]:
        table.add(
            row["component"],
            size_text(row["raw_bytes"]),
            f"{percent(row['weight'], 2)}",
            f"{row['epochs']:.2f}",
            size_text(row["effective_bytes"]),
            f"{row['effective_documents']:,}",
            size_text(row["mean_document_bytes"]),
        )
    show(table)
    for step in card["steps"]:
        OUT.print(
            f"{step['step']}: {step['documents_removed']:,} of {step['documents_in']:,} documents "
            f"removed, {step['changed']:,} changed",
            markup=False,
            soft_wrap=True,
        )
    note(f"{'up to date' if done_before else 'built'}: {out}, {card['digest']}")
