"""A file of a corpus in object storage, and how its frames are read through the cache."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import xxhash

from services.corpus.storage.frame_cache import FrameCache
from services.corpus.storage.objects import Objects, ObjectState
from services.corpus.storage.urls import names, shown
from services.errors import SourceChanged

# Read at a time from an object that is read from its beginning.
_READ_BYTES = 8 << 20


@dataclass(frozen=True)
class ObjectStore:
    """Object storage, and the cache of frames read from it."""

    objects: Objects
    cache: FrameCache


@dataclass(frozen=True)
class RemoteFile:
    """An object, as it was when the corpus was registered."""

    url: str
    state: ObjectState
    store: ObjectStore

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return names(self.url)[-1]

    def read(self, offset: int, size: int) -> bytes:
        """Read a range; shorter where the object has become shorter."""
        return self.store.objects.read(self.url, offset, size, of=self.state.bytes)

    def check_unchanged(self) -> None:
        """Raise SourceChanged when it is another object by now."""
        if self.store.objects.state(self.url) != self.state:
            raise changed(str(self))


def changed(name: str) -> SourceChanged:
    """Say that a file is no longer the one that was registered, nor its index that of it."""
    return SourceChanged(
        f"{name} has changed since the server started; restart the server to serve what is there "
        "now, under a new digest"
    )


class RemoteRanges:
    """Frames of an object, from the cache where they are there."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    def read(self, offset: int, size: int, digest: int) -> bytes:
        """Read a frame; data of another digest is what the registered object really has.

        Raises SourceChanged if it is another object by now, and as Objects does.
        """
        file, cache = self._file, self._file.store.cache
        # With the version: an object that replaced this one has other frames.
        key = f"{file.url} {file.state.version} {file.state.bytes} {offset} {size}"
        data = cache.get(key)
        if data is not None:
            if xxhash.xxh3_64_intdigest(data) == digest:
                return data
            cache.drop(key)
        data = file.read(offset, size)
        if xxhash.xxh3_64_intdigest(data) == digest:
            cache.put(key, data)
        else:
            file.check_unchanged()
        return data

    def read_in_memory(self, offset: int, size: int) -> memoryview | None:  # noqa: ARG002
        """Say that it may wait."""
        return None

    def close(self) -> None:
        """Nothing is held open."""


class RemoteStream(io.RawIOBase):
    """An object from its beginning. It never mixes bytes of two versions of the object."""

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file, self._offset, self._piece = file, 0, memoryview(b"")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer, or some of it. Raises as RemoteFile does."""
        if not self._piece:
            size = min(_READ_BYTES, self._file.state.bytes - self._offset)
            data = self._file.read(self._offset, size)
            if size:
                self._file.check_unchanged()
            self._piece = memoryview(data)
            self._offset += len(data)
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._piece))
        view[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size
