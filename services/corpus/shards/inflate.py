"""Decompresses a file that is not of zstd frames: gzip, bzip2, xz, or plain.

Memory does not grow with the file: no input makes a piece of more than a megabyte.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from services.corpus.shards.foreign import refuse_another_kind
from services.errors import DataLoss

_PIECE_BYTES = 1 << 20
_READ_BYTES = 256 << 10
# More than `xz -9` wants.
_XZ_BYTES = 256 << 20
_BETWEEN = b"\x00 \t\r\n"
_BEGUN_BYTES = 512
_MAGIC = {"gz": b"\x1f\x8b", "bz2": b"BZh", "xz": b"\xfd7zXZ\0"}
_NAMES = {"gz": "gzip member", "bz2": "bzip2 stream", "xz": "xz stream"}


def inflate(source: BinaryIO, name: str, compression: str) -> Iterator[tuple[int, bytes]]:
    """Yield (compressed bytes read so far, what they decoded to).

    Raises DataLoss at damage, after all that stands before it.
    """
    if not compression:
        return _plain(source)
    return _Inflater(source, name, compression).pieces()


def _plain(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while data := source.read(_PIECE_BYTES):
        offset += len(data)
        yield offset, data


class _Gzip:
    """zlib's decompressor with the interface of the two others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._filled = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        # A full piece may leave more of what was read already.
        return not (self._filled or self._inner.unconsumed_tail)

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._filled = len(piece) == max_length
        return piece


class _Inflater:
    def __init__(self, source: BinaryIO, name: str, compression: str) -> None:
        self._source, self._name, self._compression = source, name, compression
        self._offset = 0

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        data, members, begun = b"", 0, b""
        while True:
            data = data or self._read()
            begun = begun or data[:_BEGUN_BYTES]
            # Some writers fill the last block of a file with zeros, and editors and `cat` leave a
            # line break there.
            if members:
                data = data.lstrip(_BETWEEN)
            if not data:
                if self._source_ended:
                    break
                continue
            decoder = self._decoder()
            while True:
                try:
                    piece = decoder.decompress(data, _PIECE_BYTES)
                except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
                    if not members and not begun.startswith(_MAGIC[self._compression]):
                        refuse_another_kind(self._name, begun, f".{self._compression}")
                    raise self._damage(error, first=not members) from None
                if piece:
                    yield self._offset, piece
                if decoder.eof:
                    data = decoder.unused_data
                    break
                data = self._read() if decoder.needs_input else b""
                if not data and decoder.needs_input:
                    raise DataLoss(
                        self._name,
                        self._offset,
                        f"is cut off in the middle of a {self._what},",
                    )
            members += 1
        if not members:
            raise DataLoss(
                self._name,
                0,
                f"is empty, without even a {self._what}; fetch it again, or remove it,",
            )

    @property
    def _what(self) -> str:
        return _NAMES[self._compression]

    _source_ended = False

    def _read(self) -> bytes:
        data = self._source.read(_READ_BYTES)
        self._offset += len(data)
        self._source_ended = not data
        return data

    def _decoder(self) -> _Gzip | bz2.BZ2Decompressor | lzma.LZMADecompressor:
        if self._compression == "gz":
            return _Gzip()
        if self._compression == "bz2":
            return bz2.BZ2Decompressor()
        return lzma.LZMADecompressor(memlimit=_XZ_BYTES)

    def _damage(self, error: Exception, *, first: bool) -> DataLoss:
        if first:
            problem = f"is damaged, or no {self._what} ({str(error)[:80]}),"
        else:
            problem = f"is damaged, or continues with something else ({str(error)[:80]}),"
        return DataLoss(self._name, self._offset, problem)
