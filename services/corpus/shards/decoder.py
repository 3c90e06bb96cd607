"""Decodes a sequence of zstd frames, in memory that does not grow with it.

The decoder gets one zstd block at a time (at most 128 KiB of text): damage is located to the block,
everything before it is delivered, and no input can make the decoder allocate much memory at once,
but for the window that the reading of the shard allows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import BinaryIO

import zstandard

from services.corpus.shards.foreign import refuse_another_kind
from services.corpus.shards.formats import MAX_WINDOW_LOG, MIB, READING, Reading, Unreadable
from services.corpus.shards.inflate import inflate
from services.corpus.storage.files import StoredFile, open_stream
from services.errors import DataLoss

_READ_AHEAD = 256 << 10
_MORE_BYTES = 508  # with the magic number, what tells other formats
_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_FIRST = 0x184D2A50
_SKIPPABLE_LAST = 0x184D2A5F
# Sizes of the frame header's optional fields, by the bits of its descriptor (RFC 8878, 3.1.1.1).
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_BLOCK_HEADER_BYTES = 3
_RLE_BLOCK = 1
_CHECKSUM_BYTES = 4
# What zstd says of damage within a block, and of a frame whose dictionary has no id.
_AS_WITHOUT_DICTIONARY = "Data corruption detected"
_NO_ID = ", or needs a dictionary without an id (decompress it with `zstd -D DICTIONARY`),"


def decode_shard(
    file: StoredFile, name: str, reading: Reading = READING, compression: str = "zst"
) -> Generator[tuple[int, bytes], None, None]:
    """Yield (compressed bytes read so far, what the last zstd block, or piece, decoded to).

    Raises DataLoss at damage, after all that stands before it.
    """
    try:
        with open_stream(file, _READ_AHEAD, reading.size) as source:
            if compression == "zst":
                yield from _Decoder(source, name, reading.window_log).frames()
            else:
                yield from inflate(source, name, compression)
    except OSError as error:
        raise Unreadable(name, 0, f"cannot be read ({error.strerror})") from None


class _Decoder:
    """Walks the frames and blocks of one open shard."""

    def __init__(self, source: BinaryIO, name: str, window_log: int) -> None:
        self._source = source
        self._name = name
        self._max_window = 1 << window_log
        self._offset = 0

    def frames(self) -> Iterator[tuple[int, bytes]]:
        frames = 0
        while True:
            start = self._offset
            magic = self._source.read(len(_MAGIC))
            self._offset += len(magic)
            if not magic:
                break
            if frames and not magic.strip() and self._only_space_left():
                break  # a line break behind the last frame, as editors and `cat` leave it
            if len(magic) < len(_MAGIC):
                raise self._truncated()
            frames += 1
            if magic == _MAGIC:
                yield from self._frame()
            elif _SKIPPABLE_FIRST <= int.from_bytes(magic, "little") <= _SKIPPABLE_LAST:
                self._skip()
            else:
                if start == 0:
                    refuse_another_kind(self._name, magic + self._source.read(_MORE_BYTES), ".zst")
                what = (
                    "does not begin with" if start == 0 else "continues with something that is not"
                )
                raise DataLoss(self._name, start, f"{what} a zstd frame")
        if not frames:
            raise DataLoss(
                self._name, 0, "is empty, without even a zstd frame; fetch it again, or remove it,"
            )

    def _frame(self) -> Iterator[tuple[int, bytes]]:
        start = self._offset - len(_MAGIC)
        descriptor = self._read(1)
        flags = descriptor[0]
        single_segment = flags >> 5 & 1
        content_size = _CONTENT_SIZE_BYTES[flags >> 6] or single_segment
        rest = self._read((1 - single_segment) + _DICTIONARY_ID_BYTES[flags & 3] + content_size)
        self._check(_MAGIC + descriptor + rest, start)
        decoder = zstandard.ZstdDecompressor(max_window_size=self._max_window).decompressobj()
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

    def _check(self, header: bytes, start: int) -> None:
        """Refuse a frame that is whole and needs what this decoder has not."""
        try:
            needs = zstandard.get_frame_parameters(header)
        except zstandard.ZstdError:
            return  # decoding says what is wrong with it
        if needs.dict_id:
            problem = (
                f"needs dictionary {needs.dict_id}, which it was compressed with and which is not "
                "in it: decompress it with `zstd -D DICTIONARY`,"
            )
            raise Unreadable(self._name, start, problem)
        if needs.window_size > self._max_window:
            log = (needs.window_size - 1).bit_length()
            window, most = needs.window_size // MIB, self._max_window // MIB
            way_out = (
                f"allow it with --long {log} (in settings: window_log), which takes {window:,} MiB "
                "of memory a stream"
                if log <= MAX_WINDOW_LOG
                else f"write it again with zstd --long={MAX_WINDOW_LOG} or less"
            )
            problem = f"needs a window of {window:,} MiB, and {most:,} MiB are allowed; {way_out},"
            raise Unreadable(self._name, start, problem)

    def _only_space_left(self) -> bool:
        """Whether nothing but white space follows; reads it if so, and some of it if not."""
        while data := self._source.read(_READ_AHEAD):
            if data.strip():
                return False
        return True

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
            problem = f"is damaged ({reason})" + _NO_ID * (reason == _AS_WITHOUT_DICTIONARY)
            raise DataLoss(self._name, start, problem) from None

    def _truncated(self) -> DataLoss:
        return DataLoss(self._name, self._offset, "is cut off in the middle of a zstd frame,")
