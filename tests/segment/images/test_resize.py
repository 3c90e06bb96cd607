"""Pictures resized as Pillow, torchvision and OpenCV do it, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.errors import InvalidArgument
from services.segment.images.preprocess import Preprocessor
from services.segment.images.resize import check_resampler, resize
from tests.segment.images.test_preprocess import HOW, picture

FIXTURE = Path(__file__).parent / "fixtures/opencv.npz"
SIZES = [
    ((683, 512), (512, 512)), ((150, 100), (512, 512)), ((91, 37), (64, 33)), ((7, 5), (64, 64)),
    ((300, 512), (512, 512)), ((2, 2), (1, 64)), ((1024, 768), (683, 512)), ((512, 40), (512, 30)),
]  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_torchvisions_is_torchs_antialiased_resize_of_bytes(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    """torchvision's resize calls this, and so does Hugging Face's processor where it is there."""
    torch = pytest.importorskip("torch")
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        pytest.skip("torch resizes bytes as floats on processors without AVX2")
    pixels = torch.from_numpy(np.array(picture(size))).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(
        pixels.contiguous(), size=wanted[::-1], mode="bilinear", antialias=True
    )
    found = resize(picture(size), wanted[1], wanted[0], "bilinear", "torchvision")
    assert np.array_equal(found, expected[0].permute(1, 2, 0).numpy())


def opencv_cases() -> list[Any]:
    with np.load(FIXTURE) as found:
        return [
            pytest.param(found[f"in{index}"], found[f"out{index}"], id=str(index))
            for index in range(len(found.files) // 2)
        ]


@pytest.mark.parametrize(("pixels", "expected"), opencv_cases())
def test_opencvs_is_its_linear_resize_of_bytes(pixels: Any, expected: Any) -> None:
    found = resize(
        Image.fromarray(pixels), expected.shape[0], expected.shape[1], "bilinear", "opencv"
    )
    assert np.array_equal(found, expected)


def test_they_are_not_the_same() -> None:
    """Or the choice would choose nothing."""
    given = picture((640, 480))
    pillow, torchvision, opencv = (
        resize(given, 512, 512, "bilinear", name) for name in ("pillow", "torchvision", "opencv")
    )
    assert 0 < np.mean(pillow != torchvision) < 0.1
    assert np.abs(pillow.astype(int) - torchvision).max() == 1
    assert np.mean(pillow != opencv) > 0.5


@pytest.mark.parametrize("resampler", ["pillow", "torchvision", "opencv"])
def test_a_picture_of_the_size_is_itself(resampler: Any) -> None:
    given = picture((31, 17))
    assert np.array_equal(resize(given, 17, 31, "bilinear", resampler), np.asarray(given))


def test_other_filters_are_pillows_alone() -> None:
    check_resampler("pillow", "lanczos", "f")
    check_resampler("opencv", "bilinear", "f")
    with pytest.raises(InvalidArgument, match="bilinear models; this one is bicubic"):
        check_resampler("torchvision", "bicubic", "f")


def test_the_models_resampler_makes_its_input() -> None:
    given = picture((200, 100))
    own = Preprocessor(HOW.replaced(resampler="opencv"))(given)
    assert np.array_equal(own, Preprocessor(HOW)(given, "opencv"))
    assert not np.array_equal(own, Preprocessor(HOW)(given))
