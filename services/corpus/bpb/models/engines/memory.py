"""How much memory loading a model takes."""

from __future__ import annotations

_BYTES_A_PARAMETER = 4
# OpenVINO lays its own copy of the weights out while torch's is still there.
_COPIES = 2.2


def needed_by_openvino(parameters: int) -> int:
    """Estimate the bytes that loading a model on OpenVINO takes at its peak."""
    return int(_COPIES * _BYTES_A_PARAMETER * parameters)
