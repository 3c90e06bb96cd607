"""The picture with its classes laid over it, against the same in numpy's floating point."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from services.segment.images.overlay import OverlayStyle, Palette, PictureFormat

COLORS = [0xFF0000, 0x00FF7F, 0x123456]
RGB = np.array([[255, 0, 0], [0, 255, 127], [0x12, 0x34, 0x56]])


def drawn(
    pixels: NDArray[np.uint8], labels: NDArray[Any], style: OverlayStyle
) -> NDArray[np.uint8]:
    file = Palette(COLORS).draw(Image.fromarray(pixels), labels, style)
    with Image.open(io.BytesIO(file)) as image:
        assert (image.format, image.mode) == (style.format.value, "RGB")
        return np.asarray(image)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.floats(0, 1, exclude_min=True, width=32),
    st.sampled_from([np.uint8, np.uint16]),
    st.integers(0, 2**32 - 1),
)
def test_each_pixel_is_a_mixture(
    shape: tuple[int, int], opacity: float, kind: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    labels = rng.integers(0, 4, shape).astype(kind)  # 3 is no class
    found = drawn(pixels, labels, OverlayStyle(PictureFormat.PNG, opacity))
    mixed = (1 - opacity) * pixels + opacity * RGB[np.minimum(labels, 2)]
    expected = np.where((labels < 3)[..., None], mixed, pixels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.51)


def test_full_opacity_is_the_colours_alone() -> None:
    labels = np.array([[0, 1, 2]], dtype=np.uint8)
    pixels = np.full((1, 3, 3), 200, dtype=np.uint8)
    found = drawn(pixels, labels, OverlayStyle(PictureFormat.PNG, 1.0))
    assert np.array_equal(found, RGB[None])


@pytest.mark.parametrize("kind", list(PictureFormat))
def test_it_is_as_large_as_the_map(kind: PictureFormat) -> None:
    pixels = np.full((40, 30, 3), 90, dtype=np.uint8)
    labels = np.full((10, 20), 255, dtype=np.uint8)  # a filter left all out
    found = drawn(pixels, labels, OverlayStyle(kind))
    assert found.shape == (10, 20, 3)
    assert np.abs(found.astype(int) - 90).max() <= 1


def test_the_picture_itself_is_not_changed() -> None:
    picture = Image.new("RGB", (4, 4), "white")
    Palette(COLORS).draw(picture, np.zeros((4, 4), np.uint8), OverlayStyle())
    assert picture.getpixel((0, 0)) == (255, 255, 255)
