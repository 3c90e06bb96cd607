"""What Triton's and KServe's clients use beyond the standard."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from services.errors import InvalidArgument, NotFound, TooLarge, Unsupported
from services.inference.v2 import open_inference_pb2 as pb
from services.segment.api.shared_memory import Place, Regions
from tests.segment import tiny_model
from tests.segment.api.test_open_inference import (
    SECONDS,
    TENSOR,
    Code,
    changed,
    images,
    infer,
    integer,
    pixels,
)
from tests.segment.api.test_segment import PIXELS, png, refused, request
from tests.segment.conftest import Client, Start
from tests.segment.test_metrics import values
from tests.segment.tiny_model import Tiny

SHM = Path("/dev/shm")  # noqa: S108  # where shm_open keeps its objects
TRUE = pb.InferParameter(bool_param=True)


async def test_halves_are_their_values(start: Start) -> None:
    client = await start()
    half = TENSOR.astype(np.float16)
    found = await infer(client, changed(pixels(half, "logits"), datatype="FP16"))
    wanted = await infer(client, pixels(half.astype(np.float32), "logits"))
    np.testing.assert_array_equal(found["logits"], wanted["logits"])


@pytest.mark.parametrize("typed", [False, True])
async def test_bytes_are_a_picture(start: Start, typed: bool) -> None:
    client = await start()
    batch = np.stack([PIXELS, PIXELS[::-1]])
    asked = changed(pixels(batch), datatype="UINT8")
    if typed:
        del asked.raw_input_contents[:]
        asked.inputs[0].contents.uint_contents.extend(batch.ravel().tolist())
    found = await infer(client, asked)
    wanted = await infer(client, images(*(png(np.ascontiguousarray(each)) for each in batch)))
    np.testing.assert_array_equal(found["labels"], wanted["labels"])


async def test_an_image_may_have_an_axis_of_its_own(start: Start) -> None:
    client = await start()
    plain = await infer(client, images(png(), png()))
    wide = await infer(client, changed(images(png(), png()), shape=[2, 1]))
    np.testing.assert_array_equal(wide["labels"], plain["labels"])


async def test_what_the_binary_extension_says_is_taken_where_it_is_true(start: Start) -> None:
    client = await start()
    asked = pixels(TENSOR, "labels")
    size = len(asked.raw_input_contents[0])
    asked.inputs[0].parameters["binary_data_size"].CopyFrom(integer(size))
    asked.outputs[0].parameters["binary_data"].CopyFrom(TRUE)
    asked.parameters["binary_data_output"].CopyFrom(TRUE)
    assert (await infer(client, asked))["labels"].shape == (2, 64, 96)


async def test_a_models_configuration(start: Start) -> None:
    client = await start(max_batch=4, batch_window_seconds=0.002)
    told = await client.inference.ModelConfig(pb.ModelConfigRequest(name="tiny"), timeout=SECONDS)
    config = told.config
    assert (config.name, config.platform, config.backend) == ("tiny", "onnxruntime-cpu", "assay")
    assert config.max_batch_size == 64
    inputs = {one.name: (one.data_type, [*one.dims], one.optional) for one in config.input}
    assert inputs == {
        "image": (pb.TYPE_STRING, [1], True),
        "pixels": (pb.TYPE_FP32, [3, 64, 96], True),
    }
    outputs = {one.name: (one.data_type, [*one.dims]) for one in config.output}
    assert outputs == {
        "labels": (pb.TYPE_UINT8, [-1, -1]),
        "logits": (pb.TYPE_FP32, [16, 24, 7]),
    }
    assert [*config.dynamic_batching.preferred_batch_size] == [4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 2000
    missing = client.inference.ModelConfig(pb.ModelConfigRequest(name="absent"), timeout=SECONDS)
    assert (await refused(missing))[0] is Code.NOT_FOUND
    server = await client.inference.ServerMetadata(pb.ServerMetadataRequest(), timeout=SECONDS)
    assert {"statistics", "model_configuration", "binary_tensor_data"} <= {*server.extensions}
    assert "system_shared_memory" not in server.extensions


async def statistics(client: Client, name: str = "", version: str = "") -> Any:
    told = await client.inference.ModelStatistics(
        pb.ModelStatisticsRequest(name=name, version=version), timeout=SECONDS
    )
    return told.model_stats


async def test_statistics_count_and_add_up(start: Start) -> None:
    client = await start(max_batch=2, batch_window_seconds=0.001)
    (before,) = await statistics(client)
    assert (before.inference_count, before.last_inference) == (0, 0)
    await asyncio.gather(*(infer(client, pixels()) for _ in range(5)))
    await client.segment.SegmentImage(request(), timeout=SECONDS)
    await refused(client.inference.ModelInfer(pixels(TENSOR[:0]), timeout=SECONDS))
    await refused(client.segment.SegmentImage(request(b"no image"), timeout=SECONDS))
    (found,) = await statistics(client, "tiny", "1")
    assert (found.name, found.version) == ("tiny", "1")
    assert found.inference_count == 11  # five requests of two, and one
    assert found.last_inference > 1.7e12
    times = found.inference_stats
    assert (times.success.count, times.fail.count) == (6, 2)
    parts = (times.queue, times.compute_input, times.compute_infer, times.compute_output)
    assert [part.count for part in parts] == [6] * 4
    assert all(part.ns > 0 for part in parts)
    assert sum(part.ns for part in parts) == pytest.approx(times.success.ns, rel=0.02)
    assert sum(one.batch_size * one.compute_infer.count for one in found.batch_stats) == 11
    assert sum(one.compute_infer.count for one in found.batch_stats) == found.execution_count
    assert (await refused(statistics(client, "absent")))[0] is Code.NOT_FOUND


async def test_a_request_takes_as_long_as_its_statistics_say(start: Start) -> None:
    """Of a request that takes long: the rest is the transport's, and the same for any."""
    client = await start()
    many = np.random.default_rng(0).standard_normal((64, 3, 64, 96)).astype(np.float32)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await infer(client, pixels(many))
    outside = loop.time() - began
    (found,) = await statistics(client)
    inside = found.inference_stats.success.ns / 1e9
    assert 0 < inside <= outside


