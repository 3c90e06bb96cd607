"""OpenVINO on the same files: the same labels, any size, and results that stay what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.errors import InvalidArgument
from services.segment.engines.engine import Floats
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.manifest import MODEL_FILE, read_manifest
from services.segment.reference import MODEL_DIRECTORY
from tests.segment.tiny_model import Tiny, write

pytest.importorskip("openvino")

from services.segment.engines.openvino import OpenVinoEngine, capabilities


def picture(*shape: int, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)


@pytest.mark.parametrize("classes", [7, 300])
def test_logits_and_labels(tmp_path: Path, classes: int) -> None:
    tiny = Tiny(classes=classes)
    engine = OpenVinoEngine(write(tmp_path, tiny), tiny.manifest())
    assert (engine.name, engine.precision, engine.max_batch) == ("openvino-cpu", "fp32", 1)
    tensor = picture(tiny.height, tiny.width)
    (output,) = engine.run([tensor])
    np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)
    assert np.array_equal(output.labels, output.logits.argmax(2))
    assert output.labels.dtype == (np.uint8 if classes <= 256 else np.uint16)


def test_results_outlive_the_next_runs() -> None:
    engine = OpenVinoEngine(MODEL_DIRECTORY, read_manifest(MODEL_DIRECTORY))
    first, second = engine.run([picture(256, 256, seed=1), picture(256, 256, seed=2)])
    kept = first.logits.copy(), first.labels.copy()
    engine.run([picture(256, 256, seed=3)])
    assert np.array_equal(first.logits, kept[0])
    assert np.array_equal(first.labels, kept[1])
    assert not np.shares_memory(first.logits, second.logits)
    assert not np.array_equal(first.logits, second.logits)


def test_sizes_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size gives what ONNX Runtime gives, and few stay compiled."""
    manifest = read_manifest(MODEL_DIRECTORY)
    engine = OpenVinoEngine(MODEL_DIRECTORY, manifest)
    reference = OnnxEngine(MODEL_DIRECTORY, manifest)
    compiled: list[tuple[int, ...]] = []
    compile_one = OpenVinoEngine._compiled

    def counted(self: OpenVinoEngine, model: object, shape: tuple[int, ...]) -> object:
        compiled.append(shape[1:])
        return compile_one(self, model, shape)

    monkeypatch.setattr(OpenVinoEngine, "_compiled", counted)
    sizes = [(64, 96), (70, 101), (64, 96), (33, 32), (64, 96), (256, 256), (40, 40), (70, 101)]
    for size in sizes:
        tensor = picture(*size)
        (found,), (wanted,) = engine.run([tensor]), reference.run([tensor])
        np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-3)
        assert (found.labels == wanted.labels).mean() > 0.999
    # (70, 101) had not been asked for lately when a fourth size came.
    assert compiled == [(64, 96), (70, 101), (33, 32), (40, 40), (70, 101)]


def test_a_size_that_the_graph_does_not_take(tmp_path: Path) -> None:
    engine = OpenVinoEngine(write(tmp_path), Tiny().manifest())
    with pytest.raises(InvalidArgument, match=r"tensor: .* the graph of this model takes"):
        engine.run([picture(64, 64)])
    free = replace(Tiny().manifest().graph, dynamic_size=True)
    engine = OpenVinoEngine(tmp_path, replace(Tiny().manifest(), graph=free))
    with pytest.raises(InvalidArgument, match="tensor: this model takes no picture of"):
        engine.run([picture(1, 1)])


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (Tiny(logits_name="scores"), r"lacks the outputs \['logits'\]; it has"),
        (Tiny(classes=5), "logits are .*5"),
    ],
)
def test_a_graph_that_is_not_what_its_manifest_says(
    tmp_path: Path, made: Tiny, problem: str
) -> None:
    write(tmp_path, made)
    with pytest.raises(InvalidArgument, match=problem) as caught:
        OpenVinoEngine(tmp_path, Tiny().manifest())
    assert str(tmp_path / MODEL_FILE) in str(caught.value)


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(b"no graph")
    with pytest.raises(InvalidArgument, match=r"model.onnx: OpenVINO can't open it"):
        OpenVinoEngine(tmp_path, Tiny().manifest())


def test_bf16_is_near_and_not_the_same() -> None:
    if "BF16" not in capabilities():
        pytest.skip("this processor has no bf16")
    manifest = read_manifest(MODEL_DIRECTORY)
    tensor = picture(256, 256)
    (wide,) = OpenVinoEngine(MODEL_DIRECTORY, manifest).run([tensor])
    (narrow,) = OpenVinoEngine(MODEL_DIRECTORY, manifest, precision="bf16").run([tensor])
    assert 0 < np.abs(wide.logits - narrow.logits).max() < 1
