"""Which processor instructions affect an engine's results.

OpenVINO rounds and adds products in bf16 and fp16 according to the widest instructions that oneDNN,
its kernel library, finds: the same model may be exact enough with some and not with others. In fp32
they differ only by rounding of a millionth.
"""

from __future__ import annotations

import os
import platform

from services.common.machine import instruction_set, processor_flags
from services.segment.engines.engine import OPENVINO
from services.segment.manifest import Precision


def decisive_instructions(engine: str, precision: Precision) -> str | None:
    """Return this processor's instruction set, or None if figures do not depend on it."""
    if engine != OPENVINO or precision == "fp32":
        return None
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    return instruction_set(processor_flags(), limit.lower()) or platform.machine()
