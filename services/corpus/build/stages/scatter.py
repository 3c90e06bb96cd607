"""Scatter: a unit's documents are sorted by the shard that they go to, with copies for epochs.

000012.bin    for each shard a few frames of lines, of notes, and of keys
000012.json   where in it the frames of each shard are
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import zstandard

from services.corpus.build.job import Job
from services.corpus.build.mixture import Mixture, splits_of
from services.corpus.build.recipe import MIB
from services.corpus.build.stages.passes import name_of
from services.corpus.build.workspace import read_json, whole_file, write_json
from services.corpus.shards.names import SPLITS

SCATTER = "scatter"
_HELD_BYTES = 128 * MIB
_LEVEL = 1


@dataclass(slots=True)
class _Group:
    lines: list[bytes] = field(default_factory=list)
    notes: list[bytes] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)


def scatter(job: Job, mixture: Mixture, number: int) -> None:
    """Do a unit. Memory is 128 MiB and the largest document."""
    last = len(job.passes) - 1
    files = job.unit_files(name_of(last), number)
    facts, rows = files.facts(), files.rows()
    splits = splits_of(rows, job.recipe)
    copies = mixture.copies(rows, job.units[number].source, splits, job.recipe.seed)
    texts = job.unit_files(name_of(facts["lines_from"]), number)
    wanted = copies > 0
    groups: dict[int, _Group] = defaultdict(_Group)
    frames: dict[int, list[Any]] = defaultdict(list)
    held = 0
    chosen = zip(rows[wanted], splits[wanted], copies[wanted], strict=True)
    lines = texts.lines(rows["line"][wanted])
    target = job.unit_files(SCATTER, number)
    with whole_file(target.path("bin")) as file:
        for (row, split, count), (line, note) in zip(chosen, lines, strict=True):
            for copy in range(int(count)):
                shard, key = mixture.place(
                    int(row["identity"]), copy, SPLITS[split], job.recipe.seed
                )
                group = groups[shard]
                group.lines.append(line)
                group.notes.append(note)
                group.keys.append(key)
                held += len(line) + len(note)
                if held > _HELD_BYTES:
                    _flush(file, groups, frames)
                    held = 0
        _flush(file, groups, frames)
    write_json(target.path("json"), {"frames": frames})


def scattered(job: Job, shard: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Read key, line and note of all documents of a shard, unit by unit."""
    decoder = zstandard.ZstdDecompressor()
    for number in range(len(job.units)):
        files = job.unit_files(SCATTER, number)
        frames = read_json(files.path("json"))["frames"].get(str(shard), ())
        if not frames:
            continue
        with files.path("bin").open("rb") as file:
            for offset, *sizes in frames:
                file.seek(offset)
                lines, notes, keys = (decoder.decompress(file.read(size)) for size in sizes)
                yield from zip(
                    np.frombuffer(keys, "<u8").tolist(),
                    _cut(lines),
                    _cut(notes),
                    strict=True,
                )


def _cut(lines: bytes) -> list[bytes]:
    return [line + b"\n" for line in lines.split(b"\n")[:-1]]


def _flush(file: BinaryIO, groups: dict[int, _Group], frames: dict[int, list[Any]]) -> None:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    for shard, group in sorted(groups.items()):
        offset = file.tell()
        parts = (
            b"".join(group.lines),
            b"".join(group.notes),
            np.array(group.keys, "<u8").tobytes(),
        )
        sizes = [file.write(compressor.compress(part)) for part in parts]
        frames[shard].append([offset, *sizes])
    groups.clear()
