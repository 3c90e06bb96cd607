"""Which instructions of the processor decide what an engine computes.

OpenVINO's products in bf16 and fp16 are rounded and added up as the widest instructions do it that
oneDNN, its kernels, finds: the same model may be exact enough with some and not with others. In
fp32 they differ by rounding of a millionth.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Set as AbstractSet
from pathlib import Path

from services.segment.engines.engine import OPENVINO
from services.segment.manifest import Precision

# oneDNN's names, as ONEDNN_MAX_CPU_ISA has them, the widest first; and the processor's flags that
# each needs beyond those of the next.
_SETS: tuple[tuple[str, AbstractSet[str]], ...] = (
    ("avx512_core_amx_fp16", {"amx_tile", "amx_int8", "amx_bf16", "amx_fp16"}),
    ("avx512_core_amx", {"amx_tile", "amx_int8", "amx_bf16"}),
    ("avx512_core_fp16", {"avx512_fp16", "avx512_bf16"}),
    ("avx512_core_bf16", {"avx512_bf16"}),
    ("avx512_core_vnni", {"avx512_vnni"}),
    ("avx512_core", {"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
    ("avx2_vnni_2", {"avx_vnni", "avx_vnni_int8", "avx_ne_convert"}),
    ("avx2_vnni", {"avx_vnni"}),
    ("avx2", {"avx2"}),
)
_NAMES = [name for name, _ in _SETS]
_NO_LIMITS = {"", "all", "default"}


def decisive_instructions(engine: str, precision: Precision) -> str | None:
    """Return the instruction set of this processor, or None where figures don't depend on it."""
    if engine != OPENVINO or precision == "fp32":
        return None
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    return instruction_set(_flags(), limit.lower()) or platform.machine()


def instruction_set(flags: AbstractSet[str], limit: str = "") -> str:
    """Return oneDNN's name of the widest instruction set up to `limit`, "" if it knows none.

    A limit that is none of the names here is told beside what it limits: that is no other set's
    name, so that nothing is taken for measured.
    """
    allowed = _SETS[_NAMES.index(limit) :] if limit in _NAMES else _SETS
    found = next((name for name, needed in allowed if needed <= flags), "")
    return found if limit in _NO_LIMITS or limit in _NAMES else f"{found} up to {limit}"


def _flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
