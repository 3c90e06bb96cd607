"""OpenVINO on the same files: the same labels, any size, and results that stay what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zstandard
from assay_rpc.segment.v1 import images_pb2, segment_pb2
from PIL import Image

from services.errors import InvalidArgument, PreconditionFailed
from services.segment.engines.choice import Choice
from services.segment.engines.engine import Floats
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.engines.recheck import rechecked
from services.segment.images.preprocess import Preprocessor
from services.segment.images.upsample import upsample_argmax
from services.segment.manifest import MODEL_FILE, Precision, read_manifest
from services.segment.reference import MODEL_DIRECTORY
from services.segment.reference.scenes.draw import draw_scene
from tests.segment.conftest import Start, precision_of
from tests.segment.tiny_model import Tiny, write

pytest.importorskip("openvino")

from services.segment.engines import sizes
from services.segment.engines.openvino import OpenVinoEngine, capabilities


def picture(*shape: int, seed: int = 5) -> Floats:
    return np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)


@pytest.mark.parametrize("classes", [7, 300])
def test_logits_and_labels(tmp_path: Path, classes: int) -> None:
    tiny = Tiny(classes=classes)
    engine = OpenVinoEngine(write(tmp_path, tiny), tiny.manifest())
    assert (engine.name, engine.precision, engine.max_batch_size) == ("openvino-cpu", "fp32", 1)
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


@pytest.mark.slow
def test_sizes_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size gives what ONNX Runtime gives, and few stay compiled."""
    manifest = read_manifest(MODEL_DIRECTORY)
    reference = OnnxEngine(MODEL_DIRECTORY, manifest)
    compiled: list[tuple[int, ...]] = []
    compile_one = OpenVinoEngine._compiled

    def counted(self: OpenVinoEngine, shape: tuple[int, ...]) -> object:
        compiled.append(shape[1:])
        return compile_one(self, shape)

    monkeypatch.setattr(OpenVinoEngine, "_compiled", counted)
    monkeypatch.setattr(sizes, "_PAUSE_SECONDS", 0.0)
    engine = OpenVinoEngine(MODEL_DIRECTORY, manifest)
    assert compiled == [(256, 256)]
    compiled.clear()

    def check(size: tuple[int, int]) -> None:
        tensor = picture(*size)
        (found,), (wanted,) = engine.run([tensor]), reference.run([tensor])
        np.testing.assert_allclose(found.logits, wanted.logits, atol=1e-3)
        assert (found.labels == wanted.labels).mean() > 0.999

    for size in [(64, 96), (70, 101), (256, 256), (33, 32), (40, 40), (35, 64), (64, 96)]:
        check(size)
    assert compiled == [(-1, -1)]  # one graph of free shape for all of them
    for _ in range(sizes.OFTEN):
        check((64, 96))
    engine._other.wait()
    assert compiled == [(-1, -1), (64, 96)]
    check((64, 96))


def test_other_sizes_are_of_the_graph_that_was_opened(tmp_path: Path) -> None:
    tiny = Tiny(free_size=True)
    engine = OpenVinoEngine(write(tmp_path, tiny), tiny.manifest())
    file = tmp_path / MODEL_FILE
    write(tmp_path, replace(tiny, seed=1))
    for size in [(64, 32), (32, 160)]:
        tensor = picture(*size)
        (output,) = engine.run([tensor])
        np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)
        file.unlink(missing_ok=True)


def test_a_size_that_the_graph_does_not_take(tmp_path: Path) -> None:
    engine = OpenVinoEngine(write(tmp_path), Tiny().manifest())
    with pytest.raises(InvalidArgument, match=r"tensor: .* the graph of this model takes"):
        engine.run([picture(64, 64)])
    free = Tiny().manifest().graph.replaced(dynamic_size=True)
    engine = OpenVinoEngine(tmp_path, Tiny().manifest().replaced(graph=free))
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


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
async def test_the_reference_model_is_served(start: Start, precision: Precision) -> None:
    if precision.upper() not in capabilities():
        pytest.skip(f"this processor has no {precision}")
    try:
        rechecked(
            Choice("openvino-cpu", precision),
            MODEL_DIRECTORY,
            read_manifest(MODEL_DIRECTORY),
            threads=1,
        )
    except PreconditionFailed as error:
        pytest.skip(str(error))
    client = await start(models=[MODEL_DIRECTORY], engine="openvino", precision=precision)
    reply = await client.segment.GetModel(segment_pb2.GetModelRequest(), timeout=60)
    served_on = (reply.model.engine.id, precision_of(reply.model.engine))
    assert served_on == ("openvino-cpu", precision)
    ways = {(one.engine.id, precision_of(one.engine)) for one in reply.model.parities if one.passed}
    assert {("onnxruntime-cpu", "fp32"), ("openvino-cpu", "fp32"), ("openvino-cpu", "bf16")} == ways
    scene, _ = draw_scene(3, 200, 300)
    tensor = images_pb2.PixelTensor(height=200, width=300, rgb=scene.tobytes())
    served = await client.segment.SegmentImage(
        segment_pb2.SegmentImageRequest(image=images_pb2.Image(pixels=tensor)), timeout=60
    )
    labels = np.frombuffer(zstandard.decompress(served.labels.data), np.uint8).reshape(200, 300)
    picture = Image.fromarray(scene)
    manifest = read_manifest(MODEL_DIRECTORY)
    (wanted,) = OnnxEngine(MODEL_DIRECTORY, manifest).run(
        [Preprocessor(manifest.preprocessing)(picture)]
    )
    agreement = (labels == upsample_argmax(wanted.logits, wanted.labels, 200, 300)).mean()
    assert agreement >= (0.9999 if precision == "fp32" else 0.99)


@pytest.mark.slow
def test_bf16_is_near_and_not_the_same() -> None:
    if "BF16" not in capabilities():
        pytest.skip("this processor has no bf16")
    manifest = read_manifest(MODEL_DIRECTORY)
    tensor = picture(256, 256)
    (wide,) = OpenVinoEngine(MODEL_DIRECTORY, manifest).run([tensor])
    (narrow,) = OpenVinoEngine(MODEL_DIRECTORY, manifest, precision="bf16").run([tensor])
    assert 0 < np.abs(wide.logits - narrow.logits).max() < 5  # with AMX more than 1
