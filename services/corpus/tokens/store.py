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
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.corpus.shards.frames import FrameReader
from services.corpus.tokens.tokenizer import Tokenizer
from services.errors import StorageFull

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

    A file takes about half as much room as the texts: two bytes a token.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open: dict[Path, ShardTokens] = {}
        self._locks: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()

    def make(self, shard: IndexedShard, tokenizer: Tokenizer) -> Iterator[None]:
        """See to it that the tokens of a shard are there; yields between steps of the work.

        Raises StorageFull, DataLoss, and as frames do.
        """
        file = self._file(shard, tokenizer)
        with self._lock:
            if file in self._open:
                return
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
            if found is not None:
                with self._lock:
                    self._open[file] = found
        finally:
            lock.release()

    def open(self, shard: IndexedShard, tokenizer: Tokenizer) -> ShardTokens:
        """Return the tokens that `make` made."""
        with self._lock:
            return self._open[self._file(shard, tokenizer)]

    def _file(self, shard: IndexedShard, tokenizer: Tokenizer) -> Path:
        name = shard.digest.removeprefix("sha256:")
        return self._root / tokenizer.digest[:32] / f"{name}.tokens"


def _write(file: Path, shard: IndexedShard, tokenizer: Tokenizer) -> Iterator[None]:
    """Cut the texts of a shard; the file appears whole or not at all."""
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
    """Map a file; None where there is none, or another than this would write."""
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
    return ShardTokens(counts, starts, data[end:].view(f"<u{size}"))
