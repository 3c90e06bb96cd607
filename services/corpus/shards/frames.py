"""Reads the frames of indexed shards: compressed as they are stored, or decoded to documents."""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash
import zstandard

from services.corpus.shards.documents import Document, parse_line
from services.corpus.shards.index.format import Index
from services.corpus.shards.records import BadLineError
from services.corpus.storage.files import Ranges, StoredFile, open_ranges
from services.errors import DataLoss, Unavailable

# Errors of a machine short of resources, which say nothing about the frame.
_RESOURCE_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# More than the largest line, which may be a frame of its own.
_MAX_FRAME_BYTES = 1 << 30


class DamagedFrame(DataLoss):
    """A frame that is not what its index says. `frame` counts from 0."""

    def __init__(self, shard: str, frame: int, offset: int, problem: str) -> None:
        super().__init__(shard, offset, f"frame {frame} {problem}")
        self.frame = frame


@dataclass(frozen=True)
class SkippedFrame:
    """A damaged frame that was skipped, and how many documents of the selection were lost with it.

    `places` are the indices of the lost documents in what is delivered, where they are known.
    `reported_before` says that reading began between documents of the frame, so that an earlier
    call has reported it.
    """

    error: DamagedFrame
    documents: int
    places: tuple[int, ...] = ()
    reported_before: bool = False


