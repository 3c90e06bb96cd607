"""The finished documents of a scoring on disk, so that a killed one resumes.

A file is a line with the format's name, then segments: a length, a SHA-256 over the digest before
it and the payload, and the payload as JSON. The first segment has the facts that the scores depend
on, later ones the scores of documents in their order, and the last one says that they are all.
Segments are only appended, and synced before more work is done. A killed process leaves at most an
incomplete segment at the end, which is cut off; a wrong digest anywhere else is damage.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from services.common.statistics.samples.sampling import Drawn
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.sampling import drawn_json, drawn_of
from services.errors import CheckpointMismatch, StorageFull

_MAGIC = b"assay-score/2\n"
_LENGTH = struct.Struct("<I")
_DIGEST_BYTES = 32
_FLUSH_INTERVAL_SECONDS = 1.0
_SHOWN_CHARACTERS = 40

Facts = Mapping[str, str]


class Journal:
    """The file of one scoring, locked while it is open. For one thread.

    `finished` are the documents that it held when it was opened, `complete` says whether these are
    all, and `drawn` is then their sample, None without one.
    """

    def __init__(self, path: Path, facts: Facts, *, fresh: bool = False) -> None:
        """Open the journal at `path`, or begin one.

        With `fresh` an older one is discarded. Raises OSError; CheckpointMismatch if it is in use,
        damaged, or of other facts, which the message names.
        """
        self._path = path
        self._buffer: list[DocumentScore] = []
        self.finished: list[DocumentScore] = []
        self.complete = False
        self.drawn: Mapping[str, Drawn] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._lock()
            if fresh:
                os.ftruncate(self._file, 0)
            self._read(facts)
        except BaseException:
            os.close(self._file)
            raise
        self._flushed = time.monotonic()

    def append(self, score: DocumentScore) -> None:
        """Add the score of the next document; about once a second all are written.

        Raises StorageFull as `flush` does.
        """
        self._buffer.append(score)
        if time.monotonic() - self._flushed >= _FLUSH_INTERVAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write and sync the added scores.

        Raises StorageFull if writing fails (a full disk): the file is then as it was before, and
        the scores stay in memory for the next try.
        """
        if self._buffer:
            self._write({"documents": [score.row() for score in self._buffer]})
            self._buffer = []
        self._flushed = time.monotonic()

    def finish(self, drawn: Mapping[str, Drawn] | None) -> None:
        """Write the rest, the mark of completion and the sample. Raises StorageFull as `flush`."""
        self.flush()
        sample = {} if drawn is None else {"drawn": drawn_json(drawn)}
        self._write({"complete": True, **sample})
        self.complete, self.drawn = True, drawn

    def close(self) -> None:
        """Close the file; scores that were not flushed are lost."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CheckpointMismatch(
                f"the checkpoint {self._path.stem!r} is in use by another scoring; wait for it, or "
                "name another"
            ) from None

    def _read(self, facts: Facts) -> None:
        size = os.fstat(self._file).st_size
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            data = file.read()
        if not _MAGIC.startswith(data[: len(_MAGIC)]):
            raise self._damaged(0)
        self._end, self._digest = len(_MAGIC), hashlib.sha256(_MAGIC).digest()
        known: Facts | None = None
        while (payload := self._segment(data)) is not None:
            content = json.loads(payload)
            if known is None:
                known = content["facts"]
                self._check(known, facts)
            self.finished += [DocumentScore.of(row) for row in content.get("documents", ())]
            self.complete = content.get("complete", False)
            if "drawn" in content:
                self.drawn = drawn_of(content["drawn"])
        if known is None:
            os.ftruncate(self._file, 0)
            self._end = 0
            self._put(_MAGIC)
            self._write({"facts": dict(facts)})
            self._sync_folder()
        elif self._end < size:
            os.ftruncate(self._file, self._end)

    def _segment(self, data: bytes) -> bytes | None:
        """Return the payload of the next segment; None if it is incomplete."""
        start = self._end + _LENGTH.size + _DIGEST_BYTES
        if start > len(data):
            return None
        (length,) = _LENGTH.unpack_from(data, self._end)
        payload = data[start : start + length]
        digest = hashlib.sha256(self._digest + payload).digest()
        if digest != data[start - _DIGEST_BYTES : start]:
            if start + length >= len(data):
                return None
            raise self._damaged(self._end)
        self._end, self._digest = start + length, digest
        return payload

    def _check(self, known: Facts, wanted: Facts) -> None:
        for name in sorted({*known, *wanted}):
            old, new = known.get(name, "nothing"), wanted.get(name, "nothing")
            if old != new:
                raise CheckpointMismatch(
                    f"the checkpoint {self._path.stem!r} was made with another {name}: it has "
                    f"{old[:_SHOWN_CHARACTERS]}, the request {new[:_SHOWN_CHARACTERS]}; name "
                    "another checkpoint, or request a fresh one"
                )

    def _damaged(self, offset: int) -> CheckpointMismatch:
        return CheckpointMismatch(
            f"the checkpoint {self._path.stem!r} is damaged at byte {offset}; name another, or "
            "request a fresh one"
        )

    def _write(self, content: object) -> None:
        payload = json.dumps(content).encode()
        digest = hashlib.sha256(self._digest + payload).digest()
        self._put(_LENGTH.pack(len(payload)) + digest + payload)
        self._digest = digest

    def _put(self, data: bytes) -> None:
        """Add and sync bytes, all or none."""
        view = memoryview(data)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, view[written:], self._end + written)
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)
            raise StorageFull(
                f"the checkpoint {self._path.stem!r} cannot be written ({error.strerror}); what it "
                "holds already is kept: free some space and ask again"
            ) from error
        self._end += len(data)

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
