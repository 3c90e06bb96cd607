"""Hardware as people name it, against what ran a measurement."""

from __future__ import annotations

import pytest

from services.ranker.claims.hardware import is_on

XEON = {"cpu": "Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", "cpu_count": 48}
EPYC = {"cpu": "AMD EPYC", "cpu_count": 2, "accelerators": ["NVIDIA H200"]}
VOLTA = {**EPYC, "accelerators": ["Tesla V100-SXM2-16GB"]}


@pytest.mark.parametrize(
    ("named", "environment", "engine", "expected"),
    [
        ("CPU", XEON, "openvino-cpu", True),
        ("cpu", EPYC, "onnxruntime-cpu", True),
        ("a CPU", EPYC, "", True),
        ("Intel Xeon", XEON, "openvino-cpu", True),
        ("intel xeon cpu", XEON, "openvino-cpu", True),
        ("Xeon Gold 6248R", XEON, "", True),
        ("Intel Xeon", EPYC, "openvino-cpu", False),
        ("AMD EPYC x2", EPYC, "openvino-cpu", True),
        ("AMD EPYC x4", EPYC, "openvino-cpu", False),
        # The machine has one, and the engine did not use it.
        ("NVIDIA H200", EPYC, "openvino-cpu", False),
        ("GPU", EPYC, "openvino-cpu", False),
        ("NVIDIA", EPYC, "openvino-cpu", False),
        ("NVIDIA H200", EPYC, "onnxruntime-cuda", True),
        ("a GPU", EPYC, "onnxruntime-cuda", True),
        ("CPU", EPYC, "onnxruntime-cuda", False),
        ("AMD EPYC", EPYC, "onnxruntime-cuda", False),
        ("one NVIDIA V100", VOLTA, "onnxruntime-cuda", True),
        ("V100", EPYC, "onnxruntime-cuda", False),
    ],
)
def test_what_is_named_is_what_ran_it(
    named: str, environment: dict[str, object], engine: str, *, expected: bool
) -> None:
    assert is_on(named, environment, engine) is expected