async def test_counts_have_tritons_names_on_the_metrics_page(start: Start) -> None:
    client = await start()
    await infer(client, pixels())
    found = await values(client)
    assert found["nv_inference_count"] == 2
    assert found["nv_inference_exec_count"] == 2
    assert found["nv_inference_request_success"] == 1
    assert found["nv_inference_request_failure"] == 0
    assert found["nv_inference_pending_request_count"] == 0
    total = found["nv_inference_request_duration_us"]
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    summed = sum(found[f"nv_inference_{part}_duration_us"] for part in parts)
    assert summed == pytest.approx(total, rel=0.02)


async def test_the_index_lists_what_is_there(start: Start, tmp_path: Path) -> None:
    for version in ("1", "2"):
        tiny_model.write(tmp_path / "models" / version, Tiny(version=version))
    desired = tmp_path / "desired.json"
    desired.write_text(json.dumps({"schema": 1, "models": [{"name": "tiny", "version": "2"}]}))
    client = await start(models=[tmp_path / "models"], desired=desired)
    told = await client.inference.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=SECONDS)
    found = {(one.name, one.version): one.state for one in told.models}
    assert found == {("tiny", "1"): "UNAVAILABLE", ("tiny", "2"): "READY"}
    told = await client.inference.RepositoryIndex(
        pb.RepositoryIndexRequest(ready=True), timeout=SECONDS
    )
    assert [one.version for one in told.models] == ["2"]
    for call in (
        client.inference.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="tiny")),
        client.inference.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="tiny")),
    ):
        code, _, says = await refused(call)
        assert code is Code.UNIMPLEMENTED
        assert "a desired state says which, for all replicas: `assay models serve`" in says


async def test_without_a_desired_state_the_settings_say_what_is_loaded(start: Start) -> None:
    client = await start()
    call = client.inference.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="x"))
    code, _, says = await refused(call)
    assert code is Code.UNIMPLEMENTED
    assert "ASSAY_SEGMENT_MODELS says which, at the start" in says


