"""A picture overlaid with its classes' colours. Adapter of Pillow."""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numba import njit
from PIL import Image

from services.segment.engines.engine import Labels

DEFAULT_OPACITY = 0.55
_JPEG_QUALITY = 90
_PNG_LEVEL = 1


class PictureFormat(Enum):
    """How a picture is encoded."""

    JPEG = "JPEG"
    PNG = "PNG"


@dataclass(frozen=True)
class OverlayStyle:
    """The picture's encoding, and the share of a class's colour in a pixel, in (0, 1]."""

    format: PictureFormat = PictureFormat.JPEG
    opacity: float = DEFAULT_OPACITY


class Palette:
    """The colours of a model's classes, 0xRRGGBB each. Safe to share between threads."""

    def __init__(self, colors: list[int]) -> None:
        values = np.array(colors, dtype=np.uint32)[:, None] >> np.array([16, 8, 0], dtype=np.uint32)
        self._colors = (values & 0xFF).astype(np.uint8)

    def draw(self, picture: Image.Image, labels: Labels, style: OverlayStyle) -> bytes:
        """Return the file of an RGB picture, scaled to the map's size, with the classes over it.

        `labels` is (height, width); a pixel whose label is not a class stays as it is.
        """
        height, width = labels.shape
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.array(picture)
        kept = ((1 - style.opacity) * np.arange(256)).astype(np.float32)
        added = (style.opacity * self._colors + 0.5).astype(np.float32)
        _blend(pixels, np.ascontiguousarray(labels), kept, added)
        file = io.BytesIO()
        image = Image.fromarray(pixels)
        if style.format is PictureFormat.JPEG:
            image.save(file, "JPEG", quality=_JPEG_QUALITY)
        else:
            image.save(file, "PNG", compress_level=_PNG_LEVEL)
        return file.getvalue()


def warm() -> None:
    """Compile the kernel for both label types, or load it from numba's cache."""
    palette, picture = Palette([0]), Image.new("RGB", (1, 1))
    palette.draw(picture, np.zeros((1, 1), dtype=np.uint8), OverlayStyle())
    palette.draw(picture, np.zeros((1, 1), dtype=np.uint16), OverlayStyle())


@njit(cache=True, nogil=True)
def _blend(pixels, labels, kept, added):  # type: ignore[no-untyped-def]
    """Mix (height, width, 3) pixels with their classes' colours, in place."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label = np.int64(labels[y, x])
            if label < added.shape[0]:
                for channel in range(3):
                    value = kept[pixels[y, x, channel]] + added[label, channel]
                    pixels[y, x, channel] = np.uint8(min(value, np.float32(255)))
