"""The export as the command line calls it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.errors import InternalError, InvalidArgument
from services.segment.engines.parity import gate, measure_parity, probe_inputs
from services.segment.export.command import export
from services.segment.manifest import Manifest, manifest_digest, read_manifest, verify_files

Saver = Callable[..., Path]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give a checkpoint, or an architecture"),
        ({"architecture": "b4"}, "give a checkpoint, or an architecture and a seed"),
        ({"checkpoint": "a/b", "random_weights": 0}, "give either a checkpoint, or"),
        ({"architecture": "b9", "random_weights": 0}, "'b9' is unknown; known: b0, b1, b2, b3, b4"),
        ({"architecture": "b0", "random_weights": -1}, "seed: -1 is not in"),
        ({"architecture": "b0", "random_weights": 0, "name": "x"}, "named for what they are"),
        ({"architecture": "b0", "random_weights": 0, "version": "a/b"}, "version: 'a/b' is not a"),
    ],
)
def test_bad_combinations(tmp_path: Path, given: dict[str, str | int], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        export(tmp_path / "out", **given)  # type: ignore[arg-type]


def test_out_is_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(InvalidArgument, match="is not empty"):
        export(tmp_path, architecture="b4", random_weights=0)


def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from services.segment.export.command import export\n"
        f"export(Path({str(tmp_path / 'out')!r}), architecture='b0', random_weights=0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert "MissingLibrary: exporting needs torch, which is not installed" in done.stderr
    assert "pip install 'assay-services[export]'" in done.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_a_checkpoint_is_exported(tiny_checkpoint: Saver, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    checkpoint = tiny_checkpoint()
    lines: list[str] = []
    (checkpoint / "LICENSE").write_text("Apache License\nVersion 2.0")
    out = tmp_path / "out"
    done = export(out, checkpoint=str(checkpoint), version="2", progress=lines.append)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["LICENSE.txt", "manifest.json", "model.onnx"]
    manifest = read_manifest(out)
    verify_files(out, manifest)
    assert manifest == done.manifest
    assert manifest_digest(manifest) == done.digest
    assert (manifest.name, manifest.version) == ("tiny", "2")
    assert manifest.architecture == "segformer-custom"
    assert [item.name for item in manifest.classes] == ["sky", "sea", "sand"]
    assert manifest.license.id == "Apache-2.0"
    assert "source/model.safetensors" in manifest.digests
    assert manifest.parity is not None
    assert manifest.parity.label_agreement == 1
    assert manifest.parity.probes == 5
    assert lines[-1].startswith("the written graph: logits within")
    # Nothing of this machine is in the graph.
    assert str(Path.cwd()).encode() not in (out / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(out / "model.onnx")
    pixels = np.random.default_rng(0).random((3, 3, 40, 72), np.float32)
    logits, labels = session.run(["logits", "labels"], {"pixels": pixels})
    assert logits.shape == (3, 10, 18, 3)
    assert labels.dtype == np.uint8
    assert (labels == logits.argmax(-1)).all()
    _the_gate_refuses_another_model(checkpoint, out, manifest)


def _the_gate_refuses_another_model(checkpoint: Path, out: Path, manifest: Manifest) -> None:
    """The graph of one model against another: the bias of one class differs by 0.1."""
    from services.segment.engines.onnxruntime import OnnxEngine  # noqa: PLC0415
    from services.segment.export.checkpoint import load_checkpoint  # noqa: PLC0415
    from services.segment.export.measure import probed, require_passed  # noqa: PLC0415

    model = load_checkpoint(checkpoint, print).model
    inputs = probe_inputs(manifest.preprocessing)
    engine, needed = OnnxEngine(out, manifest), gate("fp32", "published")
    again = measure_parity(engine, probed(model, inputs), needed)
    assert manifest.parity is not None
    assert again.passed
    assert again.label_agreement == manifest.parity.label_agreement
    assert again.max_abs_difference == pytest.approx(manifest.parity.max_abs_difference, abs=1e-7)
    bias = model.decode_head.classifier.bias
    assert bias is not None
    bias.data[1] += 0.1
    other = measure_parity(engine, probed(model, inputs), needed)
    with pytest.raises(InternalError, match=r"differ by up to 0\.1 .* of labels agree .*nothing"):
        require_passed(other, needed)


@pytest.mark.torch
def test_a_model_without_finite_logits_is_not_exported(
    tiny_checkpoint: Saver, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    with pytest.raises(
        InvalidArgument, match="holds values that are not finite; training diverged"
    ):
        export(out, checkpoint=str(tiny_checkpoint(broken=True)))
    assert not out.parent.exists()


@pytest.mark.torch
def test_a_name_that_cannot_be_served(tiny_checkpoint: Saver, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="name: 'a/b' is not a name: letters"):
        export(tmp_path / "out", checkpoint=str(tiny_checkpoint()), name="a/b")


@pytest.mark.torch
def test_a_probe_that_is_no_picture(tiny_checkpoint: Saver, tmp_path: Path) -> None:
    probe = tmp_path / "probe.png"
    probe.write_bytes(b"no picture")
    with pytest.raises(InvalidArgument, match="is not a picture"):
        export(tmp_path / "out", checkpoint=str(tiny_checkpoint()), probes=[probe])
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
@pytest.mark.slow
def test_random_b0_is_exported(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = export(tmp_path / "out", architecture="b0", random_weights=0)
    manifest = done.manifest
    assert (manifest.name, manifest.weights) == ("segformer-b0-random", "random")
    assert manifest.architecture == "segformer-b0"
    assert manifest.license.id == "Apache-2.0"
    assert manifest.facts is not None
    assert manifest.facts.parameters == 3_752_694
    assert manifest.parity is not None
    assert manifest.parity.max_abs_difference < 1e-5
    verify_files(tmp_path / "out", manifest)
