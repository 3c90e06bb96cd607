"""A directory that is complete or absent. Pure."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.errors import InvalidArgument, TooLarge


def check_output(out: Path, room: int) -> None:
    """Check that `out` can be made with `room` bytes in it, before any work is done.

    Raises InvalidArgument if it exists and is not an empty directory, TooLarge if the disk lacks
    the room.
    """
    if out.exists() and not out.is_dir():
        raise InvalidArgument("out", f"{out} is a file; give a new directory")
    if out.is_dir() and next(out.iterdir(), None) is not None:
        raise InvalidArgument("out", f"{out} is not empty; give a new directory or remove it")
    existing = next(parent for parent in out.absolute().parents if parent.exists())
    if not existing.is_dir():
        raise InvalidArgument("out", f"{existing} is a file; a directory is needed there")
    free = shutil.disk_usage(existing).free
    if free < room:
        raise TooLarge(
            f"out: {existing} has {free >> 20} MiB free, {room >> 20} MiB are needed; free some or "
            "choose another disk"
        )


@contextmanager
def atomic_directory(out: Path) -> Iterator[Path]:
    """Yield a directory to fill, which becomes `out` when the block ends without an error.

    After an error nothing is left. Raises InvalidArgument or TooLarge for what the file system
    refuses.
    """
    work: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        yield work
        work.chmod(0o755)
        work.replace(out)
    except OSError as error:
        raise output_error(out, error) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def output_error(out: Path, error: OSError) -> InvalidArgument | TooLarge:
    """Return the error that a caller gets for a failure to write `out`."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return TooLarge(f"out: the disk of {out} is full; free some or choose another disk")
    if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
        return InvalidArgument("out", f"{out} was filled meanwhile; nothing was written")
    return InvalidArgument("out", f"{out} cannot be written: {error.strerror or error}")
