"""The engine of GPUs. Where there is none its bindings are tried on the processor instead."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from structlog.testing import capture_logs

from services.errors import EngineUnavailable, InvalidArgument
from services.segment.engines import gpu_sessions
from services.segment.engines.choice import Choice
from services.segment.engines.cuda import CudaEngine
from services.segment.engines.gpu_calls import CALLS
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.manifest import read_manifest
from services.segment.reference import MODEL_DIRECTORY
from tests.segment.engines.processor_device import OrdinaryMemory, pictures
from tests.segment.tiny_model import Tiny, write

HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.mark.parametrize("classes", [7, 300])
@pytest.mark.usefixtures("on_the_processor")
def test_a_batch_of_any_size_gives_each_pictures_labels(tmp_path: Path, classes: int) -> None:
    tiny = Tiny(classes=classes)
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=6)
    assert (engine.name, engine.precision, engine.max_batch_size) == ("onnxruntime-cuda", "fp32", 6)
    for count in (1, 3, 6, 2, 5):
        batch = pictures(tiny, count, seed=count)
        outputs = engine.run(batch)
        assert len(outputs) == count
        for tensor, output in zip(batch, outputs, strict=True):
            np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-5)
            assert np.array_equal(output.labels, output.logits.argmax(2))
            assert output.labels.dtype == (np.uint8 if classes <= 256 else np.uint16)
    with pytest.raises(ValueError, match="fits none"):
        engine.run(pictures(tiny, 7))


@pytest.mark.slow
@pytest.mark.usefixtures("on_the_processor")
def test_results_outlive_the_next_runs(tmp_path: Path) -> None:
    tiny = Tiny()
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=2)
    first, second = engine.run(pictures(tiny, 2))
    kept = first.logits.copy(), first.labels.copy()
    del second
    gc.collect()
    for seed in range(3):
        engine.run(pictures(tiny, 2, seed=10 + seed))
    assert np.array_equal(first.logits, kept[0])
    assert np.array_equal(first.labels, kept[1])


@pytest.mark.slow
def test_its_memory_goes_with_it_and_with_its_last_result(
    tmp_path: Path, on_the_processor: OrdinaryMemory
) -> None:
    tiny = Tiny()
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=2)
    outputs = engine.run(pictures(tiny, 2))
    kept = outputs[0].logits.copy()
    assert on_the_processor.blocks
    del engine
    gc.collect()
    assert np.array_equal(outputs[0].logits, kept)
    del outputs
    gc.collect()
    assert not on_the_processor.blocks


def test_one_that_is_unloaded_while_another_captures_frees_nothing_before(
    tmp_path: Path, on_the_processor: OrdinaryMemory
) -> None:
    tiny = Tiny()
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=2)
    session, held = weakref.ref(engine._plain[0]), set(on_the_processor.blocks)
    with CALLS.alone():
        del engine
        gc.collect()
        assert session() is not None
        assert set(on_the_processor.blocks) == held
    gc.collect()
    assert session() is None
    assert not on_the_processor.blocks


@pytest.mark.usefixtures("on_the_processor")
def test_pictures_of_another_size() -> None:
    manifest = read_manifest(MODEL_DIRECTORY)
    engine = CudaEngine(MODEL_DIRECTORY, manifest, max_batch_size=2)
    batch = list(np.random.default_rng(0).normal(size=(3, 3, 64, 96)).astype(np.float32))
    wanted = OnnxEngine(MODEL_DIRECTORY, manifest).run(batch)
    for found, one in zip(engine.run(batch), wanted, strict=True):
        np.testing.assert_allclose(found.logits, one.logits, atol=1e-4)


@pytest.mark.usefixtures("on_the_processor")
def test_a_graph_of_fixed_batch_runs_one_at_a_time(tmp_path: Path) -> None:
    tiny = Tiny(batch=1)
    assert CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=8).max_batch_size == 1


def test_each_run_is_on_its_gpu(tmp_path: Path, on_the_processor: OrdinaryMemory) -> None:
    tiny = Tiny(free_size=True)
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=2)
    on_the_processor.used.clear()
    engine.run(pictures(tiny, 2))
    engine.run([np.zeros((3, 32, 32), np.float32)])
    assert len(on_the_processor.used) >= 2
    assert set(on_the_processor.used) == {0}


@pytest.mark.slow
def test_it_is_compared_with_the_processor(
    on_the_processor: OrdinaryMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale input gives every picture the labels of the first: shapes and arg max are right."""
    manifest = read_manifest(MODEL_DIRECTORY)
    choice = Choice("onnxruntime-cuda", "fp32")
    choice.open(MODEL_DIRECTORY, manifest, threads=2, max_batch_size=2)
    on_the_processor.copies = False
    on_the_processor.filled.clear()
    with pytest.raises(EngineUnavailable, match=r"of its labels agree with the processor's"):
        choice.open(MODEL_DIRECTORY, manifest, threads=2, max_batch_size=2)


def test_two_wheels_in_one_folder_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if HAS_CUDA:
        pytest.skip("this ONNX Runtime has CUDA")
    monkeypatch.setattr(gpu_sessions, "_version", lambda _: "1.31.1")
    with pytest.raises(InvalidArgument, match=r"are both installed.*pip uninstall both"):
        gpu_sessions.require_provider()


def test_what_loading_prints_is_kept_off_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("Failed to load libcublas"))
    with capture_logs() as logs:
        gpu_sessions.preload()
    assert capsys.readouterr().out == ""
    assert logs[0]["said"] == "Failed to load libcublas"


def test_a_gpu_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if HAS_CUDA:
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(InvalidArgument, match=r"has no CUDAExecutionProvider.*segment-gpu"):
        CudaEngine(write(tmp_path), Tiny().manifest())
    # As a build with CUDA does where its libraries or the driver are missing: the provider is
    # listed, and the session silently runs on the processor.
    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(
            InvalidArgument,
            match=r"could not use CUDAExecutionProvider on GPU 0.*ASSAY_SEGMENT_GPUS",
        ),
    ):
        CudaEngine(tmp_path, Tiny().manifest())


@pytest.mark.skipif(not HAS_CUDA, reason="no CUDA here")
def test_on_a_gpu(tmp_path: Path) -> None:
    tiny = Tiny()
    engine = CudaEngine(write(tmp_path, tiny), tiny.manifest(), max_batch_size=4)
    batch = pictures(tiny, 3)
    for tensor, output in zip(batch, engine.run(batch), strict=True):
        np.testing.assert_allclose(output.logits, tiny.logits(tensor), atol=1e-3)
