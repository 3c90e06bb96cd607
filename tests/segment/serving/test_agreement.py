"""The service's labels against Hugging Face's, with real weights on real photographs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from assay_rpc.segment.v1 import images_pb2, segment_pb2
from numpy.typing import NDArray
from PIL import Image

from tests.segment.conftest import Start, evaluated

# Shares of the pixels: of all photographs together, and of each. In bf16 0.9 % of COCO's differ.
LEAST = {"fp32": 0.9999, "bf16": 0.995}
LEAST_OF_EACH = {"fp32": 0.9999, "bf16": 0.99}
MIOU = 0.001
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Expected:
    """A photograph, Hugging Face's labels of it at its own size, and its mask if it has one."""

    path: Path
    labels: Labels
    mask: Labels | None


@pytest.fixture(scope="session")
def expected(data_dir: Path) -> list[Expected]:
    """What Hugging Face's processor, model and post-processing make of every real photograph."""
    torch = pytest.importorskip("torch")
    from transformers import (  # noqa: PLC0415  # heavy
        SegformerForSemanticSegmentation,
        SegformerImageProcessorPil,
    )

    processor = SegformerImageProcessorPil()
    model = SegformerForSemanticSegmentation.from_pretrained(data_dir / "segformer/b0-ade")
    model.train(False)
    paths = sorted((data_dir / "ade20k/images").iterdir())
    found = []
    for path in [*paths, data_dir / "segformer/coco-000000039769.png"]:
        with Image.open(path) as file:
            image = file.convert("RGB")
        with torch.inference_mode():
            outputs = model(**processor(image, return_tensors="pt"))
        labels = processor.post_process_semantic_segmentation(
            outputs, target_sizes=[(image.height, image.width)]
        )[0].numpy()
        mask = None
        if path in paths:
            with Image.open(data_dir / "ade20k/annotations" / f"{path.stem}.png") as file:
                mask = np.asarray(file).astype(np.int64)
        found.append(Expected(path, labels, mask))
    return found


def mean_iou(pairs: list[tuple[Labels, Labels]], classes: int = 150) -> float:
    """Over the classes that occur in masks or labels; a mask's 0 is ignored, 1 is class 0."""
    confusion = np.zeros((classes, classes), np.int64)
    for mask, labels in pairs:
        counted = mask > 0
        places = (mask[counted] - 1) * classes + labels[counted]
        confusion += np.bincount(places, minlength=classes**2).reshape(classes, classes)
    right = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - right
    return float((right[union > 0] / union[union > 0]).mean())


@pytest.mark.data
@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("way", ["onnxruntime fp32", "openvino fp32", "openvino bf16"])
async def test_labels_agree_with_hugging_face(
    real_model: Path,
    expected: list[Expected],
    start: Start,
    way: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine, precision = way.split()
    if engine == "openvino":
        if not find_spec("openvino"):
            pytest.skip("openvino is not installed")
        from services.segment.engines.openvino import capabilities  # noqa: PLC0415  # an extra

        if precision.upper() not in capabilities():
            pytest.skip(f"this processor has no {precision}")
    settings: dict[str, Any] = {"engine": engine, "precision": precision}
    # The licence allows evaluation, which this is.
    licenses = ["LicenseRef-NVIDIA-Source-Code-SegFormer"]
    client = await start(models=[real_model], accepted_licenses=licenses, **settings)
    agreements, ours, theirs = {}, [], []
    agreed = pixels = 0
    for item in expected:
        image = images_pb2.Image(encoded=item.path.read_bytes())
        reply = await client.segment.SegmentImage(
            segment_pb2.SegmentImageRequest(image=image), timeout=120
        )
        raw = zstandard.decompress(reply.labels.data)
        labels = np.frombuffer(raw, np.uint8).reshape(item.labels.shape).astype(np.int64)
        agreements[item.path.name] = float((labels == item.labels).mean())
        agreed += int((labels == item.labels).sum())
        pixels += labels.size
        if item.mask is not None:
            ours.append((item.mask, labels))
            theirs.append((item.mask, item.labels))
    found, wanted = mean_iou(ours), mean_iou(theirs)
    with capsys.disabled():
        for name, share in agreements.items():
            print(f"\n{way}, {name}: {share:.6%} of pixels agree", end="")
        print(
            f"\n{way}: {agreed / pixels:.6%} of all pixels agree, "
            f"mIoU {found:.5f}, Hugging Face's {wanted:.5f}",
            end="",
        )
    assert len(agreements) >= 7
    assert len(ours) >= 6
    assert min(agreements.values()) >= LEAST_OF_EACH[precision]
    assert agreed / pixels >= LEAST[precision]
    assert found == pytest.approx(wanted, abs=MIOU)


@pytest.mark.data
@pytest.mark.torch
@pytest.mark.slow
async def test_an_evaluation_agrees_with_hugging_face(
    real_model: Path, data_dir: Path, expected: list[Expected], start: Start
) -> None:
    licenses = ["LicenseRef-NVIDIA-Source-Code-SegFormer"]
    client = await start(models=[real_model], accepted_licenses=licenses)

    async def messages() -> AsyncIterator[segment_pb2.EvaluateSegmentationRequest]:
        yield segment_pb2.EvaluateSegmentationRequest(
            settings=segment_pb2.EvaluationSettings(
                mask_values=segment_pb2.MASK_VALUES_ZERO_IS_NONE
            )
        )
        for item in expected:
            if item.mask is not None:
                mask = data_dir / "ade20k/annotations" / f"{item.path.stem}.png"
                yield segment_pb2.EvaluateSegmentationRequest(
                    pair=segment_pb2.EvaluationPair(
                        image=images_pb2.Image(encoded=item.path.read_bytes()),
                        encoded=mask.read_bytes(),
                    )
                )

    reply = await evaluated(client, messages(), timeout=120)
    wanted = mean_iou([(item.mask, item.labels) for item in expected if item.mask is not None])
    assert reply.pairs >= 6
    assert reply.mean_iou == pytest.approx(wanted, abs=MIOU)
