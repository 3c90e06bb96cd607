"""`assay segment PATH... --out DIR`: labels for many pictures, each in its own file."""

from __future__ import annotations

import argparse
import codecs
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from assay_rpc.client import AssayError, AsyncSegmentClient
from assay_rpc.segment._items import LabelOptions, Labels
from assay_rpc.segment.v1 import models_pb2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.cli.commands.segment.inference import inference
from services.cli.commands.segment.summary import (
    SUMMARY,
    Row,
    classes_of,
    counted,
    earlier,
    write,
    write_summary,
)
from services.cli.exits import Exit
from services.cli.find_pictures import Found, find
from services.cli.output.console import (
    ERR,
    OUT,
    Format,
    chosen_format,
    note,
    progress_console,
    warn,
)
from services.cli.output.grid import Column, Grid, Kind, show
from services.cli.output.messages import plain
from services.cli.output.safe_text import escaped
from services.cli.remote_pictures import RemotePictures, read_ahead
from services.cli.result_places import labels_file, overlay_file, without_results
from services.common.counts import plural
from services.common.percent import percent
from services.common.shares import Share
from services.errors import AssayError as OurError
from services.errors import InvalidArgument

RUN = "run.json"
# The largest request, minus the bytes that surround the picture.
_MAX_BYTES = (64 << 20) - (64 << 10)
# Bytes of the pictures in work at once; the client keeps up to that many.
_UNDER_WAY, _BYTES_UNDER_WAY = 64, 512 << 20
# Assumed size of an object, whose size is unknown until it is read.
_OBJECT_BYTES = 4 << 20
_NOTE_SECONDS = 30.0
# How many classes and failures are listed; the summary has all of them.
_SHOWN = 15


@dataclass
class Tally:
    """Results by picture, and the rows of the summary.

    `labelled` are the pictures that have labels now, including those of earlier runs.
    """

    done: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    labelled: set[str] = field(default_factory=set)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, picture: str, rows: list[Row]) -> None:
        """Count a picture that was labelled in this run."""
        self.rows[picture] = rows
        self.labelled.add(picture)
        self.done += 1


async def segment_many(
    arguments: argparse.Namespace, channel: Any, model: models_pb2.Model, classes: Sequence[int]
) -> Exit:
    """Label every picture that is not done yet; return BAD_INPUT if any failed."""
    out = Path(arguments.out)
    if out.exists() and not out.is_dir():
        raise InvalidArgument("--out", f"{out} is a file: give a folder")
    out.mkdir(parents=True, exist_ok=True)
    share = Share.of(arguments.share or "0/1")
    remote = RemotePictures()
    given = [*arguments.images, *_listed(arguments.list)]
    everything = without_results(list(find(given, _MAX_BYTES, remote.below)), given, out)
    if not everything:
        raise InvalidArgument("IMAGE", "no image was found")
    _require_same_run(out, _run(arguments, model, classes), again=arguments.again)
    found = [one for one in everything if share.has(str(one.place))]
    summary = out / SUMMARY
    if share.count > 1:
        summary = out / f"summary-{share.number}-of-{share.count}.csv"
    tally = Tally(rows=earlier(out, summary))
    follow = _Following(len(found), jsonl=arguments.jsonl)
    options = LabelOptions(
        model=model.ref.name,
        classes=classes,
        size=None if arguments.size is None else arguments.size[::-1],
        priority="low",
        overlay=None if arguments.overlay is None else "jpeg",
        inference=inference(arguments),
        threshold=arguments.threshold,
    )
    names = {one.id: one.name for one in model.classes}
    job = _Job(out, options, tally, follow, remote, names)
    arguments.interrupted = "finished images are in --out, and the same command continues"
    started = time.monotonic()
    try:
        with follow:
            for part in _parts(list(job.todo(found, again=arguments.again))):
                await job.label(part, channel)
    finally:  # even after an interruption, to record finished pictures
        write_summary(summary, tally.rows)
    if not arguments.jsonl:
        show_tally(tally, model, out, time.monotonic() - started)
    return Exit.BAD_INPUT if tally.failed else Exit.DONE