async def test_a_stream_answers_each_request(start: Start) -> None:
    client = await start()
    good = pixels(TENSOR[:1], id="good")
    good.parameters["triton_enable_empty_final_response"].CopyFrom(TRUE)
    requests = [good, images(b"no image", id="bad"), pixels(id="more"), pixels(id="x" * 2000)]

    async def sent() -> AsyncIterator[pb.ModelInferRequest]:
        for one in requests:
            yield one

    call = client.inference.ModelStreamInfer(sent(), timeout=SECONDS)
    answers = {one.infer_response.id[:9]: one async for one in call}
    assert {*answers} == {"good", "bad", "more", "x" * 9}
    assert "are not an image" in answers["bad"].error_message
    assert not answers["bad"].infer_response.outputs
    assert "at most 1024" in answers["x" * 9].error_message
    assert not answers["good"].error_message
    reply = answers["good"].infer_response
    assert reply.parameters["triton_final_response"].bool_param
    alone = await infer(client, pixels(TENSOR[:1]))
    assert reply.raw_output_contents[0] == alone["labels"].tobytes()
    assert list(answers["more"].infer_response.outputs[0].shape) == [2, 64, 96]


@pytest.fixture
def shared() -> Iterator[Any]:
    """Make shared memory objects of given bytes; return their keys."""
    made: list[Path] = []

    def make(content: bytes) -> str:
        key = f"assay-test-{uuid.uuid4().hex}"
        made.append(SHM / key)
        made[-1].write_bytes(content)
        return f"/{key}"

    yield make
    for path in made:
        path.unlink(missing_ok=True)


def in_memory(request: pb.ModelInferRequest, name: str, size: int, offset: int = 0) -> Any:
    """The request with its input in a region."""
    del request.raw_input_contents[:]
    place = request.inputs[0].parameters
    place["shared_memory_region"].string_param = name
    place["shared_memory_byte_size"].int64_param = size
    if offset:
        place["shared_memory_offset"].int64_param = offset
    return request


async def register(client: Client, name: str, key: str, size: int, offset: int = 0) -> None:
    await client.inference.SystemSharedMemoryRegister(
        pb.SystemSharedMemoryRegisterRequest(name=name, key=key, offset=offset, byte_size=size),
        timeout=SECONDS,
    )


async def test_tensors_in_shared_memory(start: Start, shared: Any) -> None:
    client = await start(shared_memory=True)
    raw, labels = TENSOR.tobytes(), 2 * 64 * 96
    key = shared(bytes(100) + raw + bytes(labels + 7))
    await register(client, "in", key, len(raw), offset=100)
    await register(client, "out", key, labels + 7, offset=100 + len(raw))
    await register(client, "out", key, labels + 7, offset=100 + len(raw))  # the same again
    asked = in_memory(pixels(TENSOR, "labels", "logits"), "in", len(raw))
    place = asked.outputs[0].parameters
    place["shared_memory_region"].string_param = "out"
    place["shared_memory_byte_size"].int64_param = labels
    place["shared_memory_offset"].int64_param = 7
    reply = await client.inference.ModelInfer(asked, timeout=SECONDS)
    wanted = await infer(client, pixels(TENSOR, "labels", "logits"))
    assert reply.raw_output_contents[0] == b""
    assert reply.raw_output_contents[1] == wanted["logits"].tobytes()
    written = reply.outputs[0].parameters
    assert written["shared_memory_byte_size"].int64_param == labels
    content = (SHM / key[1:]).read_bytes()
    assert content[100 + len(raw) + 7 :] == wanted["labels"].tobytes()
    assert content[: 100 + len(raw)] == bytes(100) + raw
    status = pb.SystemSharedMemoryStatusRequest()
    told = await client.inference.SystemSharedMemoryStatus(status, timeout=SECONDS)
    assert {name: one.byte_size for name, one in told.regions.items()} == {
        "in": len(raw), "out": labels + 7,
    }  # fmt: skip
    everything = pb.SystemSharedMemoryUnregisterRequest()
    await client.inference.SystemSharedMemoryUnregister(everything, timeout=SECONDS)
    code, _, says = await refused(client.inference.ModelInfer(asked, timeout=SECONDS))
    assert code is Code.INVALID_ARGUMENT
    assert "'out' is not a registered region; registered: none" in says


