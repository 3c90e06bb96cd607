"""The input tensor, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from services.segment.images.preprocess import Preprocessor
from services.segment.manifest import ModelPreprocessing

HOW = ModelPreprocessing(
    64, 96, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), pads=False
)
SIZES = [(96, 64), (640, 427), (31, 200), (1, 1), (300, 1)]


def picture(size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_is_pillows_resize_scaled_and_normalised(size: tuple[int, int]) -> None:
    tensor = Preprocessor(HOW)(picture(size))
    resized = np.asarray(picture(size).resize((96, 64), Image.Resampling.BILINEAR))
    expected = (resized / 255 - np.array(HOW.mean)) / np.array(HOW.std)
    assert tensor.shape == (3, 64, 96)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, expected.transpose(2, 0, 1), rtol=0, atol=5e-7)


def test_says_how_many_bytes_an_input_has() -> None:
    preprocessor = Preprocessor(HOW)
    assert preprocessor.nbytes == preprocessor(picture((5, 5))).nbytes


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
def test_equals_hugging_faces_processor(size: tuple[int, int], resample: str) -> None:
    pytest.importorskip("torch")
    from transformers import SegformerImageProcessorPil  # noqa: PLC0415  # heavy

    processor = SegformerImageProcessorPil(
        size={"height": 64, "width": 96}, resample=Image.Resampling[resample.upper()]
    )
    image = picture(size)
    # The processor can't tell the channels of a picture one pixel high: it is told.
    expected = processor(image, return_tensors="np", input_data_format="channels_last")
    how = replace(HOW, resample=resample)  # type: ignore[arg-type]
    assert np.array_equal(Preprocessor(how)(image), expected["pixel_values"][0])
