"""SegmentService over a real socket, in this process."""

from __future__ import annotations

import asyncio
import io
import math
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, segment_pb2
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from PIL import Image

from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.images.preprocess import Preprocessor
from services.segment.manifest import MODEL_FILE, manifest_digest, read_manifest
from tests.segment import tiny_model
from tests.segment.conftest import Client, Start
from tests.segment.images.test_decode import png_header
from tests.segment.images.test_upsample import brute_force
from tests.segment.tiny_model import RESEARCH, Tiny

Code = grpc.StatusCode
SECONDS = 60
RNG = np.random.default_rng(3)
PIXELS = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((150, 100))
)


def png(pixels: Any = PIXELS, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def request(encoded: bytes | None = None, **fields: Any) -> segment_pb2.SegmentImageRequest:
    image = images_pb2.Image(encoded=png() if encoded is None else encoded)
    return segment_pb2.SegmentImageRequest(**({"image": image} | fields))


def given(height: int, width: int, **fields: Any) -> segment_pb2.SegmentImageRequest:
    size = images_pb2.PixelSize(height=height, width=width)
    return request(output_size=images_pb2.OUTPUT_SIZE_GIVEN, size=size, **fields)


def overlaid(**options: Any) -> segment_pb2.SegmentImageRequest:
    return request(overlay=images_pb2.OverlayOptions(**options))


def label_array(labels: images_pb2.LabelMap) -> Any:
    kind = {images_pb2.LABEL_TYPE_UINT8: "<u1", images_pb2.LABEL_TYPE_UINT16: "<u2"}[labels.type]
    if labels.encoding == images_pb2.LABEL_ENCODING_PNG:
        return np.asarray(Image.open(io.BytesIO(labels.data)))
    raw = labels.data
    if labels.encoding == images_pb2.LABEL_ENCODING_ZSTD:
        raw = zstandard.decompress(raw)
    return np.frombuffer(raw, kind).reshape(labels.height, labels.width)


async def refused(call: Any) -> tuple[Code, str, str]:
    """Return the code, reason and message that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return detailed(caught.value)


def detailed(error: grpc.aio.AioRpcError) -> tuple[Code, str, str]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it takes aio's errors too
    info = error_details_pb2.ErrorInfo()
    reason = ""
    for detail in status.details if status else ():
        if detail.Unpack(info):
            reason = info.reason
    return error.code(), reason, error.details() or ""


async def test_labels_are_those_of_the_plain_computation(start: Start) -> None:
    client = await start()
    reply = await client.segment.SegmentImage(request(), timeout=SECONDS)
    tiny = Tiny()
    tensor = Preprocessor(tiny.manifest().preprocessing)(Image.fromarray(PIXELS))
    expected = brute_force(tiny.logits(tensor), 100, 150).argmax(2)
    labels = label_array(reply.labels)
    assert labels.shape == (100, 150)
    assert (labels == expected).mean() > 0.999
    ids, counts = np.unique(labels, return_counts=True)
    assert {item.class_id: item.pixels for item in reply.classes} == dict(
        zip(ids.tolist(), counts.tolist(), strict=True)
    )
    assert sum(item.share for item in reply.classes) == pytest.approx(1)
    assert [item.share for item in reply.classes] == sorted(
        (item.share for item in reply.classes), reverse=True
    )
    assert reply.classes[0].name == f"class {reply.classes[0].class_id}"
    assert reply.model.name == "tiny"
    assert reply.model.digest.startswith("sha256:")
    assert reply.batch_size == 1
    assert reply.timings.compute.ToTimedelta().total_seconds() > 0


async def test_every_encoding_has_the_same_labels(start: Start) -> None:
    client = await start()
    maps = []
    for encoding in (
        0,
        images_pb2.LABEL_ENCODING_RAW,
        images_pb2.LABEL_ENCODING_ZSTD,
        images_pb2.LABEL_ENCODING_PNG,
    ):
        reply = await client.segment.SegmentImage(request(encoding=encoding), timeout=SECONDS)
        assert reply.labels.encoding == (encoding or images_pb2.LABEL_ENCODING_ZSTD)
        maps.append(label_array(reply.labels))
    assert all(np.array_equal(maps[0], other) for other in maps)


async def test_pixels_give_the_labels_of_the_same_file(start: Start) -> None:
    client = await start()
    height, width = PIXELS.shape[:2]
    pixels = images_pb2.PixelTensor(height=height, width=width, rgb=PIXELS.tobytes())
    by_pixels, by_file = await asyncio.gather(
        client.segment.SegmentImage(
            request(image=images_pb2.Image(pixels=pixels)), timeout=SECONDS
        ),
        client.segment.SegmentImage(request(), timeout=SECONDS),
    )
    assert by_pixels.labels == by_file.labels


async def test_orientation_decides_the_size(start: Start) -> None:
    client = await start()
    exif = Image.Exif()
    exif[0x0112] = 6
    reply = await client.segment.SegmentImage(request(png(exif=exif)), timeout=SECONDS)
    assert (reply.labels.height, reply.labels.width) == (150, 100)


async def test_the_models_size(start: Start) -> None:
    client = await start()
    reply = await client.segment.SegmentImage(
        request(output_size=images_pb2.OUTPUT_SIZE_MODEL), timeout=SECONDS
    )
    assert (reply.labels.height, reply.labels.width) == (16, 24)


async def test_many_classes_take_two_bytes(start: Start, tmp_path: Path) -> None:
    directory = tiny_model.write(tmp_path, Tiny(classes=400))
    client = await start(models=[directory])
    for encoding in (images_pb2.LABEL_ENCODING_RAW, images_pb2.LABEL_ENCODING_PNG):
        reply = await client.segment.SegmentImage(request(encoding=encoding), timeout=SECONDS)
        assert reply.labels.type == images_pb2.LABEL_TYPE_UINT16
        assert label_array(reply.labels).shape == (100, 150)


async def test_a_batch_answers_each_caller_with_its_own_picture(start: Start) -> None:
    client = await start(max_batch=4, batch_window_seconds=0.2)
    pictures = [np.roll(PIXELS, shift, axis=1)[: 60 + shift] for shift in range(12)]
    alone = [
        await client.segment.SegmentImage(request(png(picture)), timeout=SECONDS)
        for picture in pictures
    ]
    calls = [client.segment.SegmentImage(request(png(item)), timeout=SECONDS) for item in pictures]
    together = await asyncio.gather(*calls)
    assert [reply.labels for reply in together] == [reply.labels for reply in alone]
    assert all(reply.batch_size == 1 for reply in alone)
    assert 2 <= max(reply.batch_size for reply in together) <= 4


async def test_a_broken_picture_fails_alone(start: Start) -> None:
    client = await start(max_batch=4, batch_window_seconds=0.2)
    calls = [request(), request(png()[:200]), request(), request(b"junk")]
    replies = await asyncio.gather(
        *(client.segment.SegmentImage(call, timeout=SECONDS) for call in calls),
        return_exceptions=True,
    )
    kinds = [type(reply) for reply in replies]
    assert kinds[0] is kinds[2] is segment_pb2.SegmentImageResponse
    assert kinds[1] is kinds[3] is grpc.aio.AioRpcError


def model(name: str, **fields: str) -> common_pb2.ModelRef:
    return common_pb2.ModelRef(name=name, **fields)


async def test_a_picture_that_is_probably_not_what_was_meant_is_noticed(start: Start) -> None:
    client = await start()
    dark = np.full((40, 50), 4095, np.uint16)
    file = io.BytesIO()
    Image.fromarray(dark).save(file, "PNG")
    image = images_pb2.Image(encoded=file.getvalue())
    reply = await client.segment.SegmentImage(request(image=image), timeout=SECONDS)
    assert len(reply.notices) == 1
    assert "12 bits" in reply.notices[0]
    reply = await client.segment.SegmentImage(request(), timeout=SECONDS)
    assert not reply.notices


@pytest.mark.parametrize(
    ("call", "code", "reason", "says"),
    [
        (request(model=model("b7")), Code.NOT_FOUND, "NOT_FOUND", "known: tiny"),
        (request(model=model("tiny", version="9")), Code.NOT_FOUND, "NOT_FOUND", "known: 1"),
        (
            request(model=model("tiny", digest="sha256:00")),
            Code.FAILED_PRECONDITION,
            "DIGEST_MISMATCH",
            "has the digest",
        ),
        (segment_pb2.SegmentImageRequest(), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "encoded"),
        (request(b""), Code.INVALID_ARGUMENT, "BAD_IMAGE", "empty"),
        (request(b"GIF89a, or so"), Code.INVALID_ARGUMENT, "BAD_IMAGE", "image"),
        (request(png()[:-60]), Code.INVALID_ARGUMENT, "BAD_IMAGE", "cut off"),
        (request(png_header(9000, 9000)), Code.INVALID_ARGUMENT, "IMAGE_TOO_LARGE", "81000000"),
        (
            request(
                image=images_pb2.Image(pixels=images_pb2.PixelTensor(height=2, width=2, rgb=b"abc"))
            ),
            Code.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            "12 are needed",
        ),
        (
            request(image=images_pb2.Image(pixels=images_pb2.PixelTensor(height=0, width=2))),
            Code.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            "no pixels",
        ),
        (request(output_size=77), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "output_size"),
        (request(encoding=77), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "encoding"),
        (request(priority=77), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "priority"),
        (given(0, 5), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "size: 5 x 0 has no pixels"),
        (
            request(output_size=images_pb2.OUTPUT_SIZE_GIVEN),
            Code.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            "size: 0 x 0 has no pixels: both sides must",
        ),
        (given(9000, 9000), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "at most 32000000"),
        (given(1, 32_769), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "32768 a side"),
        (given(2**32 - 1, 2**32 - 1), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "size"),
        (
            request(size=images_pb2.PixelSize(height=5, width=5)),
            Code.INVALID_ARGUMENT,
            "INVALID_ARGUMENT",
            "set `output_size`",
        ),
        (request(classes=[2, 7]), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "unknown class 7"),
        (request(classes=[0] * 65_537), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "65,536 are"),
        (request(top_k=8), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "top_k: 8; at most 7"),
        (overlaid(opacity=0), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "overlay.opacity: 0;"),
        (overlaid(opacity=1.5), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "overlay.opacity"),
        (overlaid(opacity=math.nan), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "overlay.opacity"),
        (overlaid(format=77), Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "overlay.format"),
    ],
)
async def test_bad_requests_are_refused_with_what_to_do(
    start: Start, call: segment_pb2.SegmentImageRequest, code: Code, reason: str, says: str
) -> None:
    client = await start()
    found = await refused(client.segment.SegmentImage(call, timeout=SECONDS))
    assert found[:2] == (code, reason)
    assert says in found[2]
    assert "/" not in found[2].replace(" / ", "")  # no path of the server


async def test_a_message_over_the_limit(start: Start) -> None:
    client = await start(max_message_bytes=1 << 20)
    code, reason, says = await refused(
        client.segment.SegmentImage(request(b"x" * 1_500_000), timeout=SECONDS)
    )
    assert (code, reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert "1,048,576" in says


async def test_a_reply_over_the_limit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await start(max_message_bytes=1 << 20)
    runs: list[int] = []
    run = OnnxEngine.run

    def counted(engine: OnnxEngine, batch: list[Any]) -> list[Any]:
        runs.append(len(batch))
        return run(engine, batch)

    monkeypatch.setattr(OnnxEngine, "run", counted)
    big = png(np.zeros((1200, 1000, 3), dtype=np.uint8))
    raw = request(big, encoding=images_pb2.LABEL_ENCODING_RAW)
    code, reason, says = await refused(client.segment.SegmentImage(raw, timeout=SECONDS))
    assert (code, reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert "another encoding" in says
    assert runs == []  # a raw map's size is known before any work
    await client.segment.SegmentImage(request(big), timeout=SECONDS)
    assert runs == [1]


async def test_a_deadline_already_past(start: Start) -> None:
    client = await start()
    code, _, _ = await refused(client.segment.SegmentImage(request(), timeout=0))
    assert code is Code.DEADLINE_EXCEEDED


async def test_a_full_queue_pushes_back(start: Start) -> None:
    client = await start(queue_items=1, max_batch=2, batch_window_seconds=0.3)
    calls = [client.segment.SegmentImage(request(), timeout=SECONDS) for _ in range(6)]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [reply for reply in replies if isinstance(reply, grpc.aio.AioRpcError)]
    assert 1 <= len(refusals) < 6
    for error in refusals:
        assert detailed(error)[:2] == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert "grpc-retry-pushback-ms" in dict(error.trailing_metadata() or ())


async def test_callers_who_leave_cost_no_place(start: Start) -> None:
    """With one place, of two calls one waits for the window; cancelling it frees the place."""
    client = await start(queue_items=1, max_batch=2, batch_window_seconds=10)

    def send() -> asyncio.Task[segment_pb2.SegmentImageResponse]:
        async def call() -> segment_pb2.SegmentImageResponse:
            return await client.segment.SegmentImage(request(), timeout=SECONDS)

        return asyncio.create_task(call())

    held = 0
    for _ in range(1000):  # the server may need a moment to see that a caller has gone
        pair = [send(), send()]
        done, waiting = await asyncio.wait(pair, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            assert isinstance(error, grpc.aio.AioRpcError)
            assert detailed(error)[1] == "OVERLOADED"
        held += len(waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*pair, return_exceptions=True)
        if held >= 3:
            break
    assert held >= 3


async def test_models_are_listed_and_described(start: Start, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        tiny_model.write(tmp_path / name, Tiny(name=name))
    tiny_model.write(tmp_path / "r", Tiny(name="r", license=RESEARCH))
    client = await start(models=[tmp_path])
    first = await client.segment.ListModels(
        segment_pb2.ListModelsRequest(page_size=3), timeout=SECONDS
    )
    rest = await client.segment.ListModels(
        segment_pb2.ListModelsRequest(page_token=first.next_page_token), timeout=SECONDS
    )
    assert [item.ref.name for item in (*first.models, *rest.models)] == ["a", "b", "c", "r"]
    assert not rest.next_page_token
    assert [item.license.terms for item in rest.models] == [common_pb2.TERMS_RESEARCH_ONLY]
    unknown = segment_pb2.ListModelsRequest(page_token="?")  # noqa: S106  # no password
    code, _, _ = await refused(client.segment.ListModels(unknown, timeout=SECONDS))
    assert code is Code.INVALID_ARGUMENT


async def test_a_model_is_described_as_its_manifest_says(
    start: Start, tiny_directory: Path
) -> None:
    client = await start()
    reply = await client.segment.GetModel(segment_pb2.GetModelRequest(), timeout=SECONDS)
    found, manifest = reply.model, read_manifest(tiny_directory)
    assert manifest.facts is not None
    assert manifest.parity is not None
    assert (found.ref.name, found.ref.version) == ("tiny", "1")
    assert found.ref.digest == manifest_digest(manifest)
    assert found.weights == common_pb2.WEIGHTS_KIND_REFERENCE
    assert found.license.id == "Apache-2.0"
    assert [item.name for item in found.classes] == [item.name for item in manifest.classes]
    assert found.preprocessing.mean == pytest.approx(manifest.preprocessing.mean)
    assert found.source_facts.parameters == manifest.facts.parameters
    assert found.source_facts.logits_shape == list(manifest.facts.logits_shape)
    assert found.source_facts.stages[0].downsampling == 4
    assert found.parity.label_agreement == manifest.parity.label_agreement
    assert dict(found.digests) == dict(manifest.digests)
    assert (found.engine.id, found.engine.precision) == (
        "onnxruntime-cpu",
        common_pb2.PRECISION_FP32,
    )
    assert [(one.engine.id, one.passed) for one in found.parities] == [("onnxruntime-cpu", True)]
    known = segment_pb2.GetModelRequest(model=model("x"))
    assert (await refused(client.segment.GetModel(known, timeout=SECONDS)))[0] is Code.NOT_FOUND


async def test_research_weights_are_described_but_not_served(start: Start, tmp_path: Path) -> None:
    directory = tiny_model.write(tmp_path, Tiny(license=RESEARCH))
    client = await start(models=[directory])
    await client.segment.GetModel(segment_pb2.GetModelRequest(), timeout=SECONDS)
    code, reason, says = await refused(client.segment.SegmentImage(request(), timeout=SECONDS))
    assert (code, reason) == (Code.PERMISSION_DENIED, "LICENSE_NOT_ACCEPTED")
    assert "ASSAY_SEGMENT_ACCEPTED_LICENSES" in says
    accepted = await start(models=[directory], accepted_licenses=[RESEARCH.id])
    await accepted.segment.SegmentImage(request(), timeout=SECONDS)


async def test_a_graph_that_was_changed_is_not_served(start: Start, tmp_path: Path) -> None:
    directory = tiny_model.write(tmp_path)
    (directory / MODEL_FILE).write_bytes((directory / MODEL_FILE).read_bytes() + b"\0")
    with pytest.raises(Exception, match=r"model.onnx.*digest"):
        await start(models=[directory])


async def test_a_directory_that_is_no_model_is_not_served(start: Start, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="assay export"):
        await start(models=[tmp_path])


async def test_the_same_picture_from_many_clients(start: Start) -> None:
    client = await start()
    other = Client(client.server)
    calls = [
        stub.SegmentImage(request(), timeout=SECONDS)
        for stub in (client.segment, other.segment)
        for _ in range(8)
    ]
    replies = await asyncio.gather(*calls)
    assert len({reply.labels.data for reply in replies}) == 1
    await other.channel.close()
