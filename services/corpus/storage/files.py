"""Opens the files of a corpus: a Path is local, a RemoteFile an object in object storage."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, cast

from services.corpus.storage.remote import RemoteFile, RemoteRanges, RemoteStream

StoredFile: TypeAlias = Path | RemoteFile


class Ranges(Protocol):
    """Reads ranges of an open file. Not for more than one thread at a time."""

    def read(self, offset: int, size: int, digest: int) -> bytes:
        """Read a frame whose XXH3-64 should be `digest`; the caller checks it."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class LocalRanges:
    """Ranges of a local file. Raises OSError."""

    def __init__(self, file: Path) -> None:
        self._handle = os.open(file, os.O_RDONLY)

    def read(self, offset: int, size: int, digest: int) -> bytes:  # noqa: ARG002
        """Read a range; shorter at the end of the file."""
        return os.pread(self._handle, size, offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def open_ranges(file: StoredFile) -> Ranges:
    """Open a file for frames from anywhere."""
    return LocalRanges(file) if isinstance(file, Path) else RemoteRanges(file)


def open_stream(file: StoredFile, buffer_bytes: int) -> BinaryIO:
    """Open a file to read it from its beginning."""
    if isinstance(file, Path):
        return file.open("rb", buffering=buffer_bytes)
    return cast("BinaryIO", io.BufferedReader(RemoteStream(file), buffer_bytes))


def size_and_version(file: StoredFile) -> tuple[int, str]:
    """Look how large a file is now, in bytes, and which version of it that is."""
    if isinstance(file, Path):
        status = file.stat()
        return status.st_size, str(status.st_mtime_ns)
    state = file.store.objects.state(file.url)
    return state.bytes, state.version
