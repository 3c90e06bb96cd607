"""Weights that are stored in fewer bits: what transformers needs to read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By the method that config.json names; others are named by what transformers says.
_PACKAGES = {
    "aqlm": "aqlm",
    "auto-round": "auto-round",
    "awq": "gptqmodel",
    "bitnet": "accelerate",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "eetq",
    "fbgemm_fp8": "fbgemm-gpu",
    "fp8": "accelerate",
    "gptq": "gptqmodel",
    "higgs": "flute-kernel",
    "hqq": "hqq",
    "mxfp4": "kernels",
    "quanto": "optimum-quanto",
    "quark": "amd-quark",
    "spqr": "spqr_quant",
    "torchao": "torchao",
    "vptq": "vptq",
}


def quantisation(config: Mapping[str, Any]) -> str:
    """Return the method that config.json names, "" for weights as they are."""
    found = config.get("quantization_config") or {}
    return str(found.get("quant_method") or "an unnamed method") if found else ""


def cannot_read(method: str, error: Exception) -> str:
    """Say, as the rest of a sentence, what reading weights of this method lacks."""
    package = _PACKAGES.get(method)
    needs = f"`pip install {package}` on the server" if package else "its package on the server"
    reason = " ".join(str(error).split())
    return (
        f"its weights are quantised with {method}, which cannot be read here ({reason}); "
        f"{needs} may be all that is missing, or score the model that was quantised"
    )
