"""What the settings mean, and what is refused: with the reason, and what to do."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import onnxruntime
import pytest

from services.errors import InvalidArgument, PreconditionFailed
from services.segment.engines.choice import Choice, EngineSetting, choose
from services.segment.manifest import ModelParity, Precision
from tests.segment.tiny_model import Tiny, write

OPENVINO = find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not OPENVINO, reason="openvino is not installed")


def parity(engine: str, precision: Precision, *, passed: bool) -> ModelParity:
    return ModelParity(
        engine=engine,
        precision=precision,
        max_abs_difference=0.3,
        label_agreement=0.9871,
        probes=5,
        passed=passed,
    )


def test_auto_takes_openvino_where_it_is() -> None:
    fastest = "openvino-cpu" if OPENVINO else "onnxruntime-cpu"
    assert choose("auto", "cpu", "fp32") == Choice(fastest, "fp32")
    assert choose("auto", "cuda", "fp16") == Choice("onnxruntime-cuda", "fp16")
    assert choose("onnxruntime", "cpu", "fp32") == Choice("onnxruntime-cpu", "fp32")
    assert choose("onnxruntime", "cuda", "fp32") == Choice("onnxruntime-cuda", "fp32")
    assert choose("openvino", "cpu", "bf16") == Choice("openvino-cpu", "bf16")


@pytest.mark.parametrize(
    ("engine", "openvino", "onnx", "runs"),
    [
        ("auto", False, True, "onnxruntime-cpu"),
        ("auto", True, True, "openvino-cpu"),
        ("auto", False, None, "openvino-cpu"),  # refused, and the reason says why
        ("openvino", False, True, "openvino-cpu"),  # it is named
    ],
)
def test_auto_takes_what_was_exact(
    engine: EngineSetting, openvino: bool, onnx: bool | None, runs: str
) -> None:
    if not OPENVINO:
        pytest.skip("OpenVINO is not installed")
    (record,) = Tiny().manifest().parities
    parities = [record.replaced(engine="openvino-cpu", passed=openvino)]
    if onnx is not None:
        parities.insert(0, record.replaced(passed=onnx))
    manifest = Tiny().manifest().model_copy(update={"parities": tuple(parities)})
    assert choose(engine, "cpu", "fp32").of(manifest).engine == runs


def test_openvino_has_no_cuda() -> None:
    with pytest.raises(InvalidArgument, match="engine: OpenVINO runs on processors only"):
        choose("openvino", "cuda", "fp32")


def test_cuda_that_is_not_there(tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    choice = choose("auto", "cuda", "fp32")
    with pytest.raises(InvalidArgument, match=r"cuda is required.*segment-gpu"):
        choice.require_available()
    with pytest.raises(InvalidArgument, match=r"no CUDAExecutionProvider"):
        choice.open(write(tmp_path), Tiny().manifest(), threads=1)


def test_onnxruntime_has_no_bf16_on_processors() -> None:
    with pytest.raises(InvalidArgument, match=r"ONNX Runtime does not compute in bf16.*OpenVINO"):
        choose("onnxruntime", "cpu", "bf16").require_available()


@needs_openvino
def test_what_the_processor_does_not_compute_in() -> None:
    from services.segment.engines.openvino import capabilities  # noqa: PLC0415

    for precision in ("bf16", "fp16"):
        choice = choose("openvino", "cpu", precision)
        if precision.upper() in capabilities():
            choice.require_available()
            continue
        with pytest.raises(InvalidArgument, match=f"not compute in {precision} on this processor"):
            choice.require_available()


def test_openvino_that_is_not_installed() -> None:
    script = (
        "import sys, importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'openvino' else real(name, *more)\n"
        "sys.modules['openvino'] = None\n"
        "from services.segment.engines.choice import choose\n"
        "print(choose('auto', 'cpu', 'fp32').engine)\n"
        "choose('openvino', 'cpu', 'fp32').require_available()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "onnxruntime-cpu"
    assert "openvino is not installed" in done.stderr
    assert "pip install 'assay-services[openvino]'" in done.stderr


def test_a_narrow_type_needs_a_record_that_passed() -> None:
    manifest = Tiny().manifest()
    fine, bf16 = Choice("openvino-cpu", "fp32"), Choice("openvino-cpu", "bf16")
    fine.require_trusted(manifest)  # the graph as it is written
    with pytest.raises(PreconditionFailed, match=r"not measured; export it again where OpenVINO"):
        bf16.require_trusted(manifest)
    failed = parity("openvino-cpu", "bf16", passed=False)
    with pytest.raises(PreconditionFailed, match=r"only 98.71 % of the labels .* use fp32"):
        bf16.require_trusted(manifest.replaced(parities=(*manifest.parities, failed)))
    passed = parity("openvino-cpu", "bf16", passed=True)
    bf16.require_trusted(manifest.replaced(parities=(*manifest.parities, passed)))
    with pytest.raises(PreconditionFailed, match="export it with --precision fp16"):
        Choice("onnxruntime-cuda", "fp16").require_trusted(manifest)
    inexact = parity("openvino-cpu", "fp32", passed=False)
    with pytest.raises(PreconditionFailed, match="by openvino-cpu in fp32"):
        fine.require_trusted(manifest.replaced(parities=(*manifest.parities, inexact)))


def test_a_graph_in_fp16_is_not_taken_for_fp32() -> None:
    manifest = Tiny().manifest()
    half = manifest.replaced(
        graph=manifest.graph.replaced(precision="fp16"),
        parities=(parity("onnxruntime-cpu", "fp16", passed=True),),
    )
    Choice("onnxruntime-cuda", "fp16").require_trusted(half)
    with pytest.raises(PreconditionFailed, match=r"its graph is in fp16.*--precision fp32"):
        Choice("onnxruntime-cuda", "fp32").require_trusted(half)


def test_an_imported_graph_runs_as_it_is_written(tmp_path: Path) -> None:
    manifest = Tiny().manifest().replaced(parities=())
    engine = Choice("onnxruntime-cpu", "fp32").open(write(tmp_path), manifest, threads=1)
    assert engine.name == "onnxruntime-cpu"
