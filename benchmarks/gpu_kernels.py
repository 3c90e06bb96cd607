"""Our CUDA kernels on this machine's GPU, equality first: a part of `segment_gpu`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from services.segment.engines.engine import Engine
from services.segment.images.preprocess import Preprocessor
from services.segment.images.upsample import upsample_argmax
from services.segment.manifest import ModelPreprocessing

_SIZE = 768, 1024
_RUNS = 50


def label_maps(engine: Engine, how: ModelPreprocessing, picture: Image.Image) -> dict[str, Any]:
    """Compare a map that is made where the logits are with the processor's, and time both."""
    (output,) = engine.run([Preprocessor(how)(picture)])
    made = output.upsampled(*_SIZE)
    if made is None:
        return {"made": "on the processor"}
    logits, labels = output.logits, output.labels
    wanted = upsample_argmax(logits, labels, *_SIZE)
    return {
        "made": "on the GPU",
        "size": list(_SIZE),
        "labels_that_agree": float((made == wanted).mean()),
        "milliseconds": _milliseconds(lambda: output.upsampled(*_SIZE)),
        "milliseconds_on_the_processor": _milliseconds(
            lambda: upsample_argmax(logits, labels, *_SIZE)
        ),
    }


def resizing(how: ModelPreprocessing, picture: Image.Image) -> dict[str, Any]:
    """Compare inputs that a GPU makes of pictures with those of Pillow, and time both."""
    from numba import cuda  # noqa: PLC0415  # only where there is a GPU

    from services.segment.kernels import resize  # noqa: PLC0415

    host = Preprocessor(how)
    own, wanted = (picture.height, picture.width), (how.height, how.width)
    heights = resize.heights_first(own, wanted)
    rows, columns = resize.weights(own[0], wanted[0]), resize.weights(own[1], wanted[1])
    first, last = (rows, columns) if heights else (columns, rows)
    between = (wanted[0], own[1]) if heights else (own[0], wanted[1])
    pixels = np.ascontiguousarray(picture)
    table, half = cuda.to_device(host.table), cuda.device_array((*between, 3), np.uint8)
    tensor = cuda.device_array((3, *wanted), np.float32)
    first, last = (tuple(map(cuda.to_device, pair)) for pair in (first, last))

    def make() -> None:
        resize.launch(cuda.to_device(pixels), *first, half, between, heights=heights)
        resize.launch_last(half, *last, table, tensor, wanted, heights=not heights)
        cuda.synchronize()  # type: ignore[no-untyped-call]

    make()
    return {
        "size": list(own),
        "equal": bool(np.array_equal(tensor.copy_to_host(), host(picture))),
        "milliseconds": _milliseconds(make),
        "milliseconds_on_the_processor": _milliseconds(lambda: host(picture)),
    }


def _milliseconds(work: Callable[[], Any]) -> float:
    work()
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e3, 4)
