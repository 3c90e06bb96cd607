"""EvaluateSegmentation over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, segment_pb2
from PIL import Image

from services.segment.api import evaluate as evaluate_api
from services.segment.api.evaluate import Bounds
from services.segment.images.label_map import Encoding
from services.segment.images.outputs import Segmentation
from services.segment.serving.repository import RegisteredModel, Repository, discover
from tests.segment.api.test_segment import PIXELS, SECONDS, label_array, png, refused, request
from tests.segment.conftest import Client, Start, evaluated
from tests.segment.images.test_accuracy import by_hand
from tests.segment.test_metrics import values
from tests.segment.tiny_model import RESEARCH, Tiny, write

Code = grpc.StatusCode
CLASSES = Tiny().classes
HEIGHT, WIDTH = PIXELS.shape[:2]
MASK = np.random.default_rng(5).integers(0, CLASSES, (HEIGHT, WIDTH), dtype=np.uint8)
ZERO_IS_NONE = segment_pb2.MASK_VALUES_ZERO_IS_NONE


def settings(**fields: Any) -> segment_pb2.EvaluateSegmentationRequest:
    return segment_pb2.EvaluateSegmentationRequest(
        settings=segment_pb2.EvaluationSettings(**fields)
    )


def pair(mask: Any = MASK, picture: bytes | None = None) -> segment_pb2.EvaluateSegmentationRequest:
    """A pair whose mask is an array, encoded bytes or a LabelMap."""
    image = images_pb2.Image(encoded=png() if picture is None else picture)
    if isinstance(mask, images_pb2.LabelMap):
        return segment_pb2.EvaluateSegmentationRequest(
            pair=segment_pb2.EvaluationPair(image=image, values=mask)
        )
    encoded = mask if isinstance(mask, bytes) else png(mask)
    return segment_pb2.EvaluateSegmentationRequest(
        pair=segment_pb2.EvaluationPair(image=image, encoded=encoded)
    )


async def evaluate(
    client: Client, *messages: segment_pb2.EvaluateSegmentationRequest, **options: Any
) -> segment_pb2.EvaluationResult:
    for _ in range(50):
        try:
            return await evaluated(client, _stream(messages), **({"timeout": SECONDS} | options))
        except grpc.aio.AioRpcError as error:
            # gRPC's own words, in the place of the server's: a message that is on its way when the
            # refusal comes fails, and that overwrites the status.
            if error.details() != "Internal error from Core":
                raise
    raise AssertionError("gRPC never let the server's status through")


async def _stream(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def labels_of(client: Client, encoded: bytes | None = None) -> Any:
    reply = await client.segment.SegmentImage(request(encoded), timeout=SECONDS)
    return label_array(reply.labels)


async def test_figures_are_those_of_the_definitions(start: Start) -> None:
    client = await start()
    labels = await labels_of(client)
    masks = [MASK, np.where(MASK > 3, 255, MASK).astype(np.uint8), np.flip(MASK)]
    reply = await evaluate(client, settings(confusion_matrix=True), *map(pair, masks))
    expected = by_hand([(mask, labels) for mask in masks], CLASSES)
    assert (reply.pixel_accuracy, reply.mean_iou, reply.mean_accuracy) == pytest.approx(
        expected, abs=1e-12
    )
    assert reply.pairs == 3
    assert reply.ignored_pixels == (MASK > 3).sum()
    assert reply.pixels + reply.ignored_pixels == 3 * MASK.size
    assert reply.model.digest.startswith("sha256:")
    matrix = np.array(reply.confusion).reshape(CLASSES, CLASSES)
    assert matrix.sum() == reply.pixels
    for item in reply.classes:
        assert item.name == f"class {item.class_id}"
        assert item.mask_pixels == matrix[item.class_id].sum()
        assert item.predicted_pixels == matrix[:, item.class_id].sum()
        assert item.common_pixels == matrix[item.class_id, item.class_id]


async def test_masks_that_are_one_off_show_it(start: Start) -> None:
    client = await start()
    labels = await labels_of(client)
    shifted = np.minimum(labels + 1, CLASSES - 1).astype(np.uint8)
    reply = await evaluate(client, settings(), pair(shifted))
    assert reply.pixel_accuracy_one_lower == (labels + 1 == shifted).mean()
    assert reply.pixel_accuracy_one_higher == 0


async def test_the_models_own_labels_are_perfect_in_every_form(start: Start) -> None:
    client = await start()
    labels = await labels_of(client)
    raw = labels.astype(np.uint8).tobytes()
    size = {"height": HEIGHT, "width": WIDTH}
    forms = [
        images_pb2.LabelMap(
            **size, type=images_pb2.LABEL_TYPE_UINT8, encoding=images_pb2.LABEL_ENCODING_RAW,
            data=raw,
        ),
        images_pb2.LabelMap(
            **size, type=images_pb2.LABEL_TYPE_UINT16, encoding=images_pb2.LABEL_ENCODING_ZSTD,
            data=zstandard.compress(labels.astype("<u2").tobytes()),
        ),
        images_pb2.LabelMap(**size, encoding=images_pb2.LABEL_ENCODING_PNG, data=png(labels)),
        labels,
    ]  # fmt: skip
    reply = await evaluate(client, settings(), *map(pair, forms))
    assert (reply.pixel_accuracy, reply.mean_iou, reply.mean_accuracy) == (1, 1, 1)
    assert reply.pixels == 4 * labels.size
    assert not reply.confusion
    absent = [item for item in reply.classes if item.class_id not in labels]
    assert all(not item.HasField("iou") and not item.HasField("accuracy") for item in absent)
    shifted = await evaluate(
        client, settings(mask_values=ZERO_IS_NONE), pair((labels + 1).astype(np.uint8))
    )
    assert shifted.mean_iou == 1


async def test_pixels_are_as_good_as_a_file(start: Start) -> None:
    client = await start()
    tensor = images_pb2.PixelTensor(height=HEIGHT, width=WIDTH, rgb=PIXELS.tobytes())
    message = pair()
    message.pair.image.pixels.CopyFrom(tensor)
    assert await evaluate(client, settings(), message) == await evaluate(client, settings(), pair())


async def test_a_turned_picture_has_the_mask_of_the_upright_one(start: Start) -> None:
    client = await start()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = png(PIXELS, exif=exif)
    labels = await labels_of(client, turned)
    assert labels.shape == (WIDTH, HEIGHT)
    assert (await evaluate(client, settings(), pair(labels, turned))).mean_iou == 1
    code, _, message = await refused(evaluate(client, settings(), pair(MASK, turned)))
    assert code is Code.INVALID_ARGUMENT
    assert f"pairs[0].mask: {WIDTH} x {HEIGHT} pixels" in message


STRANGE = MASK.copy()
STRANGE[3, 4] = CLASSES
TOO_SMALL = MASK[1:]
FLOOD = images_pb2.LabelMap(
    height=HEIGHT,
    width=WIDTH,
    type=images_pb2.LABEL_TYPE_UINT8,
    encoding=images_pb2.LABEL_ENCODING_ZSTD,
    data=zstandard.compress(bytes(1 << 26)),
)
NO_PICTURE, CUT_PIXELS = pair(), pair()
NO_PICTURE.pair.image.Clear()
CUT_PIXELS.pair.image.pixels.CopyFrom(images_pb2.PixelTensor(height=1, width=1, rgb=b"no"))
RUNS = images_pb2.LabelMap(height=HEIGHT, width=WIDTH, encoding=images_pb2.LABEL_ENCODING_COCO_RLE)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "settings: the first message must be the settings"),
        ([pair()], "settings: the first message must be the settings"),
        ([settings()], "pairs: no pair was sent"),
        ([settings(), settings()], r"pairs[0]: settings come once"),
        ([settings(), pair(MASK * 0 + 255)], "pairs: their masks leave every pixel out"),
        (
            [settings(), pair(), pair(STRANGE)],
            f"pairs[1].mask: the value {CLASSES} is not a class of the {CLASSES} of this",
        ),
        (
            [settings(mask_values=ZERO_IS_NONE), pair(STRANGE + 1)],
            f"pairs[0].mask: the value {CLASSES + 1} means class {CLASSES}",
        ),
        (
            [settings(ignore=300), pair(MASK * 0 + 255)],
            "pairs[0].mask: the value 255 is not a class",
        ),
        ([settings(ignore=70_000), pair()], "settings.ignore: 70000"),
        ([settings(mask_values=9), pair()], "settings.mask_values: 9"),
        ([settings(), pair(), pair(), pair(TOO_SMALL)], "pairs[2].mask: 150 x 99 pixels"),
        ([settings(), pair(picture=b"x")], "pairs[0].image.encoded: 1 byte that is not an image"),
        ([settings(), pair(b"x")], "pairs[0].mask.encoded: not a PNG"),
        ([settings(), pair(png(PIXELS))], "pairs[0].mask.encoded: its pixels are RGB"),
        ([settings(), pair(FLOOD)], "pairs[0].mask.values.data: 15001 bytes"),
        ([settings(), pair(RUNS)], "pairs[0].mask.values.encoding: raw, zstd or PNG"),
        (
            [
                settings(),
                segment_pb2.EvaluateSegmentationRequest(pair=segment_pb2.EvaluationPair()),
            ],
            "pairs[0].mask: give either",
        ),
        ([settings(), NO_PICTURE], "pairs[0].image: give either"),
        ([settings(), pair(), CUT_PIXELS], "pairs[1].image.pixels.rgb: 2 bytes"),
    ],
)
async def test_what_is_wrong_is_named(
    start: Start, messages: list[segment_pb2.EvaluateSegmentationRequest], says: str
) -> None:
    client = await start()
    code, _, message = await refused(evaluate(client, *messages))
    assert code is Code.INVALID_ARGUMENT
    assert says in message
    # The server is none the worse for it.
    assert (await evaluate(client, settings(), pair())).pairs == 1


async def test_a_model_that_may_not_be_used(start: Start, tmp_path: Path) -> None:
    client = await start(models=[write(tmp_path, Tiny(license=RESEARCH))])
    code, reason, _ = await refused(evaluate(client, settings(), pair()))
    assert (code, reason) == (Code.PERMISSION_DENIED, "LICENSE_NOT_ACCEPTED")
    unknown = settings(model=common_pb2.ModelRef(name="absent"))
    assert (await refused(evaluate(client, unknown, pair())))[0] is Code.NOT_FOUND


async def test_a_full_queue_is_waited_for(start: Start) -> None:
    client = await start(queue_items=1, workers=4)
    async with asyncio.timeout(SECONDS):
        replies = await asyncio.gather(
            *(evaluate(client, settings(), *[pair()] * 5) for _ in range(3))
        )
    assert [reply.pairs for reply in replies] == [5, 5, 5]
    assert replies[0] == replies[1] == replies[2]
    # Whoever waits has a place in the line: nothing was refused and asked again.
    assert (await values(client))["assay_segment_refused_total OVERLOADED"] == 0


async def test_a_pair_over_the_limit_is_refused_by_its_size(start: Start) -> None:
    client = await start(max_message_bytes=1 << 20)
    large = pair(picture=bytes(1_500_000))
    code, reason, message = await refused(evaluate(client, settings(), pair(), large))
    assert (code, reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE")
    assert f"pairs[1] has {large.ByteSize():,} bytes and the server takes 1,048,576" in message


class Gate:
    """A model at work that lets nothing through until it is opened, and counts who waits."""

    def __init__(self, model: RegisteredModel) -> None:
        self.repository = Repository([model])
        self.open, self.full = asyncio.Event(), asyncio.Event()
        self.inside = self.most = 0

    @contextmanager
    def lease(self, model: RegisteredModel) -> Iterator[Gate]:
        assert model.manifest.name == "tiny"
        yield self

    @property
    def pipeline(self) -> Gate:
        return self

    async def segment(self, decode: Callable[[], Image.Image], *_: Any, **__: Any) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == 3:
            self.full.set()
        await self.open.wait()
        self.inside -= 1
        decode()
        return Segmentation(HEIGHT, WIDTH, 1, Encoding.RAW, bytes(HEIGHT * WIDTH), []), None

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "here"


async def test_no_more_is_read_than_is_worked_on(tiny_directory: Path) -> None:
    (model,) = discover([tiny_directory])
    gate, read = Gate(model), 0

    async def pairs() -> AsyncIterator[segment_pb2.EvaluateSegmentationRequest]:
        nonlocal read
        yield settings()
        for _ in range(40):
            read += 1
            yield pair()

    bounds = Bounds(3, max_pixels=1 << 20, max_request_bytes=1 << 20, max_reply_bytes=1 << 20)
    updates = evaluate_api.evaluate(gate, pairs(), gate, bounds)  # type: ignore[arg-type]  # all that it uses

    async def last() -> segment_pb2.EvaluationResult:
        return [update async for update in updates][-1].result

    call = asyncio.create_task(last())
    await gate.full.wait()
    assert read == 3
    gate.open.set()
    reply = await call
    assert (reply.pairs, read, gate.most, gate.inside) == (40, 40, 3, 0)


async def test_a_deadline_ends_it(start: Start) -> None:
    client = await start()

    async def waiting() -> AsyncIterator[Any]:
        yield settings()
        yield pair()
        await asyncio.Event().wait()

    call = evaluated(client, waiting(), timeout=0.5)
    assert (await refused(call))[0] is Code.DEADLINE_EXCEEDED
    assert (await evaluate(client, settings(), pair())).pairs == 1


async def test_a_client_that_sends_nothing_is_not_waited_for_without_end(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_api, "_MAX_SILENCE_SECONDS", 1.0)
    client = await start()

    async def silent() -> AsyncIterator[Any]:
        yield settings()
        yield pair()
        await asyncio.Event().wait()

    code, _, message = await refused(evaluated(client, silent(), timeout=SECONDS))
    assert code is Code.DEADLINE_EXCEEDED
    assert "pairs[1]: nothing came for 1 s" in message


async def test_a_caller_that_leaves_takes_its_pairs_along(start: Start) -> None:
    client = await start()
    sent = asyncio.Event()

    async def waiting() -> AsyncIterator[Any]:
        yield settings()
        yield pair()
        sent.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(evaluated(client, waiting(), timeout=SECONDS))
    await sent.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await evaluate(client, settings(), pair())).pairs == 1
