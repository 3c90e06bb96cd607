"""`assay corpus index` and `verify`: speed up reading a corpus anywhere, and prove it complete."""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.cli.arguments import add_json, add_skip_bad_lines, count
from services.cli.connections.inventory import existing_folder
from services.cli.exits import Exit
from services.cli.output.console import OUT, note, print_json
from services.cli.output.messages import warn_of_bad_line
from services.cli.shards import add_reading, local_layout, reading
from services.common.counts import plural

_NOTE_SECONDS = 2.0
_RATED_BYTES = 1_000_000


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `index`."""
    parser.description = (
        "Rewrites every shard of SOURCE in the --out directory as plain .jsonl.zst that any "
        "reader accepts: many small frames of one subset each, plus an index and a copy of the "
        "texts alone. SOURCE is not changed. Running an interrupted command again continues it. "
        "Serve the new directory instead of SOURCE."
    )
    parser.epilog = "example: assay corpus index pile --out pile-indexed"
    parser.add_argument("source", metavar="SOURCE", help="folder of shards, or a single file")
    add_reading(parser)
    add_skip_bad_lines(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="directory to write to")
    parser.add_argument(
        "--jobs",
        type=count,
        default=0,
        metavar="N",
        help="shards processed in parallel; default: one per processor",
    )
    parser.add_argument(
        "--level",
        type=count,
        choices=range(1, 23),
        default=3,
        metavar="N",
        help="zstd level, 1 to 22; default: 3",
    )
    parser.add_argument(
        "--no-text",
        action="store_true",
        help="do not store the copy of the texts alone: saves half of the space, but reading is "
        "slower",
    )
    add_json(parser)
    parser.set_defaults(
        run=index, interrupted="finished frames are in --out, and the same command continues"
    )


def add_verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    parser.description = (
        "Compares every document of the indexed corpus DIR with SOURCE, byte for byte. If one "
        "differs, the exit status is 6 and the message names the shard."
    )
    parser.epilog = "example: assay corpus verify pile pile-indexed"
    parser.add_argument("source", metavar="SOURCE", help="the folder or file that was indexed")
    add_reading(parser)
    parser.add_argument("out", metavar="DIR", help="the directory that `assay corpus index` wrote")
    add_json(parser)
    parser.set_defaults(run=verify)


async def index(arguments: argparse.Namespace) -> Exit:
    """Indexes a corpus."""
    from services.corpus.shards.index.job import index_corpus  # noqa: PLC0415  the corpus extra
    from services.corpus.shards.index.writer import IndexOptions  # noqa: PLC0415

    local_layout("SOURCE", arguments.source, arguments)  # says what is left out
    note(f"indexing {arguments.source}")
    begun = noted = time.monotonic()
    stop = threading.Event()

    def progress(done: int, total: int) -> None:
        nonlocal noted
        now = time.monotonic()
        if now - noted >= _NOTE_SECONDS:
            noted = now
            note(f"{_rate(done, now - begun)}, of {data_size(total)}")

    try:
        shards = await asyncio.to_thread(
            index_corpus,
            Path(arguments.source).resolve(),
            Path(arguments.out),
            IndexOptions(
                arguments.level,
                not arguments.no_text,
                skip_bad_lines=arguments.skip_bad_lines,
            ),
            jobs=arguments.jobs or len(os.sched_getaffinity(0)),
            reading=reading(arguments),
            every_file=arguments.every_file,
            progress=progress,
            stopped=stop.is_set,
        )
    finally:
        stop.set()
    size, seconds = sum(shard.source_bytes for shard in shards), time.monotonic() - begun
    note(f"{_rate(size, seconds)}, in {seconds:,.0f} s")
    for number, line in enumerate((line for shard in shards for line in shard.bad), 1):
        warn_of_bad_line(line, number)
    if arguments.json:
        print_json({"shards": [asdict(shard) for shard in shards], "seconds": round(seconds, 3)})
        return Exit.DONE
    for shard in shards:
        state = "indexed" if shard.fresh else "up to date"
        OUT.print(
            f"{shard.path}: {state}, {plural(shard.documents, 'document')} in "
            f"{plural(shard.frames, 'frame')}, "
            f"{shard.source_bytes:,} -> {shard.shard_bytes:,} bytes"
            + (f", from {shard.source}" if shard.source != shard.path else "")
            + (f", {plural(shard.bad_lines, 'bad line')} skipped" if shard.bad_lines else ""),
            markup=False,
            soft_wrap=True,
        )
    return Exit.DONE


def _rate(size: int, seconds: float) -> str:
    """The amount read, with its rate if enough was read to measure one."""
    read = data_size(size)
    return f"{read}, {data_size(size / seconds)}/s" if size >= _RATED_BYTES else read


def data_size(size: float) -> str:
    """An amount of data with its unit: MB from a tenth of one on, bytes below."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,.0f} bytes"


async def verify(arguments: argparse.Namespace) -> Exit:
    """Compares an indexed corpus with its source."""
    from services.corpus.shards.index.verify import verify as verify_shard  # noqa: PLC0415
    from services.corpus.shards.layout import indexed_names  # noqa: PLC0415

    verified: list[dict[str, Any]] = []
    out = existing_folder("DIR", arguments.out)
    shards = local_layout("SOURCE", arguments.source, arguments).shards
    written = indexed_names(shards)
    for shard in shards:
        name = written[shard.path]
        found = await asyncio.to_thread(
            verify_shard, shard.file, name, out, path=shard.path, reading=shard.reading
        )
        verified.append({"path": name, **asdict(found)})
        if not arguments.json:
            OUT.print(
                f"{name}: OK, identical to the source ({plural(found.documents, 'document')}, "
                f"{plural(found.frames, 'frame')}, {found.jsonl_bytes:,} bytes of jsonl)",
                markup=False,
                soft_wrap=True,
            )
    if arguments.json:
        print_json({"shards": verified})
    return Exit.DONE
