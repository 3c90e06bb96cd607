"""The engine of processors, and graphs that are no segmenters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.errors import InvalidArgument
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.manifest import MODEL_FILE
from tests.segment.tiny_model import Tiny, sealed, write


def inputs(tiny: Tiny, count: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(5)
    return list(rng.normal(size=(count, 3, tiny.height, tiny.width)).astype(np.float32))


@pytest.mark.parametrize("classes", [7, 300])
def test_a_batch_gives_each_pictures_logits_and_labels(tmp_path: Path, classes: int) -> None:
    tiny = Tiny(classes=classes)
    engine = OnnxEngine(write(tmp_path, tiny), tiny.manifest())
    assert (engine.name, engine.precision) == ("onnxruntime-cpu", "fp32")
    assert engine.max_batch_size is None
    batch = inputs(tiny, 3)
    for tensor, output in zip(batch, engine.run(batch), strict=True):
        np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)
        assert np.array_equal(output.labels, output.logits.argmax(2))
        assert output.labels.dtype == (np.uint8 if classes <= 256 else np.uint16)


def test_a_graph_of_fixed_batch_runs_one_at_a_time(tmp_path: Path) -> None:
    tiny = Tiny(batch=1)
    assert OnnxEngine(write(tmp_path, tiny), tiny.manifest()).max_batch_size == 1


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (Tiny(logits_name="scores"), r"lacks the outputs \['logits'\]; it has"),
        (Tiny(classes=5), "logits are .*5"),
        (Tiny(height=32), "fails on a picture of its size"),
        (Tiny(argmax_axis=2), "labels are"),
        (Tiny(negate_labels=True), "not the arg max of its logits"),
    ],
)
def test_a_graph_that_is_not_what_its_manifest_says(
    tmp_path: Path, made: Tiny, problem: str
) -> None:
    write(tmp_path, made)
    with pytest.raises(InvalidArgument, match=problem) as caught:
        OnnxEngine(tmp_path, Tiny().manifest())
    assert str(tmp_path / MODEL_FILE) in str(caught.value)


def test_a_graph_with_another_input(tmp_path: Path) -> None:
    manifest = Tiny().manifest()
    write(tmp_path)
    manifest = manifest.replaced(graph=manifest.graph.replaced(input="image"))
    with pytest.raises(InvalidArgument, match=r"inputs are \['pixel_values'\], not \['image'\]"):
        OnnxEngine(tmp_path, manifest)


def test_a_file_that_is_no_graph(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(b"no graph")
    sealed(tmp_path, Tiny().manifest())
    with pytest.raises(InvalidArgument, match=r"model.onnx: ONNX Runtime can't open it"):
        OnnxEngine(tmp_path, Tiny().manifest())


def test_a_graph_of_fixed_size_refuses_others(tmp_path: Path) -> None:
    engine = OnnxEngine(write(tmp_path), Tiny().manifest())
    with pytest.raises(
        InvalidArgument, match=r"tensor: \(3, 64, 64\); the graph of this model takes"
    ):
        engine.run([np.zeros((3, 64, 64), np.float32)])
