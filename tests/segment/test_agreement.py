"""The service's labels against Hugging Face's, with real weights on real photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zstandard
from assay.segment.v1 import images_pb2
from assay.segment.v1 import segment_pb2 as pb
from PIL import Image

from services.segment.export.command import export_checkpoint
from tests.segment.conftest import Start

MODEL = "segformer-b0-finetuned-ade-512-512"
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
    client = await start(
        models=[real_model], accepted_licenses=["LicenseRef-NVIDIA-Source-Code-SegFormer"]
    )
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
