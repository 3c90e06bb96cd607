"""The real model's labels in windows, and of other resizings, against the libraries' own rules.

The rules are written again here in plain steps, around transformers' model: mmsegmentation's
Resize with kept proportions and its slide inference, and the resize that torchvision calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2
from PIL import Image

from tests.segment.conftest import Client, Start
from tests.segment.windows.oracle import mean_logits, with_torch

pytestmark = [pytest.mark.data, pytest.mark.torch, pytest.mark.slow]

LEAST = 0.9999
SHORT, LONG, STRIDE = 512, 2048, 341
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class Source:
    """transformers' model of the real weights, on prepared pixels (3, h, w)."""

    def __init__(self, data_dir: Path) -> None:
        self.torch = pytest.importorskip("torch")
        from transformers import SegformerForSemanticSegmentation  # noqa: PLC0415  # heavy

        self.model = SegformerForSemanticSegmentation.from_pretrained(data_dir / "segformer/b0-ade")
        self.model.train(False)

    def logits(self, pixels: Any) -> Any:
        with self.torch.inference_mode():
            found = self.model(self.torch.from_numpy(pixels)[None]).logits[0]
        return np.ascontiguousarray(found.numpy().transpose(1, 2, 0))


@pytest.fixture(scope="module")
def source(data_dir: Path) -> Source:
    return Source(data_dir)


def photographs(data_dir: Path) -> list[Path]:
    found = sorted((data_dir / "ade20k/images").iterdir())
    return [*found, data_dir / "segformer/coco-000000039769.png"]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as file:
        return file.convert("RGB")


def prepared(pixels: Any) -> Any:
    values = (np.asarray(pixels).astype(np.float32) / np.float32(255) - MEAN) / STD
    return np.ascontiguousarray(values.transpose(2, 0, 1))


async def labels_of(client: Client, encoded: bytes, inference: models_pb2.Inference) -> Any:
    request = segment_pb2.SegmentImageRequest(
        image=images_pb2.Image(encoded=encoded), inference=inference
    )
    reply = await client.segment.SegmentImage(request, timeout=300)
    size = reply.labels.height, reply.labels.width
    return np.frombuffer(zstandard.decompress(reply.labels.data), np.uint8).reshape(size)


async def serving(start: Start, model: Path) -> Client:
    licenses = ["LicenseRef-NVIDIA-Source-Code-SegFormer"]
    return await start(models=[model], accepted_licenses=licenses)


async def test_windows_are_mmsegmentations(
    real_model: Path, data_dir: Path, source: Source, start: Start, capsys: Any
) -> None:
    client = await serving(start, real_model)
    inference = models_pb2.Inference(
        edges=models_pb2.Edges(short=SHORT, long=LONG), windows=models_pb2.Windows()
    )
    agreed = pixels = 0
    for path in photographs(data_dir):
        picture = opened(path)
        scale = min(LONG / max(picture.size), SHORT / min(picture.size))
        size = int(picture.width * scale + 0.5), int(picture.height * scale + 0.5)
        wanted = mean_logits(
            prepared(picture.resize(size, Image.Resampling.BILINEAR)),
            source.logits,
            (SHORT, SHORT),
            (STRIDE, STRIDE),
            (picture.height, picture.width),
            with_torch,
        ).argmax(axis=2)
        labels = await labels_of(client, path.read_bytes(), inference)
        agreed += int((labels == wanted).sum())
        pixels += labels.size
    with capsys.disabled():
        print(f"\nwindows: {agreed / pixels:.6%} of {pixels} pixels agree", end="")
    assert agreed / pixels >= LEAST


async def test_torchvisions_resizing_gives_torchvisions_labels(
    real_model: Path, data_dir: Path, source: Source, start: Start, capsys: Any
) -> None:
    torch = source.torch
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        pytest.skip("torch resizes bytes as floats on processors without AVX2")
    client = await serving(start, real_model)
    inference = models_pb2.Inference(resampler=models_pb2.RESAMPLER_TORCHVISION)
    agreed = pixels = differing = 0
    for path in photographs(data_dir):
        picture = opened(path)
        channels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].contiguous()
        resized = torch.nn.functional.interpolate(
            channels, size=(SHORT, SHORT), mode="bilinear", antialias=True
        )[0].permute(1, 2, 0)
        logits = source.logits(prepared(resized.numpy()))
        wanted = with_torch(logits, picture.height, picture.width).argmax(axis=2)
        labels = await labels_of(client, path.read_bytes(), inference)
        agreed += int((labels == wanted).sum())
        pixels += labels.size
        plain = await labels_of(client, path.read_bytes(), models_pb2.Inference())
        differing += int((plain != wanted).sum())
    with capsys.disabled():
        print(
            f"\ntorchvision: {agreed / pixels:.6%} of {pixels} pixels agree, "
            f"{1 - differing / pixels:.6%} with Pillow's",
            end="",
        )
    assert agreed / pixels >= LEAST
    assert differing > pixels - agreed
