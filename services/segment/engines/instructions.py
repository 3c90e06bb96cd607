"""Which instructions of the processor decide what an engine computes.

OpenVINO's products in bf16 and fp16 are rounded and added up as the widest instructions do it that
oneDNN, its kernels, finds: the same model may be exact enough with some and not with others. In
fp32 they differ by rounding of a millionth.
"""

from __future__ import annotations

import os
import platform

from services.common.machine import instruction_set, processor_flags
from services.segment.engines.engine import OPENVINO
from services.segment.manifest import Precision


def decisive_instructions(engine: str, precision: Precision) -> str | None:
    """Return the instruction set of this processor, or None where figures don't depend on it."""
    if engine != OPENVINO or precision == "fp32":
        return None
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    return instruction_set(processor_flags(), limit.lower()) or platform.machine()
