"""The folder of a build's work: files that are complete or absent, and a lock for each worker."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from services.corpus.shards.layout import BUILD_WORK
from services.errors import PreconditionFailed, StorageFull

FOLDER = BUILD_WORK
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PARTIAL = ".partial"


@contextmanager
def whole_file(final: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name when it is whole and on the disk.

    Two processes may write the same file at once, as long as they write the same.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f"{final.name}.{socket.gethostname()}-{os.getpid()}{_PARTIAL}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(final)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(final: Path, content: Any) -> None:
    """Write JSON, completely or not at all."""
    with whole_file(final) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode())
        file.write(b"\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises PreconditionFailed if it is none, and OSError."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise PreconditionFailed(
            f"{path} is damaged ({error}); remove it, and the same command makes it again"
        ) from error


def remove_partial_files(folder: Path) -> None:
    """Remove what processes that were killed had begun to write."""
    for file in folder.rglob(f"*{_PARTIAL}"):
        file.unlink(missing_ok=True)


@contextmanager
def full_disk_told(out: Path, doing: str) -> Iterator[None]:
    """Turn a full disk into StorageFull, which says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"{doing}: there is no room left to write {out} ({error.strerror}); what is finished "
            "stays: make room, and the same command continues"
        ) from error


@contextmanager
def locked(out: Path, share: str = "") -> Iterator[None]:
    """Lock a build against all other processes, or with a `share` only against the same share.

    Raises PreconditionFailed where another one is at work, and OSError.
    """
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as whole:
        _lock(whole, fcntl.LOCK_SH if share else fcntl.LOCK_EX, f"another build works on {out}")
        if not share:
            yield
            return
        with (folder / f"lock-{share.replace('/', '-of-')}").open("w") as mine:
            _lock(mine, fcntl.LOCK_EX, f"another process works on share {share} of {out}")
            yield


def _lock(file: Any, how: int, problem: str) -> None:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PreconditionFailed(
            f"--out: {problem}; wait for it, or name another directory"
        ) from None
