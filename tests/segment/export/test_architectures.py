"""Every SegFormer, B0 to B5, exported with random weights and compared with its source.

Minutes and gigabytes: only where it is asked for.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

if "ASSAY_TEST_EXPORTS" not in os.environ:
    pytest.skip("exports B0 to B5: set ASSAY_TEST_EXPORTS=1", allow_module_level=True)

from services.segment.export.architectures import ARCHITECTURES
from services.segment.export.command import export
from services.segment.manifest import verify_files

# Of the published models with ADE20K's 150 classes, as transformers counts them.
PARAMETERS = {
    "b0": 3_752_694,
    "b1": 13_715_798,
    "b2": 27_461_974,
    "b3": 47_337_814,
    "b4": 64_108_374,
    "b5": 84_708_694,
}


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_exported_with_parity(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    out = tmp_path / name
    done = export(out, architecture=name, random_weights=0)
    manifest = done.manifest
    verify_files(out, manifest)
    with capsys.disabled():
        print(f"\n{name}: {done.model_bytes:,} bytes in {done.seconds:.0f} s")
        for parity in manifest.parities:
            print(
                f"  {parity.engine} {parity.precision}: within {parity.max_abs_difference:.2g}, "
                f"{parity.label_agreement:.4%} of labels agree"
            )
    assert manifest.architecture == f"segformer-{name}"
    assert manifest.facts is not None
    assert manifest.facts.parameters == PARAMETERS[name]
    assert [stage.depth for stage in manifest.facts.stages] == list(ARCHITECTURES[name].depths)
    exact = [parity for parity in manifest.parities if parity.precision == "fp32"]
    assert [parity.engine for parity in exact] == [
        "onnxruntime-cpu",
        *(["openvino-cpu"] if find_spec("openvino") else []),
    ]
    assert all(parity.passed for parity in manifest.parities)
    assert all(parity.label_agreement >= 0.9999 for parity in exact)
    (out / "model.onnx").unlink()  # six of them take a gigabyte