class FrameReader:
    """Frames of one indexed shard. `name` is its path below the corpus's root, for errors.

    Opens its files on first use; close it. The digest and the decoded size of every frame are
    checked before it is returned. For one thread at a time.
    """

    def __init__(
        self, name: str, file: StoredFile, text_file: StoredFile | None, index: Index
    ) -> None:
        self.name, self.index = name, index
        # Without texts no frame has any, and nothing requests them.
        self._files = {False: file, True: text_file or file}
        self._open: dict[bool, Ranges] = {}
        self._decoder = zstandard.ZstdDecompressor()
        self._subset = (-1, "")  # of the frame that was parsed last

    def close(self) -> None:
        """Close the files."""
        for opened in self._open.values():
            opened.close()
        self._open.clear()

    def has_text(self, frame: int) -> bool:
        """Whether there is a frame of the texts alone."""
        return bool(self.index.frames["text_frame_bytes"][frame])

    def compressed(self, frame: int, *, text: bool) -> bytes:
        """Read a frame as it is stored: of lines, or of texts.

        Raises DamagedFrame when it is not what the index says; Unavailable, and of object storage
        what `storage.objects` raises, when it cannot be read now.
        """
        offset, size, digest = self._place(frame, text=text)
        try:
            opened = self._open.get(text)
            if opened is None:
                opened = self._open[text] = open_ranges(self._files[text])
            data = opened.read(offset, size, digest)
        except OSError as error:
            if error.errno in _RESOURCE_ERRORS:
                raise Unavailable(f"{self.name}: {error.strerror}") from None
            problem = f"cannot be read ({error.strerror})"
            raise DamagedFrame(self.name, frame, offset, problem) from None
        self._check(data, frame, text=text)
        return data

    def compressed_in_memory(self, frame: int, *, text: bool, limit: int) -> memoryview | None:
        """As `compressed`, without waiting for a disk.

        None for a frame that is not in memory, is larger than `limit`, is damaged, cannot be
        read or is of a file that `compressed` has not opened: it says why.
        """
        offset, size, _ = self._place(frame, text=text)
        opened = self._open.get(text)  # opening waits for a disk or the network
        if size > limit or opened is None or not isinstance(self._files[text], Path):
            return None
        try:
            data = opened.read_in_memory(offset, size)
            if data is not None:
                self._check(data, frame, text=text)
        except (OSError, DamagedFrame):
            return None
        return data

    def _place(self, frame: int, *, text: bool) -> tuple[int, int, int]:
        """Return where a frame is, its size and its digest."""
        record = self.index.frames[frame]
        if text:
            place = record["text_offset"], record["text_frame_bytes"], record["text_digest"]
        else:
            place = record["offset"], record["bytes"], record["digest"]
        offset, size, digest = place
        return int(offset), int(size), int(digest)

    def _check(self, data: bytes | memoryview, frame: int, *, text: bool) -> None:
        """Raise DamagedFrame unless `data` is a frame as it is stored."""
        offset, _, digest = self._place(frame, text=text)
        if xxhash.xxh3_64_intdigest(data) != digest:
            problem = "is not what its index says: the digest is off"
            raise DamagedFrame(self.name, frame, offset, problem)
        content = int(self.index.frames[frame]["text_bytes" if text else "jsonl_bytes"])
        # A decompression bomb is refused before the server or the client allocates memory for it.
        if content > _MAX_FRAME_BYTES or _content_bytes(data) != content:
            raise DamagedFrame(self.name, frame, offset, "is not of the size that its index says")

    def texts(self, frame: int) -> list[bytes]:
        """Decode the texts of a frame. Raises DamagedFrame."""
        if not self.has_text(frame):
            return [document.text for document in self.documents(frame)]
        blob = self._decode(frame, text=True)
        ends = np.cumsum(self._column(self.index.text_bytes, frame), dtype=np.int64).tolist()
        return cut(blob, ends)

    def lines(self, frame: int) -> list[bytes]:
        """Decode the lines of a frame, with their newlines. Raises DamagedFrame."""
        blob = self._decode(frame, text=False)
        ends = np.cumsum(self._column(self.index.line_bytes, frame), dtype=np.int64).tolist()
        return cut(blob, ends)

    def documents(self, frame: int) -> list[Document]:
        """Decode the documents of a frame. Raises DamagedFrame."""
        first = int(self.index.frames["first_line"][frame])
        return [
            self.parse(line[:-1], first + place, frame)
            for place, line in enumerate(self.lines(frame))
        ]

    def document(self, line: int) -> Document:
        """Find the document at a line. Raises IndexError, DamagedFrame."""
        if not 0 <= line < self.index.documents:
            raise IndexError(line)
        firsts = self.index.frames["first_line"]
        # np.searchsorted would first copy the column, which is one of a table.
        frame = bisect_right(firsts, line) - 1
        sizes = self.index.line_bytes[int(firsts[frame]) : line + 1]
        end = int(sizes.sum(dtype=np.int64))
        # The rest of the frame, half of it on average, is not decoded.
        data = self._decode(frame, text=False, size=end)
        return self.parse(data[end - int(sizes[-1]) : end - 1], line, frame)

    def parse(self, data: bytes, line: int, frame: int) -> Document:
        """Parse a line of a frame. Raises DataLoss when it is not a document."""
        if self._subset[0] != frame:
            number = int(self.index.frames["subset"][frame])
            self._subset = frame, self.index.header.subsets[number]
        try:
            # The index decides the subset: one that an earlier version wrote may know of fewer.
            parsed = parse_line(data, self.name, line)
            return replace(parsed, frame=frame, subset=self._subset[1])
        except BadLineError as error:
            offset = int(self.index.frames["offset"][frame])
            raise DataLoss(self.name, offset, f"line {line} {error},") from None

    def sizes(self, frame: int) -> npt.NDArray[np.uint32]:
        """Sizes of a frame's texts in UTF-8 bytes."""
        return self._column(self.index.text_bytes, frame)

    def _column(self, column: npt.NDArray[np.uint32], frame: int) -> npt.NDArray[np.uint32]:
        first = int(self.index.frames["first_line"][frame])
        return column[first : first + int(self.index.frames["documents"][frame])]

    def _decode(self, frame: int, *, text: bool, size: int | None = None) -> bytes:
        """Decode a frame, or no more of it than its first `size` bytes."""
        data = self.compressed(frame, text=text)
        try:
            if size is None:
                return self._decoder.decompress(data)
            with self._decoder.stream_reader(data) as reader:
                return reader.read(size)
        except zstandard.ZstdError as error:
            offset = int(self.index.frames["text_offset" if text else "offset"][frame])
            raise DamagedFrame(self.name, frame, offset, f"is damaged ({error})") from None


def _content_bytes(data: bytes | memoryview) -> int:
    """Return what a frame says that it decodes to; -1 where it says nothing or is none."""
    try:
        size: int = zstandard.frame_content_size(data)
    except zstandard.ZstdError:
        return -1
    return size


def cut(blob: bytes, ends: Sequence[int]) -> list[bytes]:
    """Cut `blob` where its parts end."""
    parts, start = [], 0
    for end in ends:
        parts.append(blob[start:end])
        start = end
    return parts
