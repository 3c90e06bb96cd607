"""Names of the machine that figures depend on: its class, its instruction set, its own id."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

# oneDNN's names, as in ONEDNN_MAX_CPU_ISA, the widest first, each with the processor flags that it
# needs beyond those of the next.
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
_MACHINE_ID = Path("/etc/machine-id")


def hardware_class(cpu: object, cpu_count: object, accelerators: Iterable[str]) -> str:
    """Return the class of machines whose timings are compared: "AMD EPYC x2 + NVIDIA H200"."""
    return " + ".join([f"{cpu} x{cpu_count}", *sorted(accelerators)])


def instruction_set(flags: AbstractSet[str], limit: str = "") -> str:
    """Return oneDNN's name of the widest instruction set up to `limit`; "" if oneDNN knows none.

    An unknown limit is added to the name: the result then differs from every other name, so no
    measurement under it is taken for another set's.
    """
    allowed = _SETS[_NAMES.index(limit) :] if limit in _NAMES else _SETS
    found = next((name for name, needed in allowed if needed <= flags), "")
    return found if limit in _NO_LIMITS or limit in _NAMES else f"{found} up to {limit}"


def processor_flags() -> frozenset[str]:
    """Return the processor's flags as Linux reports them; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def machine_id() -> str:
    """Return an id that distinguishes this machine from others of its class; "" if there is none.

    Derived from the operating system's id, which must not be shown itself.
    """
    try:
        secret = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    return hmac.new(secret, b"assay", hashlib.sha256).hexdigest()[:16] if secret else ""
