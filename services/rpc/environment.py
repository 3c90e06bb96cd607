"""The machine and the software that a measurement is made on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from assay_rpc.common.v1 import common_pb2

from services.common.machine import (
    hardware_class,
    instruction_set,
    machine_id,
    processor_flags,
)

_NVIDIA_SMI_SECONDS = 10
_CSV = "--format=csv,noheader,nounits"


def environment(*packages: str) -> common_pb2.Environment:
    """The machine now, with Python's version and those of the named packages that are installed.

    The first call may start nvidia-smi and take a second: call it off the event loop.
    """
    cpu_count, cpu, accelerators = len(os.sched_getaffinity(0)), _cpu(), _accelerators()
    result = common_pb2.Environment(
        cpu=cpu,
        cpu_count=cpu_count,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerators=accelerators,
        os=f"{_distribution()}, {platform.system()} {platform.release()}",
        versions={"python": platform.python_version(), **_versions(packages)},
        load=os.getloadavg()[0] / cpu_count,
        hardware_class=hardware_class(cpu, cpu_count, [one.name for one in accelerators]),
        cpu_quota=_cpu_quota(),
        instruction_set=instruction_set(processor_flags()),
        machine=machine_id(),
    )
    result.read_time.GetCurrentTime()
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


def _cpu_quota() -> float | None:
    """CPU time that the control group allows, in processors; None without a limit."""
    for file, parse in _QUOTA_FILES:
        try:
            return parse(Path(file).read_text("ascii"))
        except (OSError, ValueError):
            continue
    return None


def _quota_v2(text: str) -> float | None:
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(text: str) -> float | None:
    quota = int(text)
    period = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text("ascii"))
    return quota / period if quota > 0 else None


_QUOTA_FILES: tuple[tuple[str, Callable[[str], float | None]], ...] = (
    ("/sys/fs/cgroup/cpu.max", _quota_v2),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", _quota_v1),
)


@lru_cache(maxsize=1)
def _accelerators() -> tuple[common_pb2.Accelerator, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listed = subprocess.run(  # noqa: S603 - a fixed command, found on PATH
            [program, "--query-gpu=name,memory.total,driver_version", _CSV],
            capture_output=True,
            text=True,
            timeout=_NVIDIA_SMI_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in listed.splitlines():
        name, _, rest = line.partition(",")
        mebibytes, _, driver = rest.partition(",")
        if name.strip():
            size = int(mebibytes) << 20 if mebibytes.strip().isdigit() else 0
            found.append(
                common_pb2.Accelerator(name=name.strip(), memory_bytes=size, driver=driver.strip())
            )
    return tuple(found)


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
