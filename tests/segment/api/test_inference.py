"""Inference modes over a real socket: proportions kept, windows, the own size, thresholds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2
from PIL import Image

from services.segment.images.preprocess import Preprocessor
from services.segment.images.resize import resize
from services.segment.manifest import ModelGraph, ModelPreprocessing
from tests.segment import tiny_model
from tests.segment.api.test_segment import SECONDS, label_array, refused, request
from tests.segment.conftest import Client, Start, evaluated
from tests.segment.images.test_upsample import brute_force
from tests.segment.tiny_model import STEP, Tiny
from tests.segment.windows.oracle import mean_logits, wrong

FREE = Tiny(height=64, width=64, free_size=True)
PIXELS = np.asarray(
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize(
        (200, 120)
    )
)
Code = grpc.StatusCode


def png(pixels: Any = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("models") / "free", FREE)


def pixel_size(height: int, width: int) -> images_pb2.PixelSize:
    return images_pb2.PixelSize(height=height, width=width)


def windows(
    window: tuple[int, int] | None = None, stride: tuple[int, int] | None = None
) -> models_pb2.Windows:
    return models_pb2.Windows(
        size=None if window is None else pixel_size(*window),
        stride=None if stride is None else pixel_size(*stride),
    )


def logits_of(part: Any) -> Any:
    """The tiny model's, of any size: its pooling drops what is over a multiple of four."""
    height, width = (side // STEP * STEP for side in part.shape[1:])
    return FREE.logits(part[:, :height, :width])


def prepared(pixels: Any, size: tuple[int, int], resampler: Any = "pillow") -> Any:
    picture = Image.fromarray(pixels)
    resized = resize(picture, *size, "bilinear", resampler)
    return Preprocessor(FREE.manifest().preprocessing).tensor(resized)


async def labelled(client: Client, **fields: Any) -> Any:
    asked = request(png(), **fields)
    return label_array((await client.segment.SegmentImage(asked, timeout=SECONDS)).labels)


async def test_windows_are_mmsegmentations_on_every_pixel(start: Start, free: Path) -> None:
    client = await start(models=[free])
    inference = models_pb2.Inference(
        edges=models_pb2.Edges(short=96, long=400), windows=windows((64, 64), (40, 44))
    )
    found = await labelled(client, inference=inference)
    expected = mean_logits(prepared(PIXELS, (96, 160)), logits_of, (64, 64), (40, 44), (120, 200))
    assert found.shape == (120, 200)
    assert wrong(found, expected) == 0
    plain = await labelled(client)
    assert np.mean(found != plain) > 0.01


async def test_windows_of_a_graph_of_one_size(start: Start, tmp_path: Path) -> None:
    fixed = Tiny(height=64, width=64)
    client = await start(models=[tiny_model.write(tmp_path / "fixed", fixed)], max_batch=4)
    found = await labelled(client, inference=models_pb2.Inference(windows=windows()))
    expected = mean_logits(
        prepared(PIXELS, (64, 107)), fixed.logits, (64, 64), (42, 42), (120, 200)
    )
    assert wrong(found, expected) == 0


async def test_proportions_are_kept_and_sides_aligned(start: Start, free: Path) -> None:
    client = await start(models=[free])
    keep = models_pb2.Inference(
        resize=models_pb2.RESIZE_MODE_KEEP_RATIO,
        edges=models_pb2.Edges(short=64, long=256, multiple=32),
        resampler=models_pb2.RESAMPLER_OPENCV,
    )
    found = await labelled(client, inference=keep)
    once = resize(Image.fromarray(PIXELS), 64, 107, "bilinear", "opencv")
    tensor = prepared(once, (64, 128), "opencv")
    expected = mean_logits(tensor, logits_of, (64, 128), (64, 128), (120, 200))
    assert wrong(found, expected) == 0


async def test_the_own_size_is_computed_without_resizing(start: Start, tmp_path: Path) -> None:
    directory = tiny_model.write(tmp_path / "native", Tiny(height=128, width=128, free_size=True))
    manifest = Tiny(height=128, width=128, free_size=True).manifest()
    native = manifest.preprocessing.replaced(resizes=False)
    tiny_model.sealed(directory, manifest.replaced(preprocessing=native))
    client = await start(models=[directory])
    found = await labelled(client)  # as the model's preprocessing says
    expected = brute_force(logits_of(prepared(PIXELS, (120, 200))), 120, 200)
    assert wrong(found, expected) == 0
    described = await client.segment.GetModel(segment_pb2.GetModelRequest(), timeout=SECONDS)
    assert described.model.preprocessing.resize_mode == models_pb2.RESIZE_MODE_NONE
    assert described.model.preprocessing.resampler == models_pb2.RESAMPLER_PILLOW
    large = png(np.zeros((300, 300, 3), np.uint8))
    code, _, message = await refused(client.segment.SegmentImage(request(large), timeout=SECONDS))
    assert code == Code.INVALID_ARGUMENT
    assert "computes 65536 at once at most: give windows" in message
    slide = models_pb2.Inference(windows=windows())
    reply = await client.segment.SegmentImage(request(large, inference=slide), timeout=SECONDS)
    assert (reply.labels.height, reply.labels.width) == (300, 300)


async def test_outputs_go_with_windows(start: Start, free: Path) -> None:
    client = await start(models=[free])
    inference = models_pb2.Inference(windows=windows())
    asked = request(
        png(),
        inference=inference,
        top_k=2,
        overlay=images_pb2.OverlayOptions(),
        output_size=images_pb2.OUTPUT_SIZE_GIVEN,
        size=pixel_size(50, 60),
    )
    reply = await client.segment.SegmentImage(asked, timeout=SECONDS)
    assert label_array(reply.labels).shape == (50, 60)
    assert (reply.top_classes.k, reply.top_classes.height, reply.top_classes.width) == (2, 50, 60)
    assert Image.open(io.BytesIO(reply.overlay.data)).size == (60, 50)
    assert reply.timings.compute.ToTimedelta().total_seconds() > 0
    model_size = request(png(), inference=inference, output_size=images_pb2.OUTPUT_SIZE_MODEL)
    code, _, message = await refused(client.segment.SegmentImage(model_size, timeout=SECONDS))
    assert code == Code.INVALID_ARGUMENT
    assert "output_size" in message


async def test_another_resampler_gives_its_labels(start: Start, free: Path) -> None:
    client = await start(models=[free])
    opencv = models_pb2.Inference(resampler=models_pb2.RESAMPLER_OPENCV)
    found = await labelled(client, inference=opencv)
    expected = brute_force(logits_of(prepared(PIXELS, (64, 64), "opencv")), 120, 200)
    assert wrong(found, expected) == 0


@pytest.mark.parametrize(
    ("inference", "field"),
    [
        (models_pb2.Inference(resize=models_pb2.RESIZE_MODE_PAD), "inference.resize"),
        (models_pb2.Inference(resampler=9), "inference.resampler"),  # type: ignore[arg-type]
        (models_pb2.Inference(edges=models_pb2.Edges(short=0)), "inference.edges.short"),
        (models_pb2.Inference(edges=models_pb2.Edges(short=99_999)), "inference.edges"),
        (models_pb2.Inference(windows=windows((8, 8))), "inference.windows.size"),
        (
            models_pb2.Inference(
                edges=models_pb2.Edges(short=200), windows=windows((64, 64), (1, 1))
            ),
            "inference.windows",
        ),
    ],
)
async def test_what_is_wrong_is_named(
    start: Start, free: Path, inference: models_pb2.Inference, field: str
) -> None:
    client = await start(models=[free])
    call = client.segment.SegmentImage(request(png(), inference=inference), timeout=SECONDS)
    code, _, message = await refused(call)
    assert code == Code.INVALID_ARGUMENT
    assert message.startswith(field)


async def test_streams_and_evaluations_go_the_same_way(start: Start, free: Path) -> None:
    client = await start(models=[free])
    inference = models_pb2.Inference(windows=windows())
    labels = await labelled(client, inference=inference)

    async def items() -> Any:
        for number in range(9):
            item = request(png(), inference=inference)
            yield segment_pb2.SegmentImagesRequest(id=number, item=item)

    async for reply in client.segment.SegmentImages(items(), timeout=SECONDS):
        assert np.array_equal(label_array(reply.result.labels), labels)
    mask = io.BytesIO()
    Image.fromarray(labels).save(mask, "PNG")

    async def pairs() -> Any:
        settings = segment_pb2.EvaluationSettings(inference=inference)
        yield segment_pb2.EvaluateSegmentationRequest(settings=settings)
        for _ in range(3):
            pair = segment_pb2.EvaluationPair(
                image=images_pb2.Image(encoded=png()), encoded=mask.getvalue()
            )
            yield segment_pb2.EvaluateSegmentationRequest(pair=pair)

    result = await evaluated(client, pairs(), timeout=SECONDS)
    assert result.pixel_accuracy == 1.0


TWO = Tiny(height=64, width=64, classes=2)


async def shares(client: Client, **fields: Any) -> float:
    reply = await client.segment.SegmentImage(request(png(), **fields), timeout=SECONDS)
    return sum(one.share for one in reply.classes if one.class_id == 1)


async def test_a_threshold_moves_the_line_between_two_classes(start: Start, tmp_path: Path) -> None:
    client = await start(models=[tiny_model.write(tmp_path / "two", TWO)])
    logits = brute_force(TWO.logits(prepared(PIXELS, (64, 64))), 120, 200)
    probability = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    for threshold in (0.1, 0.5, 0.9):
        expected = float(np.mean(probability > threshold))
        assert await shares(client, threshold=threshold) == pytest.approx(expected, abs=1e-3)
    assert await shares(client) == await shares(client, threshold=0.5)
    slide = models_pb2.Inference(windows=windows())
    most, least = [await shares(client, threshold=t, inference=slide) for t in (0.05, 0.95)]
    assert most > await shares(client, inference=slide) > least
    for wrong_one in (0.0, 1.0, -3.0, float("nan")):
        call = client.segment.SegmentImage(request(png(), threshold=wrong_one), timeout=SECONDS)
        assert (await refused(call))[0] == Code.INVALID_ARGUMENT


async def test_a_models_own_threshold_is_taken_away(start: Start, tmp_path: Path) -> None:
    """Of a source model with one class, whose other logit is the threshold's."""
    directory = tiny_model.write(tmp_path / "two", TWO)
    graph = TWO.manifest().graph.replaced(threshold=0.9)
    tiny_model.sealed(directory, TWO.manifest().replaced(graph=graph))
    client = await start(models=[directory])
    assert await shares(client, threshold=0.9) == await shares(client)
    assert await shares(client, threshold=0.2) > await shares(client)


async def test_other_models_have_no_threshold(start: Start, free: Path) -> None:
    client = await start(models=[free])
    call = client.segment.SegmentImage(request(png(), threshold=0.5), timeout=SECONDS)
    code, _, message = await refused(call)
    assert code == Code.INVALID_ARGUMENT
    assert message.startswith("threshold: is for models with two classes; this has 7")


def test_manifests_of_before_keep_their_digests() -> None:
    """What an older release did not write is left out where it says nothing."""
    manifest = tiny_model.Tiny().manifest()
    from services.segment.manifest import encode_manifest  # noqa: PLC0415

    text = encode_manifest(manifest).decode()
    for key in ("resizes", "resampler", "threshold", "instruction_set"):
        assert f'"{key}"' not in text
    new = manifest.replaced(
        preprocessing=manifest.preprocessing.replaced(resizes=False, resampler="opencv")
    )
    assert '"resizes": false' in encode_manifest(new).decode()
    assert {"resizes", "resampler"} < set(ModelPreprocessing.model_fields)
    assert "threshold" in ModelGraph.model_fields
