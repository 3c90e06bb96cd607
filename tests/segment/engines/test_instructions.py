"""The instruction set that decides figures in bf16, by the processor's flags and oneDNN's limit."""

from __future__ import annotations

import pytest

from services.common.machine import instruction_set
from services.segment.engines.instructions import decisive_instructions

HASWELL = frozenset({"avx", "avx2", "fma"})
ALDER_LAKE = HASWELL | {"avx_vnni"}
ARROW_LAKE = ALDER_LAKE | {"avx_vnni_int8", "avx_ne_convert"}
SKYLAKE_X = HASWELL | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}
ICE_LAKE = SKYLAKE_X | {"avx512_vnni"}
ZEN_4 = ICE_LAKE | {"avx512_bf16"}
SAPPHIRE_RAPIDS = ZEN_4 | {"avx_vnni", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"}
GRANITE_RAPIDS = SAPPHIRE_RAPIDS | {"amx_fp16"}


@pytest.mark.parametrize(
    ("flags", "limit", "name"),
    [
        (frozenset(), "", ""),
        (HASWELL, "", "avx2"),
        (ALDER_LAKE, "", "avx2_vnni"),
        (ARROW_LAKE, "", "avx2_vnni_2"),
        (SKYLAKE_X, "", "avx512_core"),
        (ICE_LAKE, "", "avx512_core_vnni"),
        (ZEN_4, "", "avx512_core_bf16"),
        (SAPPHIRE_RAPIDS, "", "avx512_core_amx"),
        (GRANITE_RAPIDS, "all", "avx512_core_amx_fp16"),
        (GRANITE_RAPIDS, "avx512_core_amx", "avx512_core_amx"),
        (SAPPHIRE_RAPIDS, "avx512_core_fp16", "avx512_core_fp16"),
        (SAPPHIRE_RAPIDS, "avx512_core_bf16", "avx512_core_bf16"),
        (SAPPHIRE_RAPIDS, "avx2_vnni_2", "avx2_vnni"),
        (HASWELL, "avx512_core_amx", "avx2"),
        (SAPPHIRE_RAPIDS, "avx10_1_512", "avx512_core_amx up to avx10_1_512"),
    ],
)
def test_the_widest_that_is_there_and_allowed(flags: frozenset[str], limit: str, name: str) -> None:
    assert instruction_set(flags, limit) == name


def test_they_decide_narrow_types_on_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decisive_instructions("openvino-cpu", "fp32") is None
    assert decisive_instructions("onnxruntime-cpu", "fp16") is None
    assert decisive_instructions("onnxruntime-cuda", "bf16") is None
    assert decisive_instructions("openvino-cpu", "bf16")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert str(decisive_instructions("openvino-cpu", "bf16")).endswith("up to sse41")
