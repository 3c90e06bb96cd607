"""Processor, memory, GPUs, disk, clock and ports."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Iterator

from services.cli.connections.inventory import home
from services.cli.connections.running import announced_address
from services.cli.doctor.finding import Finding, Level
from services.cli.ports import listening_ports, unavailable
from services.cli.versions import installed
from services.rpc.environment import environment
from services.rpc.settings import ServerSettings

_GIB = 1 << 30
_LEAST_MEMORY = 2 * _GIB
_LEAST_DISK, _ENOUGH_DISK = _GIB // 2, 5 * _GIB
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


def hardware() -> Iterator[Finding]:
    """Processor, memory and GPUs."""
    here = environment()
    quota = f", limited to {here.cpu_quota:g}" if here.HasField("cpu_quota") else ""
    yield Finding(
        "processor",
        Level.FINE,
        f"{here.cpu}, {here.cpu_count} cores{quota}, {here.instruction_set or 'no vector set'}",
    )
    memory = f"{here.memory_bytes / _GIB:.1f} GiB"
    if here.memory_bytes >= _LEAST_MEMORY:
        yield Finding("memory", Level.FINE, memory)
    else:
        yield Finding("memory", Level.WARNING, memory, "the three services need about 2 GiB")
    names = ", ".join(one.name for one in here.accelerators)
    if not names:
        yield Finding("GPU", Level.OFF, "none; everything runs on the processor")
    elif installed("onnxruntime-gpu"):
        yield Finding("GPU", Level.FINE, f"{names}; ASSAY_SEGMENT_DEVICE=cuda uses it")
    else:
        yield Finding(
            "GPU",
            Level.OFF,
            f"{names}; segment does not use it",
            "install the extra segment-gpu instead of segment",
        )


def disk() -> Iterator[Finding]:
    """Whether the data folder is writable, and how large its contents are."""
    folder = home()
    with tempfile.NamedTemporaryFile(dir=folder):
        pass
    free = shutil.disk_usage(folder).free
    said = f"{folder}, {free / _GIB:.1f} GiB free"
    if free >= _ENOUGH_DISK:
        yield Finding("disk", Level.FINE, said)
    else:
        yield Finding(
            "disk",
            Level.WARNING if free >= _LEAST_DISK else Level.WRONG,
            said,
            "make room, or set ASSAY_HOME to a folder on another disk",
        )


def clock() -> Iterator[Finding]:
    """Whether the kernel says that the clock is synchronised."""
    state = _clock_state()
    if state is None:
        yield Finding("clock", Level.OFF, "this system does not say whether it is synchronised")
    elif state == _UNSYNCHRONISED:
        yield Finding(
            "clock",
            Level.WARNING,
            "not synchronised: tokens and certificates may seem expired, evidence is misdated",
            "turn time synchronisation on (timedatectl set-ntp true)",
        )
    else:
        yield Finding("clock", Level.FINE, "synchronised")


def _clock_state() -> int | None:
    """What adjtimex(2) returns; None if there is no such call, or it is forbidden."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    state = int(adjtimex(ctypes.create_string_buffer(512)))  # struct timex, nothing to set
    return None if state < 0 else state


def ports(name: str, settings: ServerSettings) -> Iterator[Finding]:
    """Whether `assay up` could listen on the ports in a service's settings."""
    if announced_address(name):
        yield Finding(f"ports of {name}", Level.FINE, "`assay up` has them")
        return
    if taken := unavailable(settings):
        yield Finding(
            f"ports of {name}",
            Level.WARNING,
            f"`assay up` cannot start: {'; '.join(map(str, taken))}",
            "end the program that has the port, or set another port in that variable",
        )
    else:
        numbers = ", ".join(str(one.number) for one in listening_ports(settings))
        yield Finding(f"ports of {name}", Level.FINE, f"{numbers} are free")
