"""Memory of this machine, or of the container or systemd unit that contains the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_OWN_PAGES = Path("/proc/self/statm")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def total() -> int | None:
    """Return how many bytes this process may use; None if unknown."""
    limits = (_number(limit) for limit, _ in _groups())
    return _least(_of_machine("MemTotal"), *limits)


def available() -> int | None:
    """Return how many bytes are free for this process; None if unknown."""
    return _least(_of_machine("MemAvailable"), *map(_free, _groups()))


def left() -> int | None:
    """Return how many bytes this process may use minus those that it holds; None if unknown.

    Unlike `available`, this counts cached and mapped files, and the memory of other processes, as
    free.
    """
    limit, own = total(), held()
    return None if limit is None or own is None else limit - own


def held() -> int | None:
    """Return how many bytes this process holds that belong to no file; None if unknown."""
    try:
        _, resident, of_files, *_ = _OWN_PAGES.read_text(encoding="ascii").split()
        return (int(resident) - int(of_files)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None


def _groups() -> Iterator[tuple[Path, Path]]:
    """Yield the limit and usage files of our control group and of the groups around it.

    Covers both versions of control groups. A container sees its own group at the root.
    """
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    # Lines are NUMBER:CONTROLLERS:/PATH; version 2 has one line, without controllers.
    groups = {tuple(line.split(":", 2)[1:]) for line in lines if line.count(":") >= 2}
    for controller, names in (
        ("memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
        ("", ("memory.max", "memory.current")),
    ):
        root = _GROUPS / controller
        own = next((path for among, path in groups if controller in among.split(",")), "/")
        folder = root / own.strip("/")
        for one in (folder, *folder.parents):
            if one.is_relative_to(root):
                yield one / names[0], one / names[1]


def _least(*found: int | None) -> int | None:
    return min((one for one in found if one is not None), default=None)


def _of_machine(name: str) -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(name)), None)


def _free(files: tuple[Path, Path]) -> int | None:
    limit, used = map(_number, files)
    return None if limit is None or used is None else limit - used


def _number(file: Path) -> int | None:
    """Return the number in a file; None if the file does not exist or says "max"."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
