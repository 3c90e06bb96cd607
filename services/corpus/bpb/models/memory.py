"""How much memory loading a model takes, and how much there is."""

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
_BYTES_A_PARAMETER = 4
# OpenVINO lays its own copy of the weights out while torch's is still there.
_COPIES = 2.2


def needed_by_openvino(parameters: int) -> int:
    """Estimate the bytes that loading a model on OpenVINO takes at its peak."""
    return int(_COPIES * _BYTES_A_PARAMETER * parameters)


def available() -> int | None:
    """Return the bytes that are free on this machine, or in its container; None if unknown."""
    free = [
        found for found in (_of_machine(), *map(_of_container, _CONTAINERS)) if found is not None
    ]
    return min(free, default=None)


def _of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(
        (int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")), None
    )


def _of_container(files: tuple[Path, Path]) -> int | None:
    try:
        limit, used = (path.read_text(encoding="ascii").strip() for path in files)
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdecimal() and used.isdecimal() else None
