"""Files that are being written: each gets its final name when it is whole."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import xxhash

from services.corpus.shards.index.format import FileFact
from services.corpus.storage.files import content_of, size_and_version

PARTIAL = ".partial"


class Output:
    """A file that appears under its name when it is whole, digested as it is written."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self._partial = final.with_name(final.name + PARTIAL)
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("open() comes first")
        return self._file

    def take_back(self) -> None:
        """Take the file that an earlier run published, unless it left a partial one."""
        if not self._partial.exists():
            with suppress(FileNotFoundError):
                self._final.replace(self._partial)

    def open(self) -> None:
        """Open the partial file that an earlier run left, or a new one."""
        self._file = self._partial.open("r+b" if self._partial.exists() else "w+b")

    def written(self, offset: int, size: int, digest: int) -> bytes | None:
        """Read what an earlier run wrote next; None when it is not there or has another digest."""
        data = os.pread(self._opened.fileno(), size, offset)
        same = offset == self._size and xxhash.xxh3_64_intdigest(data) == digest
        return data if same and len(data) == size else None

    def keep(self, data: bytes) -> None:
        """Count what an earlier run wrote next."""
        self._digest.update(data)
        self._size += len(data)

    def begin(self) -> None:
        """Truncate the file after what was kept, and write from there."""
        self._opened.truncate(self._size)
        self._opened.seek(self._size)

    def append(self, data: bytes) -> tuple[int, int, int]:
        """Write; return offset, size and XXH3-64."""
        offset = self._size
        self._opened.write(data)
        self.keep(data)
        return offset, len(data), xxhash.xxh3_64_intdigest(data)

    def read(self, offset: int, size: int) -> bytes:
        """Read what was written."""
        return os.pread(self._opened.fileno(), size, offset)

    def flush(self) -> None:
        """Flush the buffer to the operating system."""
        self._opened.flush()

    def end(self) -> FileFact:
        """Sync the file to the disk, and close it."""
        self._opened.flush()
        os.fsync(self._opened.fileno())
        self._opened.close()
        return FileFact(self._size, f"sha256:{self._digest.hexdigest()}")

    def close(self) -> None:
        """Close the file, also after an error."""
        if self._file is not None:
            # After a full disk the next run writes the missing part again.
            with suppress(OSError):
                self._file.close()

    def publish(self) -> None:
        """Give the file its final name."""
        self._partial.replace(self._final)

    def discard(self) -> None:
        """Remove the file."""
        self.close()
        self._partial.unlink(missing_ok=True)


def file_fact(file: Path) -> FileFact:
    """Digest a file, or the text files of a folder."""
    digest = hashlib.sha256()
    for data in content_of(file):
        digest.update(data)
    return FileFact(size_and_version(file)[0], f"sha256:{digest.hexdigest()}")


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
