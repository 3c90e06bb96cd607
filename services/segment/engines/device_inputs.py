"""Makes a model's inputs on a GPU: copies the pixels there and resizes them there.

On a processor, resizing and normalising a photograph takes longer than decoding it, and the
engine's thread would gather the results, four bytes a value, before copying them. Inputs are made
here only if they equalled the processor's, byte for byte, when the model was opened.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from services.segment.engines.device import Device, DeviceArray
from services.segment.images.preprocess import Preprocessor
from services.segment.kernels import resize
from services.segment.manifest import ModelPreprocessing, Resampler

# Pairs of sides whose weights stay on the GPU: pictures come in few sizes.
_AXES_KEPT = 64
# Sizes of the trial: heights and widths that shrink and grow, in either order.
_TRIED = ((83, 61), (37, 120))
_log = structlog.get_logger(__name__)
_Axis = tuple[tuple[DeviceArray, DeviceArray], tuple[Any, Any]]


class DeviceInputs:
    """Makes the inputs of one model on one GPU. Any thread may call it."""

    def __init__(self, device: Device, how: ModelPreprocessing) -> None:
        self._device = device
        self._how = how
        self._preprocessor = Preprocessor(how)
        self._table: DeviceArray | None = None
        self._axes: OrderedDict[tuple[int, int], _Axis] = OrderedDict()
        self._lock = threading.Lock()
        self.usable = False
        """Whether inputs are made on the GPU."""

    def make(self, picture: Image.Image, resampler: Resampler | None) -> DeviceArray | None:
        """Return the (3, height, width) input of an RGB picture; None if it is not made here.

        If memory runs out or the device fails, the processor makes the input: errors of the device
        show where the model runs, which is watched.
        """
        how = self._how
        if not self.usable or (resampler or how.resampler) != "pillow":
            return None
        try:
            return self._made(np.asarray(picture))
        except Exception as error:  # noqa: BLE001  # numba's share no class
            _log.warning("a picture is prepared on the processor", why=repr(error)[:300])
            return None

    def attempt(self) -> None:
        """Make two inputs here and on the processor, and make inputs here if they are equal."""
        if self._how.resample != "bilinear":
            return
        rng = np.random.default_rng(0)
        drawn = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in _TRIED]
        try:
            self.usable = all(
                np.array_equal(
                    self._device.get(self._made(pixels)),
                    self._preprocessor(Image.fromarray(pixels), "pillow"),
                )
                for pixels in drawn
            )
        except Exception as error:  # noqa: BLE001  # numba's share no class
            _log.warning("pictures are prepared on the processor", why=repr(error)[:300])
            return
        _log.info("pictures prepared on the GPU", used=self.usable)

    def _made(self, pixels: NDArray[np.uint8]) -> DeviceArray:
        device, how = self._device, self._how
        own, wanted = (pixels.shape[0], pixels.shape[1]), (how.height, how.width)
        heights = resize.heights_first(own, wanted)
        rows, columns = self._axis(own[0], wanted[0]), self._axis(own[1], wanted[1])
        first, last = (rows, columns) if heights else (columns, rows)
        between = (wanted[0], own[1]) if heights else (own[0], wanted[1])
        if self._table is None:
            self._table = device.put(self._preprocessor.table)
        tensor = device.empty((3, *wanted), np.float32)
        shapes = (pixels.shape, (*between, 3))
        with device.scratch(shapes, np.uint8) as (whole, half):
            device.put(pixels, whole)
            given, part, out = map(device.kernel_array, (whole, half, tensor))
            resize.launch(given, *first[1], part, between, heights=heights, gpu=device.gpu)
            table = device.kernel_array(self._table)
            resize.launch_last(
                part, *last[1], table, out, wanted, heights=not heights, gpu=device.gpu
            )
            # A caller that leaves its request frees the memory at once.
            device.wait()
        return tensor

    def _axis(self, size: int, wanted: int) -> _Axis:
        """Return a side's weights on the GPU, as arrays and as arguments of kernels."""
        key = size, wanted
        with self._lock:
            found = self._axes.get(key)
            if found is not None:
                self._axes.move_to_end(key)
                return found
        first, taps = (self._device.put(one) for one in resize.weights(size, wanted))
        as_given = self._device.kernel_array(first), self._device.kernel_array(taps)
        with self._lock:
            self._axes[key] = (first, taps), as_given
            while len(self._axes) > _AXES_KEPT:
                self._axes.popitem(last=False)
            return self._axes[key]
