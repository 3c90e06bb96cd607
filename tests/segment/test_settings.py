"""Settings come from the environment and are checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.rpc.settings import load_settings
from services.segment.engines.choice import Choice
from services.segment.engines.engine import GpuOptions
from services.segment.settings import REFERENCE_MODELS, SegmentSettings


def test_defaults_serve_the_reference_model() -> None:
    settings = load_settings(SegmentSettings)
    assert settings.models == (REFERENCE_MODELS,)
    assert (settings.port, settings.health_port, settings.metrics_port) == (50051, 50061, 50071)
    assert settings.cpu_threads >= 1
    assert settings.pool_threads >= 1
    assert settings.limits.max_batch_size == 1


def test_models_run_on_every_gpu_or_once_on_a_processor() -> None:
    on_a_processor = SegmentSettings.model_validate({"gpus": [0, 2]})
    assert on_a_processor.devices == (0,)
    on_gpus = SegmentSettings.model_validate({"device": "cuda", "gpus": [0, 2]})
    assert on_gpus.devices == (0, 2)
    assert on_gpus.choice == Choice("onnxruntime-cuda", "fp32")


def test_gpus_get_batches_unless_another_size_is_asked_for() -> None:
    assert SegmentSettings.model_validate({"device": "cuda"}).limits.max_batch_size == 32
    given = SegmentSettings.model_validate({"device": "cuda", "max_batch": 4})
    assert given.limits.max_batch_size == 4


def test_one_call_keeps_every_gpu_at_work() -> None:
    values = {"device": "cuda", "gpus": [0, 1, 2], "max_batch": 8, "workers": 4}
    settings = SegmentSettings.model_validate(values)
    assert settings.stream_items == 3 * 2 * 8 + 4
    assert settings.evaluation_pairs == 3 * 8 + 4
    assert SegmentSettings.model_validate(values | {"queue_items": 5}).evaluation_pairs == 15


def test_openvino_has_no_gpus() -> None:
    with pytest.raises(ValidationError, match="OpenVINO runs on processors only"):
        SegmentSettings.model_validate({"device": "cuda", "engine": "openvino"})


def test_tensorrt_has_gpus_only() -> None:
    with pytest.raises(ValidationError, match="TensorRT runs on GPUs only"):
        SegmentSettings.model_validate({"engine": "tensorrt"})
    settings = SegmentSettings.model_validate({"device": "cuda", "engine": "tensorrt"})
    assert settings.choice == Choice("onnxruntime-tensorrt", "fp32")


def test_how_models_are_opened_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_HOME", "/home/assay")
    monkeypatch.setenv("ASSAY_SEGMENT_GPU_GRAPHS", "true")
    monkeypatch.setenv("ASSAY_SEGMENT_GPU_MEMORY_BYTES", "1000")
    found = load_settings(SegmentSettings).on_gpu(3)
    assert found == GpuOptions(3, memory_bytes=1000, graphs=True, cache="/home/assay/tensorrt")
    monkeypatch.delenv("ASSAY_SEGMENT_GPU_GRAPHS")
    assert not load_settings(SegmentSettings).on_gpu(0).graphs


def test_every_field_is_documented() -> None:
    fields = SegmentSettings.model_fields
    assert [name for name, field in fields.items() if not field.description] == []


def test_lists_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SEGMENT_MODELS", '["/a", "/b"]')
    monkeypatch.setenv("ASSAY_SEGMENT_ACCEPTED_LICENSES", '["LicenseRef-X"]')
    monkeypatch.setenv("ASSAY_SEGMENT_MAX_BATCH", "8")
    settings = load_settings(SegmentSettings)
    assert settings.models == (Path("/a"), Path("/b"))
    assert settings.accepted_licenses == {"LicenseRef-X"}
    assert settings.limits.max_batch_size == 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models", []),
        ("device", "tpu"),
        ("engine", "tensorrt"),
        ("precision", "int8"),
        ("gpus", []),
        ("gpus", [0, 0]),
        ("gpus", [-1]),
        ("max_pixels", 0),
        ("max_pixels", 10**9),
        ("max_batch", -1),
        ("batch_window_seconds", -1),
        ("queue_items", 0),
    ],
)
def test_values_without_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        SegmentSettings.model_validate({name: value})
