"""The service as a process: what it serves out of the box, and how it refuses to start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from tests.segment import tiny_model
from tests.segment.api.test_segment import PIXELS, png

SECONDS = 60


def test_the_reference_model_is_served_out_of_the_box(start_service: Any) -> None:
    with (
        start_service("segment") as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        models = stub.ListModels(segment_pb2.ListModelsRequest(), timeout=SECONDS).models
        assert [item.ref.name for item in models] == ["segformer-reference"]
        assert models[0].weights == common_pb2.WEIGHTS_KIND_REFERENCE
        assert models[0].license.terms == common_pb2.TERMS_OPEN
        image = images_pb2.Image(encoded=png())
        reply = stub.SegmentImage(segment_pb2.SegmentImageRequest(image=image), timeout=SECONDS)
        labels = np.frombuffer(zstandard.decompress(reply.labels.data), np.uint8)
        assert labels.size == PIXELS.shape[0] * PIXELS.shape[1]
        assert labels.max() < models[0].class_count
        assert service.stop() == 0


def test_models_come_from_the_environment(start_service: Any, tmp_path: Path) -> None:
    directory = tiny_model.write(tmp_path)
    variables = {"ASSAY_SEGMENT_MODELS": f'["{directory}"]'}
    with (
        start_service("segment", variables) as service,
        grpc.insecure_channel(service.address) as channel,
    ):
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        models = stub.ListModels(segment_pb2.ListModelsRequest(), timeout=SECONDS).models
        assert [item.ref.name for item in models] == ["tiny"]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ASSAY_SEGMENT_MODELS": "{empty}"}, r"no model: manifest\.json.*assay export"),
        ({"ASSAY_SEGMENT_MODELS": "{wrong}"}, r"model\.onnx.*digest"),
        (
            {"ASSAY_SEGMENT_MODELS": "{good}", "ASSAY_SEGMENT_DEVICE": "cuda"},
            "cuda is required",
        ),
        (
            {
                "ASSAY_SEGMENT_MODELS": "{good}",
                "ASSAY_SEGMENT_ENGINE": "onnxruntime",
                "ASSAY_SEGMENT_PRECISION": "bf16",
            },
            "ONNX Runtime does not compute in bf16 on processors",
        ),
        (
            {
                "ASSAY_SEGMENT_MODELS": "{good}",
                "ASSAY_SEGMENT_ENGINE": "onnxruntime",
                "ASSAY_SEGMENT_PRECISION": "fp16",
            },
            "tiny is not served by onnxruntime-cpu in fp16.*export it with --precision fp16",
        ),
    ],
)
def test_what_cannot_be_served_keeps_it_from_starting(
    start_service: Any, tmp_path: Path, variables: dict[str, str], says: str
) -> None:
    import onnxruntime  # noqa: PLC0415  # what it offers decides

    if "cuda" in says and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    places = {kind: tmp_path / kind for kind in ("empty", "wrong", "good")}
    places["empty"].mkdir()
    tiny_model.write(places["good"])
    graph = tiny_model.write(places["wrong"]) / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    filled = {
        key: f'["{places[value[1:-1]]}"]' if value.startswith("{") else value
        for key, value in variables.items()
    }
    with pytest.raises(RuntimeError, match=says) as caught:
        start_service("segment", filled)
    assert "cannot start" in str(caught.value)
    assert "Traceback" not in str(caught.value)
