"""A narrow type whose record is of another processor is measured here, and may be refused."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from assay_rpc.segment.v1 import segment_pb2
from structlog.testing import capture_logs

from services.errors import PreconditionFailed
from services.segment.engines.choice import Choice
from services.segment.engines.instructions import decisive_instructions
from services.segment.engines.recheck import rechecked
from services.segment.manifest import Manifest, ModelParity, WeightsKind, read_manifest
from tests.segment.conftest import Start
from tests.segment.tiny_model import Tiny, sealed, write

pytest.importorskip("openvino")

from services.segment.engines.openvino import capabilities

needs_bf16 = pytest.mark.skipif(
    "BF16" not in capabilities(), reason="OpenVINO does not compute in bf16 on this processor"
)
BF16 = Choice("openvino-cpu", "bf16")
HERE = decisive_instructions("openvino-cpu", "bf16")
# Two classes far apart: bf16 gives the other one at few pixels, with any instructions.
EXACT = Tiny(classes=2)
INEXACT = Tiny(alike=True)


def recorded(manifest: Manifest, instructions: str | None) -> Manifest:
    """The manifest with a record that bf16 was exact with those instructions."""
    passed = ModelParity(
        engine="openvino-cpu",
        precision="bf16",
        max_abs_difference=0.25,
        label_agreement=0.999,
        probes=5,
        passed=True,
        instruction_set=instructions,
    )
    return manifest.replaced(parities=(*manifest.parities, passed))


def model(directory: Path, tiny: Tiny, instructions: str | None) -> Path:
    write(directory, tiny)
    sealed(directory, recorded(tiny.manifest(), instructions))
    return directory


@needs_bf16
@pytest.mark.parametrize("instructions", ["another", None])
@pytest.mark.parametrize(("free_size", "probes"), [(False, 3), (True, 5)])
def test_a_record_of_other_instructions_is_measured(
    tmp_path: Path, instructions: str | None, *, free_size: bool, probes: int
) -> None:
    directory = model(tmp_path, replace(EXACT, free_size=free_size), instructions)
    with capture_logs() as logged:
        found = rechecked(BF16, directory, read_manifest(directory), threads=1)
    assert found is not None
    assert (found.engine, found.precision, found.instruction_set) == ("openvino-cpu", "bf16", HERE)
    assert (found.probes, found.passed) == (probes, True)
    assert 0 < found.max_abs_difference < 0.1
    assert 0.995 <= found.label_agreement <= 1
    (line,) = logged
    assert line["event"] == "measured on this processor"
    assert line["label_agreement"] == found.label_agreement
    assert (line["instruction_set"], line["recorded_with"]) == (HERE, instructions)


def test_a_record_of_these_instructions_is_trusted_unmeasured(tmp_path: Path) -> None:
    nowhere = tmp_path / "measuring would open this"
    assert rechecked(BF16, nowhere, recorded(INEXACT.manifest(), HERE), threads=1) is None
    unlike = recorded(INEXACT.manifest(), "another")
    assert rechecked(Choice("openvino-cpu", "fp32"), nowhere, unlike, threads=1) is None
    assert rechecked(Choice("onnxruntime-cpu", "fp32"), nowhere, unlike, threads=1) is None


@needs_bf16
@pytest.mark.parametrize(
    ("instructions", "named"), [("another", "another"), (None, "instructions that it does not")]
)
def test_what_is_not_exact_here_is_refused(
    tmp_path: Path, instructions: str | None, named: str
) -> None:
    directory = model(tmp_path, INEXACT, instructions)
    with pytest.raises(PreconditionFailed) as caught:
        rechecked(BF16, directory, read_manifest(directory), threads=1)
    said = str(caught.value)
    assert said.startswith("tiny is not served by openvino-cpu in bf16 on this processor")
    assert f"whose instruction set is {HERE}: measured here" in said
    assert "(at least 99.5 % required)" in said
    assert f"its record is of {named}" in said
    assert "use fp32 (ASSAY_SEGMENT_PRECISION is bf16)" in said


@needs_bf16
@pytest.mark.parametrize("weights", ["reference", "random"])
def test_ties_of_random_weights_are_no_reason(tmp_path: Path, weights: WeightsKind) -> None:
    directory = model(tmp_path, Tiny(classes=300), "another")
    manifest = read_manifest(directory).replaced(weights=weights)
    if weights == "random":
        found = rechecked(BF16, directory, manifest, threads=1)
        assert found is not None
        assert found.label_agreement < 0.995
        return
    with pytest.raises(PreconditionFailed, match="is not served"):
        rechecked(BF16, directory, manifest, threads=1)


@needs_bf16
async def test_a_server_tells_what_it_measured(tmp_path: Path, start: Start) -> None:
    elsewhere = model(tmp_path / "elsewhere", EXACT, "another")
    here = model(tmp_path / "here", replace(EXACT, name="here"), HERE)
    client = await start(models=[elsewhere, here], engine="openvino", precision="bf16")
    request = segment_pb2.GetModelRequest()
    request.model.name = "tiny"
    found = (await client.segment.GetModel(request, timeout=60)).model
    assert [one.engine.instruction_set for one in found.parities] == ["", "another"]
    assert found.measured_here.engine.instruction_set == HERE
    assert found.measured_here.passed
    assert found.measured_here.label_agreement >= 0.995
    request.model.name = "here"
    found = (await client.segment.GetModel(request, timeout=60)).model
    assert found.parities[1].engine.instruction_set == HERE
    assert not found.HasField("measured_here")


@needs_bf16
async def test_a_server_does_not_start_with_what_is_not_exact_here(
    tmp_path: Path, start: Start
) -> None:
    directory = model(tmp_path, INEXACT, "another")
    with pytest.raises(PreconditionFailed, match="tiny is not served by openvino-cpu in bf16 on"):
        await start(models=[directory], engine="openvino", precision="bf16")
    client = await start(models=[directory], engine="openvino", precision="fp32")
    found = (await client.segment.GetModel(segment_pb2.GetModelRequest(), timeout=60)).model
    assert not found.HasField("measured_here")


@needs_bf16
@pytest.mark.parametrize(
    ("limit", "printed"),
    [("AVX512_CORE_BF16", "None"), ("AVX512_CORE", "avx512_core True")],
)
def test_the_reference_model_with_fewer_instructions(limit: str, printed: str) -> None:
    """Its record is trusted with the instructions that it names; with others it is measured."""
    if HERE not in {"avx512_core_amx_fp16", "avx512_core_amx", "avx512_core_bf16"}:
        pytest.skip(f"this processor has {HERE}, the record is of avx512_core_bf16")
    script = (
        "from services.segment.engines.choice import Choice\n"
        "from services.segment.engines.recheck import rechecked\n"
        "from services.segment.manifest import read_manifest\n"
        "from services.segment.reference import MODEL_DIRECTORY as model\n"
        "bf16 = Choice('openvino-cpu', 'bf16')\n"
        "found = rechecked(bf16, model, read_manifest(model), threads=1)\n"
        "print(found and f'{found.instruction_set} {found.passed}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": limit},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == printed
