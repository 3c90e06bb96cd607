"""Re-frames one shard: many frames, one subset each, with the index of them.

The source, the level and the frame size alone decide which frames there are. A run that was killed
is resumed by making the same frames again and compressing only those that are not on the disk yet;
a journal says which are.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import xxhash
import zstandard

from services.corpus.shards.bad_lines import BadLines
from services.corpus.shards.blocks import Block, read_blocks
from services.corpus.shards.documents import parse_line
from services.corpus.shards.formats import READING, Reading
from services.corpus.shards.index.format import (
    FRAME,
    FileFact,
    Header,
    Index,
    encode,
    index_path,
    text_path,
)
from services.corpus.shards.index.output import PARTIAL, Output, file_fact, sync_folder
from services.corpus.shards.index.seek_table import seek_table
from services.corpus.shards.layout import ShardFile
from services.corpus.shards.records import BadLineError
from services.errors import DataLoss

FRAME_BYTES = 512 << 10
LEVEL = 3  # of zstd
_MAX_OPEN_BYTES = 64 << 20
_JOURNAL = ".journal"

Progress = Callable[[int, int], None]
"""Called with the compressed bytes of the source that were read, and the jsonl bytes they held."""


@dataclass(frozen=True)
class IndexOptions:
    """How shards are re-framed: zstd's level, whether with texts, and a frame's size in jsonl.

    With `skip_bad_lines` lines that are not documents are left out, and reported.
    """

    level: int = LEVEL
    with_text: bool = True
    frame_bytes: int = FRAME_BYTES
    skip_bad_lines: bool = False


@dataclass(slots=True)
class _Group:
    """Lines of one subset that are not in a frame yet."""

    lines: list[bytes] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    size: int = 0
    plain: bool = True


def write_index(
    source: Path,
    name: str,
    out: Path,
    options: IndexOptions = IndexOptions(),
    *,
    path: str = "",
    reading: Reading = READING,
    progress: Progress = lambda _read, _jsonl: None,
    bad: BadLines | None = None,
) -> Index:
    """Re-frame the shard `source` to `out`/`name`, with its index and, if asked, its texts.

    Resumes an earlier run with the same arguments that was killed, or whose machine lost power.
    A file gets its final name when it is whole; the index comes last. Memory does not grow with the
    shard, but for 16 bytes a document. `path` is that of `source` in its corpus where it is another
    than `name`, and says its format. `bad` takes the lines that are passed over. Raises DataLoss
    at damage and at a line that is not a document, and OSError.
    """
    shard = ShardFile("", path or name, source, reading)
    bad = bad or BadLines(shard.path, skip=options.skip_bad_lines)
    return _Writer(shard, name, out, options, bad).run(progress)


class _Writer:
    def __init__(
        self, source: ShardFile, name: str, out: Path, options: IndexOptions, bad: BadLines
    ) -> None:
        self._source, self._name, self._options, self._bad = source, name, options, bad
        self._final = out / name
        self._final_text, self._final_index = out / text_path(name), out / index_path(name)
        self._final.parent.mkdir(parents=True, exist_ok=True)
        self._shard = Output(self._final)
        self._texts = Output(self._final_text)
        self._journal = self._final.with_name(self._final.name + _JOURNAL)
        self._compressor = zstandard.ZstdCompressor(
            level=options.level, write_checksum=True, write_content_size=True
        )
        self._groups: dict[str, _Group] = {}
        self._open_bytes = 0
        self._subsets: dict[str, int] = {}
        self._subset_digests: list[hashlib._Hash] = []
        self._frames: list[tuple[int, ...]] = []
        self._text_bytes, self._line_bytes, self._hashes = array("I"), array("I"), array("Q")

    def run(self, progress: Progress) -> Index:
        with closing(self._shard), closing(self._texts):
            return self._run(progress)

    def _run(self, progress: Progress) -> Index:
        source = file_fact(self._source.file)
        done = self._resume(source)
        stamp = np.frombuffer(bytes.fromhex(source.digest.removeprefix("sha256:")), np.uint8)
        with self._journal.open("r+b" if done else "wb") as self._log:
            if not done:
                self._log.write(stamp.tobytes() + self._settings())
            self._log.seek(0, os.SEEK_END)
            self._done = done
            jsonl = 0
            shard = self._source
            blocks = read_blocks(shard.file, shard.path, reading=shard.reading)
            for block in self._bad.readable(blocks):
                self._add_block(block)
                jsonl += len(block.data)
                progress(block.offset, jsonl)
            for subset in list(self._groups):
                self._flush(subset)
        return self._finish(source)

    def _add_block(self, block: Block) -> None:
        lines = block.data.split(b"\n")
        lines.pop()
        for number, line in enumerate(lines, block.first_line):
            try:
                subset, text, plain = _parse(line, self._name, number)
            except BadLineError as error:
                self._bad.met(block, number, line, error)
            else:
                self._add(line, subset, text, plain=plain)

    def _add(self, line: bytes, subset: str, text: bytes, *, plain: bool) -> None:
        group = self._groups.get(subset)
        if group is None:
            group = self._groups[subset] = _Group()
            if subset not in self._subsets:
                self._subsets[subset] = len(self._subsets)
                self._subset_digests.append(hashlib.sha256())
        size = len(line) + 1
        if group.size and group.size + size > self._options.frame_bytes:
            self._flush(subset)
            group = self._groups[subset] = _Group()
        group.lines.append(line)
        group.texts.append(text)
        group.size += size
        group.plain = group.plain and plain
        self._open_bytes += size
        if self._open_bytes > _MAX_OPEN_BYTES:
            self._flush(max(self._groups, key=lambda name: self._groups[name].size))

    def _flush(self, subset: str) -> None:
        """Make a frame of what there is of a subset."""
        group = self._groups.pop(subset)
        self._open_bytes -= group.size
        lines = b"\n".join([*group.lines, b""])
        number = self._subsets[subset]
        self._subset_digests[number].update(lines)
        texts = b"".join(group.texts)
        with_text = self._options.with_text and group.plain and texts
        position = len(self._frames)
        first, documents = len(self._text_bytes), len(group.lines)
        if position < len(self._done):
            record = self._done[position]
            self._check_done(record, lines, (first, len(lines), len(texts), documents, number))
        else:
            offset, size, digest = self._shard.append(self._compressor.compress(lines))
            place = self._texts.append(self._compressor.compress(texts)) if with_text else (0, 0, 0)
            text_offset, text_size, text_digest = place
            record = (
                *(offset, text_offset, first, digest, text_digest),
                *(size, len(lines), text_size, len(texts), documents, number),
            )
            self._shard.flush()
            self._texts.flush()
            self._log.write(np.array([record], FRAME).tobytes())
            self._log.flush()
        self._frames.append(record)
        for line, text in zip(group.lines, group.texts, strict=True):
            self._line_bytes.append(len(line) + 1)
            self._text_bytes.append(len(text))
            self._hashes.append(xxhash.xxh3_64_intdigest(text))

    def _check_done(
        self, record: tuple[int, ...], lines: bytes, facts: tuple[int, int, int, int, int]
    ) -> None:
        """See that a frame of an earlier run is what this one would have made."""
        frame = self._shard.read(record[0], record[5])
        try:
            same = zstandard.ZstdDecompressor().decompress(frame) == lines
        except zstandard.ZstdError:
            same = False
        if not same or (record[2], record[6], *record[8:]) != facts:
            self._discard()
            raise DataLoss(self._name, record[0], "was half indexed and that half has changed,")

    def _settings(self) -> bytes:
        options = [self._options.level, self._options.frame_bytes, self._options.with_text]
        keys = self._source.reading.keys.describe()
        return np.array(options, "<u8").tobytes() + hashlib.sha256(keys.encode()).digest() * bool(
            keys
        )

    def _resume(self, source: FileFact) -> list[tuple[int, ...]]:
        """Return the records of the frames that are on the disk already.

        The journal may be ahead of them: what a machine without power had written, it has in any
        order.
        """
        try:
            journal = self._journal.read_bytes()
        except OSError:
            journal = b""
        stamp = bytes.fromhex(source.digest.removeprefix("sha256:")) + self._settings()
        same = journal.startswith(stamp)
        if same and not self._final_index.exists():  # killed between naming its files
            self._shard.take_back()
            self._texts.take_back()
        self._shard.open()
        self._texts.open()
        records: list[tuple[int, ...]] = []
        if same:
            body = journal[len(stamp) :]
            whole = np.frombuffer(body[: len(body) // FRAME.itemsize * FRAME.itemsize], FRAME)
            for record in whole.tolist():
                frame = self._shard.written(record[0], record[5], record[3])
                texts = self._texts.written(record[1], record[7], record[4]) if record[7] else b""
                if not frame or texts is None:
                    break
                self._shard.keep(frame)
                self._texts.keep(texts)
                records.append(record)
            os.truncate(self._journal, len(stamp) + len(records) * FRAME.itemsize)
        self._shard.begin()
        self._texts.begin()
        return records

    def _finish(self, source: FileFact) -> Index:
        frames = np.array(self._frames, FRAME)
        self._shard.append(seek_table(frames["bytes"], frames["jsonl_bytes"]))
        shard = self._shard.end()
        text = self._texts.end()
        header = Header(
            shard=shard,
            text=text if self._options.with_text else None,
            source=source,
            subsets=tuple(self._subsets),
            subset_digests=tuple(f"sha256:{one.hexdigest()}" for one in self._subset_digests),
            frame_bytes=self._options.frame_bytes,
            level=self._options.level,
            keys=self._source.reading.keys.describe(),
            bad_lines=self._bad.count,
        )
        index = Index(
            header,
            frames,
            np.array(self._text_bytes, np.uint32),
            np.array(self._line_bytes, np.uint32),
            np.array(self._hashes, np.uint64),
        )
        partial = self._final_index.with_name(self._final_index.name + PARTIAL)
        with partial.open("wb") as file:
            file.write(encode(index))
            file.flush()
            os.fsync(file.fileno())
        self._final_index.unlink(missing_ok=True)
        self._shard.publish()
        if self._options.with_text:
            self._texts.publish()
        else:
            self._texts.discard()
        # The index last, also for a machine that loses power in between.
        sync_folder(self._final.parent)
        partial.replace(self._final_index)
        sync_folder(self._final.parent)
        if not self._options.with_text:
            self._final_text.unlink(missing_ok=True)  # of the index that was there before
        self._journal.unlink(missing_ok=True)
        return index

    def _discard(self) -> None:
        self._shard.discard()
        self._texts.discard()
        self._journal.unlink(missing_ok=True)


def _parse(line: bytes, name: str, number: int) -> tuple[str, bytes, bool]:
    """Return subset, text, and whether the line's meta names the subset and nothing else."""
    document = parse_line(line, name, number)
    spelled = b'{"pile_set_name": ' + orjson.dumps(document.subset) + b"}"
    plain = bool(document.subset) and document.meta == spelled
    return document.subset, document.text, plain
