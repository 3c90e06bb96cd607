"""Hardware as people name it, against what ran a measurement."""

from __future__ import annotations

import pytest

from services.ranker.claims.hardware import is_on, names_device

XEON = {"cpu": "Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", "cpu_count": 48}
EPYC = {"cpu": "AMD EPYC", "cpu_count": 2, "accelerators": ["NVIDIA H200"]}
BOTH = {**EPYC, "accelerators": ["NVIDIA H100 80GB HBM3", "Tesla V100-SXM2-16GB"]}
TWO = {**EPYC, "accelerators": ["NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"]}
CORE = {"cpu": "Intel(R) Core(TM) i7-8700", "cpu_count": 1}
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
        # It may have been either of two.
        ("V100", BOTH, "onnxruntime-cuda", False),
        ("H100", BOTH, "onnxruntime-cuda", False),
        ("NVIDIA GPU", BOTH, "onnxruntime-cuda", True),
        ("NVIDIA H100", TWO, "onnxruntime-cuda", True),
        ("2 x NVIDIA H100", TWO, "onnxruntime-cuda", False),
        ("NVIDIA", {**EPYC, "accelerators": ["AMD Instinct MI300X"]}, "onnxruntime-rocm", False),
        # A part of a machine is not the machine.
        ("a single CPU core", XEON, "openvino-cpu", False),
        ("one core of an Intel Xeon", XEON, "openvino-cpu", False),
        ("single-threaded CPU", XEON, "openvino-cpu", False),
        ("Intel Xeon, 8 cores", XEON, "openvino-cpu", False),
        ("48 CPU threads", XEON, "openvino-cpu", True),
        ("one core", CORE, "", True),
        ("one Intel Core i7", CORE, "", True),
        ("one core", EPYC, "onnxruntime-cuda", False),
        # No word of it is left out because of its letters.
        ("Эльбрус", XEON, "", False),
        ("Эльбрус CPU", XEON, "openvino-cpu", False),
        ("\uff23\uff30\uff35", XEON, "openvino-cpu", True),
        ("?", XEON, "openvino-cpu", False),
    ],
)
def test_what_is_named_is_what_ran_it(
    named: str, environment: dict[str, object], engine: str, *, expected: bool
) -> None:
    assert is_on(named, environment, engine) is expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("", False),
        ("CPU", False),
        ("a single CPU core", False),
        ("8 cores of a CPU", False),
        ("NVIDIA GPU", False),
        ("accelerators", False),
        ("Intel Xeon", True),
        ("NVIDIA V100", True),
        ("AMD EPYC x2", True),
        ("a laptop", True),
    ],
)
def test_a_kind_names_no_device(named: str, *, expected: bool) -> None:
    assert names_device(named) is expected
