"""The service's labels against Hugging Face's, with real weights on real photographs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import zstandard
from assay.segment.v1 import images_pb2
from assay.segment.v1 import segment_pb2 as pb
from PIL import Image

from services.segment.evaluation import MaskMeaning, count, figures, nothing
from services.segment.export.command import export_checkpoint
from tests.segment.conftest import Start

MODEL = "segformer-b0-finetuned-ade-512-512"
LICENSE = "LicenseRef-NVIDIA-Source-Code-SegFormer"
LEAST = 0.999


@pytest.fixture(scope="session")
def real_model(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real B0, exported."""
    pytest.importorskip("torch")
    out = tmp_path_factory.mktemp("real") / MODEL
    images = sorted((data_dir / "ade20k/images").iterdir())
    export_checkpoint(data_dir / "segformer/b0-ade", out, name=MODEL, probes=images[:1])
    return out


@pytest.mark.data
@pytest.mark.torch
@pytest.mark.slow
async def test_labels_agree_with_hugging_face(
    data_dir: Path, real_model: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from transformers import (  # noqa: PLC0415  # heavy
        SegformerForSemanticSegmentation,
        SegformerImageProcessorPil,
    )

    processor = SegformerImageProcessorPil()
    model = SegformerForSemanticSegmentation.from_pretrained(data_dir / "segformer/b0-ade")
    model.train(False)
    # The licence allows evaluation, which this is.
    client = await start(models=[real_model], accepted_licenses=[LICENSE])
    agreements = {}
    for path in sorted((data_dir / "ade20k/images").iterdir()):
        with Image.open(path) as file:
            image = file.convert("RGB")
        with torch.inference_mode():
            outputs = model(**processor(image, return_tensors="pt"))
        expected = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[(image.height, image.width)]
        )[0].numpy()
        reply = await client.segment.SegmentImage(
            pb.SegmentImageRequest(image=images_pb2.Image(encoded=path.read_bytes())), timeout=120
        )
        raw = zstandard.decompress(reply.labels.data)
        labels = np.frombuffer(raw, np.uint8).reshape(image.height, image.width)
        agreements[path.name] = float((labels == expected).mean())
    with capsys.disabled():
        for name, share in agreements.items():
            print(f"\n{name}: {share:.6%} of pixels agree with Hugging Face's", end="")
    assert len(agreements) >= 6
    assert min(agreements.values()) >= LEAST


@pytest.mark.data
@pytest.mark.torch
@pytest.mark.slow
async def test_mean_iou_agrees_with_hugging_face(
    data_dir: Path, real_model: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    from transformers import (  # noqa: PLC0415  # heavy
        SegformerForSemanticSegmentation,
        SegformerImageProcessorPil,
    )

    processor = SegformerImageProcessorPil()
    model = SegformerForSemanticSegmentation.from_pretrained(data_dir / "segformer/b0-ade")
    model.train(False)
    pairs = [
        (path, data_dir / "ade20k/annotations" / f"{path.stem}.png")
        for path in sorted((data_dir / "ade20k/images").iterdir())
    ]
    meaning = MaskMeaning(150, zero_is_none=True)
    expected = nothing(150, confusion=False)
    for picture, annotation in pairs:
        with Image.open(picture) as file, Image.open(annotation) as mask_file:
            image, mask = file.convert("RGB"), np.asarray(mask_file)
        with torch.inference_mode():
            outputs = model(**processor(image, return_tensors="pt"))
        labels = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[(image.height, image.width)]
        )[0].numpy()
        expected += count(mask, labels.astype(np.uint8), meaning, confusion=False)
    wanted = figures(expected)

    async def messages() -> AsyncIterator[pb.EvaluateSegmentationRequest]:
        yield pb.EvaluateSegmentationRequest(
            settings=pb.EvaluationSettings(mask_values=pb.MASK_VALUES_ZERO_IS_NONE)
        )
        for picture, annotation in pairs:
            yield pb.EvaluateSegmentationRequest(
                pair=pb.EvaluationPair(
                    image=images_pb2.Image(encoded=picture.read_bytes()),
                    encoded=annotation.read_bytes(),
                )
            )

    client = await start(models=[real_model], accepted_licenses=[LICENSE])
    reply = await client.segment.EvaluateSegmentation(messages(), timeout=120)
    with capsys.disabled():
        print(
            f"\nmIoU {reply.mean_iou:.6f}, with Hugging Face's labels {wanted.mean_iou:.6f}", end=""
        )
    assert reply.pairs == len(pairs) >= 6
    assert reply.mean_iou == pytest.approx(wanted.mean_iou, abs=0.001)
    assert reply.mean_accuracy == pytest.approx(wanted.mean_accuracy, abs=0.001)
    assert reply.pixel_accuracy == pytest.approx(wanted.pixel_accuracy, abs=0.001)
