"""Every output of SegmentImage over a real socket, at every size, against the plain computation."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard
from assay_rpc.segment.v1 import images_pb2, segment_pb2
from numpy.typing import NDArray
from PIL import Image

from services.errors import InvalidArgument
from services.segment.batching.scheduler import Scheduler
from services.segment.batching.ticket import Admission, Priority
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.images.label_map import Encoding
from services.segment.images.outputs import Wanted
from services.segment.images.overlay import OverlayStyle, PictureFormat
from services.segment.images.top_classes import SCALE
from tests.segment import tiny_model
from tests.segment.api.test_segment import PIXELS, SECONDS, given, label_array, refused, request
from tests.segment.conftest import Client, Start
from tests.segment.images.test_masks import decoded
from tests.segment.tiny_model import Tiny

RAW, COCO, NONE = (
    images_pb2.LABEL_ENCODING_RAW,
    images_pb2.LABEL_ENCODING_COCO_RLE,
    images_pb2.LABEL_ENCODING_NONE,
)
# The picture's own, the model's, one larger, one smaller, one flat.
SIZES = [(100, 150), (16, 24), (300, 411), (7, 5), (1, 200)]


async def labels_of(client: Client, height: int, width: int) -> NDArray[Any]:
    reply = await client.segment.SegmentImage(given(height, width, encoding=RAW), timeout=SECONDS)
    labels: NDArray[Any] = label_array(reply.labels)
    assert labels.shape == (height, width)
    return labels


def planes(top: images_pb2.TopClasses) -> tuple[NDArray[Any], NDArray[Any]]:
    kind = {images_pb2.LABEL_TYPE_UINT8: "<u1", images_pb2.LABEL_TYPE_UINT16: "<u2"}[top.type]
    shape = (top.k, top.height, top.width)
    classes = np.frombuffer(zstandard.decompress(top.classes), kind).reshape(shape)
    shares = np.frombuffer(zstandard.decompress(top.probabilities), "<u2").reshape(shape)
    return classes, shares


async def test_given_sizes_equal_the_others(start: Start) -> None:
    client = await start()
    own = await client.segment.SegmentImage(request(encoding=RAW), timeout=SECONDS)
    model = await client.segment.SegmentImage(
        request(encoding=RAW, output_size=images_pb2.OUTPUT_SIZE_MODEL), timeout=SECONDS
    )
    assert np.array_equal(await labels_of(client, 100, 150), label_array(own.labels))
    assert np.array_equal(await labels_of(client, 16, 24), label_array(model.labels))


@pytest.mark.parametrize("size", SIZES)
async def test_all_outputs_at_every_size(start: Start, size: tuple[int, int]) -> None:
    client = await start()
    labels = await labels_of(client, *size)
    reply = await client.segment.SegmentImage(
        given(*size, encoding=COCO, top_k=3, overlay=images_pb2.OverlayOptions()), timeout=SECONDS
    )
    assert (reply.labels.height, reply.labels.width) == size
    assert (reply.labels.encoding, reply.labels.data) == (COCO, b"")
    assert not reply.labels.HasField("filtered_value")
    assert [mask.class_id for mask in reply.labels.masks] == np.unique(labels).tolist()
    for mask in reply.labels.masks:
        assert np.array_equal(decoded(mask.counts, *size), labels == mask.class_id)
        assert mask.area == (labels == mask.class_id).sum()
    assert {item.class_id: item.pixels for item in reply.classes} == {
        mask.class_id: mask.area for mask in reply.labels.masks
    }
    classes, shares = planes(reply.top_classes)
    assert classes.shape == (3, *size)
    assert np.array_equal(classes[0], labels)
    assert (np.diff(shares.astype(int), axis=0) <= 1).all()
    assert (shares.astype(int).sum(axis=0) <= SCALE + 3).all()
    with Image.open(io.BytesIO(reply.overlay.data)) as seen:
        assert (seen.format, seen.size) == ("JPEG", (size[1], size[0]))
    assert reply.overlay.format == images_pb2.PICTURE_FORMAT_JPEG


@pytest.mark.parametrize("classes", [7, 256, 400])
async def test_a_filter_leaves_others_out(start: Start, tmp_path: Path, classes: int) -> None:
    client = await start(models=[tiny_model.write(tmp_path, Tiny(classes=classes))])
    labels = await labels_of(client, 100, 150)
    ids, counts = np.unique(labels, return_counts=True)
    kept = ids[::2].tolist()
    style = images_pb2.OverlayOptions(format=images_pb2.PICTURE_FORMAT_PNG, opacity=1)
    call = request(encoding=RAW, classes=[*kept, kept[0]], top_k=1, overlay=style)
    reply = await client.segment.SegmentImage(call, timeout=SECONDS)
    other = 255 if classes == 7 else 65_535
    assert reply.labels.filtered_value == other
    found = label_array(reply.labels)
    assert np.array_equal(found, np.where(np.isin(labels, kept), labels.astype(int), other))
    pixels = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    assert {item.class_id: item.pixels for item in reply.classes} == {i: pixels[i] for i in kept}
    assert all(item.share == item.pixels / labels.size for item in reply.classes)
    assert np.array_equal(planes(reply.top_classes)[0][0], labels)  # not filtered
    with Image.open(io.BytesIO(reply.overlay.data)) as seen:
        drawn = np.asarray(seen)
    left_out = found == other
    assert np.array_equal(drawn[left_out], PIXELS[left_out])
    blue = found[~left_out] & 0xFF  # the tiny model's colour of a class is its id
    assert np.array_equal(drawn[~left_out][:, 2], blue)
    call = request(encoding=COCO, classes=kept)
    masks = (await client.segment.SegmentImage(call, timeout=SECONDS)).labels.masks
    assert [mask.class_id for mask in masks] == kept


async def test_a_class_that_is_not_there_gives_no_mask(start: Start, tmp_path: Path) -> None:
    client = await start(models=[tiny_model.write(tmp_path, Tiny(classes=100))])
    labels = await labels_of(client, 100, 150)
    absent = sorted(set(range(100)) - set(np.unique(labels).tolist()))
    call = request(encoding=COCO, classes=absent[:1])
    reply = await client.segment.SegmentImage(call, timeout=SECONDS)
    assert (len(reply.labels.masks), len(reply.classes)) == (0, 0)


async def test_shares_without_a_map(start: Start) -> None:
    client = await start()
    with_map = await client.segment.SegmentImage(request(), timeout=SECONDS)
    reply = await client.segment.SegmentImage(request(encoding=NONE), timeout=SECONDS)
    assert reply.classes == with_map.classes
    assert reply.labels == images_pb2.LabelMap(
        height=100, width=150, type=images_pb2.LABEL_TYPE_UINT8, encoding=NONE
    )
    assert not reply.HasField("top_classes")
    assert not reply.HasField("overlay")


async def test_an_overlay_honours_orientation(start: Start) -> None:
    client = await start()
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    style = images_pb2.OverlayOptions(format=images_pb2.PICTURE_FORMAT_PNG, opacity=0.01)
    reply = await client.segment.SegmentImage(
        request(file.getvalue(), overlay=style), timeout=SECONDS
    )
    with Image.open(io.BytesIO(reply.overlay.data)) as seen:
        drawn = np.asarray(seen).astype(int)
    assert np.abs(drawn - np.rot90(PIXELS, -1).astype(int)).max() <= 3


@pytest.mark.parametrize(
    "call",
    [
        given(1200, 1000, top_k=1),  # 3 bytes a pixel, known before any work
        given(1200, 1000, encoding=RAW),
        given(400, 400, top_k=7),
    ],
)
async def test_outputs_that_no_reply_holds_cost_nothing(
    start: Start, call: segment_pb2.SegmentImageRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await start(max_message_bytes=1 << 20)

    def run(engine: OnnxEngine, batch: list[Any]) -> list[Any]:
        raise AssertionError("it was computed")

    monkeypatch.setattr(OnnxEngine, "run", run)
    code, reason, says = await refused(client.segment.SegmentImage(call, timeout=SECONDS))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert "smaller size" in says


async def test_an_overlay_that_no_reply_holds(start: Start) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((400, 400)).save(file, "PNG")
    client = await start(max_message_bytes=1 << 20)
    style = images_pb2.OverlayOptions(format=images_pb2.PICTURE_FORMAT_PNG, opacity=0.01)
    call = given(800, 800, image=images_pb2.Image(encoded=file.getvalue()), overlay=style)
    code, reason, says = await refused(client.segment.SegmentImage(call, timeout=SECONDS))
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert "the other requested outputs" in says


def test_what_outputs_cost() -> None:
    """In pixels of a plain map: what a deadline is judged by."""
    plain = Wanted()
    assert plain.work == 1
    more = [
        replace(plain, encoding=Encoding.PNG),
        replace(plain, overlay=OverlayStyle(PictureFormat.JPEG)),
        replace(plain, overlay=OverlayStyle(PictureFormat.PNG)),
        replace(plain, top=1),
        replace(plain, top=5),
    ]
    assert [wanted.work for wanted in more] == sorted({wanted.work for wanted in more})


def test_a_filter_needs_a_value_that_is_no_class() -> None:
    wanted = Wanted(classes=frozenset([3]))
    wanted.check(65_535)
    with pytest.raises(InvalidArgument, match="leave none for other pixels"):
        wanted.check(65_536)


@pytest.mark.parametrize("metadata", [(), (("assay-client-id", "me"),)])
async def test_priority_and_client_are_passed_on(
    start: Start, monkeypatch: pytest.MonkeyPatch, metadata: tuple[tuple[str, str], ...]
) -> None:
    client = await start()
    seen: list[tuple[Priority, str]] = []
    submit = Scheduler.submit

    async def watched(
        self: Any, prepare: Any, finish: Any, admission: Admission, **options: Any
    ) -> Any:
        seen.append((admission.priority, admission.client))
        return await submit(self, prepare, finish, admission, **options)

    monkeypatch.setattr(Scheduler, "submit", watched)
    for priority in (
        segment_pb2.PRIORITY_UNSPECIFIED,
        segment_pb2.PRIORITY_HIGH,
        segment_pb2.PRIORITY_LOW,
    ):
        await client.segment.SegmentImage(
            request(priority=priority), timeout=SECONDS, metadata=metadata
        )
    assert [priority for priority, _ in seen] == [Priority.NORMAL, Priority.HIGH, Priority.LOW]
    names = {name for _, name in seen}
    assert len(names) == 1
    assert names == {"id me"} if metadata else names.pop().startswith("peer ipv4:127.0.0.1:")