async def test_shared_memory_that_went_away_ends_one_request(start: Start, shared: Any) -> None:
    client = await start(shared_memory=True)
    raw = TENSOR.tobytes()
    key = shared(raw)
    await register(client, "in", key, len(raw))
    asked = in_memory(pixels(), "in", len(raw))
    path = SHM / key[1:]
    path.unlink()  # what is open stays
    assert (await infer(client, asked))["labels"].shape == (2, 64, 96)
    key = shared(raw)
    await register(client, "cut", key, len(raw))
    os.truncate(SHM / key[1:], 10)
    cut = in_memory(pixels(), "cut", len(raw))
    code, _, says = await refused(client.inference.ModelInfer(cut, timeout=SECONDS))
    assert code is Code.INVALID_ARGUMENT
    assert "was shortened since" in says
    assert (await infer(client, pixels()))["labels"].shape == (2, 64, 96)


async def test_shared_memory_is_refused_unless_the_settings_allow_it(
    start: Start, shared: Any
) -> None:
    client = await start()
    for call in (
        register(client, "in", shared(b"x"), 1),
        client.inference.ModelInfer(in_memory(pixels(), "in", 1), timeout=SECONDS),
        client.inference.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest()),
        client.inference.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is Code.UNIMPLEMENTED
        assert "ASSAY_SEGMENT_SHARED_MEMORY=true" in (caught.value.details() or "")


@pytest.fixture
def regions() -> Iterator[Regions]:
    made = Regions(allowed=True, max_bytes=1000)
    yield made
    made.unregister("")


@pytest.mark.parametrize("key", ["", "/", "..", "../x", "/../etc/passwd", "a/b", "a\0b", "x" * 300])
def test_keys_that_name_something_else(regions: Regions, key: str) -> None:
    with pytest.raises(InvalidArgument, match=r"key: .* is not the name of a shared memory object"):
        regions.register("in", key, 0, 1)


def test_regions_that_are_not_there_or_too_small(regions: Regions, shared: Any) -> None:
    key = shared(bytes(10))
    with pytest.raises(InvalidArgument, match="cannot be opened: No such file"):
        regions.register("in", "/assay-test-nowhere", 0, 1)
    for offset, size in ((0, 11), (10, 1), (2**63, 1), (1, 2**64 - 1)):
        with pytest.raises(InvalidArgument, match="has 10 bytes"):
            regions.register("in", key, offset, size)
    with pytest.raises(InvalidArgument, match="at least one byte"):
        regions.register("in", key, 0, 0)
    with pytest.raises(InvalidArgument, match="name: "):
        regions.register("", key, 0, 1)
    regions.register("in", key, 2, 8)
    with pytest.raises(InvalidArgument, match="is registered for another region"):
        regions.register("in", key, 0, 8)
    for offset, size in ((0, 9), (8, 1), (-1, 1), (0, -1), (2**62, 2**62)):
        with pytest.raises(InvalidArgument, match="the region 'in' has 8"):
            regions.read(Place("in", offset, size, "field"))
    with pytest.raises(InvalidArgument, match="3 bytes are given for an output of 4"):
        regions.write(Place("in", 0, 3, "field"), [memoryview(b"abcd")])
    with pytest.raises(NotFound):
        regions.listed("out")


def test_a_link_in_the_place_of_an_object_is_not_followed(regions: Regions, shared: Any) -> None:
    key = shared(b"x")
    path = SHM / key[1:]
    path.unlink()
    path.symlink_to(__file__)
    with pytest.raises(InvalidArgument, match="cannot be opened"):
        regions.register("in", key, 0, 1)


def test_regions_may_overlap_and_are_bounded(regions: Regions, shared: Any) -> None:
    key = shared(bytes(2000))
    regions.register("a", key, 0, 2000)
    regions.register("b", key, 1, 10)
    assert regions.write(Place("b", 0, 10, "f"), [memoryview(b"xy"), memoryview(b"z")]) == 3
    assert regions.read(Place("a", 0, 5, "f")) == b"\0xyz\0"
    with pytest.raises(TooLarge):
        regions.read(Place("a", 0, 1001, "f"))
    for number in range(254):
        regions.register(str(number), key, 0, 1)
    with pytest.raises(TooLarge, match="256 regions are registered"):
        regions.register("one more", key, 0, 1)


def test_where_it_is_not_allowed_nothing_is_opened(shared: Any) -> None:
    closed = Regions(allowed=False, max_bytes=1)
    with pytest.raises(Unsupported):
        closed.register("in", shared(b"x"), 0, 1)
