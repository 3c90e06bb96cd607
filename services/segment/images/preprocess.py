"""An RGB picture to the model's input tensor, bit for bit as Hugging Face's processor makes it.

`resize` says which library's arithmetic resizes the picture, since labels depend on it. Rescaling
and normalising have only 256 results a channel: they are computed once, in the processor's order
and types, and looked up while the channels are separated.

Adapter of Pillow; the kernel releases the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from PIL import Image

from services.segment.images.resize import resize
from services.segment.manifest import ModelPreprocessing, Resampler


class Preprocessor:
    """Makes the inputs of one model. Safe to share between threads."""

    def __init__(self, how: ModelPreprocessing) -> None:
        self._how = how
        # float64 product, float32 after that, as in the processor.
        scaled = (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)
        mean = np.array(how.mean, dtype=np.float32)
        std = np.array(how.std, dtype=np.float32)
        self.table = (scaled[None, :] - mean[:, None]) / std[:, None]

    @property
    def nbytes(self) -> int:
        """Bytes of an input of the model's own size."""
        return 3 * 4 * self._how.width * self._how.height

    def __call__(
        self, picture: Image.Image, resampler: Resampler | None = None
    ) -> NDArray[np.float32]:
        """Return (3, height, width) float32, the model's size, for an RGB picture of any size.

        The model's `resampler` resizes it, or another one if given.
        """
        how = self._how
        size = how.height, how.width
        return self.tensor(resize(picture, *size, how.resample, resampler or how.resampler))

    def tensor(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (3, height, width) float32 for (height, width, 3) pixels, without resizing."""
        height, width, _ = pixels.shape
        tensor = np.empty((3, height, width), dtype=np.float32)
        pixels = np.ascontiguousarray(pixels)
        pixels.setflags(
            write=False
        )  # like a picture's pixels: the kernel is compiled for read-only arrays
        _look_up(pixels, self.table, tensor)
        return tensor


@njit(cache=True, nogil=True)
def _look_up(pixels, tables, tensor):  # type: ignore[no-untyped-def]
    """Replace each value of (height, width, 3) bytes with its channel's result, channels first."""
    height, width, channels = pixels.shape
    for y in range(height):
        for channel in range(channels):
            for x in range(width):
                tensor[channel, y, x] = tables[channel, pixels[y, x, channel]]
