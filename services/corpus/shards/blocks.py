"""Reads a shard of any format as a stream of whole lines, in memory that does not grow with it.

The lines of a shard are its own where they are JSON whose text is "text"; else they are written in
the usual form (`records`). They are numbered as the records of the shard are.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import orjson

from services.corpus.shards.decoder import decode_shard
from services.corpus.shards.formats import (
    READING,
    ZSTD_LINES,
    Reading,
    Unreadable,
    format_of,
)
from services.corpus.shards.records import BadLineError, usual_line
from services.corpus.shards.rows import BOM, Broken, array_records, records
from services.corpus.storage.files import StoredFile
from services.errors import DataLoss

MAX_LINE_BYTES = 256 << 20
BLOCK_BYTES = 1 << 20

_NONE_BAD: Mapping[int, str] = MappingProxyType({})


class Block(NamedTuple):
    """Whole lines of a shard, each ended by a newline.

    `first_line` counts from 0; `offset` is the compressed byte up to which the shard was read.
    `bad` has the reasons of records that could not be written as lines, which are empty here.
    `start` is the byte at which the block begins in what the shard decodes to, None where the lines
    are not those of the shard; there `places` has the bytes at which bad ones began, if they are
    known.
    """

    first_line: int
    lines: int
    data: bytes
    offset: int
    bad: Mapping[int, str] = _NONE_BAD
    start: int | None = None
    places: Mapping[int, int] = MappingProxyType({})

    def place(self, number: int) -> int | None:
        """Return at which byte of what the shard decodes to a line begins, if that is known."""
        if self.start is None:
            return self.places.get(number)
        before = self.data.split(b"\n", number - self.first_line)[:-1]
        return self.start + sum(len(line) + 1 for line in before)


def read_blocks(
    file: StoredFile,
    name: str,
    *,
    block_bytes: int = BLOCK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
    reading: Reading = READING,
) -> Iterator[Block]:
    """Read the shard `file`, whose path below the corpus's root is `name`, in blocks.

    They have about `block_bytes`. A last line without a newline is given one. Closing the iterator
    closes the file.

    Raises DataLoss at damage, after every whole line before it, and at a line of more than
    `max_line_bytes`.
    """
    content = format_of(name) or ZSTD_LINES
    if content.rows:
        if not isinstance(file, Path):
            raise Unreadable(
                name, 0, "is read from a local disk alone: copy the corpus, or index it there,"
            )
        found = records(file, name, content, reading, max_line_bytes)
        return _blocks_of_records(found, name, reading, block_bytes)
    decoded = decode_shard(file, name, reading, content.compression)
    if content.content == "json":
        return _json_blocks(decoded, name, reading, block_bytes, max_line_bytes)
    blocks = _blocks_of_lines(decoded, name, block_bytes, max_line_bytes)
    return _rewritten(blocks, name, reading) if reading.keys.given else blocks


def _blocks_of_lines(
    decoded: Iterator[tuple[int, bytes]], name: str, block_bytes: int, max_line_bytes: int
) -> Iterator[Block]:
    line = start = 0
    pieces: list[bytes] = []
    size = 0  # of the pieces
    tail = 0  # bytes of the pieces after their last newline
    offset = 0
    damage: DataLoss | None = None
    try:
        while True:
            try:
                offset, piece = next(decoded)
            except StopIteration:
                break
            except DataLoss as error:
                damage = error
                break
            cut = piece.rfind(b"\n") + 1
            size += len(piece)
            if cut and size >= block_bytes:
                rest = piece[cut:]
                pieces.append(piece[:cut])
                data = b"".join(pieces)
                pieces, size, tail = ([rest] if rest else []), len(rest), len(rest)
                lines = data.count(b"\n")
                yield _block(line, data, offset, start)
                line += lines
                start += len(data)
            else:
                pieces.append(piece)
                tail = len(piece) - cut if cut else tail + len(piece)
            if tail > max_line_bytes:
                damage = DataLoss(name, offset, f"a line is longer than {max_line_bytes} bytes")
                break
    finally:
        _close(decoded)
    data = b"".join(pieces)
    pieces.clear()
    if damage is not None:
        data = data[: data.rfind(b"\n") + 1]
    elif data and not data.endswith(b"\n"):
        data += b"\n"
    if data:
        yield _block(line, data, offset, start)
    if damage is not None:
        raise damage


def _block(line: int, data: bytes, offset: int, start: int) -> Block:
    kept = data if line else data.removeprefix(BOM)
    start += len(data) - len(kept)
    return Block(line, kept.count(b"\n"), kept, offset, start=start)


def _close(decoded: Iterator[tuple[int, bytes]]) -> None:
    close = getattr(decoded, "close", None)
    if close is not None:
        close()


def _json_blocks(
    decoded: Iterator[tuple[int, bytes]],
    name: str,
    reading: Reading,
    block_bytes: int,
    max_line_bytes: int,
) -> Iterator[Block]:
    """Read JSON: an array of records, which is read whole, or a record a line."""
    begun: list[tuple[int, bytes]] = []
    array = False
    try:
        for offset, piece in decoded:
            begun.append((offset, piece))
            head = b"".join(data for _, data in begun).removeprefix(BOM).lstrip()
            if head:
                array = head.startswith(b"[")
                break
    except DataLoss as error:
        yield from _blocks_of_lines(_failing(begun, error), name, block_bytes, max_line_bytes)
        return
    whole = itertools.chain(begun, decoded)
    if not array:
        blocks = _blocks_of_lines(whole, name, block_bytes, max_line_bytes)
        yield from _rewritten(blocks, name, reading) if reading.keys.given else blocks
        return
    pieces, size = [], 0
    for offset, piece in whole:
        pieces.append(piece)
        size += len(piece)
        if size > max_line_bytes:
            problem = (
                f"is a JSON array of more than {max_line_bytes:,} bytes, which would have to be "
                "held whole: write it as lines (jq -c '.[]'),"
            )
            raise DataLoss(name, offset, problem)
    data = b"".join(pieces).removeprefix(BOM)
    yield from _blocks_of_records(array_records(data, name), name, reading, block_bytes)


def _failing(begun: list[tuple[int, bytes]], error: DataLoss) -> Iterator[tuple[int, bytes]]:
    yield from begun
    raise error


def _blocks_of_records(
    found: Iterator[tuple[int, object]], name: str, reading: Reading, block_bytes: int
) -> Iterator[Block]:
    first = size = offset = 0
    lines: list[bytes] = []
    bad: dict[int, str] = {}
    damage: DataLoss | None = None
    while True:
        try:
            offset, record = next(found)
        except StopIteration:
            break
        except DataLoss as error:
            damage = error
            break
        line, reason = _line(record, reading, name)
        if reason:
            bad[first + len(lines)] = reason
        lines.append(line)
        size += len(line) + 1
        if size >= block_bytes:
            yield Block(first, len(lines), b"\n".join([*lines, b""]), offset, bad)
            first += len(lines)
            lines, bad, size = [], {}, 0
    if lines:
        yield Block(first, len(lines), b"\n".join([*lines, b""]), offset, bad)
    if damage is not None:
        raise damage


def _rewritten(blocks: Iterator[Block], name: str, reading: Reading) -> Iterator[Block]:
    """Write the records of lines in the usual form."""
    for block in blocks:
        lines: list[bytes] = []
        bad: dict[int, str] = {}
        places: dict[int, int] = {}
        for number, raw in enumerate(block.data.split(b"\n")[:-1], block.first_line):
            if not raw or raw.isspace():
                lines.append(b"")
                continue
            line, reason = _line(_parsed(raw), reading, name)
            if reason:
                bad[number] = reason
                place = block.place(number)
                if place is not None:
                    places[number] = place
            lines.append(line)
        data = b"\n".join([*lines, b""])
        yield block._replace(data=data, bad=bad, start=None, places=places)


def _parsed(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # orjson refuses lone surrogates and NaN, which other readers of these files accept.
        try:
            return json.loads(raw.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            return Broken(f"is not JSON ({json_problem(error)})")


def _line(record: object, reading: Reading, name: str) -> tuple[bytes, str]:
    if isinstance(record, Broken):
        return b"", record.reason
    try:
        return usual_line(record, reading.keys, name), ""
    except BadLineError as error:
        return b"", str(error)


def json_problem(error: Exception) -> str:
    """Say what is wrong with JSON in a few words, without quoting it."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.reason} at byte {error.start}; `iconv` converts files to UTF-8"
    if "UTF-8 BOM" in str(error):
        return "a byte order mark comes before it, as in joined files"
    if "integer string conversion" in str(error):  # Python's own limit
        return f"an integer of more than {sys.get_int_max_str_digits():,} digits"
    return str(error)[:120]
