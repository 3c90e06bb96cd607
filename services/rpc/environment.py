"""The machine and the software that a measurement is made on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from assay.common.v1 import common_pb2

_NVIDIA_SMI_SECONDS = 10


def environment(*packages: str) -> common_pb2.Environment:
    """The machine now, with Python's version and those of the named packages that are installed.

    The first call may start nvidia-smi and take a second: call it off the event loop.
    """
    cpu_count = len(os.sched_getaffinity(0))
    result = common_pb2.Environment(
        cpu=_cpu(),
        cpu_count=cpu_count,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerators=_accelerators(),
        os=f"{_distribution()}, {platform.system()} {platform.release()}",
        versions={"python": platform.python_version(), **_versions(packages)},
        load=os.getloadavg()[0] / cpu_count,
    )
    result.time.GetCurrentTime()
    return result


@lru_cache(maxsize=1)
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Hardware", "cpu model"}:
            return value.strip()
    return platform.processor() or platform.machine()


@lru_cache(maxsize=1)
def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown distribution"


@lru_cache(maxsize=1)
def _accelerators() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listed = subprocess.run(  # noqa: S603 - a fixed command, found on PATH
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.splitlines() if line.strip())


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
