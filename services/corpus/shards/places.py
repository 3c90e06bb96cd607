"""Whether an output place is inside a source, so that the output would be read as input."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

_MAGIC = frozenset("*?[")


def is_read_from(place: Path, source: Path) -> bool:
    """Whether files that are written to `place` are below the folder `source`, links followed.

    `place` need not be there yet.
    """
    if not source.is_dir():
        return False
    above = {os.path.realpath(one) for one in (place, *place.absolute().parents)}
    seen: set[str] = set()
    for folder, folders, _ in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        if real in above:
            return True
    return False


def is_matched_by(place: Path, pattern: str) -> bool:
    """Whether files that are written to `place` are, or are below, what a pattern will find."""
    parts = Path(pattern).parts
    fixed = next((at for at, part in enumerate(parts) if _MAGIC & set(part)), len(parts))
    start = Path(*parts[:fixed])
    if "**" in parts:
        return is_read_from(place, start)
    wanted = str(Path(os.path.realpath(start), *parts[fixed:]))
    here = Path(os.path.realpath(place))
    return any(fnmatch(str(one), wanted) for one in (here, *here.parents))
