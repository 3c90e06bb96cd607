"""The documents of a unit: of shards of any layout, of files that are a document each, of WARCs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.corpus.build.listing import SHARD, TEXT, Part
from services.corpus.build.recipe import Source
from services.corpus.build.recipe_file import of_a_recipe
from services.corpus.shards.bad_lines import BadLines
from services.corpus.shards.blocks import MAX_LINE_BYTES, read_blocks
from services.corpus.shards.documents import Document, parse_line
from services.corpus.shards.frames import FrameReader
from services.corpus.shards.index.format import index_path, open_index
from services.corpus.shards.records import BadLineError
from services.corpus.shards.rows import BOM
from services.corpus.storage.files import size_and_version
from services.errors import DataLoss, SourceChanged

_PLAIN_META = {"pile_set_name"}


@dataclass(slots=True)
class Found:
    """A document of a source: its text, its subset, and where it was.

    `place` goes into its provenance: record or line, and what else says where it came from.
    """

    text: str
    subset: str
    place: dict[str, Any]


@dataclass
class Missed:
    """Records of a unit that gave no document: how many, by reason."""

    bad: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        """Count one."""
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


def read_part(part: Part, source: Source, missed: Missed) -> Iterator[Found]:
    """Read the documents of a part, in order.

    Raises SourceChanged if the file is gone or another one than when the build began, also
    behind its last document, and DataLoss at damage and at records that are not documents, unless
    the source skips those.
    """
    require_unchanged(part, source)
    try:
        yield from _documents(part, source, missed)
    except DataLoss as error:
        # Shards of several sources may have the same name.
        shard = f"source {source.name!r}: {error.shard}"
        raise DataLoss(shard, error.offset, of_a_recipe(error.problem)) from None
    require_unchanged(part, source)


def _documents(part: Part, source: Source, missed: Missed) -> Iterator[Found]:
    if part.kind == TEXT:
        yield from _text(part, source, missed)
    elif part.kind == SHARD:
        documents = _frames(part) if part.end else _lines(part, source, missed)
        for document in documents:
            subset = source.subset or document.subset or source.name
            text = document.text.decode("utf-8", "surrogatepass")
            yield Found(text, subset, {"record": document.line} | _meta(document))
    else:
        from services.corpus.build.warc import read_warc  # noqa: PLC0415  the build extra

        for text, place in read_warc(Path(part.file), part.path, source.extractor, missed.add):
            yield Found(text, source.subset or source.name, place)


def require_unchanged(part: Part, source: Source) -> None:
    """Raise SourceChanged where a part's file is not what it was when the build began."""
    where = f"source {source.name!r}: {part.file}"
    try:
        now = size_and_version(Path(part.file))
    except OSError as error:
        raise SourceChanged(
            f"{where} existed when the build began and cannot be read now ({error.strerror}); "
            "put it back, and the same command continues"
        ) from None
    if now != (part.size, part.version):
        raise SourceChanged(
            f"{where} has changed since the build began; put it back as it was, or build into "
            "another directory"
        )


def _lines(part: Part, source: Source, missed: Missed) -> Iterator[Document]:
    file = Path(part.file)
    reading = source.reading()
    reading = replace(reading, keys=replace(reading.keys, subset=part.subset_key))
    bad = BadLines(part.path, skip=source.skip_bad_lines, size=part.size)
    blocks = read_blocks(file, part.path, reading=reading)
    for block in bad.readable(blocks):
        for number, line in enumerate(block.data.split(b"\n")[:-1], block.first_line):
            try:
                yield parse_line(line, part.path, number)
            except BadLineError as error:
                bad.met(block, number, line, error)
    missed.bad += bad.count


def _frames(part: Part) -> Iterator[Document]:
    file = Path(part.file)
    index = open_index(file.with_name(index_path(file.name)))
    with closing(FrameReader(part.path, file, None, index)) as frames:
        for number in range(part.first, part.end):
            yield from frames.documents(number)


def _text(part: Part, source: Source, missed: Missed) -> Iterator[Found]:
    if part.size > MAX_LINE_BYTES:
        problem = f"is a text of more than {MAX_LINE_BYTES:,} bytes"
    else:
        data = Path(part.file).read_bytes().removeprefix(BOM)
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            problem = f"is not UTF-8 at byte {error.start}"
        else:
            yield Found(text, source.subset or source.name, {"record": 0})
            return
    if not source.skip_bad_lines:
        raise DataLoss(part.path, 0, f"{problem} (skip_bad_lines: true passes over it),")
    missed.bad += 1


def _meta(document: Document) -> dict[str, Any]:
    """What a document's meta says beside its subset."""
    if not document.meta:
        return {}
    try:
        meta = json.loads(document.meta.decode("utf-8", "backslashreplace"))
    except (ValueError, RecursionError):
        return {}
    return {} if not isinstance(meta, dict) or not meta.keys() - _PLAIN_META else {"meta": meta}
