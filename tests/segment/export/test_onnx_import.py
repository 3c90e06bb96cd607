"""Ready ONNX segmenters: served with the labels that their file gives, or refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.errors import InvalidArgument
from services.segment.engines.choice import choose
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.export.command import import_graph
from services.segment.export.given import Given
from services.segment.manifest import read_manifest, verify_files

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")

pytestmark = pytest.mark.torch
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
SIZE = Given(size=(64, 96))
Axes = list[int | str]


def write(
    path: Path,
    *,
    classes: int = 3,
    step: int = 4,
    shape: Axes | None = None,
    last: bool = False,
    opset: int = 17,
    extra_output: bool = False,
    labels: bool = False,
    kind: int = FLOAT,
    metadata: dict[str, str] | None = None,
    padded: bool = True,
) -> Path:
    """A graph of one convolution; `last` puts its classes last, `labels` gives no logits.

    Not `padded`, its logits are the input's over a whole number only for sizes that it divides.
    """
    weights = np.random.default_rng(0).normal(size=(classes, 3, step, step)).astype(np.float32)
    pad = "SAME_UPPER" if padded else "VALID"
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], strides=[step, step], auto_pad=pad)]
    output = "y"
    if last:
        nodes.append(helper.make_node("Transpose", ["y"], ["t"], perm=[0, 2, 3, 1]))
        output = "t"
    outputs = [helper.make_tensor_value_info(output, FLOAT, [None] * 4)]
    if labels:
        nodes.append(helper.make_node("ArgMax", ["y"], ["l"], axis=1, keepdims=0))
        outputs = [helper.make_tensor_value_info("l", onnx.TensorProto.INT64, [None] * 3)]
    if extra_output:
        nodes.append(helper.make_node("Neg", ["y"], ["z"]))
        outputs.append(helper.make_tensor_value_info("z", FLOAT, [None] * 4))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape or ["n", 3, "h", "w"])],
        outputs,
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def labels_of(file: Path, pixels: Any, *, last: bool = False) -> Any:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"x": pixels[None]})
    return logits[0].argmax(2 if last else 0)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("shape", "free"),
    [
        (["n", 3, "h", "w"], (True, True)),
        ([1, 3, "h", "w"], (False, True)),
        (["n", 3, 64, 96], (True, False)),
        ([1, 3, 64, 96], (False, False)),
        ([None, None, None, None], (True, True)),
    ],
)
def test_labels_are_those_of_the_file(
    tmp_path: Path, shape: Axes, free: tuple[bool, bool], last: bool
) -> None:
    file = write(tmp_path / "mine.onnx", shape=shape, last=last)
    done = import_graph(file, tmp_path / "out", version="3", given=SIZE)
    manifest = read_manifest(tmp_path / "out")
    verify_files(tmp_path / "out", manifest)
    assert manifest == done.manifest
    assert (manifest.name, manifest.version) == ("mine", "3")
    assert (manifest.graph.dynamic_batch, manifest.graph.dynamic_size) == free
    assert [one.name for one in manifest.classes] == ["class 0", "class 1", "class 2"]
    assert manifest.parity is not None
    assert (manifest.parity.engine, manifest.parity.label_agreement) == ("onnxruntime-cpu", 1)
    assert manifest.license.id == "LicenseRef-Unknown"
    pixels = np.random.default_rng(1).standard_normal((3, 64, 96), dtype=np.float32)
    (output,) = OnnxEngine(tmp_path / "out", manifest).run([pixels])
    np.testing.assert_array_equal(output.labels, labels_of(file, pixels, last=last))


def test_a_free_size_that_gives_other_proportions_is_not_used(tmp_path: Path) -> None:
    file = write(tmp_path / "m.onnx", padded=False)
    manifest = import_graph(file, tmp_path / "out", given=SIZE).manifest
    assert not manifest.graph.dynamic_size


@pytest.mark.parametrize("step", [1, 2, 8])
def test_logits_of_other_proportions(tmp_path: Path, step: int) -> None:
    file = write(tmp_path / "m.onnx", step=step, shape=[1, 3, 64, 96])
    manifest = import_graph(file, tmp_path / "out").manifest
    assert manifest.graph.downsampling == step
    assert (manifest.preprocessing.height, manifest.preprocessing.width) == (64, 96)
    assert manifest.preprocessing.mean == (0.485, 0.456, 0.406)


def test_one_class_gets_a_background(tmp_path: Path) -> None:
    file = write(tmp_path / "m.onnx", classes=1)
    given = Given(size=(64, 96), threshold=0.3, license="MIT")
    manifest = import_graph(file, tmp_path / "out", given=given).manifest
    assert [one.name for one in manifest.classes] == ["background", "class 0"]
    assert manifest.license.id == "MIT"
    pixels = np.random.default_rng(1).standard_normal((3, 64, 96), dtype=np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"x": pixels[None]})
    (output,) = OnnxEngine(tmp_path / "out", manifest).run([pixels])
    np.testing.assert_array_equal(output.labels, 1 / (1 + np.exp(-logits[0, 0])) > 0.3)


NAMES = ["sky", "sea", "sand"]


@pytest.mark.parametrize("where", ["lines", "list", "by id", "config", "metadata", "beside"])
def test_names_of_the_classes(tmp_path: Path, where: str) -> None:
    by_id = {str(index): name for index, name in enumerate(NAMES)}
    texts = {
        "lines": "\n".join([*NAMES, "", ""]),
        "list": json.dumps(NAMES),
        "by id": json.dumps(by_id),
        "config": json.dumps({"id2label": by_id, "model_type": "x"}),
    }
    metadata = {"names": json.dumps(by_id)} if where == "metadata" else None
    file = write(tmp_path / "m.onnx", metadata=metadata)
    labels = None
    if where in texts:
        labels = tmp_path / "labels"
        labels.write_text(texts[where])
    elif where == "beside":
        (tmp_path / "config.json").write_text(texts["config"])
    manifest = import_graph(file, tmp_path / "out", given=SIZE, labels=labels).manifest
    assert [one.name for one in manifest.classes] == NAMES


def test_the_preprocessor_beside_the_file_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "m.onnx")
    beside = {"size": [64, 96], "image_mean": [0.5, 0.5, 0.5], "image_std": [1, 1, 1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(beside))
    found = import_graph(file, tmp_path / "out").manifest.preprocessing
    assert (found.height, found.width, found.mean) == (64, 96, (0.5, 0.5, 0.5))


def test_one_of_several_outputs(tmp_path: Path) -> None:
    file = write(tmp_path / "m.onnx", extra_output=True)
    with pytest.raises(InvalidArgument, match=r"2 tensors of four axes could be it.*y .*z "):
        import_graph(file, tmp_path / "out", given=SIZE)
    with pytest.raises(InvalidArgument, match="no output 'q'; it has y"):
        import_graph(file, tmp_path / "out", given=SIZE, output_name="q")
    import_graph(file, tmp_path / "out", given=SIZE, output_name="z")


def test_an_input_of_other_axes_is_named_though_it_was_chosen(tmp_path: Path) -> None:
    shape = [1, 64, 96]
    taken, found = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"
    )
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [taken], [found])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path / "m.onnx"
    onnx.save(model, file)
    for name in ("x", None):
        with pytest.raises(InvalidArgument, match=r"\[1, 64, 96\].*\(N, 3, H, W\) are needed"):
            import_graph(file, tmp_path / "out", given=SIZE, input_name=name)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "is empty"), (b"version https://git-lfs.github", "run `git lfs")]
)
def test_a_file_that_was_not_fetched_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InvalidArgument, match=says):
        import_graph(tmp_path / "m.onnx", tmp_path / "out", given=SIZE)


@pytest.mark.parametrize(
    ("graph", "given", "says"),
    [
        ({}, Given(), "size: the graph takes any: give the model's input with --size WxH"),
        ({"shape": [1, 3, 64, 96]}, Given(size=(32, 32)), "size: the graph takes 96x64 alone"),
        (
            {"shape": ["n", 1, "h", "w"]},
            SIZE,
            "pictures as float32 (N, 3, H, W) are needed: export",
        ),
        ({"labels": True}, SIZE, "without its arg max, whose labels hold no probabilities"),
        ({"opset": 9}, SIZE, "of opset 9; 11 is the least"),
        ({}, Given(size=(64, 96), threshold=0.5), "one class; this one has 3"),
        ({}, Given(size=(64, 96), license="my own"), "neither an SPDX id"),
        ({"metadata": {"names": '["a"]'}}, SIZE, "names 1 classes and the graph has 3"),
        ({"kind": onnx.TensorProto.DOUBLE}, SIZE, "ONNX Runtime can't open"),
    ],
)
def test_what_cannot_be_imported_is_named(
    tmp_path: Path, graph: dict[str, Any], given: Given, says: str
) -> None:
    file = write(tmp_path / "m.onnx", **graph)
    with pytest.raises(InvalidArgument, match=re.escape(says)):
        import_graph(file, tmp_path / "out", given=given)
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    for content in (b"", b"not onnx", bytes(100)):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(InvalidArgument, match="file: "):
            import_graph(tmp_path / "m.onnx", tmp_path / "out", given=SIZE)
    with pytest.raises(InvalidArgument, match="is no file"):
        import_graph(tmp_path / "nowhere.onnx", tmp_path / "out")
    with pytest.raises(InvalidArgument, match=r"labels: .* cannot be read"):
        import_graph(write(tmp_path / "m.onnx"), tmp_path / "out", given=SIZE,
                     labels=tmp_path / "nowhere")  # fmt: skip


def test_weights_in_other_files(tmp_path: Path) -> None:
    model = onnx.load(write(tmp_path / "m.onnx"))
    onnx.save(
        model, tmp_path / "apart.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    with pytest.raises(InvalidArgument, match="keeps its weights in other files: save it as one"):
        import_graph(tmp_path / "apart.onnx", tmp_path / "out", given=SIZE)


@pytest.mark.data
@pytest.mark.parametrize(
    ("stem", "classes", "batch"),
    [
        ("segformer-b0-ade-512-dynquant-uint8", 150, False),
        ("segformer-b0-microscopy3-dynquant-uint8", 3, True),
    ],
)
def test_real_quantised_files(
    data_dir: Path, tmp_path: Path, stem: str, classes: int, batch: bool
) -> None:
    """OpenVINO rounds what they quantise otherwise: where it was tried, it is not trusted."""
    manifest = import_graph(data_dir / f"segformer/{stem}.onnx", tmp_path / "out").manifest
    assert len(manifest.classes) == classes
    assert (manifest.graph.dynamic_batch, manifest.graph.dynamic_size) == (batch, False)
    passed = {(one.engine, one.precision): one.passed for one in manifest.parities}
    assert passed[("onnxruntime-cpu", "fp32")]
    choice = choose("auto", "cpu", "fp32").of(manifest)
    assert passed[(choice.engine, "fp32")]
