"""An RGB picture to the model's input tensor, bit for bit as Hugging Face's processor makes it.

Pillow resizes (with its antialiasing: other libraries' filters change labels). Rescaling and
normalising have only 256 results a channel: they are computed once, in the processor's order and
types, and looked up while the channels are taken apart.

Adapter of Pillow; the kernel releases the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image

from services.segment.manifest import ModelPreprocessing

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Preprocessor:
    """Makes the input of one model. Safe to share between threads."""

    def __init__(self, how: ModelPreprocessing) -> None:
        self._size = (how.width, how.height)
        self._filter = _FILTERS[how.resample]
        # float64 product, float32 from there on: the processor's own steps.
        scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
        mean = np.array(how.mean, dtype=np.float32)
        std = np.array(how.std, dtype=np.float32)
        self._tables = (scaled[None, :] - mean[:, None]) / std[:, None]

    @property
    def nbytes(self) -> int:
        """Bytes of one input."""
        width, height = self._size
        return 3 * 4 * width * height

    def __call__(self, picture: Image.Image) -> NDArray[np.float32]:
        """Return (3, height, width) float32 of an RGB picture of any size."""
        pixels = np.asarray(picture.resize(self._size, self._filter))
        width, height = self._size
        tensor = np.empty((3, height, width), dtype=np.float32)
        _look_up(pixels, self._tables, tensor)
        return tensor


@njit(cache=True, nogil=True)
def _look_up(pixels, tables, tensor):  # type: ignore[no-untyped-def]
    """Replace each value of (height, width, 3) bytes by its channel's result, channels first."""
    height, width, channels = pixels.shape
    for y in range(height):
        for channel in range(channels):
            for x in range(width):
                tensor[channel, y, x] = tables[channel, pixels[y, x, channel]]