def _listed(file: str | None) -> list[str]:
    """The paths in a list, one a line or with a NUL after each; "-" is stdin.

    They are bytes, like file names: in UTF-8 or any other encoding, or in UTF-16 if a byte order
    mark says so.
    """
    if file is None:
        return []
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\0" if b"\0" in content else b"\n")
    return [os.fsdecode(line.rstrip(b"\r")) for line in lines if line.strip()]


class _Following:
    """Progress on stderr: a bar on a terminal, otherwise a line now and then."""

    def __init__(self, total: int, *, jsonl: bool) -> None:
        self._bar = Progress(
            TextColumn("labelling"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=progress_console(),
            transient=True,
            disable=not ERR.is_terminal,
        )
        self._task = self._bar.add_task("pictures", total=total)
        self._total, self._finished, self._said = total, 0, time.monotonic()
        self._jsonl = jsonl

    def __enter__(self) -> None:
        if not ERR.is_terminal:
            note(f"labelling {plural(self._total, 'picture')}")
        self._bar.start()

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def finished(self, line: Mapping[str, Any] | None) -> None:
        """Count a picture, and print its line if that was requested."""
        self._finished += 1
        self._bar.advance(self._task)
        if self._jsonl and line is not None:
            sys.stdout.write(escaped(json.dumps(line, ensure_ascii=False)) + "\n")
            sys.stdout.flush()
        if not ERR.is_terminal and time.monotonic() - self._said >= _NOTE_SECONDS:
            self._said = time.monotonic()
            note(f"{self._finished} of {self._total} pictures")


def _run(
    arguments: argparse.Namespace, model: models_pb2.Model, classes: Sequence[int]
) -> dict[str, Any]:
    """The inputs that determine the results, so that a folder holds those of one run."""
    return {
        "model": model.ref.name,
        "version": model.ref.version,
        "digest": model.ref.digest,
        "classes": sorted(classes),
        "size": arguments.size,
        "overlay": arguments.overlay is not None,
        "opacity": arguments.opacity,
        "inference": None if (way := inference(arguments)) is None else plain(way),
        "threshold": arguments.threshold,
    }


def _require_same_run(out: Path, run: Mapping[str, Any], *, again: bool) -> None:
    """Note what determines the results. Raises InvalidArgument if the folder has others."""
    path = out / RUN
    run = json.loads(json.dumps(run))
    try:
        before = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    differs = ", ".join(sorted(key for key in run if before and before.get(key) != run[key]))
    if differs and not again:
        raise InvalidArgument(
            "--out",
            f"{out} holds results that were made with other settings ({differs}): give another "
            "folder, or --again to label all pictures again",
        )
    write(path, json.dumps(run, indent=1).encode())


def _is_done(picture: Found, labels: Path) -> bool:
    """Whether the labels are newer than the picture; objects are assumed not to change."""
    try:
        if picture.url:
            return labels.is_file()
        return labels.stat().st_mtime_ns >= picture.path.stat().st_mtime_ns
    except OSError:
        return False


def _parts(todo: Sequence[Found]) -> Iterator[list[Found]]:
    """Split pictures so that those in work at once fit into memory."""
    part: list[Found] = []
    sizes: list[int] = []
    for one in todo:
        try:
            size = _OBJECT_BYTES if one.url else one.path.stat().st_size
        except OSError:
            size = 0
        if sum(sizes[-_UNDER_WAY + 1 :]) + size > _BYTES_UNDER_WAY:
            yield part
            part, sizes = [], []
        part.append(one)
        sizes.append(size)
    if part:
        yield part


@dataclass
class _Job:
    """Pictures being labelled into `out`."""

    out: Path
    options: LabelOptions
    tally: Tally
    follow: _Following
    remote: RemotePictures
    names: Mapping[int, str]

    def todo(self, found: Sequence[Found], *, again: bool) -> Iterator[Found]:
        """Yield pictures that are still to do; count those that are done or cannot be."""
        for one in found:
            if one.problem:
                self._fail(one, one.problem)
            elif not again and self._is_done(one):
                self.tally.skipped += 1
                self.tally.labelled.add(one.name)
                self.follow.finished(None)
            else:
                yield one

    def _is_done(self, one: Found) -> bool:
        """Whether the picture has labels and rows; a run that was killed wrote no rows."""
        labels = labels_file(self.out, one)
        if not _is_done(one, labels):
            return False
        if not any(row.get("pixels") for row in self.tally.rows.get(one.name, ())):
            try:
                self.tally.rows[one.name] = counted(one.name, labels, self.names)
            except (OSError, OurError):
                return False  # left by a machine that failed: make them again
        return True

    async def label(self, part: Sequence[Found], channel: Any) -> None:
        """Send pictures on one stream and write what comes back."""
        sent: list[Found] = []

        def files() -> Iterator[bytes]:
            reads = [partial(self._read, one) for one in part]
            for one, read in zip(part, read_ahead(reads), strict=True):
                try:
                    content = read.result()
                except OSError as error:  # the file changed after it was found
                    self._fail(one, error.strerror or str(error))
                    continue
                except OurError as error:
                    self._fail(one, str(error))
                    continue
                sent.append(one)
                yield content

        async with AsyncSegmentClient(channel) as client:
            async for number, answer in client.label_many(files(), **self.options):
                one = sent[number]
                if isinstance(answer, AssayError):
                    self._fail(one, answer.message)
                    continue
                try:
                    line = self._save(one, answer)
                except OSError as error:
                    self._fail(one, f"its results cannot be written: {error.strerror}")
                else:
                    self.follow.finished(line)

    def _read(self, one: Found) -> bytes:
        return self.remote.read(one.url, _MAX_BYTES) if one.url else one.path.read_bytes()

    def _fail(self, one: Found, problem: str) -> None:
        picture = one.name
        self.tally.failed[picture] = problem
        self.tally.rows[picture] = [{"picture": picture, "error": problem}]
        self.follow.finished({"picture": picture, "error": problem})

    def _save(self, one: Found, labels: Labels) -> dict[str, Any]:
        """Write a picture's files; return its line."""
        from services.segment.images.label_png import label_png  # noqa: PLC0415  # numpy's extra

        picture, place = one.name, labels_file(self.out, one)
        place.parent.mkdir(parents=True, exist_ok=True)
        line: dict[str, Any] = {"picture": picture, "labels": str(place)}
        if labels.overlay is not None:
            overlay = overlay_file(self.out, one)
            write(overlay, labels.overlay)
            line["overlay"] = str(overlay)
        write(place, label_png(labels.numpy()))  # written last: if it exists, all files do
        notices = list(labels.reply.notices)
        for notice in notices:
            warn(f"{picture}: {notice}")
        classes = [
            {"class_id": item.id, "class": item.name, "pixels": item.pixels, "share": item.share}
            for item in labels.classes
        ]
        size = {"width": labels.width, "height": labels.height}
        row = {"picture": picture, "labels": str(place), **size}
        self.tally.add(picture, [row | item for item in classes] or [row])
        return line | size | {"classes": classes, "notices": notices}


def show_tally(tally: Tally, model: models_pb2.Model, out: Path, seconds: float) -> None:
    """Prints how many pictures were labelled, and the classes over all labelled pictures.

    As CSV, the table is printed in any case.
    """
    rate = f", {tally.done / seconds:.1f} a second" if tally.done and seconds > 0 else ""
    OUT.print(
        f"{model.ref.name}: {plural(tally.done, 'picture')} labelled{rate}, "
        f"{tally.skipped} done before, {len(tally.failed)} failed -> {out}",
        markup=False,
        soft_wrap=True,
    )
    table = Grid(
        "", [Column("class", Kind.NAME), Column("pictures"), Column("share of all pixels")]
    )
    found, total = classes_of({name: tally.rows.get(name, []) for name in tally.labelled})
    for one in found[:_SHOWN]:
        table.add(one.name, f"{one.pictures:,}", percent(one.pixels / total, 2))
    if found or chosen_format() is Format.CSV:
        show(table)
    if len(found) > _SHOWN:
        OUT.print(f"and {len(found) - _SHOWN} more classes: see {out / SUMMARY}", markup=False)
    for picture, problem in list(tally.failed.items())[:_SHOWN]:
        warn(f"{picture}: {problem}")
    if len(tally.failed) > _SHOWN:
        warn(f"and {len(tally.failed) - _SHOWN} more: see {out / SUMMARY}")
