"""Graphs in narrower number types: near the source, wide where it matters, and checked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from services.segment.export.command import export
from services.segment.manifest import Precision, read_manifest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from services.segment.export.checkpoint import load_checkpoint  # noqa: E402
from services.segment.export.folding import FoldedSegformer  # noqa: E402
from services.segment.export.precision import in_precision  # noqa: E402

pytestmark = pytest.mark.torch
Saver = Callable[..., Path]
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_narrow_and_near(tiny_checkpoint: Saver, precision: Precision) -> None:
    folded = FoldedSegformer(load_checkpoint(tiny_checkpoint(), print).model, torch.uint8).eval()
    before = {key: value.clone() for key, value in folded.state_dict().items()}
    narrow = in_precision(folded, precision)
    pixels = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted, _ = folded(pixels)
        logits, labels = narrow(pixels)
    assert logits.dtype == torch.float32
    assert labels.dtype == torch.uint8
    difference = (logits - wanted).abs().max()
    assert 0 < difference <= 0.02 * wanted.abs().max().clamp_min(1)
    assert torch.equal(labels.long(), logits.argmax(-1))
    after = folded.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    kinds = {key: value.dtype for key, value in narrow.state_dict().items()}
    narrowed = {key for key, kind in kinds.items() if kind == TYPES[precision]}
    assert any("q_proj" in key for key in narrowed)
    assert not any("norm" in key or "classifier" in key for key in narrowed)
    assert any("patch" in key and "proj" in key for key in narrowed) == (precision == "fp16")


def test_fp32_is_the_module_itself(tiny_checkpoint: Saver) -> None:
    folded = FoldedSegformer(load_checkpoint(tiny_checkpoint(), print).model, torch.uint8)
    assert in_precision(folded, "fp32") is folded


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "engine"), [("fp16", "onnxruntime-cpu"), ("bf16", "openvino-cpu")]
)
def test_a_checkpoint_in_a_narrow_type(
    tiny_checkpoint: Saver, tmp_path: Path, precision: Precision, engine: str
) -> None:
    if engine == "openvino-cpu" and not find_spec("openvino"):
        pytest.skip("openvino is not installed")
    wide = load_checkpoint(tiny_checkpoint(), print).model
    export(tmp_path / "out", checkpoint=str(tiny_checkpoint()), precision=precision)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.graph.precision == precision
    assert manifest.parity is not None
    assert (manifest.parity.engine, manifest.parity.precision) == (engine, precision)
    assert manifest.parity.passed
    assert manifest.facts is not None
    assert manifest.facts.parameters == wide.num_parameters()


def test_bf16_without_an_engine_to_check_it(tmp_path: Path) -> None:
    script = (
        "import importlib.util as util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'openvino' else real(name, *more)\n"
        "from services.segment.export.measure import require_engine\n"
        "require_engine('fp16')\n"
        "require_engine('bf16')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "Unavailable: a graph in bf16 is checked with openvino" in done.stderr
    assert "pip install 'assay-services[openvino]'" in done.stderr
