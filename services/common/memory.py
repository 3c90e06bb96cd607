"""How much memory this machine, or its container, has."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
# Limit and use of a container, by either version of control groups.
_CONTAINERS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def total() -> int | None:
    """Return the bytes that this machine, or its container, has; None if unknown."""
    limits = (_number(limit) for limit, _ in _CONTAINERS)
    return _least(_of_machine("MemTotal"), *limits)


def available() -> int | None:
    """Return the bytes that are free on this machine, or in its container; None if unknown."""
    return _least(_of_machine("MemAvailable"), *map(_free, _CONTAINERS))


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
    """Return the number in a file; None for a file that is not there or says "max"."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
