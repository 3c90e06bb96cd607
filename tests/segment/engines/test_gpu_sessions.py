"""Providers and their options; CUDA graphs and TensorRT, with the processor as their device."""

from __future__ import annotations

import collections
import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from structlog.testing import capture_logs

from services.errors import EngineUnavailable, InvalidArgument
from services.segment.engines import gpu_sessions
from services.segment.engines.check import GraphCheck
from services.segment.engines.choice import Choice, choose
from services.segment.engines.cuda import CudaEngine
from services.segment.engines.engine import Floats, GpuOptions, Output
from services.segment.engines.gpu_sessions import (
    Sessions,
    cuda_options,
    require_provider,
    tensorrt_options,
)
from services.segment.engines.onnxruntime import session_options
from services.segment.manifest import ModelGraph, read_manifest
from services.segment.reference import MODEL_DIRECTORY
from tests.segment.engines.processor_device import OrdinaryMemory, pictures
from tests.segment.tiny_model import Tiny, write

GRAPHS = GpuOptions(graphs=True)
HAS_TENSORRT = "TensorrtExecutionProvider" in onnxruntime.get_available_providers()


def in_fp16(graph: ModelGraph) -> ModelGraph:
    return graph.model_copy(update={"precision": "fp16"})


def test_cuda_is_exact_and_bounded_and_captures_where_it_is_asked_to() -> None:
    manifest = read_manifest(MODEL_DIRECTORY)
    options = cuda_options(manifest, GpuOptions(2))
    assert options["device_id"] == 2
    assert options["use_tf32"] == 0
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert not {"gpu_mem_limit", "enable_cuda_graph"} & set(options)
    options = cuda_options(manifest, GpuOptions(memory_bytes=1 << 30), graph=True)
    assert (options["gpu_mem_limit"], options["enable_cuda_graph"]) == (1 << 30, 1)


def test_tensorrt_gets_a_profile_of_its_batches_and_a_folder_of_its_versions(
    tmp_path: Path,
) -> None:
    manifest = read_manifest(MODEL_DIRECTORY)
    options = tensorrt_options(manifest, GpuOptions(1, cache=str(tmp_path)), (1, 2, 4), graph=False)
    assert options["device_id"] == 1
    assert options["trt_profile_min_shapes"] == "pixels:1x3x256x256"
    assert options["trt_profile_opt_shapes"] == "pixels:4x3x256x256"
    assert options["trt_profile_max_shapes"] == "pixels:4x3x256x256"
    assert (options["trt_fp16_enable"], options["trt_cuda_graph_enable"]) == (0, 0)
    folder = Path(str(options["trt_engine_cache_path"]))
    assert folder.parent == tmp_path
    assert onnxruntime.__version__ in folder.name
    assert options["trt_timing_cache_path"] == str(folder)
    digest = manifest.digests["model.onnx"].removeprefix("sha256:")[:16]
    assert options["trt_engine_cache_prefix"] == f"{digest}-fp32-1-4"
    narrow = manifest.model_copy(update={"graph": in_fp16(manifest.graph)})
    options = tensorrt_options(narrow, GpuOptions(memory_bytes=5), (8,), graph=True)
    assert options["trt_fp16_enable"] == options["trt_layer_norm_fp32_fallback"] == 1
    assert options["trt_cuda_graph_enable"] == 1
    assert options["trt_max_workspace_size"] == 5
    assert options["trt_profile_min_shapes"] == options["trt_profile_max_shapes"]
    assert "trt_engine_cache_path" not in options


def test_tensorrt_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="TensorRT runs on GPUs only: use the device"):
        choose("tensorrt", "cpu", "fp32")
    assert choose("tensorrt", "cuda", "fp16") == Choice("onnxruntime-tensorrt", "fp16")
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    require_provider()
    with pytest.raises(InvalidArgument, match=r"has no TensorrtExecutionProvider: install onnx"):
        Choice("onnxruntime-tensorrt", "fp32").require_available()


@pytest.mark.usefixtures("on_the_processor")
def test_tensorrt_whose_libraries_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is listed, and the session silently runs without it."""
    if HAS_TENSORRT:
        pytest.skip("this ONNX Runtime has TensorRT")
    listed = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    with (
        pytest.warns(UserWarning, match="TensorrtExecutionProvider"),
        pytest.raises(InvalidArgument, match=r"could not use TensorrtExec.* GPU 0: install tensor"),
    ):
        CudaEngine(write(tmp_path), Tiny().manifest(), tensorrt=True)


@pytest.mark.usefixtures("on_the_processor")
def test_a_home_that_nothing_can_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    manifest = read_manifest(MODEL_DIRECTORY)
    gpu = GpuOptions(cache=str(tmp_path / "file" / "tensorrt"))
    sessions = Sessions(GraphCheck(MODEL_DIRECTORY, manifest), manifest, gpu)
    with pytest.raises(InvalidArgument, match="TensorRT's engines cannot be kept in"):
        sessions.tensorrt((1,))


@pytest.mark.usefixtures("on_the_processor")
def test_a_captured_session_computes_no_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are known when it is opened, so that no node of it is on the processor."""
    onnx = pytest.importorskip("onnx")
    manifest = read_manifest(MODEL_DIRECTORY)
    sessions = Sessions(GraphCheck(MODEL_DIRECTORY, manifest), manifest, GpuOptions())
    make = session_options

    def nodes(name: str, of_size: int | None) -> collections.Counter[str]:
        def keeping(threads: int) -> onnxruntime.SessionOptions:
            options = make(threads)
            options.optimized_model_filepath = str(tmp_path / name)
            return options

        monkeypatch.setattr(gpu_sessions, "session_options", keeping)
        if of_size is None:
            sessions.plain()
        else:
            dimensions = sessions.plain().get_inputs()[0].shape
            sessions.captured(of_size, dimensions, tensorrt=False)
        graph = onnx.load(tmp_path / name, load_external_data=False).graph
        return collections.Counter(node.op_type for node in graph.node)

    assert nodes("plain", None)["Shape"] > 0
    fixed = nodes("fixed", 2)
    assert fixed["MatMul"] > 0
    assert not fixed["Shape"]


