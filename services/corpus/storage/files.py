"""Opens the files of a corpus: a Path is local, a RemoteFile an object in object storage."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, Self, TypeAlias, cast

from services.corpus.shards.text_folder import folder_content, folder_state
from services.corpus.storage.remote import RemoteFile, RemoteRanges, RemoteStream

StoredFile: TypeAlias = Path | RemoteFile


_DIGEST_READ_BYTES = 1 << 20
# Linux has it; elsewhere every read may wait.
_NO_WAIT: int | None = getattr(os, "RWF_NOWAIT", None)


class Ranges(Protocol):
    """Reads ranges of an open file. Not for more than one thread at a time."""

    def read(self, offset: int, size: int, digest: int) -> bytes:
        """Read a frame whose XXH3-64 should be `digest`; the caller checks it."""
        ...

    def read_in_memory(self, offset: int, size: int) -> memoryview | None:
        """Read a range without waiting; None unless the machine's memory has all of it."""
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

    def read_in_memory(self, offset: int, size: int) -> memoryview | None:
        """Read a range without waiting; None unless the page cache has all of it."""
        if _NO_WAIT is None:
            return None
        data = bytearray(size)
        try:
            read = os.preadv(self._handle, [data], offset, _NO_WAIT)
        except OSError:  # nothing of it is there, or the file system does not know the flag
            return None
        return memoryview(data) if read == size else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def open_ranges(file: StoredFile) -> Ranges:
    """Open a file for frames from anywhere."""
    return LocalRanges(file) if isinstance(file, Path) else RemoteRanges(file)


def open_stream(file: StoredFile, buffer_bytes: int, size: int | None = None) -> BinaryIO:
    """Open a file to read it from its beginning, and no further than `size` bytes."""
    if isinstance(file, Path):
        opened = file.open("rb", buffering=buffer_bytes)
        return opened if size is None else cast("BinaryIO", _Begun(opened, size))
    return cast("BinaryIO", io.BufferedReader(RemoteStream(file), buffer_bytes))


class _Begun:
    """The first bytes of an open file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or what is left."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def size_and_version(file: StoredFile) -> tuple[int, str]:
    """Look how large a file is now, in bytes, and which version of it that is."""
    if isinstance(file, Path):
        if file.is_dir():
            return folder_state(file)
        status = file.stat()
        return status.st_size, str(status.st_mtime_ns)
    state = file.store.objects.state(file.url)
    return state.bytes, state.version


def content_of(file: StoredFile, buffer_bytes: int = 0) -> Iterator[bytes]:
    """Yield what the digest of a file is over: its bytes, or those of a folder's text files."""
    if isinstance(file, Path) and file.is_dir():
        yield from folder_content(file)
        return
    with open_stream(file, buffer_bytes) as source:
        while data := source.read(_DIGEST_READ_BYTES):
            yield data
