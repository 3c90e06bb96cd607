"""The Open Inference Protocol over a real socket, with our own stubs: what it gives and refuses."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from services.inference.v2 import open_inference_pb2 as pb
from services.rpc import load_report
from services.rpc.serving.server import build_server
from services.segment.__main__ import build_service
from services.segment.images.preprocess import Preprocessor
from services.segment.settings import SegmentSettings
from tests.segment import tiny_model
from tests.segment.api.test_image_stream import Gate
from tests.segment.api.test_segment import PIXELS, RNG, label_array, png, refused
from tests.segment.api.test_segment import request as segment_request
from tests.segment.conftest import Client, Start
from tests.segment.images.test_decode import png_header
from tests.segment.images.test_upsample import brute_force
from tests.segment.tiny_model import RESEARCH, Tiny

Code = grpc.StatusCode
SECONDS = 60
TINY = Tiny()
TENSOR = RNG.standard_normal((2, 3, TINY.height, TINY.width)).astype(np.float32)
TYPES = {"UINT8": "<u1", "UINT16": "<u2", "FP32": "<f4"}


def prefixed(*elements: bytes) -> bytes:
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def images(*files: bytes, **fields: Any) -> pb.ModelInferRequest:
    entry = pb.ModelInferRequest.InferInputTensor(
        name="image", datatype="BYTES", shape=[len(files)]
    )
    values: dict[str, Any] = {"inputs": [entry], "raw_input_contents": [prefixed(*files)]}
    return pb.ModelInferRequest(**(values | fields))


def pixels(tensor: Any = TENSOR, *outputs: str, **fields: Any) -> pb.ModelInferRequest:
    entry = pb.ModelInferRequest.InferInputTensor(
        name="pixels", datatype="FP32", shape=tensor.shape
    )
    wanted = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs]
    values: dict[str, Any] = {
        "inputs": [entry],
        "outputs": wanted,
        "raw_input_contents": [tensor.tobytes()],
    }
    return pb.ModelInferRequest(**(values | fields))


def integer(value: int) -> pb.InferParameter:
    return pb.InferParameter(int64_param=value)


async def infer(client: Client, request: pb.ModelInferRequest) -> dict[str, Any]:
    """Every output of a request as an array."""
    reply = await client.inference.ModelInfer(request, timeout=SECONDS)
    assert len(reply.outputs) == len(reply.raw_output_contents)
    return {
        output.name: np.frombuffer(raw, TYPES[output.datatype]).reshape(output.shape)
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


def labels_of(tiny: Tiny, tensor: Any, height: int, width: int) -> Any:
    return brute_force(tiny.logits(tensor), height, width).argmax(2)


async def test_pixels_give_labels_of_their_size_unless_more_is_asked_for(start: Start) -> None:
    found = await infer(await start(), pixels())
    assert list(found) == ["labels"]
    assert found["labels"].shape == (2, TINY.height, TINY.width)
    assert found["labels"].dtype == np.uint8
    for labels, tensor in zip(found["labels"], TENSOR, strict=True):
        assert (labels == labels_of(TINY, tensor, TINY.height, TINY.width)).mean() > 0.999


@pytest.mark.parametrize("outputs", [("logits",), ("logits", "labels"), ("labels", "logits")])
async def test_outputs_come_as_they_are_asked_for(start: Start, outputs: tuple[str, ...]) -> None:
    found = await infer(await start(), pixels(TENSOR, *outputs))
    assert tuple(found) == outputs
    assert found["logits"].shape == (2, TINY.height // 4, TINY.width // 4, TINY.classes)
    for logits, tensor in zip(found["logits"], TENSOR, strict=True):
        np.testing.assert_allclose(logits, TINY.logits(tensor), atol=1e-5)


async def test_typed_contents_mean_the_same_as_raw_ones(start: Start) -> None:
    client = await start()
    request = pixels(raw_input_contents=[])
    request.inputs[0].contents.fp32_contents.extend(TENSOR.ravel())
    typed, raw = await infer(client, request), await infer(client, pixels())
    np.testing.assert_array_equal(typed["labels"], raw["labels"])
    request = images(png(), raw_input_contents=[])
    request.inputs[0].contents.bytes_contents.append(png())
    typed, raw = await infer(client, request), await infer(client, images(png()))
    np.testing.assert_array_equal(typed["labels"], raw["labels"])


async def test_an_image_gives_the_labels_of_segment_image(start: Start) -> None:
    client = await start()
    found = await infer(client, images(png()))
    reply = await client.segment.SegmentImage(segment_request(), timeout=SECONDS)
    np.testing.assert_array_equal(found["labels"], label_array(reply.labels)[None])


async def test_an_images_logits_are_those_of_its_prepared_tensor(start: Start) -> None:
    client = await start()
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name="logits")]
    # Logits have the model's size, so pictures may differ in theirs.
    found = await infer(client, images(png(), png(PIXELS[:50]), outputs=outputs))
    tensor = Preprocessor(TINY.manifest().preprocessing)(Image.fromarray(PIXELS))
    again = await infer(client, pixels(tensor[None], "logits"))
    np.testing.assert_array_equal(found["logits"][:1], again["logits"])
    assert found["logits"].shape[0] == 2


async def test_images_of_one_size_share_a_tensor(start: Start) -> None:
    client = await start(max_batch=4, batch_window_seconds=0.01)
    turned = np.ascontiguousarray(PIXELS[::-1])
    found = await infer(client, images(png(), png(turned)))
    alone = [await infer(client, images(png(each))) for each in (PIXELS, turned)]
    np.testing.assert_array_equal(
        found["labels"], np.concatenate([each["labels"] for each in alone])
    )


async def test_many_classes_take_two_bytes(start: Start, tmp_path: Path) -> None:
    many = Tiny(classes=300)
    client = await start(models=[tiny_model.write(tmp_path / "many", many)])
    found = await infer(client, pixels(TENSOR[:1]))
    assert found["labels"].dtype == np.uint16
    expected = labels_of(many, TENSOR[0], many.height, many.width)
    assert (found["labels"][0] == expected).mean() > 0.999


async def test_the_reply_says_which_model_and_whose_request(start: Start) -> None:
    client = await start()
    request = pixels(id="mine", model_name="tiny", model_version="1")
    reply = await client.inference.ModelInfer(request, timeout=SECONDS)
    assert (reply.model_name, reply.model_version, reply.id) == ("tiny", "1", "mine")


async def test_a_graph_of_any_size_takes_other_sizes_beside_its_own(
    start: Start, tmp_path: Path
) -> None:
    free = Tiny(free_size=True)
    model = tiny_model.write(tmp_path / "free", free)
    client = await start(models=[model], max_batch=4, batch_window_seconds=0.01)
    wide = RNG.standard_normal((1, 3, 32, 160)).astype(np.float32)
    usual, other = await asyncio.gather(infer(client, pixels()), infer(client, pixels(wide)))
    assert usual["labels"].shape == (2, TINY.height, TINY.width)
    assert (other["labels"][0] == labels_of(free, wide[0], 32, 160)).mean() > 0.999
    for size in [(31, 64), (32, 776)]:  # four times 64 x 96 are 24,576 pixels
        wrong = np.zeros((1, 3, *size), np.float32)
        code, _, says = await refused(infer(client, pixels(wrong)))
        assert code is Code.INVALID_ARGUMENT
        assert says.startswith("inputs[0].shape")
        assert "64 x 96" in says


def changed(request: pb.ModelInferRequest, **entry: Any) -> pb.ModelInferRequest:
    """The request with other fields of its input."""
    for name, value in entry.items():
        if name == "shape":
            request.inputs[0].shape[:] = value
        else:
            setattr(request.inputs[0], name, value)
    return request


def with_contents(request: pb.ModelInferRequest, **contents: Any) -> pb.ModelInferRequest:
    request.inputs[0].contents.CopyFrom(pb.InferTensorContents(**contents))
    return request


def parameter(request: pb.ModelInferRequest, place: str, name: str, value: Any) -> Any:
    """The request with a parameter of its own, of its input or of an output."""
    holder: Any = {
        "request": request,
        "input": request.inputs[0],
        "output": request.outputs[0] if request.outputs else None,
    }[place]
    holder.parameters[name].CopyFrom(value)
    return request


ONE = TENSOR[:1]
NOT_A_NUMBER = ONE.copy()
NOT_A_NUMBER[0, 1, 2, 3] = np.nan
INFINITE = TENSOR.copy()
INFINITE[1, 0, 0, 0] = -np.inf
TEXT = pb.InferParameter(string_param="region")
LYING = (100).to_bytes(4, "little") + b"short"

BAD = {
    "no input": (pixels(inputs=[]), "inputs"),
    "two inputs": (pixels(inputs=[*pixels().inputs, *images(b"").inputs]), "inputs"),
    "unknown input": (changed(pixels(), name="data"), "inputs[0].name"),
    "wrong type": (changed(pixels(), datatype="FP64"), "inputs[0].datatype"),
    "image as FP32": (changed(images(png()), datatype="FP32"), "inputs[0].datatype"),
    "three axes": (changed(pixels(ONE), shape=[3, 64, 96]), "inputs[0].shape"),
    "four channels": (changed(pixels(ONE), shape=[1, 4, 64, 96]), "inputs[0].shape"),
    "another size": (changed(pixels(ONE), shape=[1, 3, 96, 64]), "inputs[0].shape"),
    "no picture": (pixels(TENSOR[:0]), "inputs[0].shape"),
    "negative": (changed(pixels(ONE), shape=[-1, 3, 64, 96]), "inputs[0].shape"),
    "too many": (changed(pixels(ONE), shape=[65, 3, 64, 96]), "inputs[0].shape"),
    "huge": (changed(pixels(ONE), shape=[2**62, 3, 64, 96]), "inputs[0].shape"),
    "shape product": (changed(pixels(ONE), shape=[2, 3, 64, 96]), "raw_input_contents[0]"),
    "no contents": (pixels(raw_input_contents=[]), "raw_input_contents"),
    "two contents": (pixels(raw_input_contents=[b"", b""]), "raw_input_contents"),
    "empty contents": (pixels(raw_input_contents=[b""]), "raw_input_contents[0]"),
    "both contents": (with_contents(pixels(), fp32_contents=[0.0]), "inputs[0].contents"),
    "contents of another type": (
        with_contents(pixels(raw_input_contents=[]), fp64_contents=[0.0]),
        "inputs[0].contents.fp64_contents",
    ),
    "too few numbers": (
        with_contents(pixels(raw_input_contents=[]), fp32_contents=[0.0]),
        "inputs[0].contents",
    ),
    "not a number": (pixels(NOT_A_NUMBER), "raw_input_contents[0]"),
    "infinite": (pixels(INFINITE), "raw_input_contents[0]"),
    "images of two axes": (changed(images(png()), shape=[1, 2]), "inputs[0].shape"),
    "images of three axes": (changed(images(png()), shape=[1, 1, 1]), "inputs[0].shape"),
    "half as many bytes": (changed(pixels(), datatype="FP16"), "raw_input_contents[0]"),
    "typed halves": (
        with_contents(
            changed(pixels(raw_input_contents=[]), datatype="FP16"), fp32_contents=[0.0]
        ),
        "inputs[0].contents.fp32_contents",
    ),
    "bytes in channels": (changed(pixels(ONE), datatype="UINT8"), "inputs[0].shape"),
    "bytes that lie": (
        changed(pixels(ONE), datatype="UINT8", shape=[1, 64, 96, 3]), "raw_input_contents[0]"
    ),
    "a huge picture of bytes": (
        changed(pixels(ONE), datatype="UINT8", shape=[1, 2**40, 2**20, 3]), "inputs[0].shape"
    ),
    "bytes without rows": (
        changed(pixels(ONE), datatype="UINT8", shape=[1, 0, 96, 3]), "inputs[0].shape"
    ),
    "an element over 255": (
        with_contents(
            changed(pixels(raw_input_contents=[]), datatype="UINT8", shape=[1, 1, 1, 3]),
            uint_contents=[1, 2, 256],
        ),
        "inputs[0].contents",
    ),
    "a size that lies": (
        parameter(pixels(), "input", "binary_data_size", integer(7)),
        "inputs[0].parameters[binary_data_size]",
    ),
    "a negative size": (
        parameter(pixels(), "input", "binary_data_size", integer(-1)),
        "inputs[0].parameters[binary_data_size]",
    ),
    "no image": (images(), "inputs[0].shape"),
    "a length that lies": (images(b"", raw_input_contents=[LYING]), "raw_input_contents[0]"),
    "a length cut off": (images(b"", raw_input_contents=[b"\1\0"]), "raw_input_contents[0]"),
    "no element": (images(b"", raw_input_contents=[b""]), "raw_input_contents[0]"),
    "more elements": (
        changed(images(png(), png()), shape=[1]),
        "raw_input_contents[0]",
    ),
    "fewer elements": (changed(images(png()), shape=[2]), "raw_input_contents[0]"),
    "fewer typed elements": (
        with_contents(
            changed(images(b""), shape=[2]), bytes_contents=[png()]
        ),
        "inputs[0].contents",
    ),
    "an empty file": (images(b""), "raw_input_contents[0]"),
    "not an image": (images(png(), b"not an image"), "raw_input_contents[0]: element 1"),
    "a picture of 900 million pixels": (
        images(png_header(30_000, 30_000)), "raw_input_contents[0]: element 0"
    ),
    "two sizes": (images(png(), png(PIXELS[:50])), "raw_input_contents[0]"),
    "unknown output": (pixels(TENSOR, "scores"), "outputs[0].name"),
    "an output twice": (pixels(TENSOR, "labels", "labels"), "outputs[1].name"),
    "unknown parameter": (parameter(pixels(), "request", "sequence_id", integer(1)),
        "parameters[sequence_id]"),
    "timeout as text": (parameter(pixels(), "request", "timeout", TEXT), "parameters[timeout]"),
    "negative timeout": (
        parameter(pixels(), "request", "timeout", integer(-1)), "parameters[timeout]"
    ),
    "unknown priority": (
        parameter(pixels(), "request", "priority", integer(4)), "parameters[priority]"
    ),
    "shared memory": (
        parameter(pixels(), "input", "shared_memory_region", TEXT),
        "inputs[0].parameters[shared_memory_byte_size]",
    ),
    "shared memory without a region": (
        parameter(pixels(), "input", "shared_memory_offset", integer(0)),
        "inputs[0].parameters[shared_memory_offset]",
    ),
    "classification": (
        parameter(pixels(TENSOR, "labels"), "output", "classification", integer(3)),
        "outputs[0].parameters[classification]",
    ),
    "a long id": (pixels(id="x" * 1025), "id"),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
async def test_bad_tensors_are_refused_by_the_name_of_the_field(start: Start) -> None:
    client = await start()
    # Raw contents would be "given as well".
    del BAD["fewer typed elements"][0].raw_input_contents[:]
    for name, (request, field) in BAD.items():
        code, _, says = await refused(client.inference.ModelInfer(request, timeout=SECONDS))
        assert code is Code.INVALID_ARGUMENT, name
        assert says.startswith(f"{field}:"), (name, says)
    assert (await infer(client, pixels()))["labels"].shape == (2, 64, 96)


async def test_models_that_cannot_be_used(start: Start, tmp_path: Path) -> None:
    tiny_model.write(tmp_path / "r", Tiny(name="r", license=RESEARCH))
    tiny_model.write(tmp_path / "t", TINY)
    client = await start(models=[tmp_path])
    for name, version, code in [
        ("absent", "", Code.NOT_FOUND),
        ("tiny", "7", Code.NOT_FOUND),
        ("r", "", Code.PERMISSION_DENIED),
    ]:
        request = pixels(model_name=name, model_version=version)
        assert (await refused(client.inference.ModelInfer(request, timeout=SECONDS)))[0] is code
        ready = await client.inference.ModelReady(
            pb.ModelReadyRequest(name=name, version=version), timeout=SECONDS
        )
        assert not ready.ready
    assert (await client.inference.ModelReady(pb.ModelReadyRequest(name="tiny"))).ready
    missing = client.inference.ModelMetadata(pb.ModelMetadataRequest(name="absent"))
    assert (await refused(missing))[0] is Code.NOT_FOUND


async def test_a_model_is_described_with_its_versions_and_tensors(
    start: Start, tmp_path: Path
) -> None:
    tiny_model.write(tmp_path / "a", Tiny(version="10"))
    tiny_model.write(tmp_path / "b", Tiny(version="9"))
    tiny_model.write(tmp_path / "c", Tiny(name="free", free_size=True, classes=300))
    client = await start(models=[tmp_path])
    told = await client.inference.ModelMetadata(pb.ModelMetadataRequest(name="tiny"))
    assert list(told.versions) == ["9", "10"]
    assert told.platform == "onnxruntime-cpu"
    tensors = {item.name: (item.datatype, [*item.shape]) for item in (*told.inputs, *told.outputs)}
    assert tensors == {
        "image": ("BYTES", [-1, 1]),
        "pixels": ("FP32", [-1, 3, 64, 96]),
        "labels": ("UINT8", [-1, -1, -1]),
        "logits": ("FP32", [-1, 16, 24, 7]),
    }
    told = await client.inference.ModelMetadata(pb.ModelMetadataRequest(name="free"))
    tensors = {item.name: (item.datatype, [*item.shape]) for item in (*told.inputs, *told.outputs)}
    assert tensors["pixels"] == ("FP32", [-1, 3, -1, -1])
    assert tensors["labels"][0] == "UINT16"
    assert tensors["logits"] == ("FP32", [-1, -1, -1, 300])


async def test_an_answer_over_the_limit_is_refused_before_it_is_computed(
    start: Start, tmp_path: Path
) -> None:
    many = tiny_model.write(tmp_path / "many", Tiny(classes=1000))
    client = await start(models=[many], max_message_bytes=1 << 20)
    assert (await infer(client, pixels(TENSOR[:1])))["labels"].size
    call = client.inference.ModelInfer(pixels(TENSOR[:1], "logits"), timeout=SECONDS)
    assert (await refused(call))[:2] == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    big = png(np.zeros((1000, 1000, 3), np.uint8))
    call = client.inference.ModelInfer(images(big), timeout=SECONDS)
    assert (await refused(call))[:2] == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    huge = np.zeros((16, 3, 64, 96), np.float32)
    call = client.inference.ModelInfer(pixels(huge), timeout=SECONDS)
    assert (await refused(call))[:2] == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")


@pytest.mark.parametrize("queue_items", [1, 3])  # two of three for one client, one is for others
async def test_a_request_may_have_more_pictures_than_its_client_has_places(
    start: Start, queue_items: int
) -> None:
    client = await start(queue_items=queue_items)
    many = RNG.standard_normal((8, *TENSOR.shape[1:])).astype(np.float32)
    found = await infer(client, pixels(many))
    for labels, tensor in zip(found["labels"], many, strict=True):
        assert (labels == labels_of(TINY, tensor, TINY.height, TINY.width)).mean() > 0.999


async def test_a_bad_picture_fails_its_own_request_only(start: Start) -> None:
    client = await start(max_batch=4, batch_window_seconds=0.02)
    good, bad = await asyncio.gather(
        infer(client, pixels()),
        refused(client.inference.ModelInfer(pixels(NOT_A_NUMBER), timeout=SECONDS)),
    )
    assert bad[0] is Code.INVALID_ARGUMENT
    assert good["labels"].shape == (2, 64, 96)


async def test_callers_who_leave_give_back_the_places_of_all_their_pictures(start: Start) -> None:
    # Two places for one client, the last one is for others: its third picture waits for one, and
    # the batch for that.
    client = await start(queue_items=3, max_batch=3, batch_window_seconds=10)

    async def admitted(count: int) -> None:
        """Come back once so many pictures are in the queue."""
        labels = {"model": "tiny", "version": "1"}
        registry = client.server.registry
        async with asyncio.timeout(SECONDS):
            while registry.get_sample_value("assay_segment_requests", labels) != count:
                await client.inference.ServerLive(pb.ServerLiveRequest(), timeout=SECONDS)

    three = np.concatenate([TENSOR, TENSOR[:1]])
    for _ in range(2):
        call = client.inference.ModelInfer(pixels(three), timeout=SECONDS)
        left = asyncio.ensure_future(call)
        await admitted(2)
        # The queue is full: a request that comes now is pushed back, and keeps no place.
        other = client.inference.ModelInfer(pixels(), timeout=SECONDS)
        assert (await refused(other))[:2] == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        await admitted(2)
        call.cancel()
        await asyncio.gather(left, return_exceptions=True)
        await admitted(0)


async def test_the_timeout_ends_what_is_being_computed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await start()
    gate = Gate(monkeypatch)
    gate.close()
    request = parameter(pixels(TENSOR[:1]), "request", "timeout", integer(200_000))
    code, reason, _ = await refused(client.inference.ModelInfer(request, timeout=SECONDS))
    assert (code, reason) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    gate.open.set()


async def test_the_timeout_decides_admission(start: Start) -> None:
    client = await start()
    request = parameter(pixels(), "request", "timeout", integer(1))
    code, _, _ = await refused(client.inference.ModelInfer(request, timeout=SECONDS))
    assert code in {Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED}
    for value in (0, SECONDS * 1_000_000):
        request = parameter(pixels(), "request", "timeout", integer(value))
        assert (await infer(client, request))["labels"].size
    request = parameter(pixels(), "request", "priority", pb.InferParameter(uint64_param=1))
    assert (await infer(client, request))["labels"].size


async def test_probes_answer_before_the_server_is_ready(tiny_directory: Path) -> None:
    ports: dict[str, Any] = {"port": 0, "health_port": 0, "metrics_port": 0}
    config = SegmentSettings(**ports, models=(tiny_directory,))
    service = build_service(config)
    begun, gate = asyncio.Event(), asyncio.Event()

    async def warm() -> None:
        begun.set()
        await gate.wait()
        await service.warm()

    server = build_server(config, replace(service, warm=warm))
    starting = asyncio.create_task(server.start())
    await begun.wait()
    client = Client(server)
    live = await client.inference.ServerLive(pb.ServerLiveRequest())
    assert live.live
    assert not (await client.inference.ServerReady(pb.ServerReadyRequest())).ready
    asked = client.inference.ModelReady(pb.ModelReadyRequest(name="tiny"), timeout=SECONDS)
    assert (await refused(asked))[0] is Code.UNAVAILABLE
    gate.set()
    await starting
    assert (await client.inference.ServerReady(pb.ServerReadyRequest())).ready
    assert (await client.inference.ModelReady(pb.ModelReadyRequest(name="tiny"))).ready
    told = await client.inference.ServerMetadata(pb.ServerMetadataRequest())
    assert told.name == "assay"
    await client.channel.close()
    await server.stop(0)


@pytest.mark.slow
async def test_a_server_that_drains_takes_no_more_and_finishes_what_it_has(start: Start) -> None:
    client = await start(max_batch=4, batch_window_seconds=0.5)
    held = asyncio.ensure_future(client.inference.ModelInfer(pixels(), timeout=SECONDS))
    labels = {"model": "tiny", "version": "1"}
    async with asyncio.timeout(SECONDS):  # a small request may overtake it on its way
        while client.server.registry.get_sample_value("assay_segment_requests", labels) != 2:
            await client.inference.ServerLive(pb.ServerLiveRequest(), timeout=SECONDS)
    stopping = asyncio.ensure_future(client.server.stop(grace=SECONDS))
    while True:
        call = client.inference.ServerReady(pb.ServerReadyRequest(), timeout=SECONDS)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            # gRPC itself answers CANCELLED to what reaches it while it stops.
            if error.code() is Code.UNAVAILABLE:
                break
            assert error.code() is Code.CANCELLED  # noqa: PT017  # the loop goes on
    code, _, _ = await refused(client.inference.ModelInfer(pixels(), timeout=SECONDS))
    assert code is Code.UNAVAILABLE
    assert (await held).outputs[0].name == "labels"
    await stopping


async def test_an_answer_says_how_loaded_the_replica_is(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another key: gRPC's client keeps the real one to itself."""
    monkeypatch.setattr(load_report, "LOAD_KEY", "x-load-bin")
    client = await start()
    for call in (
        client.segment.SegmentImage(segment_request()),
        client.inference.ModelInfer(images(png())),
    ):
        await call
        report = dict(await call.trailing_metadata())["x-load-bin"]
        assert isinstance(report, bytes)
        rate, utilization = struct.unpack("<xdxd", report)
        assert rate > 0
        assert 0 < utilization < 10
