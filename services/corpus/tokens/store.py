r"""The tokens of a shard's documents, cut once and kept as a file.

    "assay-tokens 1\n" 0x00
    documents, bytes of an id: 8 bytes each
    tokens of each document, 4 bytes each, filled up to 8
    ids of all documents, one after the other, 2 or 4 bytes each

All little-endian. The file is mapped, so that any sequence is a few copies.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.corpus.shards.frames import FrameReader
from services.corpus.tokens.tokenizer import Tokenizer
from services.errors import InternalError, StorageFull

_MAGIC = b"assay-tokens 1\n\x00"
_HEADER_BYTES = len(_MAGIC) + 16
_WAIT_SECONDS = 0.1


@dataclass(frozen=True)
class ShardTokens:
    """The tokens of a shard: `counts` of each document, and the ids of all of them."""

    counts: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    ids: npt.NDArray[Any]


class IndexedShard(Protocol):
    """What cutting needs of a shard."""

    @property
    def digest(self) -> str: ...  # noqa: D102

    def open_frames(self) -> FrameReader: ...  # noqa: D102


class TokenStore:
    """Tokens by shard and tokenizer, in files below `root`. Safe to share between threads.

    A file takes about half as much room as the texts: two bytes a token. Several processes may
    share them.
    """

    def __init__(self, root: Path, most_bytes: int) -> None:
        """`trim` brings the files below `most_bytes`."""
        self._root, self._most = root, most_bytes
        self._open: dict[Path, ShardTokens] = {}
        self._locks: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()

    def make(self, shard: IndexedShard, tokenizer: Tokenizer) -> Generator[None, None, ShardTokens]:
        """Return the tokens of a shard, cut if need be; yields between steps of that.

        They stay readable after their file was removed. Raises StorageFull, DataLoss, and as frames
        do.
        """
        file = self._file(shard, tokenizer)
        with self._lock:
            found = self._open.get(file)
            if found is not None:
                _use(file)
                return found
            lock = self._locks.setdefault(file, threading.Lock())
        while not lock.acquire(timeout=_WAIT_SECONDS):
            yield None
        try:
            found = _read(file)
            if found is None:
                try:
                    yield from _write(file, shard, tokenizer)
                except OSError as error:
                    raise StorageFull(
                        f"the tokens of a shard cannot be kept ({error.strerror}); they take about "
                        "half as much room as its texts"
                    ) from None
                found = _read(file)
            if found is None:
                raise InternalError("the tokens of a shard were written and cannot be read")
            _use(file)
            with self._lock:
                self._open[file] = found
            return found
        finally:
            lock.release()

    def trim(self, shards: Iterable[IndexedShard], tokenizer: Tokenizer) -> None:
        """Remove the files that were not used for longest, but not those of these shards."""
        kept = {self._file(shard, tokenizer) for shard in shards}
        files = []
        for file in self._root.glob("*/*.tokens"):
            with suppress(FileNotFoundError):  # another process's trim
                state = file.stat()
                files.append((state.st_mtime_ns, state.st_size, file))
        size = sum(one for _, one, _ in files)
        for _, one, file in sorted(files):
            if size <= self._most:
                break
            if file not in kept:
                with self._lock:
                    self._open.pop(file, None)
                file.unlink(missing_ok=True)
                size -= one

    def _file(self, shard: IndexedShard, tokenizer: Tokenizer) -> Path:
        name = shard.digest.removeprefix("sha256:")
        return self._root / tokenizer.digest[:32] / f"{name}.tokens"


def _use(file: Path) -> None:
    """Note that a file was used now; another process may have removed it."""
    with suppress(OSError):
        os.utime(file)


def _write(file: Path, shard: IndexedShard, tokenizer: Tokenizer) -> Iterator[None]:
    """Cut the texts of a shard; the file appears completely or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    dtype = f"<u{tokenizer.id_bytes}"
    with (
        closing(shard.open_frames()) as frames,
        tempfile.NamedTemporaryFile(dir=file.parent, prefix=".") as scratch,
    ):
        documents = frames.index.documents
        counts = np.zeros(documents + documents % 2, "<u4")
        scratch.write(_MAGIC + np.array([documents, tokenizer.id_bytes], "<u8").tobytes())
        scratch.write(counts.tobytes())
        for frame in range(len(frames.index.frames)):
            cut = tokenizer.cutter.cut(frames.texts(frame))
            first = int(frames.index.frames["first_line"][frame])
            counts[first : first + len(cut)] = [len(ids) for ids in cut]
            if cut:
                scratch.write(np.concatenate(cut).astype(dtype).tobytes())
            yield None
        scratch.seek(_HEADER_BYTES)
        scratch.write(counts.tobytes())
        scratch.flush()
        os.fsync(scratch.fileno())
        # Linked, not moved, so that the scratch file is there to be removed.
        file.unlink(missing_ok=True)
        file.hardlink_to(scratch.name)


def _read(file: Path) -> ShardTokens | None:
    """Map a file; None if there is none, or another than this would write."""
    try:
        data = np.memmap(file, np.uint8, "r")
    except (OSError, ValueError):
        return None
    if len(data) < _HEADER_BYTES or bytes(data[: len(_MAGIC)]) != _MAGIC:
        return None
    documents, size = data[len(_MAGIC) : _HEADER_BYTES].view("<u8").tolist()
    end = _HEADER_BYTES + 4 * (documents + documents % 2)
    if size not in {2, 4} or len(data) < end:
        return None
    counts = np.array(data[_HEADER_BYTES : _HEADER_BYTES + 4 * documents].view("<u4"))
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))
    if len(data) != end + size * int(starts[-1]):
        return None
    return ShardTokens(counts, starts, np.asarray(data)[end:].view(f"<u{size}"))
