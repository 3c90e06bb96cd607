"""What of this machine the bits of a model's distributions depend on."""

from __future__ import annotations

import os
from pathlib import Path

from services.corpus.proof.stepper import Pins
from services.rpc.environment import environment

# The vector instructions among which numerical libraries choose.
_VECTORS = ("sse4_2", "avx", "avx2", "fma", "avx512", "amx", "neon", "asimd", "sve")
# What tells those libraries to choose otherwise.
_VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)


def pins(engine: str, precision: str, threads: int, *packages: str) -> Pins:
    """Describe this machine and these packages. May take a second, the first time."""
    machine = environment(*packages)
    return Pins(
        engine=engine,
        precision=precision,
        threads=threads,
        processor=machine.cpu,
        instructions=_instructions(),
        versions=dict(machine.versions),
    )


def _instructions() -> str:
    flags: list[str] = []
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            flags = sorted(flag for flag in value.split() if flag.startswith(_VECTORS))
            break
    chosen = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    return " ".join([*flags, *chosen])