@pytest.mark.parametrize("classes", [7, 300])
@pytest.mark.usefixtures("on_the_processor")
def test_each_size_of_batch_has_a_session_that_replays(tmp_path: Path, classes: int) -> None:
    tiny = Tiny(classes=classes)
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), GRAPHS, max_batch_size=4)
    assert engine.replays
    sessions = {size: found.session for size, found in engine._buckets.items()}
    assert list(sessions) == [1, 2, 4]
    assert len({id(session) for session in [engine._plain, *sessions.values()]}) == 4
    for size, session in sessions.items():
        assert session.get_inputs()[0].shape == [size, 3, tiny.height, tiny.width]
    kept: list[tuple[list[Floats], Sequence[Output]]] = []
    for count in (1, 3, 4, 2, 3):
        batch = pictures(tiny, count, seed=10 * len(kept) + count)
        kept.append((batch, engine.run(batch)))
    # Of all of them, after the last: what a graph wrote is written again by its next run.
    for batch, outputs in kept:
        for tensor, output in zip(batch, outputs, strict=True):
            np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)
            assert np.array_equal(output.labels, output.logits.argmax(2))


def test_its_memory_goes_with_it(tmp_path: Path, on_the_processor: OrdinaryMemory) -> None:
    tiny = Tiny()
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), GRAPHS, max_batch_size=2)
    outputs = engine.run(pictures(tiny, 2))
    del engine, outputs
    gc.collect()
    assert not on_the_processor.blocks


@pytest.mark.usefixtures("on_the_processor")
def test_other_sizes_are_computed_by_no_graph() -> None:
    manifest = read_manifest(MODEL_DIRECTORY)
    engine = CudaEngine(MODEL_DIRECTORY, manifest, GRAPHS, max_batch_size=1)
    (output,) = engine.run([np.zeros((3, 64, 96), np.float32)])
    assert output.labels.shape == (16, 24)


@pytest.mark.usefixtures("on_the_processor")
def test_what_cannot_be_captured_is_computed_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("This session cannot use the graph capture feature")

    monkeypatch.setattr(Sessions, "captured", fails)
    tiny = Tiny()
    with capture_logs() as logs:
        engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), GRAPHS, max_batch_size=2)
    (said,) = [log for log in logs if log["event"] == "no CUDA graphs"]
    assert said["why"] == "This session cannot use the graph capture feature"
    assert not engine.replays
    (tensor,) = pictures(tiny, 1)
    (output,) = engine.run([tensor])
    np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)


def test_graphs_that_read_what_was_there_before_are_not_used(
    tmp_path: Path, on_the_processor: OrdinaryMemory
) -> None:
    on_the_processor.copies = False
    tiny = Tiny()
    with capture_logs() as logs:
        engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), GRAPHS)
    (said,) = [log for log in logs if log["event"] == "no CUDA graphs"]
    assert "of a batch of 1 logits differ by up to" in said["why"]
    assert not engine.replays


@pytest.mark.filterwarnings("ignore:Duplicate provider")
@pytest.mark.parametrize("graphs", [False, True])
def test_tensorrt_computes_the_models_own_size(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_the_processor: OrdinaryMemory,
    *,
    graphs: bool,
) -> None:
    monkeypatch.setattr(gpu_sessions, "TENSORRT_PROVIDER", "CPUExecutionProvider")
    tiny = Tiny(free_size=True)
    directory = write(tmp_path, tiny)
    kept = tmp_path / "home" / "tensorrt"
    gpu = GpuOptions(graphs=graphs, cache=str(kept))
    engine = CudaEngine(directory, tiny.manifest(), gpu, max_batch_size=2, tensorrt=True)
    assert len(list(kept.iterdir())) == 1
    assert (engine.name, engine.replays) == ("onnxruntime-tensorrt", graphs)
    assert engine._plain not in [found.session for found in engine._buckets.values()]
    batch = pictures(tiny, 2)
    for tensor, output in zip(batch, engine.run(batch), strict=True):
        np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)
    assert engine.run([np.zeros((3, 32, 32), np.float32)])[0].labels.shape == (8, 8)
    on_the_processor.copies = False
    on_the_processor.filled.clear()
    with pytest.raises(EngineUnavailable, match="from those of the CUDA provider"):
        CudaEngine(directory, tiny.manifest(), gpu, max_batch_size=2, tensorrt=True)
