"""Reads a shard as a stream of whole lines, in memory that does not grow with the shard.

A shard is any sequence of zstd frames. The decoder gets one zstd block at a time (at most 128 KiB
of text): damage is located to the block, everything before it is delivered, and no input can make
the decoder allocate much memory at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO, NamedTuple

import zstandard

from services.corpus.storage.files import StoredFile, open_stream
from services.errors import DataLoss

MAX_LINE_BYTES = 256 << 20
BLOCK_BYTES = 1 << 20

_READ_AHEAD = 256 << 10
_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_FIRST = 0x184D2A50
_SKIPPABLE_LAST = 0x184D2A5F
# Sizes of the frame header's optional fields, by the bits of its descriptor (RFC 8878, 3.1.1.1).
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_BLOCK_HEADER_BYTES = 3
_RLE_BLOCK = 1
_CHECKSUM_BYTES = 4


class Block(NamedTuple):
    """Whole lines of a shard, each ended by a newline.

    `first_line` counts from 0; `offset` is the compressed byte up to which the shard was read.
    """

    first_line: int
    lines: int
    data: bytes
    offset: int


def read_blocks(
    file: StoredFile,
    name: str,
    *,
    block_bytes: int = BLOCK_BYTES,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Block]:
    """Read the shard `file`, called `name` in errors, in blocks of about `block_bytes`.

    A last line without a newline is given one. Closing the iterator closes the file.

    Raises DataLoss at damage, after every whole line before it, and at a line of more than
    `max_line_bytes`.
    """
    line = 0
    pieces: list[bytes] = []
    size = 0  # of the pieces
    tail = 0  # bytes of the pieces after their last newline
    offset = 0
    damage: DataLoss | None = None
    decoded = decode_shard(file, name)
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
                yield Block(line, lines, data, offset)
                line += lines
            else:
                pieces.append(piece)
                tail = len(piece) - cut if cut else tail + len(piece)
            if tail > max_line_bytes:
                damage = DataLoss(name, offset, f"a line is longer than {max_line_bytes} bytes")
                break
    finally:
        decoded.close()
    data = b"".join(pieces)
    pieces.clear()
    if damage is not None:
        data = data[: data.rfind(b"\n") + 1]
    elif data and not data.endswith(b"\n"):
        data += b"\n"
    if data:
        yield Block(line, data.count(b"\n"), data, offset)
    if damage is not None:
        raise damage


def decode_shard(file: StoredFile, name: str) -> Generator[tuple[int, bytes], None, None]:
    """Yield (compressed bytes read so far, what the last zstd block decoded to).

    Raises DataLoss at damage, after all that stands before it.
    """
    try:
        with open_stream(file, _READ_AHEAD) as source:
            yield from _Decoder(source, name).frames()
    except OSError as error:
        raise DataLoss(name, 0, f"cannot be read ({error.strerror})") from None


class _Decoder:
    """Walks the frames and blocks of one open shard."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self._source = source
        self._name = name
        self._offset = 0

    def frames(self) -> Iterator[tuple[int, bytes]]:
        frames = 0
        while True:
            start = self._offset
            magic = self._source.read(len(_MAGIC))
            self._offset += len(magic)
            if not magic:
                break
            if len(magic) < len(_MAGIC):
                raise self._truncated()
            frames += 1
            if magic == _MAGIC:
                yield from self._frame()
            elif _SKIPPABLE_FIRST <= int.from_bytes(magic, "little") <= _SKIPPABLE_LAST:
                self._skip()
            else:
                what = "does not begin with" if start == 0 else "goes on with something that is not"
                raise DataLoss(self._name, start, f"{what} a zstd frame")
        if not frames:
            raise DataLoss(self._name, 0, "is empty, without even a zstd frame,")

    def _frame(self) -> Iterator[tuple[int, bytes]]:
        start = self._offset - len(_MAGIC)
        descriptor = self._read(1)
        flags = descriptor[0]
        single_segment = flags >> 5 & 1
        content_size = _CONTENT_SIZE_BYTES[flags >> 6] or single_segment
        rest = self._read((1 - single_segment) + _DICTIONARY_ID_BYTES[flags & 3] + content_size)
        decoder = zstandard.ZstdDecompressor().decompressobj()
        self._feed(decoder, _MAGIC + descriptor + rest, start)
        last = 0
        while not last:
            start = self._offset
            head = self._read(_BLOCK_HEADER_BYTES)
            value = int.from_bytes(head, "little")
            last = value & 1
            size = 1 if value >> 1 & 3 == _RLE_BLOCK else value >> 3
            body = self._source.read(size)
            self._offset += len(body)
            text = self._feed(decoder, head + body, start)
            if text:
                yield self._offset, text
            if len(body) < size:
                raise self._truncated()
        if flags >> 2 & 1:
            start = self._offset
            self._feed(decoder, self._read(_CHECKSUM_BYTES), start)

    def _skip(self) -> None:
        """Pass over a skippable frame, which holds no text."""
        left = int.from_bytes(self._read(4), "little")
        while left:
            left -= len(self._read(min(left, _READ_AHEAD)))

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._offset += len(data)
        if len(data) < size:
            raise self._truncated()
        return data

    def _feed(self, decoder: zstandard.ZstdDecompressionObj, data: bytes, start: int) -> bytes:
        try:
            return decoder.decompress(data)
        except zstandard.ZstdError as error:
            reason = str(error).rpartition(": ")[2]
            raise DataLoss(self._name, start, f"is damaged ({reason})") from None

    def _truncated(self) -> DataLoss:
        return DataLoss(self._name, self._offset, "is cut off in the middle of a zstd frame,")
